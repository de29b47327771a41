//! Who begins now: of the nodes that no group and no limit holds, those whose turn it is by the planner's rules.
//!
//! # Why
//! The plan's limits say how many may be away; the planner's rules say which of them can be without waiting for each other's
//! budgets, migration slots or room. Both are asked about what is observed now, so that a node that turns out slow, or a cluster
//! that has changed, changes the order and never the safety.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::admission::{self, Admission};
use super::carried::States;
use super::decide::{fail_untouched, stopped};
use super::drain::{DrainOptions, obstacles};
use super::{Decision, GroupNodes, NodePhase, View, node, steering};
use crate::inventory::{Node, ObjectName};
use crate::plan::v1alpha1::{OnConflict, OnTimeout};
use crate::reconcile::{Effect, Hold, NodePatch, NodeState, StateChange};
use crate::schedule::Wait;
use crate::schedule::problem::{self, Durations, Progress};

/// The planner's rules look at the whole cluster: they are asked so far apart at the least, for each node of it.
const ASKED_A_NODE: SignedDuration = SignedDuration::from_millis(5);
/// So many times as far apart while no node has begun or come back since and the limits leave no more: only budgets, slots and
/// places can have changed.
const NOTHING_NEW: i32 = 4;
/// So many waiting nodes are asked about in between, the first in their order, if they fill the room that the limits leave; and so
/// many if they don't, or more the more of them may begin. All of them are asked about as often as if nothing were new.
const FIRST_ASKED: usize = 16;
const MORE_ASKED: usize = 64;
/// If so large a part of them may begin, others may, too.
const MANY: usize = 2;

/// What the planner's rules said last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Turns {
    /// When they were asked.
    asked_at: Option<Timestamp>,
    /// When all nodes that wait were asked about, or the limits let none of the others begin.
    asked_all_at: Option<Timestamp>,
    /// Of those that weren't asked about the limits would have let one begin.
    leaves_room: bool,
    /// Nodes that were in work then, and nodes that were through.
    so_far: (usize, usize),
    /// Nodes that could begin then, by the limits over all nodes.
    room: usize,
    /// Nodes whose turn it wasn't.
    waits: Arc<BTreeMap<String, Wait>>,
    /// Since when no node is in work and none may begin.
    idle_since: Option<Timestamp>,
}

/// A node that no group and no limit holds.
struct Entrant<'a> {
    group: &'a str,
    node: &'a Node,
    /// The state that it carries already.
    found: Option<NodeState>,
    left_cordoned: bool,
}

/// Begins nodes of the open groups; those that must wait get the reason.
pub(super) fn begin(view: &View<'_>, states: &States<'_>, open: &[&GroupNodes], decision: &mut Decision) {
    let mut admission = Admission::new(view, states, decision);
    let entrants = entrants(view, states, open, &admission, decision);
    if entrants.is_empty() {
        decision.turns = Turns { idle_since: None, ..view.ledger.turns.clone() };
        return;
    }
    let insists = view.plan.on_conflict == OnConflict::Proceed;
    let is_busy = decision.nodes.values().any(|n| n.phase.is_active()) || !view.ledger.patching.is_empty();
    let begun = decision.effects.len();
    let (mut turns, unasked) = turns(view, &entrants, admission.room(), decision);
    let is_fresh = decision.turns.asked_at == Some(view.now);
    if insists && is_fresh && !is_busy && turns.iter().all(|(_, wait)| wait.is_some()) {
        // The plan says to begin whatever stands against it: the first goes, alone.
        turns.iter_mut().take(1).for_each(|(_, wait)| *wait = None);
    }
    for (name, wait) in turns {
        let Some(entrant) = entrants.get(name.as_str()) else { continue };
        let holds = match wait {
            Some(wait) => vec![Hold::Turn { wait }],
            // Those that began a moment ago count.
            None => admission.holds(entrant.group, entrant.node, entrant.left_cordoned),
        };
        if holds.is_empty() {
            if !start(view, entrant, &mut admission, decision) {
                return;
            }
        } else if let Some(progress) = decision.nodes.get_mut(&name) {
            progress.holds = holds;
        }
    }
    for name in unasked {
        decision.turns.leaves_room |= others(&entrants, &admission, name, decision);
    }
    if is_fresh && !decision.turns.leaves_room {
        decision.turns.asked_all_at = Some(view.now);
    }
    if is_busy || decision.effects.len() > begun {
        decision.turns.idle_since = None;
    } else {
        stand_idle(view, &entrants, decision);
    }
}

/// What a node that wasn't asked about waits for; true if the limits would have let it begin.
fn others(
    entrants: &BTreeMap<&str, Entrant<'_>>,
    admission: &Admission<'_>,
    name: &str,
    decision: &mut Decision,
) -> bool {
    let Some(entrant) = entrants.get(name) else { return false };
    let mut holds = admission.holds(entrant.group, entrant.node, entrant.left_cordoned);
    let has_room = holds.is_empty();
    if has_room {
        holds.push(Hold::Turn { wait: Wait::Limit });
    }
    if let Some(progress) = decision.nodes.get_mut(name) {
        progress.holds = holds;
    }
    has_room
}

/// The nodes of open groups that nothing holds; the others get what holds them.
fn entrants<'a>(
    view: &View<'a>,
    states: &States<'_>,
    open: &[&'a GroupNodes],
    admission: &Admission<'_>,
    decision: &mut Decision,
) -> BTreeMap<&'a str, Entrant<'a>> {
    let mut entrants = BTreeMap::new();
    for group in open {
        for name in admission::waiting(group, decision) {
            let is_patched = view.ledger.patching.contains(name) || view.ledger.steering.contains(name);
            let Some(node) = view.inventory.node(name).filter(|_| !is_patched) else { continue };
            let found = states.any(name).and_then(|state| state.as_ref().ok()).cloned();
            let left_cordoned = node.unschedulable && found.as_ref().is_some_and(|s| is_ours(view, s));
            let mut holds = admission.holds(&group.name, node, left_cordoned);
            if let Some(foreign) = found.as_ref().filter(|s| !is_ours(view, s)) {
                let reason = format!("the node is in the hands of campaign {}", foreign.campaign);
                holds.push(Hold::Stopped { reason });
            }
            holds.extend(inbound(view, name));
            if holds.is_empty() {
                entrants.insert(name, Entrant { group: group.name.as_str(), node, found, left_cordoned });
            } else if let Some(progress) = decision.nodes.get_mut(name) {
                progress.holds = holds;
            }
        }
    }
    entrants
}

/// VMs that are on their way to a node arrive before it begins: they would have to turn round at once.
fn inbound(view: &View<'_>, node: &str) -> Option<Hold> {
    let bound = view.inventory.vmis_bound_for(node).filter(|vmi| {
        let here = vmi.node.as_deref() == Some(node);
        !here && view.inventory.migrations_of(&vmi.name).any(|m| !m.is_final())
    });
    let vms: Vec<ObjectName> = bound.map(|vmi| vmi.name.clone()).collect();
    (!vms.is_empty()).then_some(Hold::Inbound { vms })
}

/// The entrants in their order, each with why it has to wait, if so; and those that weren't asked about.
fn turns<'a>(
    view: &View<'_>,
    entrants: &BTreeMap<&'a str, Entrant<'_>>,
    room: usize,
    decision: &mut Decision,
) -> (Vec<(String, Option<Wait>)>, Vec<&'a str>) {
    let last = &view.ledger.turns;
    let so_far = so_far(view, decision);
    let pause = ASKED_A_NODE * i32::try_from(view.inventory.nodes().len()).unwrap_or(i32::MAX / NOTHING_NEW);
    let after = |at: Option<Timestamp>, pause| at.and_then(|at| at.checked_add(pause).ok());
    let all_at = after(last.asked_all_at, pause * NOTHING_NEW).filter(|due| view.now < *due);
    let is_known = |name: &&str| last.waits.contains_key(*name);
    let is_news = so_far != last.so_far || room > last.room || !entrants.keys().all(is_known);
    let due = if !is_news { all_at } else { after(last.asked_at, pause).filter(|due| view.now < *due) };
    if let Some(due) = due {
        decision.wake(due);
        decision.turns = last.clone();
        let known = last.waits.iter().filter(|(name, _)| entrants.contains_key(name.as_str()));
        return (known.map(|(name, wait)| (name.clone(), Some(wait.clone()))).collect(), Vec::new());
    }
    let waiting: BTreeSet<&'a str> = entrants.keys().copied().collect();
    let returned = decision.status.nodes.iter().any(|n| n.phase == NodePhase::Done.name());
    let is_first = last.asked_at.is_none();
    let all = so_far.0 == 0 || is_first || (all_at.is_none() && last.leaves_room);
    let (turns, unasked) = ask(view, &waiting, progress(view, decision), (returned, room), all);
    let mut waits: BTreeMap<String, Wait> =
        turns.iter().filter_map(|(name, wait)| Some((name.clone(), wait.clone()?))).collect();
    waits.extend(unasked.iter().map(|name| ((*name).to_owned(), Wait::Limit)));
    // Of the others nobody knows: if there is room for them, they are asked about even if nothing happens until then.
    if !unasked.is_empty() {
        decision.wake(all_at.unwrap_or(view.now + pause));
    }
    decision.turns = Turns {
        asked_at: Some(view.now),
        asked_all_at: last.asked_all_at,
        leaves_room: false,
        so_far,
        room,
        waits: Arc::new(waits),
        idle_since: last.idle_since,
    };
    (turns, unasked)
}

/// Whose turn it is: of all nodes, or of the first in their order, and of more the more of them may begin. Also says who wasn't
/// asked about.
fn ask<'a>(
    view: &View<'_>,
    waiting: &BTreeSet<&'a str>,
    mut progress: Progress,
    (returned, room): (bool, usize),
    all: bool,
) -> (Vec<(String, Option<Wait>)>, Vec<&'a str>) {
    let mut order = view.guide.sorted(waiting);
    let mut first = if all { order.len() } else { FIRST_ASKED };
    loop {
        let asked: BTreeSet<&str> = order.iter().copied().take(first).collect();
        let all = asked.len() == order.len();
        progress.asks = (!all).then(|| {
            let looked_at = progress.under_way.keys().map(String::as_str).chain(asked.iter().copied());
            looked_at.map(str::to_owned).collect()
        });
        let problem = problem::of(view.plan, view.groups, view.inventory, &Durations::default(), &progress);
        let turns = view.guide.turns(problem, waiting, &asked, returned);
        let begin = turns.iter().filter(|(_, wait)| wait.is_none()).count();
        if all || begin >= room || (first >= MORE_ASKED && begin <= first / MANY) {
            return (turns, order.split_off(first.min(order.len())));
        }
        first *= 4;
    }
}

/// The nodes that have begun, and whether each is through.
fn begun<'a>(view: &View<'a>, decision: &Decision) -> impl Iterator<Item = (&'a str, bool)> {
    view.nodes().filter_map(|(_, name)| {
        let phase = decision.phase(name).unwrap_or_default();
        let is_in_work = phase.is_active() || view.ledger.patching.contains(name);
        (phase.is_terminal() || is_in_work).then_some((name, phase.is_terminal()))
    })
}

/// How many nodes are in work, and how many are through.
fn so_far(view: &View<'_>, decision: &Decision) -> (usize, usize) {
    begun(view, decision).fold((0, 0), |(in_work, through), (_, is_through)| {
        if is_through { (in_work, through + 1) } else { (in_work + 1, through) }
    })
}

/// Who is through and who is in work, for the planner. How long they still take doesn't matter to what may begin now.
fn progress(view: &View<'_>, decision: &Decision) -> Progress {
    let mut progress = Progress { keeps_room: Some(view.now), ..Progress::default() };
    for (name, is_through) in begun(view, decision) {
        if is_through {
            progress.done.insert(name.to_owned());
        } else {
            progress.under_way.insert(name.to_owned(), (0, 0));
        }
    }
    progress
}

/// Begins a node, or fails it if something stands against it for good. False: nothing more may begin.
fn start<'a>(
    view: &View<'a>,
    entrant: &Entrant<'a>,
    admission: &mut Admission<'a>,
    decision: &mut Decision,
) -> bool {
    let node = entrant.node;
    let options = DrainOptions::of_plan(&view.plan.drain, &view.plan.virtual_machines);
    let obstacles = obstacles(view.inventory, &node.name, &options, view.now);
    if !obstacles.is_empty() {
        // While nodes are in work, a budget may look worse than it is; what stands against a node is judged when it is quiet.
        if decision.nodes.values().any(|n| n.phase.is_active()) {
            let reason = obstacles.join("; ");
            if let Some(progress) = decision.nodes.get_mut(&node.name) {
                progress.holds = vec![Hold::Stopped { reason }];
            }
            return true;
        }
        fail_untouched(view, decision, &node.name, format!("not begun: {}", obstacles.join("; ")));
        return stopped(view, decision).is_none();
    }
    let wave = admission.wave(entrant.group);
    admission.admit(&node.name);
    let state = node::admitted(view, node, entrant.found.clone(), entrant.group, wave);
    decision.effects.push(Effect::PatchNode(NodePatch {
        node: node.name.clone(),
        resource_version: node.resource_version.clone(),
        unschedulable: (!node.unschedulable).then_some(true),
        state: StateChange::Set(Box::new(state)),
        taints: steering::off(view, node),
    }));
    true
}

/// Nothing is in work, and nobody may begin: as a drain does, that ends by the plan's timeout.
fn stand_idle(view: &View<'_>, entrants: &BTreeMap<&str, Entrant<'_>>, decision: &mut Decision) {
    let since = *decision.turns.idle_since.get_or_insert(view.now);
    let timeout = view.plan.drain.timeout;
    let ends = since.saturating_add(timeout.signed()).unwrap_or(Timestamp::MAX);
    if view.plan.drain.on_timeout == OnTimeout::Wait {
        return;
    }
    if view.now < ends {
        return decision.wake(ends);
    }
    let held = entrants.keys().find_map(|name| Some((*name, decision.nodes.get(*name)?.holds.first()?)));
    let Some((name, hold)) = held else { return };
    let reason = format!("not begun: waited {timeout} while no node was in work: {hold}");
    let phase = match view.plan.drain.on_timeout {
        OnTimeout::Skip => NodePhase::Skipped,
        OnTimeout::Fail | OnTimeout::Wait => NodePhase::Failed,
    };
    super::decide::end_untouched(view, decision, name, phase, reason);
    decision.turns.idle_since = None;
}

/// The state was written by this campaign, or by an earlier one of this plan that nobody drives any more.
fn is_ours(view: &View<'_>, state: &NodeState) -> bool {
    state.campaign == view.campaign || view.adopts.contains(&state.campaign)
}
