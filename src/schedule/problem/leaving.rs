//! Which pods leave a node that is drained, and how.

use crate::inventory::{
    Comeback, Inventory, Pod, Readiness, VirtualMachineInstance, VmFate, fate, is_settled,
};
use crate::plan::selector;
use crate::plan::v1alpha1::{Drain, MaintenancePlanSpec, Scope, Tier};
use crate::schedule::consent::{self, Consent, Filtered, Permits, PodConsent};
use crate::schedule::instance::Way;

/// What becomes of a pod when its node is drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It stays and takes its room: DaemonSet and mirror pods, pods that the drain doesn't cover. Possibly by a consent that the
    /// plan doesn't give.
    Stays(Option<Consent>),
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
        /// A consent that it takes, and that the plan doesn't give.
        lacks: Option<Consent>,
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
    if pod.is_mirror || pod.is_hotplug() || !is_covered(&plan.drain, pod) {
        return Leaving::Stays(None);
    }
    if pod.is_owned_by("DaemonSet") {
        let asks = !plan.drain.ignore_daemon_sets;
        return Leaving::Stays(asks.then(|| lacks(plan, inventory, pod)).flatten());
    }
    let lacks = lacks(plan, inventory, pod);
    match inventory.vmi_of(pod) {
        Some(vmi) if pod.is_launcher() => guest(plan, inventory, pod, vmi, lacks),
        _ if pod.is_launcher() => Leaving::Gone,
        _ => {
            let tier = tier_of(&plan.drain.tiers, pod);
            Leaving::Leaves { way: Way::Eviction, tier, returns: pod.controller.is_some(), lacks }
        }
    }
}

/// The consent to a pod's leaving, or staying, that the plan doesn't give. What may end by itself may have done so by then, as what
/// a DaemonSet left behind; and a node that isn't Ready loses its pods.
fn lacks(plan: &MaintenancePlanSpec, inventory: &Inventory, pod: &Pod) -> Option<Consent> {
    let node = pod.node.as_deref().and_then(|node| inventory.node(node));
    let stays = !pod.may_end && node.is_some_and(|node| node.readiness == Readiness::Ready);
    match Permits::of_plan(&plan.drain).filter(pod, inventory) {
        Filtered::Lacks(PodConsent::NoDaemonSet(_)) => None,
        Filtered::Lacks(consent) => stays.then_some(Consent::Pod(consent)),
        Filtered::Leaves(_) | Filtered::Stays(_) => None,
    }
}

fn guest(
    plan: &MaintenancePlanSpec,
    inventory: &Inventory,
    pod: &Pod,
    vmi: &VirtualMachineInstance,
    lacks: Option<Consent>,
) -> Leaving {
    let policy = &plan.virtual_machines;
    let fate = fate(inventory, pod);
    let is_settled = is_settled(inventory, vmi);
    let refused = consent::lacks_for_guest(policy, &fate).filter(|_| is_settled).map(Consent::Guest);
    let leaves =
        |way, returns| Leaving::Leaves { way, tier: 0, returns, lacks: lacks.clone().or(refused.clone()) };
    match &fate {
        // One that boots is expected to migrate once it runs; one that others must move, to be moved.
        VmFate::Migrates | VmFate::Booting | VmFate::External => leaves(Way::Migration, true),
        VmFate::ShutsDown(Comeback::ByItself) => leaves(Way::Restart, true),
        // StartAfterwards starts it where it may run then, which is not this campaign's time.
        VmFate::ShutsDown(_) => leaves(Way::Restart, false),
        VmFate::NotMigratable { comeback, .. } if consent::restarts(policy, &fate) => {
            leaves(Way::Restart, *comeback != Comeback::BareInstance)
        }
        // Nobody has said yet that it can't.
        VmFate::NotMigratable { .. } if !is_settled => leaves(Way::Migration, true),
        VmFate::NotMigratable { reason, message, .. } => {
            Leaving::Stranded { reason: reason.clone(), message: message.clone() }
        }
        VmFate::MigrationTarget | VmFate::MigrationSource | VmFate::Over => Leaving::Gone,
    }
}

/// The guest behind a pod that leaves.
pub(super) fn guest_of<'a>(inventory: &'a Inventory, pod: &Pod) -> Option<&'a VirtualMachineInstance> {
    inventory.vmi_of(pod).filter(|_| pod.is_launcher())
}
