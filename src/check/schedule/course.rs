//! Each node's course and each item's: nothing is left out, nothing comes before what it needs, the figures add up.

use std::collections::BTreeMap;

use super::{Case, Finding};
use crate::schedule::forecast::Move;
use crate::schedule::instance::{Landing, NONE, Standing, Strategy, Way};

pub(super) fn judge(case: &Case<'_>, findings: &mut Vec<Finding>) {
    nodes(case, findings);
    items(case, findings);
    groups(case, findings);
    if case.instance.strategy == Strategy::Waves {
        waves(case, findings);
    }
    figures(case, findings);
}

/// Every due node once; its drain ends with its last item, its visit with its tail.
fn nodes(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let nodes = &case.instance.nodes;
    if case.visits.len() != case.schedule.visits.len() {
        findings.push("a node is visited twice".to_owned());
    }
    let mut last: BTreeMap<u32, u64> = BTreeMap::new();
    for one in &case.schedule.moves {
        let left = last.entry(one.from).or_default();
        *left = (*left).max(one.left);
    }
    for n in 0..nodes.name.len() as u32 {
        let name = &nodes.name[n as usize];
        let due = nodes.group[n as usize] != NONE;
        let given_up = case.schedule.unfinished.iter().any(|(node, _)| *node == n);
        match case.visits.get(&n) {
            None if due && !given_up => findings.push(format!("{name} is due and never visited")),
            None => {}
            Some(_) if !due || given_up => findings.push(format!("{name} is visited and should not be")),
            Some(visit) => {
                let ready = visit.start + nodes.head[n as usize];
                let drained = last.get(&n).copied().unwrap_or(ready).max(ready);
                if visit.drained != drained || visit.end != drained + nodes.tail[n as usize] {
                    findings.push(format!("{name}: drained at {drained}, but {visit:?}"));
                }
            }
        }
    }
}

/// Every item leaves every node that it is on while that drains, once, in the order of tiers, and takes its time.
fn items(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let items = &case.instance.items;
    let mut at: Vec<Option<u32>> = items.node.iter().map(|n| Some(*n)).collect();
    let mut since = vec![0; items.name.len()];
    let mut tiers: BTreeMap<(u32, u8), (u64, u64)> = BTreeMap::new();
    for one in &case.schedule.moves {
        let i = one.item as usize;
        let name = &items.name[i];
        if at[i] != Some(one.from) || one.start < since[i] {
            findings.push(format!("{name} is not Ready at {}: {one:?}", one.from));
        }
        if durations(case, one) != (one.left, one.ready) {
            findings.push(format!("{name} does not take its time: {one:?}"));
        }
        let visit = case.visits.get(&one.from);
        let begins = case.instance.nodes.head[one.from as usize] + visit.map_or(0, |v| v.start);
        if visit.is_some_and(|v| one.start < begins || one.left > v.drained) {
            findings.push(format!("{name} leaves outside the drain: {one:?}"));
        }
        at[i] = if items.landing[i] == Landing::Elsewhere { one.to } else { None };
        since[i] = one.ready;
        let span = tiers.entry((one.from, items.tier[i])).or_insert((u64::MAX, 0));
        *span = (span.0.min(one.start), span.1.max(one.left));
    }
    let mut earlier: Option<((u32, u8), (u64, u64))> = None;
    for (key, span) in tiers {
        if earlier.is_some_and(|(other, before)| other.0 == key.0 && span.0 < before.1) {
            findings.push(format!("tier {} of node {} starts before the tier below has left", key.1, key.0));
        }
        earlier = Some((key, span));
    }
    for (i, place) in at.iter().enumerate() {
        let left = place.and_then(|n| case.visits.get(&n)).is_some_and(|v| since[i] <= v.start);
        if left {
            findings.push(format!("{} stays on a node that is drained", items.name[i]));
        }
    }
}

fn durations(case: &Case<'_>, one: &Move) -> (u64, u64) {
    let items = &case.instance.items;
    let i = one.item as usize;
    let left = one.start + items.leave[i];
    let ready = match (items.landing[i], items.way[i]) {
        (Landing::Elsewhere, Way::Eviction | Way::Restart) => left.max(one.start + items.ready[i]),
        _ => left,
    };
    (left, ready)
}

/// A group begins when those that it comes after are through and have soaked.
fn groups(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let groups = &case.instance.groups;
    let mut end = vec![0; groups.len()];
    let mut unfinished = vec![false; groups.len()];
    for (node, _) in &case.schedule.unfinished {
        unfinished[case.instance.nodes.group[*node as usize] as usize] = true;
    }
    // As often as there are groups: enough for the longest chain, whatever the order of the table.
    let mut begin = vec![0; groups.len()];
    for _ in 0..groups.len() {
        for (g, group) in groups.iter().enumerate() {
            let ready = group.after.iter().map(|b| end[*b as usize] + groups[*b as usize].soak);
            begin[g] = ready.max().unwrap_or(0);
            let own = case.visits.values().filter(|v| case.instance.nodes.group[v.node as usize] == g as u32);
            end[g] = own.map(|v| v.end).max().unwrap_or(0).max(begin[g]);
        }
    }
    for visit in case.visits.values() {
        let n = visit.node as usize;
        let g = case.instance.nodes.group[n] as usize;
        let held = groups[g].after.iter().any(|b| unfinished[*b as usize]);
        let under_way = case.instance.nodes.standing[n] == Standing::UnderWay;
        if !under_way && (visit.start < begin[g] || held) {
            findings.push(format!("{} starts before its group may", case.instance.nodes.name[n]));
        }
    }
}

/// A node of a group starts only while no node of the wave under way has come back.
fn waves(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let group_of = |node: u32| case.instance.nodes.group[node as usize];
    for visit in case.visits.values() {
        let n = visit.node as usize;
        if case.instance.nodes.standing[n] == Standing::UnderWay {
            continue;
        }
        let mates =
            case.visits.values().filter(|v| v.node != visit.node && group_of(v.node) == group_of(visit.node));
        let mates: Vec<_> = mates.filter(|v| v.start < visit.start).collect();
        let away = mates.iter().filter(|v| v.end > visit.start);
        // The wave of an older mate that is still away was joined by all who started while it was away.
        let Some(oldest) = away.map(|v| v.start).min() else { continue };
        if mates.iter().any(|v| v.end > oldest && v.end <= visit.start) {
            findings.push(format!("{} starts before the wave is through", case.instance.nodes.name[n]));
        }
    }
}

/// The figures, added up from visits and moves.
fn figures(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let items = &case.instance.items;
    let score = &case.schedule.score;
    let mut moved = vec![0u32; items.name.len()];
    for one in case.schedule.moves.iter().filter(|m| m.to.is_some()) {
        moved[one.item as usize] += 1;
    }
    let beyond = |pods: bool| -> u32 {
        let which = |i: &usize| (items.way[*i] == Way::Eviction) == pods;
        (0..moved.len()).filter(which).map(|i| moved[i].saturating_sub(1)).sum()
    };
    let expected = [
        ("makespan", score.makespan, case.visits.values().map(|v| v.end).max().unwrap_or(0)),
        ("time away", score.time_away, case.visits.values().map(|v| v.end - v.start).sum()),
        ("extra moves", score.extra_moves.into(), beyond(false).into()),
        ("extra evictions", score.extra_evictions.into(), beyond(true).into()),
        ("unfinished", score.unfinished.into(), case.schedule.unfinished.len() as u64),
    ];
    for (what, said, counted) in expected {
        // Where a drain never ends, part of the moves has been made.
        if said != counted && (score.unfinished == 0 || what == "unfinished") {
            findings.push(format!("{what}: said {said}, counted {counted}"));
        }
    }
}
