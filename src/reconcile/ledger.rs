//! The ledger: what this process has asked for and what it was answered. Soft state: losing it costs a repeated
//! question, never a wrong act, because every act carries its own precondition.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::inventory::{ObjectName, ScalableName};
use crate::reconcile::{Carried, HookRunId, Turns};

/// What the API server (or KubeVirt's webhook) answered to an eviction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvictionAnswer {
    /// 201: the pod will be deleted.
    Granted,
    /// 404, or 409 because the UID has changed: it is gone.
    Gone,
    /// KubeVirt M1 or M2: the VM is being evacuated.
    Evacuating,
    /// 429 by a budget.
    BudgetRefused {
        /// Message and causes as one text.
        message: String,
        /// Seconds to wait, if the server says so (stale PDB status).
        retry_after: Option<u32>,
    },
    /// KubeVirt M3: configured to migrate, but not migratable.
    NotMigratable {
        /// The webhook's text.
        message: String,
    },
    /// KubeVirt M4 (a migration's target, or a source just left), M5 (a hotplug pod).
    Wait {
        /// The webhook's text.
        message: String,
    },
    /// 403 with cause NamespaceTerminating: the pod goes by itself.
    NamespaceTerminating,
    /// 500 because more than one budget selects the pod: never resolves by waiting.
    ManyBudgets {
        /// The server's text.
        message: String,
    },
    /// 403: this user may not evict.
    Forbidden {
        /// The server's text.
        message: String,
    },
    /// Anything else: webhook down, server trouble, connection lost. Tried again with backoff.
    Trouble {
        /// What was seen.
        message: String,
    },
}

impl EvictionAnswer {
    /// The words of a refusal; `None` if the pod goes.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Granted | Self::Gone | Self::Evacuating | Self::NamespaceTerminating => None,
            Self::BudgetRefused { message, .. }
            | Self::NotMigratable { message }
            | Self::Wait { message }
            | Self::ManyBudgets { message }
            | Self::Forbidden { message }
            | Self::Trouble { message } => Some(message),
        }
    }
}

/// The latest eviction (or deletion) asked for a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvictionAttempt {
    /// The pod's name.
    pub pod: ObjectName,
    /// Node that it is drained from.
    pub node: String,
    /// When it was sent last.
    pub asked_at: Timestamp,
    /// How often it was sent.
    pub count: u32,
    /// The answer; `None` while the request is under way.
    pub answer: Option<EvictionAnswer>,
}

/// How a hook run that this process started is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookStatus {
    /// Under way.
    Running,
    /// Ended well.
    Succeeded {
        /// When.
        at: Timestamp,
    },
    /// Ended badly, or ran into its timeout.
    Failed {
        /// When.
        at: Timestamp,
        /// In words, with the last lines of output.
        message: String,
    },
}

/// What this process has asked for.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// By pod UID.
    pub evictions: BTreeMap<String, EvictionAttempt>,
    /// By run.
    pub hooks: BTreeMap<HookRunId, HookStatus>,
    /// Nodes with a patch under way: nothing is decided for them until its answer is in the inventory.
    pub patching: BTreeSet<String>,
    /// Nodes whose steering taint is being put or removed: they don't begin until that is answered.
    pub steering: BTreeSet<String>,
    /// What the planner's rules said last.
    pub turns: Turns,
    /// What the nodes carried last.
    pub carried: Carried,
    /// The record holds what was known of the guests up to this change ([`Inventory::guests_seen`]); 0: nobody knows.
    ///
    /// [`Inventory::guests_seen`]: crate::inventory::Inventory::guests_seen
    pub guests_recorded: u64,
    /// VMIs for which a restart, start or cancellation is under way or was answered, and when it was asked.
    pub vm_requests: BTreeMap<ObjectName, VmRequest>,
    /// Workloads that were to be scaled.
    pub scales: BTreeMap<ScalableName, ScaleRequest>,
}

/// A request for another number of replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaleRequest {
    /// Replicas that were asked for.
    pub to: u32,
    /// When it was sent last.
    pub asked_at: Timestamp,
    /// Why it was refused, if it was; `None` while under way or after success.
    pub refused: Option<String>,
}

/// A request for a VM that isn't an eviction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmRequest {
    /// When it was sent last.
    pub asked_at: Timestamp,
    /// Why it was refused, if it was; `None` while under way or after success.
    pub refused: Option<String>,
    /// UID of the VMI that it stops, for a restart.
    pub stops: Option<String>,
}

impl Ledger {
    /// Forgets the evictions of a node that is through with its drain: they are counted, and would only be walked past.
    pub fn forget(&mut self, node: &str) {
        self.evictions.retain(|_, attempt| attempt.node != node);
    }
}
