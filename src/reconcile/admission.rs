//! Which nodes may start now: waves, and the limits over campaign, group and zone.

use std::collections::{BTreeMap, BTreeSet};

use super::carried::States;
use super::hold::SHOWN;
use super::view::phase_of;
use super::{Decision, GroupNodes, View};
use crate::inventory::{Lookup, Node};
use crate::plan::v1alpha1::{Concurrency, Strategy};
use crate::reconcile::{Hold, NodePhase};

/// The node label that names the zone, unless the plan says otherwise.
pub const ZONE_LABEL: &str = crate::inventory::ZONE;

/// One limit: at most `limit` of these nodes unavailable.
struct Limit<'a> {
    scope: String,
    /// Of all nodes of the campaign.
    is_of_all: bool,
    limit: usize,
    members: Lookup<&'a str, ()>,
    /// Those of them that are unavailable now.
    away: BTreeSet<&'a str>,
    /// Those of them that are in work.
    working: BTreeSet<&'a str>,
}

impl Limit<'_> {
    /// Why this limit doesn't let the node begin; `None` if it does. A failed node that is `left_cordoned` and tried again
    /// takes nothing more away than is away: only those in work stand in its way, so that even more failed nodes than the
    /// limit come through, one after the other.
    fn hold(&self, node: &str, left_cordoned: bool) -> Option<Hold> {
        if !self.members.contains(node) {
            return None;
        }
        let away = if left_cordoned { &self.working } else { &self.away };
        // The node itself doesn't stand in its own way: it would be unavailable for maintenance anyway.
        let others = away.len() - usize::from(away.contains(node));
        if others < self.limit {
            return None;
        }
        let shown = away.iter().filter(|n| **n != node).take(SHOWN);
        let unavailable: Vec<String> = shown.map(|n| (*n).to_owned()).collect();
        let more = others - unavailable.len();
        Some(Hold::Concurrency { scope: self.scope.clone(), limit: self.limit, unavailable, more })
    }
}

/// A group's wave under way.
struct Wave {
    number: u32,
    /// Its nodes that are still in work.
    at_work: Vec<String>,
    /// One of its nodes has come to its end: whoever isn't in it waits for the next one.
    is_closed: bool,
}

/// The limits, and who is unavailable.
pub(super) struct Admission<'a> {
    limits: Vec<Limit<'a>>,
    /// By group.
    waves: BTreeMap<String, Wave>,
    last_wave: u32,
    finished_wave: Option<u32>,
    strategy: Strategy,
}

impl<'a> Admission<'a> {
    /// Reads limits and present unavailability. A node counts as unavailable when it is in work, not Ready, or cordoned by
    /// anybody for whatever reason.
    pub(super) fn new(view: &View<'a>, states: &States<'_>, decision: &Decision) -> Self {
        let working = |name: &str| {
            // A patch under way may be a cordon that isn't observed yet; that of a node that is done only clears its state.
            let done = decision.phase(name).is_some_and(|p| p == NodePhase::Done);
            let patching = view.ledger.patching.contains(name) && !done;
            patching || states.mine(name).is_some_and(|s| s.phase.is_active())
        };
        let away = |name: &str| view.inventory.node(name).is_none_or(Node::is_unavailable);
        let mut limits = limits(view);
        for (_, name) in view.nodes() {
            let (working, away) = (working(name), away(name));
            for limit in limits.iter_mut().filter(|l| (working || away) && l.members.contains(name)) {
                limit.away.insert(name);
                if working {
                    limit.working.insert(name);
                }
            }
        }
        let ended = decision.status.nodes.iter().filter(|n| phase_of(n).is_terminal());
        Self {
            limits,
            waves: waves(decision),
            last_wave: decision.status.nodes.iter().map(|n| n.wave).max().unwrap_or(0),
            finished_wave: ended.map(|n| n.wave).max(),
            strategy: view.plan.strategy,
        }
    }

    /// Why the node can't start now; empty if it can.
    pub(super) fn holds(&self, group: &str, node: &Node, left_cordoned: bool) -> Vec<Hold> {
        let mut holds = Vec::new();
        if let Some(wave) = self.wave_under_way(group).filter(|wave| wave.is_closed) {
            holds.push(Hold::Wave { waits_for: wave.at_work.clone() });
        }
        holds.extend(self.limits.iter().filter_map(|limit| limit.hold(&node.name, left_cordoned)));
        holds
    }

    /// The group's wave under way, where waves count.
    fn wave_under_way(&self, group: &str) -> Option<&Wave> {
        self.waves.get(group).filter(|_| self.strategy == Strategy::Waves)
    }

    /// The wave of a node that starts now. Waves: the group's wave under way, else one more than the last. Rolling: one
    /// more than the last wave of which a node has finished.
    pub(super) fn wave(&self, group: &str) -> u32 {
        match self.strategy {
            Strategy::Waves => self.wave_under_way(group).map_or(self.last_wave + 1, |wave| wave.number),
            Strategy::Rolling => self.finished_wave.map_or(1, |wave| wave + 1),
        }
    }

    /// So many nodes can begin now, by the limits over all nodes; a failed one that is still cordoned takes none of it.
    pub(super) fn room(&self) -> usize {
        let everyone = self.limits.iter().filter(|limit| limit.is_of_all);
        let left = everyone.map(|limit| limit.limit.saturating_sub(limit.away.len()));
        left.min().unwrap_or(usize::MAX)
    }

    /// Counts a node that was just admitted.
    pub(super) fn admit(&mut self, node: &'a str) {
        for limit in self.limits.iter_mut().filter(|l| l.members.contains(node)) {
            limit.away.insert(node);
            limit.working.insert(node);
        }
    }
}

/// The groups' waves under way. A wave stays open until the first of its nodes has come to its end: one whose cordon met
/// somebody else's write, and is tried again a moment later, still belongs to it.
fn waves(decision: &Decision) -> BTreeMap<String, Wave> {
    let nodes = &decision.status.nodes;
    let mut waves: BTreeMap<String, Wave> = BTreeMap::new();
    for node in nodes.iter().filter(|n| phase_of(n).is_active()) {
        let wave = waves.entry(node.group.clone());
        let wave = wave.or_insert_with(|| Wave { number: 0, at_work: Vec::new(), is_closed: false });
        wave.number = wave.number.max(node.wave);
        wave.at_work.push(node.name.clone());
    }
    for node in nodes.iter().filter(|n| phase_of(n).is_terminal()) {
        if let Some(wave) = waves.get_mut(&node.group).filter(|wave| wave.number == node.wave) {
            wave.is_closed = true;
        }
    }
    waves
}

fn limits<'a>(view: &View<'a>) -> Vec<Limit<'a>> {
    let mut limits = Vec::new();
    let everyone: Vec<&str> = view.nodes().map(|(_, node)| node).collect();
    let campaign = view.plan.concurrency.clone().unwrap_or_default();
    if let Some(max) = campaign.max_unavailable {
        let campaign = limit("the campaign".to_owned(), max.of(everyone.len()), &everyone);
        limits.push(Limit { is_of_all: true, ..campaign });
    }
    zones(view, "", &campaign, &everyone, &mut limits);
    for group in view.groups {
        let own = view.group(&group.name).and_then(|g| g.concurrency.clone()).unwrap_or_default();
        let members: Vec<&str> = group.nodes.iter().map(String::as_str).collect();
        // Nothing said anywhere: one node at a time.
        let max = own.max_unavailable.map(|m| m.of(members.len()));
        let unlimited = campaign.max_unavailable.is_some() || campaign.max_unavailable_per_zone.is_some();
        let zoned = own.max_unavailable_per_zone.is_some();
        if let Some(max) = max.or_else(|| (!unlimited && !zoned).then_some(1)) {
            limits.push(limit(format!("group {}", group.name), max, &members));
        }
        zones(view, &format!(" of group {}", group.name), &own, &members, &mut limits);
    }
    limits
}

fn limit<'a>(scope: String, limit: usize, members: &[&'a str]) -> Limit<'a> {
    let members = members.iter().copied().collect();
    Limit { scope, is_of_all: false, limit, members, away: BTreeSet::new(), working: BTreeSet::new() }
}

fn zones<'a>(
    view: &View<'a>,
    suffix: &str,
    concurrency: &Concurrency,
    members: &[&'a str],
    limits: &mut Vec<Limit<'a>>,
) {
    let Some(max) = concurrency.max_unavailable_per_zone else {
        return;
    };
    let key = concurrency.topology_key.as_deref().unwrap_or(ZONE_LABEL);
    let mut by_zone: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
    for &name in members {
        let zone = view.inventory.node(name).and_then(|n| n.labels.get(key));
        by_zone.entry(zone.map_or("", String::as_str)).or_default().push(name);
    }
    for (zone, members) in by_zone {
        let name =
            if zone.is_empty() { format!("nodes without label {key}") } else { format!("zone {zone}") };
        limits.push(limit(format!("{name}{suffix}"), max.of(members.len()), &members));
    }
}

/// Nodes of a group that have not begun, in their order.
pub(super) fn waiting<'a>(group: &'a GroupNodes, decision: &Decision) -> Vec<&'a str> {
    let waits = |name: &&str| decision.phase(name).is_none_or(|p| p == NodePhase::Pending);
    group.nodes.iter().map(String::as_str).filter(waits).collect()
}
