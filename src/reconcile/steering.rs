//! Steering: a soft taint on nodes that wait for their maintenance, so that what is placed anew goes to nodes that are through.
//!
//! # Why
//! A VM or pod that lands on a node which is due itself moves once more. The taint only prefers: where no other node has room,
//! the scheduler places on a tainted one as before. It bears the campaign's name, so that whoever finds it knows whose it is, and
//! any driver of the campaign, or of a later one of the same plan, takes it away.

use std::collections::BTreeSet;

use super::{Decision, NodePhase, View};
use crate::inventory::{Lookup, Node, Taint};
use crate::plan::v1alpha1::Steering;
use crate::reconcile::{Effect, NodePatch, StateChange};

/// Key of the taint on nodes that wait for their maintenance; its value is the campaign.
pub const STEERING_TAINT: &str = "virtroll.dev/maintenance-due";

/// The steering taint of this campaign, or of an earlier one of its plan.
fn is_ours(view: &View<'_>, taint: &Taint) -> bool {
    let whose = &taint.value;
    taint.key == STEERING_TAINT && (whose == view.campaign || view.adopts.contains(whose))
}

fn carries(view: &View<'_>, node: &Node) -> bool {
    node.taints.iter().any(|t| is_ours(view, t))
}

/// The node's taints without those of steering.
fn others(view: &View<'_>, node: &Node) -> Vec<Taint> {
    node.taints.iter().filter(|t| !is_ours(view, t)).cloned().collect()
}

/// The taints of a node that waits no more, if they change.
pub(super) fn off(view: &View<'_>, node: &Node) -> Option<Vec<Taint>> {
    carries(view, node).then(|| others(view, node))
}

/// Puts the taint on nodes that wait, and takes it off all others; off all if nothing more is to begin.
pub(super) fn steer(view: &View<'_>, decision: &mut Decision, goes_on: bool) {
    let wanted = goes_on && view.plan.steering == Steering::PreferNoSchedule;
    let patched = decision.effects.iter().filter_map(|effect| match effect {
        Effect::PatchNode(patch) => Some(patch.node.clone()),
        _ => None,
    });
    let patched: BTreeSet<String> = patched.collect();
    let is_busy = |name: &str| {
        patched.contains(name) || view.ledger.patching.contains(name) || view.ledger.steering.contains(name)
    };
    let members: Lookup<&str, ()> = view.nodes().map(|(_, name)| name).collect();
    let mut patches = Vec::new();
    // All nodes: one that was the campaign's when its last driver was killed may be none of it any more.
    for (name, node) in view.inventory.nodes() {
        let waits =
            members.contains(name.as_str()) && decision.phase(name).is_none_or(|p| p == NodePhase::Pending);
        let (has, wants) = (carries(view, node), wanted && waits && !node.unschedulable);
        let is_current = node.taints.iter().any(|t| t.key == STEERING_TAINT && t.value == view.campaign);
        let is_foreign = node.taints.iter().any(|t| t.key == STEERING_TAINT && !is_ours(view, t));
        if (has == wants && (!wants || is_current)) || is_foreign || is_busy(name) {
            continue;
        }
        let mut taints = others(view, node);
        if wants {
            let (key, value) = (STEERING_TAINT.to_owned(), view.campaign.to_owned());
            taints.push(Taint { key, value, effect: "PreferNoSchedule".to_owned(), time_added: None });
        }
        patches.push(Effect::PatchNode(NodePatch {
            node: name.clone(),
            resource_version: node.resource_version.clone(),
            unschedulable: None,
            state: StateChange::Keep,
            taints: Some(taints),
        }));
    }
    decision.effects.append(&mut patches);
}

/// Whether a node still carries the campaign's taint.
pub(super) fn is_left(view: &View<'_>) -> bool {
    view.inventory.nodes().values().any(|node| carries(view, node))
}
