//! What the planner says before a campaign begins: what stands against it, and the order in which its nodes go.

use super::Error;
use crate::inventory::Inventory;
use crate::plan::v1alpha1::{CampaignNode, MaintenanceCampaignStatus, MaintenancePlanSpec, OnConflict};
use crate::reconcile::{GroupNodes, NodePhase};
use crate::schedule::Guide;
use crate::schedule::conflict::{self, Conflict};
use crate::schedule::problem::{self, Durations, Problem, Progress};
use crate::schedule::search::{self, Effort};

/// Nodes that are taken out of a campaign before it begins, each with the conflict that it takes part in.
pub type TakenOut = Vec<(String, Conflict)>;

/// The planner's problem of a campaign, and the nodes that aren't in it.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The problem.
    pub problem: Problem,
    /// Nodes taken out for conflicts (`onConflict: Skip`).
    pub taken_out: TakenOut,
}

impl Planned {
    /// A campaign that hasn't begun. What is proven to stand against it refuses it, or takes nodes out, as the plan says.
    ///
    /// # Errors
    /// [`Error::NoSchedule`].
    pub fn new(
        plan: &MaintenancePlanSpec,
        groups: &[GroupNodes],
        inventory: &Inventory,
    ) -> Result<Self, Error> {
        let of = |progress| problem::of(plan, groups, inventory, &Durations::default(), &progress);
        let problem = of(Progress::default());
        let taken_out = match plan.on_conflict {
            OnConflict::Proceed => TakenOut::new(),
            OnConflict::Skip => conflict::sort_out(&problem),
            OnConflict::Fail => match conflict::find(&problem) {
                None => TakenOut::new(),
                Some(conflict) => {
                    let nevers = conflict::nevers(&problem);
                    return Err(Error::NoSchedule { conflict: Box::new(conflict), nevers });
                }
            },
        };
        if taken_out.is_empty() {
            return Ok(Self { problem, taken_out });
        }
        let done = taken_out.iter().map(|(name, _)| name.clone()).collect();
        Ok(Self { problem: of(Progress { done, ..Progress::default() }), taken_out })
    }

    /// A campaign that goes on: what it has begun is carried through, whatever stands against it now.
    pub(super) fn resumed(
        plan: &MaintenancePlanSpec,
        groups: &[GroupNodes],
        inventory: &Inventory,
        status: &MaintenanceCampaignStatus,
    ) -> Self {
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
        Self { problem, taken_out: TakenOut::new() }
    }

    /// The order in which the nodes go.
    pub(super) fn guide(&self, effort: Effort) -> Guide {
        let found = search::plan(&self.problem.instance, effort);
        Guide::of(&self.problem.instance, &found.rules)
    }
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
