//! What is to be planned: the problem of a campaign, or what is proven to stand against it.

use super::GroupNodes;
use super::conflict::{self, Conflict, Never};
use super::problem::{self, Durations, Problem, Progress};
use crate::inventory::Inventory;
use crate::plan::v1alpha1::{MaintenancePlanSpec, OnConflict};

/// Nodes that are taken out of a campaign before it begins, each with the conflict that it takes part in.
pub type TakenOut = Vec<(String, Conflict)>;

/// It is proven that the plan's nodes can't all be maintained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSchedule {
    /// The smallest set of objects that stand against each other.
    pub conflict: Conflict,
    /// Everything else that never works by itself.
    pub nevers: Vec<Never>,
}

/// The planner's problem of a campaign, and the nodes that aren't in it.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The problem.
    pub problem: Problem,
    /// Nodes taken out for conflicts (`onConflict: Skip`).
    pub taken_out: TakenOut,
}

impl Planned {
    /// A campaign, from where it is. What is proven to stand against it refuses it, or takes nodes out, as the plan says.
    ///
    /// # Errors
    /// What stands against it.
    pub fn new(
        plan: &MaintenancePlanSpec,
        groups: &[GroupNodes],
        inventory: &Inventory,
        durations: &Durations,
        progress: &Progress,
    ) -> Result<Self, Box<NoSchedule>> {
        let of = |progress| problem::of(plan, groups, inventory, durations, &progress);
        let problem = of(progress.clone());
        let taken_out = match plan.on_conflict {
            OnConflict::Proceed => TakenOut::new(),
            OnConflict::Skip => conflict::sort_out(&problem),
            OnConflict::Fail => match conflict::find(&problem) {
                None => TakenOut::new(),
                Some(conflict) => {
                    let nevers = conflict::nevers(&problem);
                    return Err(Box::new(NoSchedule { conflict, nevers }));
                }
            },
        };
        if taken_out.is_empty() {
            return Ok(Self { problem, taken_out });
        }
        let mut progress = progress.clone();
        progress.done.extend(taken_out.iter().map(|(name, _)| name.clone()));
        Ok(Self { problem: of(progress), taken_out })
    }
}
