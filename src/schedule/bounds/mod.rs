//! Proven lower bounds: no schedule of the model ends earlier, whatever its order, and none makes fewer extra moves.
//!
//! Source: the formulation in the reference on planning (there (a) to (f)); (c) is the classical bound of parallel machines, its
//! second form a pigeonhole. Every bound says in its documentation why it holds. They assume what the planner itself keeps: an
//! item leaves only while its node drains, and never without a place to go to.

mod capacity;
mod first_return;
mod groups;
mod moves;
mod of_set;

pub use moves::extra_moves;

use super::facts::Facts;
use super::instance::{Instance, Millis, Standing};

/// Which constraint a bound is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Binding {
    /// (b) One node alone takes so long.
    Chain {
        /// The node.
        node: u32,
    },
    /// (c) So many nodes through so few places under a limit.
    Limit {
        /// Index of the limit.
        limit: u32,
    },
    /// (a), (a′) All migrations through the cluster's slots.
    Migrations,
    /// (c′) Empty nodes and VMs that hold two places use up free capacity.
    Capacity {
        /// Index of the resource.
        resource: u32,
    },
    /// (d) A budget's evictions one after the other.
    Budget {
        /// Index of the budget.
        budget: u32,
    },
    /// (e) Groups one after the other.
    Groups {
        /// The group that begins last of the chain.
        group: u32,
    },
    /// (f) The limit on nodes together with the migrations out of each.
    LimitAndMigrations {
        /// Index of the limit.
        limit: u32,
    },
}

/// A lower bound on the makespan, and what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound {
    /// No schedule ends earlier.
    pub at_least: Millis,
    /// Why.
    pub binding: Binding,
}

/// Lower bounds of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The largest of each kind, the largest first. Empty: nothing is due.
    pub all: Vec<Bound>,
}

impl Bounds {
    /// All bounds of the instance.
    pub fn new(instance: &Instance, facts: &Facts) -> Self {
        let mut all = Vec::new();
        let due: Vec<u32> = facts.due.clone();
        if due.is_empty() {
            return Self { all };
        }
        of_set::bounds(instance, facts, &due, &mut all);
        all.extend(first_return::bounds(instance, facts));
        all.extend(capacity::bound(instance, facts));
        all.extend(groups::bound(instance, facts));
        all.sort_by_key(|bound| (std::cmp::Reverse(bound.at_least), bound.binding));
        Self { all }
    }

    /// Gives nodes and budgets other ids.
    pub(super) fn rename(&mut self, to_node: impl Fn(u32) -> u32, to_budget: impl Fn(u32) -> u32) {
        for bound in &mut self.all {
            match &mut bound.binding {
                Binding::Chain { node } => *node = to_node(*node),
                Binding::Budget { budget } => *budget = to_budget(*budget),
                Binding::Limit { .. }
                | Binding::Migrations
                | Binding::Capacity { .. }
                | Binding::Groups { .. }
                | Binding::LimitAndMigrations { .. } => {}
            }
        }
    }

    /// The makespan's lower bound; 0 if nothing is due.
    pub fn makespan(&self) -> Millis {
        self.all.first().map_or(0, |bound| bound.at_least)
    }

    /// What binds.
    pub fn binding(&self) -> Option<Binding> {
        self.all.first().map(|bound| bound.binding)
    }
}

/// What one unit more of what binds would save of the bound: one node more at once, one migration slot more in the cluster, one
/// disruption more. `None` for what has no such unit. The largest other bound limits what it saves.
pub fn one_more_saves(instance: &Instance, binding: Binding) -> Option<Millis> {
    let mut more = instance.clone();
    match binding {
        Binding::Limit { limit } | Binding::LimitAndMigrations { limit } => {
            more.limits[limit as usize].most += 1;
        }
        Binding::Migrations => more.slots.cluster = more.slots.cluster.saturating_add(1),
        Binding::Budget { budget } => more.budgets[budget as usize].allowed += 1,
        Binding::Chain { .. } | Binding::Capacity { .. } | Binding::Groups { .. } => return None,
    }
    let bound = |instance: &Instance| Bounds::new(instance, &Facts::new(instance)).makespan();
    Some(bound(instance).saturating_sub(bound(&more)))
}

fn tail(instance: &Instance, node: u32) -> Millis {
    instance.nodes.tail[node as usize]
}

/// Free capacity of a node at time 0.
fn free(instance: &Instance, facts: &Facts, node: u32, resource: usize) -> u64 {
    let taken: u64 = facts.items_on.of(node).iter().map(|i| instance.demand(*i)[resource]).sum();
    instance.capacity(node)[resource].saturating_sub(taken)
}

/// Whether a node that is never due can take something in.
fn any_refuge(instance: &Instance) -> bool {
    (0..instance.nodes.len() as u32)
        .any(|n| !instance.nodes.is_due(n) && instance.nodes.standing[n as usize] == Standing::InService)
}
