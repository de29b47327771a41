//! What the planner answers: when each node starts and is back, where each item goes, and why nothing starts earlier.

use super::instance::Millis;

/// A schedule, as the engine would carry it out if everything took as long as expected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Due nodes in the order of their starts; nodes that can't start are in `unfinished`.
    pub visits: Vec<Visit>,
    /// Every move, in the order of their starts.
    pub moves: Vec<Move>,
    /// Its figures.
    pub score: Score,
    /// Due nodes that never come to their end, each with what holds it.
    pub unfinished: Vec<(u32, Hold)>,
}

/// One node's maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// The node.
    pub node: u32,
    /// It is cordoned.
    pub start: Millis,
    /// The last item has left.
    pub drained: Millis,
    /// It is back in service.
    pub end: Millis,
    /// What held it last before it started; `None`: it starts at once.
    pub hold: Option<Hold>,
    /// The node whose progress ended that hold.
    pub waited_for: Option<u32>,
}

/// One item leaves one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The item.
    pub item: u32,
    /// From here.
    pub from: u32,
    /// To there; `None`: it is not replaced, or returns to its own node.
    pub to: Option<u32>,
    /// Migration or eviction begins.
    pub start: Millis,
    /// It is off its old node.
    pub left: Millis,
    /// It is Ready again, and its budget has its unit back. For an item that returns to its own node: after the node's return.
    pub ready: Millis,
}

/// A typed reason why a node can't start yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// Groups that its group comes after are not through, or soak.
    Group {
        /// Its group.
        group: u32,
    },
    /// The wave under way is not through.
    Wave {
        /// Its group.
        group: u32,
    },
    /// The stage before it is not through (a policy that goes zone by zone).
    Stage,
    /// Before the first return no more nodes are opened than needed.
    Opening,
    /// A limit on unavailable nodes is reached.
    Limit {
        /// Index of the limit.
        limit: u32,
    },
    /// The draining nodes use all migration slots.
    Slots,
    /// A budget doesn't allow what the drain takes from it.
    Budget {
        /// Index of the budget.
        budget: u32,
    },
    /// Items are on their way to this node.
    Inbound,
    /// An item on it, or one promised to it, has no place elsewhere.
    Place {
        /// The item.
        item: u32,
    },
    /// A node that the searched order wants before it has not started.
    After {
        /// That node.
        node: u32,
    },
}

/// The figures of a schedule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    /// The last node is back.
    pub makespan: Millis,
    /// Moves of VMs beyond one for each on due nodes.
    pub extra_moves: u32,
    /// Evictions of pods beyond one for each on due nodes.
    pub extra_evictions: u32,
    /// Time that nodes are away, summed.
    pub time_away: Millis,
    /// Most nodes away at once; a visit lasts from its start until before its end.
    pub peak_away: u32,
    /// Evictions that the API would have refused for a budget: tries of items that wait for one, every [`RETRY`].
    pub refused: u32,
    /// Nodes that started before the first was back: w of the bound on extra moves.
    pub opened: u32,
    /// Due nodes that never come to their end.
    pub unfinished: u32,
}

/// Drains try a refused eviction again after this time (kubectl: 5 s).
pub const RETRY: Millis = 5_000;
