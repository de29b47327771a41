//! The plan: groups, limits, and what is done to each node.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Drain, Duration, Hook, IntOrPercent, VirtualMachines};

/// What to do to which nodes, in which order, and how many at once.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(group = "virtroll.dev", version = "v1alpha1", kind = "MaintenancePlan", shortname = "mplan")]
#[kube(derive = "PartialEq")]
#[serde(rename_all = "camelCase")]
pub struct MaintenancePlanSpec {
    /// Limits over all groups together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// How freed slots are used.
    #[serde(default)]
    pub strategy: Strategy,
    /// What the order of the nodes is chosen for.
    #[serde(default)]
    pub optimize_for: OptimizeFor,
    /// How pods and VMs that are placed anew are kept off nodes that wait for their own maintenance.
    #[serde(default)]
    pub steering: Steering,
    /// What follows when it is proven beforehand that nodes can't be maintained.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// Groups of nodes.
    pub groups: Vec<Group>,
    /// How nodes are drained.
    #[serde(default)]
    pub drain: Drain,
    /// What may happen to virtual machines.
    #[serde(default)]
    pub virtual_machines: VirtualMachines,
    /// The wait between drained and maintained.
    #[serde(default)]
    pub safe_power_off: SafePowerOff,
    /// What is run at which point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// What must hold before a node is uncordoned.
    #[serde(default)]
    pub verify: Verify,
    /// How many failures are borne, and what follows.
    #[serde(default)]
    pub failure: Failure,
    /// When work may happen. Read and checked; not used yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// When a campaign begins by itself. Read and checked; not used yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
}

/// Limits on unavailable nodes. Nodes that are not Ready or cordoned for another reason count.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Concurrency {
    /// At most so many nodes (or so many percent, rounded down, at least one) unavailable at once. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrPercent>,
    /// The same within each zone. Default: no limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable_per_zone: Option<IntOrPercent>,
    /// The node label that names the zone. Default: `topology.kubernetes.io/zone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_key: Option<String>,
}

/// How freed slots are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    /// A finished node frees its slot at once.
    #[default]
    Rolling,
    /// The next nodes start when the whole wave is through. A wave takes nodes in, as far as the limits allow, until the
    /// first of its nodes has come to its end.
    Waves,
}

/// What the order of the nodes is chosen for. Limits, budgets and room hold whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum OptimizeFor {
    /// The campaign is over soon; then few VMs move twice.
    #[default]
    Time,
    /// Few VMs move twice: begins with the emptiest nodes, and waits for room on nodes that are through; takes longer.
    Moves,
    /// Nodes are away for little time, summed over all of them.
    Availability,
}

/// How pods and VMs that are placed anew are kept off nodes that wait for their own maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Steering {
    /// Nodes that wait bear the taint `virtroll.dev/maintenance-due:PreferNoSchedule`: the scheduler takes another node where
    /// there is one with room. It is removed when the node's maintenance begins, and whenever the campaign stops.
    #[default]
    PreferNoSchedule,
    /// Not at all.
    None,
}

/// What follows when it is proven beforehand that nodes can't be maintained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum OnConflict {
    /// Nothing is begun: `apply` names the conflict and ends with exit code 4.
    #[default]
    Fail,
    /// The affected nodes are taken out of the campaign, each with its conflict; the others are maintained.
    Skip,
    /// The campaign begins all the same: somebody mends what is in the way before its turn comes, or the node fails then.
    Proceed,
}

/// Some nodes, and the groups that come before them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Unique name.
    pub name: String,
    /// Which nodes.
    pub nodes: NodeSelection,
    /// Groups that must be through before this one starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// Limits within this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// How long the finished group is watched before dependants start; a node that is not Ready in between makes them wait
    /// until all have been Ready for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<Duration>,
}

/// Which nodes: by name, by label, or both together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelection {
    /// Node names, in the order in which they are taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// A label selector; an empty one selects every node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// The wait until a drained node is safe to power off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SafePowerOff {
    /// How long to wait before the node counts as failed. Default: 30m.
    pub timeout: Duration,
}

impl Default for SafePowerOff {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(1800) }
    }
}

/// What must hold before a node is uncordoned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Verify {
    /// The node is Ready, and where KubeVirt runs back in its service. Default: true.
    pub ready: bool,
    /// The node has booted anew since it was cordoned. Default: false.
    #[serde(rename = "bootIDChanged")]
    pub boot_id_changed: bool,
    /// A requirement on the kernel version, such as `>=6.12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_version: Option<String>,
    /// How long to wait before the node counts as failed. Default: 15m.
    pub timeout: Duration,
}

impl Default for Verify {
    fn default() -> Self {
        Self { ready: true, boot_id_changed: false, kernel_version: None, timeout: Duration::from_secs(900) }
    }
}

/// How many failures are borne, and what follows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Failure {
    /// So many nodes may fail while the campaign goes on. Default: 0.
    pub max_failed_nodes: u32,
    /// What follows when more have failed. Default: Pause.
    pub on_failure: OnFailure,
}

/// What follows when more nodes have failed than the plan bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum OnFailure {
    /// No further node starts; those in work are finished; `apply` again goes on.
    #[default]
    Pause,
    /// No further node starts; those in work are finished; the campaign has failed.
    Abort,
    /// Goes on with the other nodes; the campaign has failed at the end.
    Continue,
}

/// A time in which work may happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// When it opens.
    pub cron: String,
    /// How long it is open.
    pub duration: Duration,
    /// Time zone of `cron`, an IANA name. Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// When a campaign begins by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// When.
    pub cron: String,
    /// Time zone of `cron`, an IANA name. Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}
