//! What a drain may do.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::vm::{VmFate, not_migratable_text};
use crate::inventory::{Inventory, ObjectName, Pod};
use crate::plan::selector;
use crate::plan::v1alpha1::{BudgetOverride, Drain, Scope, Surge, Tier, VirtualMachines};
use crate::schedule::consent::{self, GuestConsent, Permits};
use crate::schedule::override_of;

/// What a drain may do: kubectl's flags, and for campaigns what the plan consents to for VMs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DrainOptions {
    /// Leave DaemonSet-managed pods.
    pub ignore_daemon_sets: bool,
    /// Allow the loss of emptyDir volumes.
    pub delete_empty_dir_data: bool,
    /// Allow the loss of pods without a controller.
    pub force: bool,
    /// Grace period to ask for; `None` leaves each pod its own.
    pub grace_seconds: Option<i64>,
    /// Delete instead of evicting: budgets are not asked.
    pub disable_eviction: bool,
    /// Ask the API server for every pod, whatever is known beforehand: a dry run wants its answers.
    pub ask_anyway: bool,
    /// Only pods that match.
    pub pod_selector: Option<LabelSelector>,
    /// A pod whose deletion lies further back than this isn't waited for; zero or `None` waits always.
    pub skip_wait_for_delete: Option<Duration>,
    /// Only pods with these UIDs (kubectl drains what it found at first); `None`: whatever is on the node.
    pub only: Option<BTreeSet<String>>,
    /// Tiers after the VMs and the pods of no tier.
    pub tiers: Vec<Tier>,
    /// Single replicas get a second one first.
    pub surge: bool,
    /// Workloads whose pods may be deleted past their budgets.
    pub overrides: Vec<BudgetOverride>,
    /// What the plan consents to; `None` (`virtroll drain`): the operator asked for this eviction by hand.
    pub consent: Option<VmConsent>,
}

impl DrainOptions {
    /// The options of a plan.
    pub fn of_plan(drain: &Drain, vms: &VirtualMachines) -> Self {
        let vms_only = drain.scope == Scope::VirtualMachines;
        let launcher = || selector::parse("kubevirt.io=virt-launcher").ok();
        Self {
            ignore_daemon_sets: drain.ignore_daemon_sets,
            delete_empty_dir_data: drain.delete_empty_dir_data,
            force: drain.force,
            grace_seconds: drain.grace_period_seconds,
            disable_eviction: false,
            ask_anyway: false,
            pod_selector: if vms_only { launcher() } else { drain.pod_selector.clone() },
            skip_wait_for_delete: None,
            only: None,
            tiers: drain.tiers.clone(),
            surge: drain.surge == Surge::SingleReplica,
            overrides: drain.overrides.clone(),
            consent: Some(VmConsent(vms.clone())),
        }
    }

    pub(super) fn permits(&self) -> Permits {
        Permits {
            ignore_daemon_sets: self.ignore_daemon_sets,
            delete_empty_dir_data: self.delete_empty_dir_data,
            force: self.force,
            guests_by_plan: self.consent.is_some(),
        }
    }

    /// Whether a pod gets a second one beside it before it leaves.
    pub fn surges(&self, inventory: &Inventory, pod: &Pod) -> bool {
        self.surge && inventory.scalable_of(pod).is_some_and(|workload| workload.replicas == 1)
    }

    /// The override that the plan has for a pod.
    pub fn override_of(&self, pod: &Pod) -> Option<&BudgetOverride> {
        override_of(&self.overrides, pod)
    }

    /// 0 for launcher pods, 1 for pods of no tier, then the tiers in their order.
    pub(super) fn tier_of(&self, pod: &Pod) -> usize {
        if pod.is_launcher() {
            return 0;
        }
        let class = pod.priority_class.as_deref();
        let belongs = |tier: &Tier| {
            class.is_some_and(|c| tier.priority_class_names.iter().any(|n| n == c))
                || tier.selector.as_ref().is_some_and(|s| selector::matches(s, &pod.labels))
        };
        self.tiers.iter().position(belongs).map_or(1, |index| index + 2)
    }

    pub(super) fn tier_name(&self, tier: usize) -> String {
        match tier {
            0 => "virtual machines".to_owned(),
            1 => "workloads".to_owned(),
            n => self.tiers.get(n - 2).map_or_else(String::new, |t| format!("pods of tier {}", t.name)),
        }
    }
}

/// What the plan consents to for VMs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VmConsent(pub VirtualMachines);

impl VmConsent {
    /// Why the plan forbids this fate, in words; `None` if it allows it (or lets it wait).
    pub fn refusal(&self, vmi: &ObjectName, node: &str, fate: &VmFate) -> Option<String> {
        Some(match consent::lacks_for_guest(&self.0, fate)? {
            GuestConsent::NotMigratable => {
                let VmFate::NotMigratable { reason, message, comeback } = fate else { return None };
                format!("vm {vmi} {}", not_migratable_text(node, reason, message, Some(comeback)))
            }
            GuestConsent::External => format!(
                "vm {vmi} on {node} has eviction strategy External, and the plan says virtualMachines.external: Fail"
            ),
            GuestConsent::ShutDown => format!(
                "vm {vmi} on {node} would be shut down and started elsewhere, and the plan says \
                 virtualMachines.shutDown: Fail; give it evictionStrategy: LiveMigrate, or allow it"
            ),
            GuestConsent::BareInstance => format!(
                "vm {vmi} on {node} is a bare VirtualMachineInstance: evicted, it would not come back; consent with \
                 virtualMachines.staysOff: Allow, or make it a VirtualMachine"
            ),
            GuestConsent::StaysOff(strategy) => format!(
                "vm {vmi} on {node} has run strategy {}: evicted, it would stay off; consent with \
                 virtualMachines.staysOff: Allow or StartAfterwards",
                strategy.name()
            ),
        })
    }

    /// True if the plan has a VM of this fate restarted.
    pub fn restarts(&self, fate: &VmFate) -> bool {
        consent::restarts(&self.0, fate)
    }
}
