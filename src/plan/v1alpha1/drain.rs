//! How nodes are drained, and what may happen to virtual machines.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Duration;

/// How nodes are drained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Drain {
    /// What leaves. Default: AllPods.
    pub scope: Scope,
    /// Leave DaemonSet-managed pods where they are. Default: true.
    pub ignore_daemon_sets: bool,
    /// Allow the loss of emptyDir volumes. VM launcher pods have such volumes and lose nothing by it. Default: false.
    pub delete_empty_dir_data: bool,
    /// Allow the loss of pods without a controller. Default: false.
    pub force: bool,
    /// Seconds that pods get to end, instead of their own; never sent for launcher pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i64>,
    /// Only pods that match; the others stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// How long one node's drain may take. Default: 1h.
    pub timeout: Duration,
    /// What follows when it takes longer. Default: Fail.
    pub on_timeout: OnTimeout,
    /// What to do when somebody uncordons a node in the middle. Default: Recordon.
    pub on_uncordoned: OnUncordoned,
    /// Order within a drain, after the VMs: pods that match a tier leave when those of all earlier tiers have left; pods
    /// of no tier leave right after the VMs. Default: one last tier of the system priority classes.
    pub tiers: Vec<Tier>,
    /// Which workloads get one more replica before their pod leaves. Default: Off.
    pub surge: Surge,
    /// Workloads whose pods may be deleted past their budgets (PodDisruptionBudgets), and why. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<BudgetOverride>,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            scope: Scope::AllPods,
            ignore_daemon_sets: true,
            delete_empty_dir_data: false,
            force: false,
            grace_period_seconds: None,
            pod_selector: None,
            timeout: Duration::from_secs(3600),
            on_timeout: OnTimeout::Fail,
            on_uncordoned: OnUncordoned::Recordon,
            tiers: vec![Tier {
                name: "system".to_owned(),
                priority_class_names: vec![
                    "system-cluster-critical".to_owned(),
                    "system-node-critical".to_owned(),
                ],
                selector: None,
            }],
            surge: Surge::Off,
            overrides: Vec::new(),
        }
    }
}

/// What leaves a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Scope {
    /// All pods but those of DaemonSets and mirror pods.
    #[default]
    AllPods,
    /// Only KubeVirt's launcher pods.
    VirtualMachines,
}

/// What follows when a drain takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum OnTimeout {
    /// The node has failed.
    #[default]
    Fail,
    /// The node is brought back to what it was and taken out of the campaign.
    Skip,
    /// The drain goes on; a warning is given.
    Wait,
}

/// What to do when somebody uncordons a node in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum OnUncordoned {
    /// Cordon it again, and say so.
    #[default]
    Recordon,
    /// The node has failed; it is left as it is.
    Fail,
}

/// Which workloads get one more replica before their pod leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Surge {
    /// None.
    #[default]
    Off,
    /// Deployments and StatefulSets of one replica: scaled to two, their pod leaves when the second one is Ready on another
    /// node, and they are scaled back to one afterwards.
    SingleReplica,
}

/// A workload whose pods may be deleted when their budgets have kept them for too long. Each use is recorded and reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetOverride {
    /// Whose pods.
    pub workload: WorkloadName,
    /// Why this may be; it stands in the record and in the report.
    pub reason: String,
    /// How long the budgets are respected: from the moment at which the node's drain first wants the pod out and may not evict
    /// it.
    pub after: Duration,
}

/// A workload by its kind and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadName {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Kinds of workloads that an override may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum WorkloadKind {
    /// Its pods are those of its ReplicaSets.
    Deployment,
    /// Its pods keep their names.
    StatefulSet,
    /// By itself, or one of a Deployment's.
    ReplicaSet,
    /// Its pods are made anew until enough have succeeded.
    Job,
    /// One pod, whoever made it.
    Pod,
}

/// Pods that leave together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tier {
    /// Name, for messages.
    pub name: String,
    /// Pods of one of these priority classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub priority_class_names: Vec<String>,
    /// Pods with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// What may happen to virtual machines.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualMachines {
    /// A VM that should live-migrate but can't. Default: Wait.
    pub non_migratable: NonMigratable,
    /// A VM that eviction shuts down and that comes back elsewhere by itself. Default: Allow.
    pub shut_down: ShutDown,
    /// A VM that eviction shuts down and that would not come back by itself. Default: Fail.
    pub stays_off: StaysOff,
    /// A VM with eviction strategy External, which an outside controller must move. Default: Wait.
    pub external: ExternalPolicy,
}

/// A VM that should live-migrate but can't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum NonMigratable {
    /// Wait until somebody mends it, up to the drain's timeout.
    #[default]
    Wait,
    /// Shut it down and let it start elsewhere.
    Restart,
    /// The node is not begun, and counts as failed.
    Fail,
}

/// A VM that eviction shuts down and that comes back elsewhere by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ShutDown {
    /// Let it.
    #[default]
    Allow,
    /// The node is not begun, and counts as failed.
    Fail,
}

/// A VM that would not come back by itself: a bare VMI, or run strategy Manual, Once, RerunOnFailure or Halted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum StaysOff {
    /// The node is not begun, and counts as failed.
    #[default]
    Fail,
    /// Shut it down, and leave it off.
    Allow,
    /// Shut it down, and start it again elsewhere; a bare VMI can't be started again, so its node fails.
    StartAfterwards,
}

/// A VM with eviction strategy External.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ExternalPolicy {
    /// Mark it, and wait for the outside controller, up to the drain's timeout.
    #[default]
    Wait,
    /// The node is not begun, and counts as failed.
    Fail,
}
