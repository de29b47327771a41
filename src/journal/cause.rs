//! What a node waits for, without the details that change from moment to moment: what displays add up.

use serde::Serialize;

use crate::reconcile::{Hold, Stage};
use crate::schedule::Wait;

/// The kinds of things that are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CauseKind {
    /// A group that comes first.
    GroupOrder,
    /// A finished group that is watched.
    Soak,
    /// A limit on unavailable nodes, of the campaign or of a group.
    Concurrency,
    /// The same for a zone.
    Zone,
    /// The wave under way.
    Wave,
    /// The planned order: other nodes go first.
    Order,
    /// Nothing is started: the campaign is paused, stopped, or something stands against the node.
    Stopped,
    /// A PodDisruptionBudget.
    Budget,
    /// A second pod of a workload that has only one.
    Surge,
    /// Pods that are shutting down.
    Termination,
    /// An eviction that was refused for another reason.
    Refusal,
    /// Live migrations under way.
    Migration,
    /// KubeVirt's limits on parallel migrations.
    MigrationLimit,
    /// Room for a virtual machine elsewhere.
    Capacity,
    /// A virtual machine that may not be moved or stopped.
    VirtualMachine,
    /// Something that keeps the node from being powered off.
    Safety,
    /// Earlier tiers of the drain.
    Tier,
    /// A hook.
    Hook,
    /// Virtual machines that are to be started again.
    Start,
    /// What the plan's `verify` asks for.
    Verification,
}

/// One thing that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cause {
    /// Its kind.
    pub kind: CauseKind,
    /// The object or limit, such as `shop/db` or `zone b`; empty if the kind says all.
    pub subject: String,
    /// In words.
    pub words: String,
}

impl From<&Hold> for Cause {
    fn from(hold: &Hold) -> Self {
        use CauseKind as Kind;
        let cause = |kind, subject: String, words: String| Self { kind, subject, words };
        let plain = |kind, words: &str| cause(kind, String::new(), words.to_owned());
        match hold {
            Hold::Group { waits_for } => {
                let groups = waits_for.join(", ");
                cause(Kind::GroupOrder, groups.clone(), format!("group order: {groups} first"))
            }
            Hold::Soak { group, .. } => cause(Kind::Soak, group.clone(), format!("group {group} soaks")),
            Hold::Concurrency { scope, limit, .. } => {
                let is_zone = scope.starts_with("zone ") || scope.starts_with("nodes without label");
                let kind = if is_zone { Kind::Zone } else { Kind::Concurrency };
                cause(kind, scope.clone(), format!("{scope}: at most {limit} unavailable"))
            }
            Hold::Wave { .. } => plain(Kind::Wave, "the wave under way"),
            Hold::Turn { wait } => match wait {
                Wait::Limit => plain(Kind::Order, "other nodes first, under the plan's limits"),
                Wait::Opening => plain(Kind::Order, "the first node's return"),
                Wait::After { node } => cause(Kind::Order, node.clone(), format!("node {node} first")),
                Wait::Slots { .. } => plain(Kind::MigrationLimit, "KubeVirt's limit on parallel migrations"),
                Wait::Budget { budget } => {
                    cause(Kind::Budget, budget.to_string(), format!("budget {budget}"))
                }
                Wait::Place { .. } => plain(Kind::Capacity, "no room elsewhere"),
            },
            Hold::Inbound { .. } => plain(Kind::Migration, "VMs on their way to the node"),
            Hold::Stopped { reason } => cause(Kind::Stopped, String::new(), format!("not started: {reason}")),
            Hold::Budget { budget, .. } => {
                cause(Kind::Budget, budget.to_string(), format!("budget {budget}"))
            }
            Hold::ManyBudgets { pod, .. } => {
                cause(Kind::Budget, pod.to_string(), format!("pod {pod} under more than one budget"))
            }
            Hold::Override { budgets, .. } => {
                let budgets = budgets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                cause(Kind::Budget, budgets.clone(), format!("budget {budgets}, until the plan's override"))
            }
            Hold::Surge { workload, .. } => {
                cause(Kind::Surge, workload.to_string(), format!("a second pod of {workload}"))
            }
            Hold::ScaleBack { workload, .. } => {
                cause(Kind::Surge, workload.to_string(), format!("{workload} being scaled back"))
            }
            Hold::Terminating { .. } => plain(Kind::Termination, "pods shutting down"),
            Hold::Refused { .. } => plain(Kind::Refusal, "evictions not granted"),
            Hold::Migrating { stage, .. } => match stage {
                Stage::UnderWay => plain(Kind::Migration, "live migrations under way"),
                Stage::Queued => plain(Kind::MigrationLimit, "KubeVirt's limit on parallel migrations"),
                Stage::Unplaced => plain(Kind::Capacity, "no room for a VM elsewhere"),
            },
            Hold::VirtualMachine { vmi, .. } => {
                cause(Kind::VirtualMachine, vmi.to_string(), format!("vm {vmi}"))
            }
            Hold::Unsafe { .. } => plain(Kind::Safety, "not yet safe to power off"),
            Hold::Tier { tier, .. } => cause(Kind::Tier, tier.clone(), format!("{tier} leave first")),
            Hold::Hook { name, .. } => cause(Kind::Hook, name.clone(), format!("hook {name}")),
            Hold::Start { .. } => plain(Kind::Start, "VMs being started again"),
            Hold::Verify { .. } => plain(Kind::Verification, "verification"),
        }
    }
}
