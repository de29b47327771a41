//! Effects: what deciding asks the world to do. Data only; `cluster` and `engine` carry them out.

use jiff::Timestamp;

use crate::inventory::{ObjectName, ScalableName, Taint};
use crate::plan::v1alpha1::PastBudget;
use crate::reconcile::NodeState;

/// A change of a Node object, sent as one patch with the observed resourceVersion as its precondition, so that cordon
/// and state are written together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct NodePatch {
    /// The node.
    pub node: String,
    /// resourceVersion that the decision saw; a conflict means: observe, and decide again.
    pub resource_version: String,
    /// New `spec.unschedulable`, if it changes.
    pub unschedulable: Option<bool>,
    /// What becomes of the state annotation.
    pub state: StateChange,
    /// New `spec.taints`, whole, if they change: the API server merges them neither by key nor by effect.
    pub taints: Option<Vec<Taint>>,
}

/// What a [`NodePatch`] does to the node's state annotation (`virtroll.dev/maintenance`).
#[derive(Debug, Clone, PartialEq)]
pub enum StateChange {
    /// Leaves it as it is.
    Keep,
    /// Writes this state.
    Set(Box<NodeState>),
    /// Takes the annotation away.
    Remove,
}

/// Which hook run: unique within a campaign.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookRunId {
    /// Index of the hook in the plan.
    pub hook: usize,
    /// What it is run for.
    pub scope: HookScope,
    /// 1 for the first try.
    pub attempt: u32,
    /// When it was recorded as begun: what tells it from another first try after a failure was mended, and what a run
    /// that is taken up keeps its deadline by.
    pub started_at: Timestamp,
}

/// What a hook is run for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookScope {
    /// Once for the campaign.
    Campaign,
    /// Once for this group.
    Group(String),
    /// For this node.
    Node(String),
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Change a node.
    PatchNode(NodePatch),
    /// Ask the eviction API to evict a pod, with its UID as the precondition.
    Evict {
        /// The pod.
        pod: ObjectName,
        /// Its UID.
        uid: String,
        /// Node that it is drained from.
        node: String,
        /// Grace period to ask for, seconds; `None` leaves the pod's own (always so for launcher pods).
        grace_seconds: Option<i64>,
    },
    /// Delete a pod directly, with its UID as the precondition (only `--disable-eviction`).
    Delete {
        /// The pod.
        pod: ObjectName,
        /// Its UID.
        uid: String,
        /// Node that it is drained from.
        node: String,
        /// Grace period to ask for, seconds; `None` leaves the pod's own.
        grace_seconds: Option<i64>,
    },
    /// Delete a pod past its budgets, with its UID as the precondition, as the plan's override says and the node's record holds.
    DeletePastBudget {
        /// The pod.
        pod: ObjectName,
        /// Node that it is drained from.
        node: String,
        /// Grace period to ask for, seconds; `None` leaves the pod's own.
        grace_seconds: Option<i64>,
        /// What is on record.
        past: PastBudget,
    },
    /// Change the number of replicas of a workload, if it has as many as were seen.
    Scale {
        /// The workload.
        workload: ScalableName,
        /// Its UID.
        uid: String,
        /// Replicas that were seen: the precondition.
        from: u32,
        /// Replicas that it is to have.
        to: u32,
        /// Node for whose drain.
        node: String,
    },
    /// Ask KubeVirt to start a VirtualMachine (`subresources.kubevirt.io` start).
    StartVm {
        /// The VirtualMachine.
        vm: ObjectName,
    },
    /// Restart a VM that can't migrate (`nonMigratable: Restart`), or one that is off and whose VMI object is in the way.
    RestartVmi {
        /// The VMI.
        vmi: ObjectName,
        /// Its UID: the precondition of a deletion.
        uid: String,
        /// Ask KubeVirt's `restart` (run strategies Manual and RerunOnFailure) instead of deleting the VMI, after which
        /// only Always, Once and replica sets start another.
        by_subresource: bool,
    },
    /// Cancel the evacuation of a VMI (PUT `evacuate/cancel`), then its unfinished evacuation migrations.
    CancelEvacuation {
        /// The VMI.
        vmi: ObjectName,
        /// The mark: the node named in `status.evacuationNodeName`.
        mark: String,
        /// Unfinished evacuation migrations to delete afterwards.
        migrations: Vec<ObjectName>,
    },
    /// Start (or, for kinds that can be watched, take up again) a hook run.
    RunHook {
        /// Which run.
        run: HookRunId,
        /// bootID from before, for `reboot`; empty for runs that aren't for a node.
        boot_id: String,
    },
}
