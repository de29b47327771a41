//! Under which rules a decode admits nodes: the planner's own, its variants, and those of other tools.

use crate::schedule::instance::UNLIMITED;

/// When a node may take from budgets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum BudgetRule {
    /// All that its drain takes from each budget is free (all of the budget, if the drain needs more than that).
    #[default]
    Whole,
    /// Nobody waits for a budget that it needs.
    Queue,
    /// No more wait for a budget that it needs than it allows at once.
    Soon,
    /// Whatever the budgets say; the drain then waits.
    Ignore,
}

/// How targets are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placing {
    /// A node enters only with a place for each of its items; nodes that are done first, then late ones of the order.
    #[default]
    Reserve,
    /// The default scheduler's: the least loaded schedulable node at the moment of each start.
    Spread,
    /// Capacity is not looked at: coarse, for large instances.
    Nowhere,
}

/// A node waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct After {
    /// The one that waits.
    pub node: u32,
    /// The one waited for.
    pub first: u32,
    /// Until that is back, not only until it has started.
    pub back: bool,
}

/// What steers one decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Due nodes, the first to be admitted first.
    pub order: Vec<u32>,
    /// Budgets.
    pub budgets: BudgetRule,
    /// Budgets, for single nodes.
    pub own_budgets: Vec<(u32, BudgetRule)>,
    /// A node with migrations enters only while draining nodes use fewer than the cluster's slots and so many more;
    /// [`UNLIMITED`]: always.
    pub spare_slots: u32,
    /// Nodes at most before the first return.
    pub opening: u32,
    /// How targets are chosen.
    pub placing: Placing,
    /// After the opening, admit only nodes of which at most so many VMs go to nodes that are due themselves, and so move once
    /// more; [`UNLIMITED`]: whatever they are. Where nothing is under way, any node may start.
    pub unsettled: u32,
    /// Stage of each node, by id: a node waits until all of lower stages are done. Empty: no stages.
    pub stages: Vec<u32>,
    /// Nodes that wait for another one, though nothing else holds them.
    pub after: Vec<After>,
    /// Nodes whose drain is served with slots and budget units earlier (negative) or later than so many others that were
    /// admitted before or after them.
    pub favours: Vec<(u32, i32)>,
    /// Items that a drain takes earlier (negative) or later than their place in the usual order says.
    pub shifts: Vec<(u32, i64)>,
    /// Items that go to a certain node if that is possible.
    pub targets: Vec<(u32, u32)>,
}

impl Rules {
    /// The planner's rules with an order: budgets whole, no slot beyond the cluster's, no limit on the opening.
    pub fn new(order: Vec<u32>) -> Self {
        Self {
            order,
            budgets: BudgetRule::Whole,
            own_budgets: Vec::new(),
            spare_slots: 0,
            opening: UNLIMITED,
            placing: Placing::Reserve,
            unsettled: UNLIMITED,
            stages: Vec::new(),
            after: Vec::new(),
            favours: Vec::new(),
            shifts: Vec::new(),
            targets: Vec::new(),
        }
    }

    pub(super) fn budget_rule(&self, node: u32) -> BudgetRule {
        self.own_budgets.iter().find(|(n, _)| *n == node).map_or(self.budgets, |(_, rule)| *rule)
    }
}
