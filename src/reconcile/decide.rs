//! The decision of one round.

use std::collections::BTreeSet;

use super::admission;
use super::carried::States;
use super::drain::Pending;
use super::groups::{self, GroupState, PointState};
use super::{Decision, End, NodeProgress, View, begin, node, steering, vms};
use crate::plan::v1alpha1::{CampaignNode, CampaignPhase, HookPoint, OnFailure};
use crate::reconcile::{Hold, HookStatus, NodePhase, NodeState, STATE_ANNOTATION};

/// Decides what to do now.
///
/// Pure: the same view gives the same decision. Idempotent: when nothing has changed since the effects of a decision were
/// carried out and observed, the next decision has no effects. Effects carry the preconditions under which they hold.
pub fn decide(view: &View<'_>) -> Decision {
    let states = States::read(view);
    let mut decision = decide_on(view, &states);
    decision.carried = states.into_carried();
    decision
}

fn decide_on(view: &View<'_>, states: &States<'_>) -> Decision {
    let mut decision = Decision::of(view.status);
    if decision.status.started_at.is_none() {
        decision.status.started_at = Some(view.now);
    }
    decision.status.phase = CampaignPhase::Running;
    decision.status.reason = None;
    fold_nodes(view, states, &mut decision);
    vms::fold(view, &mut decision.status);
    step_nodes(view, states, &mut decision);
    let blocked = open_groups(view, states, &mut decision);
    // A record that is refused for a moment isn't the time to take the taints off all nodes that wait.
    let goes_on = blocked.is_none() && stopped(&View { halted: None, ..*view }, &decision).is_none();
    steering::steer(view, &mut decision, goes_on);
    decision.status.peak_unavailable = decision.status.peak_unavailable.max(away(view, states));
    if let Some(reason) = view.given_up {
        decision.effects.clear();
        decision.status.phase = CampaignPhase::Paused;
        decision.status.reason = Some(reason.to_owned());
        decision.end = Some(End::Paused { reason: reason.to_owned() });
        name_unretried(states, &mut decision);
        return decision;
    }
    conclude(view, states, &mut decision, blocked);
    if decision.end.is_some() {
        name_unretried(states, &mut decision);
    }
    decision
}

/// A failed node with hooks at OnFailure, or starts of VMs, still to come.
fn is_owing(node: &NodeProgress) -> bool {
    node.phase == NodePhase::Failed && !node.holds.is_empty()
}

/// Failed nodes that were to be tried again and never began stay on record with what their own states say.
fn name_unretried(states: &States<'_>, decision: &mut Decision) {
    for name in std::mem::take(&mut decision.status.retrying) {
        if let Some(state) = states.mine(&name) {
            decision.put(record_of(&name, state));
        }
    }
}

fn record_of(node: &str, state: &NodeState) -> CampaignNode {
    CampaignNode {
        name: node.to_owned(),
        group: state.group.clone(),
        wave: state.wave,
        phase: state.phase.name().to_owned(),
        reason: state.reason.clone(),
        started_at: state.started_at,
        drained_at: state.drained_at,
        finished_at: state.finished_at,
        hooks: state.hooks_took.clone(),
        pods_evicted: state.pods_evicted,
        virtual_machines: state.vms.len() as u32,
        past_budgets: state.drain.past_budgets.clone(),
        surged: state.drain.open_surges().map(|s| s.workload.to_string()).collect(),
    }
}

/// Nodes that are unavailable because of the campaign.
fn away(view: &View<'_>, states: &States<'_>) -> u32 {
    let away = |name: &str| {
        let node = view.inventory.node(name)?;
        let state = states.mine(name)?;
        let ours = state.phase.is_active() && state.phase != NodePhase::Uncordoning;
        Some(ours || (state.phase == NodePhase::Failed && node.is_unavailable()))
    };
    view.nodes().filter(|(_, name)| away(name) == Some(true)).count() as u32
}

/// Brings the record up to the states that the nodes carry.
fn fold_nodes(view: &View<'_>, states: &States<'_>, decision: &mut Decision) {
    for (_, name) in view.nodes() {
        let before = decision.phase(name);
        let state = match view.inventory.node(name).map(|_| (states.any(name), states.mine(name))) {
            None => Err("the node is not in the cluster any more".to_owned()),
            Some((Some(Err(unreadable)), _)) => Err(unreadable.clone()),
            // What it says is what the record must say; without it, nobody can tell how the node was found.
            Some((_, None))
                if before.is_some_and(NodePhase::is_active) && !view.ledger.patching.contains(name) =>
            {
                let node = format!("annotation {STATE_ANNOTATION} of node {name}");
                Err(format!(
                    "{node} was taken away or overwritten by somebody else; see whether it is still cordoned"
                ))
            }
            Some((_, state)) => Ok(state),
        };
        let state = match state {
            Ok(Some(state)) => state,
            Ok(None) => continue,
            Err(reason) => {
                if before.is_none_or(|p| !p.is_terminal()) {
                    fail_untouched(view, decision, name, reason);
                }
                continue;
            }
        };
        if is_retried(decision, name, state) {
            continue;
        }
        decision.status.retrying.retain(|n| n != name);
        decision.put(record_of(name, state));
    }
}

/// A failed node that is to be tried again waits like one that hasn't begun.
fn is_retried(decision: &Decision, node: &str, state: &NodeState) -> bool {
    state.phase == NodePhase::Failed && decision.status.retrying.iter().any(|n| n == node)
}

/// Records a node as failed that was never touched (or is no more).
pub(super) fn fail_untouched(view: &View<'_>, decision: &mut Decision, name: &str, reason: String) {
    end_untouched(view, decision, name, NodePhase::Failed, reason);
}

/// Records the end of a node that was never touched (or is no more).
pub(super) fn end_untouched(
    view: &View<'_>,
    decision: &mut Decision,
    name: &str,
    phase: NodePhase,
    mut reason: String,
) {
    let surged = decision.record(name).map(|n| n.surged.join(", ")).filter(|s| !s.is_empty());
    if let Some(surged) = surged {
        reason.push_str(&format!("; scaled up for its drain, and not back again: {surged}"));
    }
    let group = view.nodes().find(|(_, n)| *n == name).map_or("", |(g, _)| g.name.as_str());
    let known = decision.record(name);
    let record = CampaignNode {
        name: name.to_owned(),
        group: group.to_owned(),
        wave: known.map_or(0, |n| n.wave),
        phase: phase.name().to_owned(),
        reason: Some(reason),
        started_at: known.map_or(Some(view.now), |n| n.started_at),
        drained_at: known.and_then(|n| n.drained_at),
        finished_at: Some(view.now),
        hooks: known.map_or_else(Vec::new, |n| n.hooks.clone()),
        pods_evicted: known.map_or(0, |n| n.pods_evicted),
        virtual_machines: known.map_or(0, |n| n.virtual_machines),
        past_budgets: known.map_or_else(Vec::new, |n| n.past_budgets.clone()),
        surged: known.map_or_else(Vec::new, |n| n.surged.clone()),
    };
    decision.put(record);
}

fn step_nodes(view: &View<'_>, states: &States<'_>, decision: &mut Decision) {
    let mut pending = Pending::count(view.inventory, view.ledger);
    // They are only observed where a drain scales, or has scaled, them.
    if !view.inventory.scalables().is_empty() {
        pending.count_surges(view.inventory);
    }
    for (group, name) in view.nodes() {
        let record = decision.record(name);
        let progress = NodeProgress {
            group: group.name.clone(),
            wave: record.map_or(0, |r| r.wave),
            phase: decision.phase(name).unwrap_or_default(),
            reason: record.and_then(|r| r.reason.clone()),
            ..NodeProgress::default()
        };
        let state = view.inventory.node(name).and_then(|node| Some((node, states.mine(name)?)));
        let state = state.filter(|(_, state)| !is_retried(decision, name, state));
        match state.filter(|_| !view.ledger.patching.contains(name)) {
            Some((node, state)) => {
                let state = state.clone();
                node::Step { view, node, state, pending: &mut pending, decision, progress }.take();
            }
            None => {
                decision.nodes.insert(name.to_owned(), progress);
            }
        }
    }
}

/// Why nothing further may start, if so.
pub(super) fn stopped(view: &View<'_>, decision: &Decision) -> Option<String> {
    if let Some(reason) = view.stopping.or(view.halted) {
        return Some(reason.to_owned());
    }
    let failed = failed_nodes(decision);
    let limit = view.plan.failure.max_failed_nodes as usize;
    let over = failed.len() > limit && view.plan.failure.on_failure != OnFailure::Continue;
    let names = failed.iter().copied().collect::<Vec<_>>().join(", ");
    over.then(|| format!("{} failed (limit {limit}): {names}", nodes(failed.len())))
}

fn nodes(count: usize) -> String {
    if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") }
}

fn failed_nodes(decision: &Decision) -> BTreeSet<&str> {
    let failed = decision.status.nodes.iter().filter(|n| n.phase == NodePhase::Failed.name());
    failed.map(|n| n.name.as_str()).collect()
}

/// Opens groups and admits nodes. Returns the reason if a hook of the campaign or of a group has failed.
fn open_groups(view: &View<'_>, states: &States<'_>, decision: &mut Decision) -> Option<String> {
    let stop = stopped(view, decision);
    let is_stopped = stop.is_some();
    let mut blocked = None;
    let mut closed = None;
    let mut open = Vec::new();
    if is_stopped {
        groups::finish_begun(view, decision);
    }
    match (stop, groups::at_point(view, HookPoint::BeforeCampaign, None, decision)) {
        (Some(reason), _) => closed = Some(Hold::Stopped { reason }),
        (None, PointState::Waits(hold)) => closed = Some(hold),
        (None, PointState::Failed(reason)) => {
            blocked = Some(reason.clone());
            closed = Some(Hold::Stopped { reason });
        }
        (None, PointState::Through) => {}
    }
    for group in view.groups {
        let holds = match (&closed, groups::state(view, group, decision)) {
            (_, GroupState::Through) => {
                // Not after more failures than are borne: a promotion of what has just failed. And not while a failed node
                // has hooks of its own to come.
                let owes = |node: &String| decision.nodes.get(node).is_some_and(is_owing);
                if !is_stopped
                    && !group.nodes.iter().any(owes)
                    && let PointState::Failed(reason) =
                        groups::at_point(view, HookPoint::AfterGroup, Some(&group.name), decision)
                {
                    blocked = Some(reason);
                }
                continue;
            }
            (Some(hold), _) => vec![hold.clone()],
            (None, GroupState::Waits(holds)) => holds,
            (None, GroupState::Open) => {
                match groups::at_point(view, HookPoint::BeforeGroup, Some(&group.name), decision) {
                    PointState::Through => Vec::new(),
                    PointState::Waits(hold) => vec![hold],
                    PointState::Failed(reason) => {
                        blocked = Some(reason.clone());
                        vec![Hold::Stopped { reason }]
                    }
                }
            }
        };
        if holds.is_empty() {
            open.push(group);
        } else {
            for name in admission::waiting(group, decision) {
                if let Some(progress) = decision.nodes.get_mut(name) {
                    progress.holds.clone_from(&holds);
                }
            }
        }
    }
    begin::begin(view, states, &open, decision);
    blocked
}

/// Whether anything is still to be done, and how the campaign ends if not.
fn conclude(view: &View<'_>, states: &States<'_>, decision: &mut Decision, blocked: Option<String>) {
    let at_work = decision.nodes.values().any(|n| n.phase.is_active());
    // A hook at OnFailure runs or waits for its next try, or a VM that was stopped has to be started again.
    let owing = decision.nodes.values().any(is_owing);
    let busy = !decision.effects.is_empty()
        || !view.ledger.patching.is_empty()
        || !view.ledger.steering.is_empty()
        || view.ledger.hooks.values().any(|h| *h == HookStatus::Running);
    if let Some(reason) = view.stopping {
        // A start that is refused isn't waited for; it is on record, and `apply` asks again.
        let refused = |vm| view.ledger.vm_requests.get(vm).is_some_and(|r| r.refused.is_some());
        let starting = decision.nodes.values().flat_map(|n| &n.holds).any(|hold| match hold {
            Hold::Start { vms } => !vms.iter().all(refused),
            _ => false,
        });
        // Not before nothing is under way: what the record says has happened.
        if !busy && !starting {
            decision.status.phase = CampaignPhase::Paused;
            decision.status.reason = Some(reason.to_owned());
            decision.end = Some(End::Stopped);
        }
        return;
    }
    // What can't be recorded hasn't ended.
    if view.halted.is_some() || at_work || busy || owing {
        return;
    }
    // Annotations of finished nodes and steering taints go first: they are all that would be left behind.
    let carries = |name: &str| {
        states.mine(name).is_some_and(|s| matches!(s.phase, NodePhase::Done | NodePhase::Skipped))
    };
    if view.nodes().any(|(_, name)| carries(name)) {
        return;
    }
    let waits = |n: &NodeProgress| !n.phase.is_active() && !n.phase.is_terminal();
    let ends = blocked.is_some() || stopped(view, decision).is_some() || !decision.nodes.values().any(waits);
    if ends && steering::is_left(view) {
        return;
    }
    if let Some(reason) = blocked {
        return pause_or_fail(view, decision, reason);
    }
    let through = view.groups.iter().all(|g| groups::nodes_through(g, decision));
    if let Some(reason) =
        stopped(view, decision).filter(|_| !through || view.plan.failure.on_failure != OnFailure::Continue)
    {
        return pause_or_fail(view, decision, reason);
    }
    if !through || !after_groups(view, decision) || waits_for_vms(view, decision) {
        return;
    }
    match groups::at_point(view, HookPoint::AfterCampaign, None, decision) {
        PointState::Waits(_) => {}
        PointState::Failed(reason) => pause_or_fail(view, decision, reason),
        PointState::Through => finish(view, decision),
    }
}

/// A campaign isn't over while a VM that it shut down is between its two lives; one that doesn't come back is named.
fn waits_for_vms(view: &View<'_>, decision: &mut Decision) -> bool {
    let awaited = vms::awaited(view, &decision.status);
    let Some(last) = decision.status.nodes.iter().filter_map(|n| n.finished_at).max() else { return false };
    let until = last + vms::COMEBACK;
    if awaited.is_empty() {
        return false;
    }
    if view.now < until {
        decision.wake(until);
        return true;
    }
    let names = awaited.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    decision.warnings.push(format!(
        "not running again {} minutes after the last node: vm {names}; `kubectl describe vm` says why",
        vms::COMEBACK.as_mins()
    ));
    false
}

fn after_groups(view: &View<'_>, decision: &mut Decision) -> bool {
    view.groups.iter().all(|g| {
        groups::at_point(view, HookPoint::AfterGroup, Some(&g.name), decision) == PointState::Through
    })
}

fn finish(view: &View<'_>, decision: &mut Decision) {
    let failed = failed_nodes(decision).len();
    decision.status.finished_at.get_or_insert(view.now);
    if failed > view.plan.failure.max_failed_nodes as usize {
        let reason = format!("{} failed", nodes(failed));
        decision.status.phase = CampaignPhase::Failed;
        decision.status.reason = Some(reason.clone());
        decision.end = Some(End::Failed { reason });
        return;
    }
    decision.status.phase = CampaignPhase::Succeeded;
    decision.status.reason = (failed > 0).then(|| format!("{} failed, as the plan bears", nodes(failed)));
    decision.end = Some(End::Succeeded);
}

fn pause_or_fail(view: &View<'_>, decision: &mut Decision, reason: String) {
    decision.status.reason = Some(reason.clone());
    decision.status.finished_at.get_or_insert(view.now);
    if view.plan.failure.on_failure == OnFailure::Pause {
        decision.status.phase = CampaignPhase::Paused;
        decision.end = Some(End::Paused { reason });
    } else {
        decision.status.phase = CampaignPhase::Failed;
        decision.end = Some(End::Failed { reason });
    }
}
