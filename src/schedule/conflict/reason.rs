//! Why a node can't be drained, as a value.

/// What stands against the drain of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A limit of 0 never lets the node begin.
    Limit {
        /// The node.
        node: u32,
    },
    /// A budget that covers pods on it never allows a disruption.
    NeverAllows {
        /// The node.
        node: u32,
        /// The budget.
        budget: u32,
        /// Whose pods.
        workload: u32,
    },
    /// A pod on it is under several budgets, which the API server refuses always.
    ManyBudgets {
        /// The node.
        node: u32,
        /// Two of the budgets.
        budgets: [u32; 2],
        /// Whose pod.
        workload: u32,
    },
    /// A guest ought to migrate and can't.
    Stranded {
        /// The node.
        node: u32,
        /// Index into the `stranded` of the problem.
        stranded: u32,
        /// The guest.
        workload: u32,
    },
    /// A guest can migrate, and no other node may host it.
    NoHost {
        /// The node.
        node: u32,
        /// The guest.
        workload: u32,
    },
    /// The plan doesn't consent to what the drain does to a pod or a guest.
    Lacks {
        /// The node.
        node: u32,
        /// Index into the `lacks` of the problem.
        lack: u32,
        /// Whose pod.
        workload: u32,
    },
    /// More pods of a budget than it allows to be away come back to this node only, and they come back after it.
    Pinned {
        /// The node.
        node: u32,
        /// The budget.
        budget: u32,
        /// Such pods.
        pods: u32,
    },
    /// Without the node, more is asked for than there is.
    Capacity {
        /// The node.
        node: u32,
        /// The class of nodes that may host what asks.
        class: u32,
        /// Index of the resource.
        resource: u32,
        /// Asked for.
        asked: u64,
        /// There without the node.
        there: u64,
    },
    /// Without the node, there are more of a workload's pods, to be kept apart, than places for them.
    Crowded {
        /// The node.
        node: u32,
        /// The owner.
        owner: u32,
        /// Pods.
        pods: u32,
        /// Places.
        places: u32,
    },
}
