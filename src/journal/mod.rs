//! The journal: what happened, as typed events. Every display and report reads it; none asks the cluster.
//!
//! # Why
//! One source keeps progress bars, plain lines, JSON and tests from telling different stories.

mod cause;

pub use cause::{Cause, CauseKind};

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::inventory::ObjectName;
use crate::reconcile::{NodePhase, NodeProgress};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum EventKind {
    /// A campaign was begun or taken up.
    CampaignStarted {
        /// Name of the campaign.
        campaign: String,
        /// Name of the plan.
        plan: String,
        /// Groups with their numbers of nodes, in order.
        groups: Vec<(String, usize)>,
        /// Pods, VMs and budgets of the cluster.
        pods: usize,
        /// VMIs.
        virtual_machines: usize,
        /// PodDisruptionBudgets.
        budgets: usize,
        /// Zones of the campaign's nodes, by node; nodes without the zone's label are left out.
        zones: BTreeMap<String, String>,
        /// True if an earlier driver had begun it.
        resumed: bool,
    },
    /// As things are when the campaign begins, a node won't be begun: told before anything is touched.
    NodeObstructed {
        /// The node.
        node: String,
        /// Why, with what would help.
        why: String,
    },
    /// A node entered a phase.
    NodePhaseChanged {
        /// The node.
        node: String,
        /// Its group.
        group: String,
        /// Its wave.
        wave: u32,
        /// The phase.
        phase: String,
        /// Why, for `Failed` and `Skipped`.
        reason: Option<String>,
    },
    /// A node began to wait for something else than before.
    NodeWaits {
        /// The node; empty: no node is in work, and those that are left wait.
        node: String,
        /// For what.
        why: String,
    },
    /// An eviction was granted.
    PodEvicted {
        /// The pod.
        pod: ObjectName,
        /// The node that it leaves.
        node: String,
        /// The VMI that it is the launcher of.
        vm: Option<ObjectName>,
    },
    /// A pod is deleted past its budgets, as the plan's override says.
    PodDeletedPastBudget {
        /// The pod.
        pod: ObjectName,
        /// The node that it leaves.
        node: String,
        /// The workload that the plan names.
        workload: String,
        /// The budgets that kept it.
        budgets: Vec<String>,
        /// Why the plan allows it.
        reason: String,
    },
    /// A workload was given one more replica for a node's drain, or was scaled back.
    WorkloadScaled {
        /// The workload: `Deployment shop/web`.
        workload: String,
        /// Replicas before.
        from: u32,
        /// Replicas that it is to have.
        to: u32,
        /// The node.
        node: String,
    },
    /// An eviction was refused.
    EvictionRefused {
        /// The pod.
        pod: ObjectName,
        /// The node.
        node: String,
        /// In words.
        why: String,
        /// Asked again after so many seconds; `None`: not by itself.
        again_after: Option<i64>,
        /// The budgets that select the pod, if a budget was the reason.
        budgets: Vec<ObjectName>,
    },
    /// A pod that was to leave has left.
    PodLeft {
        /// The pod.
        pod: ObjectName,
        /// The node.
        node: String,
    },
    /// A VM moved or stopped: its record changed.
    VmChanged {
        /// The VM.
        vm: ObjectName,
        /// Its outcome so far.
        outcome: String,
        /// The node that it is on now.
        node: Option<String>,
        /// The node that it was on before, if that changed.
        from: Option<String>,
    },
    /// A hook was started.
    HookStarted {
        /// Its name.
        hook: String,
        /// `node w1`, `group workers`, `the campaign`.
        scope: String,
        /// The try.
        attempt: u32,
    },
    /// A hook ended.
    HookEnded {
        /// Its name.
        hook: String,
        /// What it was run for.
        scope: String,
        /// The try.
        attempt: u32,
        /// How it failed; `None` if it didn't.
        error: Option<String>,
    },
    /// A stop was asked for: nothing new is started.
    Stopping {
        /// Nodes in work and hooks that run, in words.
        under_way: Vec<String>,
    },
    /// The planner's forecast, as the campaign begins or goes on.
    Planned {
        /// Until the last node is back, milliseconds.
        makespan_ms: u64,
        /// No order takes less: proven, with the durations taken here.
        lower_bound_ms: u64,
        /// Moves of VMs beyond one each.
        extra_moves: u32,
        /// The fewest that are possible when as many nodes begin before the first is back.
        least_extra_moves: u32,
    },
    /// The nodes that wait go in another order from now on.
    Reordered,
    /// Something that people should know.
    Warning {
        /// In words.
        text: String,
    },
    /// The state of all nodes, for displays; not part of the record.
    #[serde(skip)]
    Progress(BTreeMap<String, NodeProgress>),
    /// The campaign ended, or this driver leaves it.
    CampaignEnded {
        /// `Succeeded`, `Failed`, `Paused`.
        phase: String,
        /// Why.
        reason: Option<String>,
    },
}

/// The name of a phase as people read it.
pub fn phase_words(phase: NodePhase) -> &'static str {
    match phase {
        NodePhase::Pending => "waiting",
        NodePhase::Cordoned => "cordoned",
        NodePhase::Draining => "draining",
        NodePhase::Drained => "drained",
        NodePhase::SafeToPowerOff => "safe to power off",
        NodePhase::InMaintenance => "in maintenance",
        NodePhase::Verifying => "verifying",
        NodePhase::Uncordoning => "uncordoned",
        NodePhase::Done => "done",
        NodePhase::Failed => "failed",
        NodePhase::Skipped => "skipped",
    }
}
