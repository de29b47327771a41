//! What the planner says before a campaign begins: what stands against it, and the order in which its nodes go.

use crate::inventory::Inventory;
use crate::plan::v1alpha1::{CampaignNode, MaintenanceCampaignStatus, MaintenancePlanSpec};
use crate::reconcile::{GroupNodes, NodePhase};
use crate::schedule::conflict::Conflict;
use crate::schedule::problem::{self, Durations, Problem, Progress};
use crate::schedule::search::{self, Effort};
use crate::schedule::{Guide, Planned, TakenOut};

/// A campaign that goes on: what it has begun is carried through, whatever stands against it now.
pub(super) fn resumed(
    plan: &MaintenancePlanSpec,
    groups: &[GroupNodes],
    inventory: &Inventory,
    status: &MaintenanceCampaignStatus,
) -> Planned {
    let mut progress = Progress::default();
    for node in &status.nodes {
        let phase = NodePhase::named(&node.phase);
        if phase.is_active() {
            progress.under_way.insert(node.name.clone(), (0, 0));
        } else if matches!(phase, NodePhase::Done | NodePhase::Skipped) {
            progress.done.insert(node.name.clone());
        }
    }
    let problem = problem::of(plan, groups, inventory, &Durations::default(), &progress);
    Planned { problem, taken_out: TakenOut::new() }
}

/// The order in which the nodes go.
pub(super) fn guide(problem: &Problem, effort: Effort) -> Guide {
    let found = search::plan(&problem.instance, effort);
    Guide::of(&problem.instance, &found.rules)
}

/// Puts nodes that were taken out on record.
pub(super) fn take_out(
    taken: TakenOut,
    groups: &[GroupNodes],
    now: jiff::Timestamp,
    status: &mut MaintenanceCampaignStatus,
) {
    for (name, conflict) in taken {
        let group = groups.iter().find(|g| g.nodes.contains(&name)).map(|g| g.name.clone());
        status.nodes.push(CampaignNode {
            group: group.unwrap_or_default(),
            name,
            wave: 0,
            phase: NodePhase::Skipped.name().to_owned(),
            reason: Some(words(&conflict)),
            started_at: Some(now),
            finished_at: Some(now),
            pods_evicted: 0,
            virtual_machines: 0,
        });
    }
}

/// Why there is no way, and what would help: of the objects that take part, the one to look at first is no node.
fn words(conflict: &Conflict) -> String {
    match conflict.members.iter().find(|m| m.kind != "Node") {
        Some(member) => {
            format!("{}; {} {}: {}: {}", conflict.why, member.kind, member.name, member.field, member.help)
        }
        None => conflict.why.clone(),
    }
}
