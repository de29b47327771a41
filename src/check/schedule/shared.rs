//! What nodes and items share: limits, migration slots, budgets. Each is a count over time that must not exceed its bound.

use std::collections::BTreeMap;

use super::{Case, Finding};
use crate::schedule::instance::{Landing, NONE, Standing, Way};

/// Half-open spans of time, each of which uses one unit.
#[derive(Default)]
struct Spans(Vec<(u64, i64)>);

impl Spans {
    fn add(&mut self, from: u64, to: u64) {
        if from < to {
            self.0.push((from, 1));
            self.0.push((to, -1));
        }
    }

    /// First moment of each rise above `most`, which may grow over time. What stands at 0 is not judged if `lenient`.
    fn exceed(mut self, most: u32, grows: &[u64], lenient: bool) -> Option<u64> {
        self.0.sort_unstable();
        let mut used = 0;
        for (at, change) in self.0 {
            used += change;
            let more = grows.iter().filter(|g| **g <= at).count();
            let judged = change > 0 && !(lenient && at == 0);
            if judged && used > i64::from(most) + more as i64 {
                return Some(at);
            }
        }
        None
    }
}

pub(super) fn judge(case: &Case<'_>, findings: &mut Vec<Finding>) {
    limits(case, findings);
    slots(case, findings);
    budgets(case, findings);
    peak(case, findings);
}

fn limits(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let standing = &case.instance.nodes.standing;
    for limit in &case.instance.limits {
        let mut spans = Spans::default();
        let lenient = limit.members.iter().any(|n| standing[*n as usize] != Standing::InService);
        for node in &limit.members {
            match (standing[*node as usize], case.visits.get(node)) {
                (Standing::Out, _) => spans.add(0, u64::MAX),
                (_, Some(visit)) => spans.add(visit.start, visit.end),
                (_, None) => {}
            }
        }
        if let Some(at) = spans.exceed(limit.most, &[], lenient) {
            findings.push(format!("more than {} nodes of {:?} are away at {at}", limit.most, limit.scope));
        }
    }
}

fn slots(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let mut cluster = Spans::default();
    let mut per_node: BTreeMap<u32, Spans> = BTreeMap::new();
    for one in &case.schedule.moves {
        if case.instance.items.way[one.item as usize] == Way::Migration {
            cluster.add(one.start, one.left);
            per_node.entry(one.from).or_default().add(one.start, one.left);
        }
    }
    if let Some(at) = cluster.exceed(case.instance.slots.cluster, &[], false) {
        findings.push(format!("too many migrations at {at}"));
    }
    for (node, spans) in per_node {
        if let Some(at) = spans.exceed(case.instance.slots.per_node, &[], false) {
            findings.push(format!("too many migrations out of node {node} at {at}"));
        }
    }
}

/// A budget's unit is held from the eviction until the replacement is Ready; what returns to its own node is Ready after that.
fn budgets(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let items = &case.instance.items;
    let mut spans: BTreeMap<u32, Spans> = BTreeMap::new();
    for one in &case.schedule.moves {
        let i = one.item as usize;
        let until = match items.landing[i] {
            Landing::SameNode => case.visits.get(&one.from).map_or(u64::MAX, |v| v.end + items.ready[i]),
            Landing::Elsewhere | Landing::Nowhere => one.ready,
        };
        if items.budget[i] != NONE && items.way[i] != Way::Migration {
            spans.entry(items.budget[i]).or_default().add(one.start, until);
        }
    }
    for (budget, spans) in spans {
        let of = &case.instance.budgets[budget as usize];
        if let Some(at) = spans.exceed(of.allowed, &of.returns, false) {
            findings.push(format!("budget {} is exceeded at {at}", of.name));
        }
    }
}

fn peak(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let mut ends: Vec<(u64, i64)> = Vec::new();
    let mut away = 0;
    for (node, group) in case.instance.nodes.group.iter().enumerate().filter(|(_, g)| **g != NONE) {
        debug_assert_ne!(*group, NONE, "due");
        if case.instance.nodes.standing[node] == Standing::Out {
            away += 1;
        } else if let Some(visit) = case.visits.get(&(node as u32)).filter(|v| v.start < v.end) {
            ends.extend([(visit.start, 1), (visit.end, -1)]);
        }
    }
    ends.sort_unstable();
    let mut peak = away;
    for (_, change) in ends {
        away += change;
        peak = peak.max(away);
    }
    let said = i64::from(case.schedule.score.peak_away);
    if said != peak && case.schedule.unfinished.is_empty() {
        findings.push(format!("peak: said {said}, counted {peak}"));
    }
}
