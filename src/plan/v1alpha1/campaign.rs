//! A campaign: one execution of a plan. Its status is the record that any driver goes on from.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HookPoint, MaintenancePlanSpec};

/// One execution of a plan.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(group = "virtroll.dev", version = "v1alpha1", kind = "MaintenanceCampaign", shortname = "mcampaign")]
#[kube(status = "MaintenanceCampaignStatus", derive = "PartialEq")]
#[kube(printcolumn = r#"{"name":"Plan","type":"string","jsonPath":".spec.planName"}"#)]
#[kube(printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#)]
#[kube(printcolumn = r#"{"name":"Started","type":"date","jsonPath":".status.startedAt"}"#)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceCampaignSpec {
    /// Name of the plan.
    pub plan_name: String,
    /// The plan as it was when the campaign began.
    pub plan: MaintenancePlanSpec,
}

/// Where a campaign is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum CampaignPhase {
    /// Not begun.
    #[default]
    Pending,
    /// Under way (or interrupted: the Lease tells whether somebody drives).
    Running,
    /// More nodes failed than the plan bears, or it was stopped; `apply` goes on.
    Paused,
    /// All nodes through.
    Succeeded,
    /// Ended with failed nodes.
    Failed,
}

/// The record of a campaign.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MaintenanceCampaignStatus {
    /// Where it is.
    pub phase: CampaignPhase,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub finished_at: Option<Timestamp>,
    /// Most nodes unavailable at one moment because of the campaign.
    pub peak_unavailable: u32,
    /// Nodes that have begun, in the order of their beginning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Arc<CampaignNode>>,
    /// VMs of the campaign's nodes, by namespace and name. Shared: there may be thousands, and few change at a time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub virtual_machines: Vec<Arc<CampaignVm>>,
    /// Failed nodes that are to be tried again, and haven't begun.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retrying: Vec<String>,
    /// Hooks of the campaign and of groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<CampaignHook>,
    /// How many MaintenanceCampaignSlices hold the nodes and VMs that are more than fit in here.
    #[serde(skip_serializing_if = "is_zero")]
    pub slices: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// One node's record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CampaignNode {
    /// The node.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its wave, from 1.
    pub wave: u32,
    /// Where it is: `Cordoned`, …, `Done`, `Failed`, `Skipped`.
    pub phase: String,
    /// Why it failed or was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When its maintenance began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// When the last of its pods had left: what follows is hooks and verification.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub drained_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub finished_at: Option<Timestamp>,
    /// How long its hooks have taken, each by the run that succeeded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookTook>,
    /// Pods that left by its drain.
    pub pods_evicted: u32,
    /// Virtual machines that were on it when its maintenance began.
    #[serde(default)]
    pub virtual_machines: u32,
    /// Pods that its drain deleted past their budgets, as the plan's `drain.overrides` allow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub past_budgets: Vec<PastBudget>,
    /// Workloads that have one replica more for its drain, until they are scaled back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub surged: Vec<String>,
}

impl CampaignNode {
    /// True for a node that is through, successfully.
    pub fn is_done(&self) -> bool {
        self.phase == "Done"
    }
}

/// How long a hook has taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookTook {
    /// Name of the hook.
    pub name: String,
    /// From its start until it had succeeded, rounded.
    pub seconds: u64,
}

/// A pod that a drain deleted past its budgets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastBudget {
    /// Namespace and name of the pod.
    pub pod: String,
    /// Its UID.
    pub uid: String,
    /// The workload that the plan names: `Deployment shop/web`.
    pub workload: String,
    /// The budgets that kept it, by namespace and name.
    pub budgets: Vec<String>,
    /// Why the plan allows it.
    pub reason: String,
    /// When it was decided.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

impl fmt::Display for PastBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pod, workload, budgets, reason, .. } = self;
        let of = if workload.starts_with("Pod ") { String::new() } else { format!(" of {workload}") };
        let budgets = match budgets.as_slice() {
            [] => "its budget".to_owned(),
            [one] => format!("budget {one}"),
            many => format!("budgets {}", many.join(", ")),
        };
        write!(f, "pod {pod}{of} was deleted past {budgets}: {reason}")
    }
}

/// What became of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum VmOutcome {
    /// It stayed where it was.
    #[default]
    Untouched,
    /// It live-migrated and never stopped.
    Migrated,
    /// It was shut down and runs again.
    Restarted,
    /// It was shut down and is off.
    Stopped,
}

/// One VM's record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CampaignVm {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Completed moves between nodes, restarts elsewhere included.
    pub moves: u32,
    /// What became of it.
    pub outcome: VmOutcome,
    /// UID of the VMI last seen.
    pub uid: String,
    /// Belongs to a replica set, which replaces it under another name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replica: bool,
    /// Node last seen on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// A hook of the campaign or of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CampaignHook {
    /// Index in the plan.
    pub hook: u32,
    /// Name of the hook.
    pub name: String,
    /// Its point.
    pub at: HookPoint,
    /// The group, for a group's hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The try, from 1.
    pub attempt: u32,
    /// When this try began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub finished_at: Option<Timestamp>,
    /// After a failed try: not again before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub not_before: Option<Timestamp>,
    /// The driver that began it.
    #[serde(default)]
    pub driver: String,
    /// `true` once it ended well.
    #[serde(default)]
    pub succeeded: bool,
    /// How the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
