//! Which pods leave a node that is drained, and how.

use crate::inventory::{Comeback, Inventory, Pod, VirtualMachineInstance, VmFate, fate};
use crate::plan::selector;
use crate::plan::v1alpha1::{Drain, MaintenancePlanSpec, NonMigratable, Scope, StaysOff, Tier};
use crate::schedule::instance::Way;

/// What becomes of a pod when its node is drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It stays and takes its room: DaemonSet and mirror pods, pods that the drain doesn't cover.
    Stays,
    /// It is no load: finished, or on its way out.
    Gone,
    /// It leaves.
    Leaves {
        /// How.
        way: Way,
        /// Order within the drain.
        tier: u8,
        /// It comes up again.
        returns: bool,
    },
    /// It ought to leave and never will: reason and message of `LiveMigratable=False`.
    Stranded {
        /// One word.
        reason: String,
        /// For people.
        message: String,
    },
}

/// 0 for launcher pods, 1 for pods of no tier, then the plan's tiers in their order.
fn tier_of(tiers: &[Tier], pod: &Pod) -> u8 {
    let class = pod.priority_class.as_deref();
    let belongs = |tier: &Tier| {
        class.is_some_and(|c| tier.priority_class_names.iter().any(|n| n == c))
            || tier.selector.as_ref().is_some_and(|s| selector::matches(s, &pod.labels))
    };
    let tier = tiers.iter().position(belongs).map_or(1, |index| index + 2);
    u8::try_from(tier).unwrap_or(u8::MAX)
}

/// Whether the drain means this pod.
fn is_covered(drain: &Drain, pod: &Pod) -> bool {
    match drain.scope {
        Scope::VirtualMachines => pod.is_launcher(),
        Scope::AllPods => drain.pod_selector.as_ref().is_none_or(|s| selector::matches(s, &pod.labels)),
    }
}

/// What becomes of a pod.
pub(super) fn leaving(plan: &MaintenancePlanSpec, inventory: &Inventory, pod: &Pod) -> Leaving {
    if pod.phase.is_terminal() || pod.deletion.is_some() || pod.is_of_hook() {
        return Leaving::Gone;
    }
    // An attachment pod comes and goes with its launcher.
    if pod.is_mirror || pod.is_hotplug() || pod.is_owned_by("DaemonSet") || !is_covered(&plan.drain, pod) {
        return Leaving::Stays;
    }
    if pod.is_launcher() {
        return guest(plan, &fate(inventory, pod));
    }
    let tier = tier_of(&plan.drain.tiers, pod);
    Leaving::Leaves { way: Way::Eviction, tier, returns: pod.controller.is_some() }
}

fn guest(plan: &MaintenancePlanSpec, fate: &VmFate) -> Leaving {
    let leaves = |way, returns| Leaving::Leaves { way, tier: 0, returns };
    let policy = &plan.virtual_machines;
    match fate {
        // One that boots is expected to migrate once it runs; one that others must move, to be moved.
        VmFate::Migrates | VmFate::Booting | VmFate::External => leaves(Way::Migration, true),
        VmFate::ShutsDown(Comeback::ByItself) => leaves(Way::Restart, true),
        // StartAfterwards starts it where it may run then, which is not this campaign's time.
        VmFate::ShutsDown(_) => leaves(Way::Restart, false),
        VmFate::NotMigratable { reason, message, comeback } => {
            let lost = *comeback == Comeback::BareInstance && policy.stays_off != StaysOff::Allow;
            if policy.non_migratable == NonMigratable::Restart && !lost {
                return leaves(Way::Restart, *comeback != Comeback::BareInstance);
            }
            Leaving::Stranded { reason: reason.clone(), message: message.clone() }
        }
        VmFate::MigrationTarget | VmFate::MigrationSource | VmFate::Over => Leaving::Gone,
    }
}

/// The guest behind a pod that leaves.
pub(super) fn guest_of<'a>(inventory: &'a Inventory, pod: &Pod) -> Option<&'a VirtualMachineInstance> {
    inventory.vmi_of(pod).filter(|_| pod.is_launcher())
}
