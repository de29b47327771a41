//! What takes the plan's consent before a pod may leave its node. The drain asks it when a node's turn comes, the proofs of a
//! conflict before anything is touched: one rule, so that what is proven beforehand is what would be refused then.

use crate::inventory::{Comeback, Inventory, ObjectName, Pod, RunStrategy, VmFate};
use crate::plan::v1alpha1::{Drain, ExternalPolicy, NonMigratable, ShutDown, StaysOff, VirtualMachines};

/// Something that a drain does to a pod, and that somebody must have consented to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodConsent {
    /// Pods of a DaemonSet are left where they are.
    IgnoreDaemonSet,
    /// A pod goes whose DaemonSet, of this name, isn't there any more.
    NoDaemonSet(String),
    /// Data in an emptyDir volume is lost.
    DeleteEmptyDirData,
    /// A pod that no controller starts anew is lost.
    NoController,
}

/// Something that a drain does to a guest, and that the plan must have consented to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestConsent {
    /// A guest that ought to migrate and can't is shut down.
    NotMigratable,
    /// A guest waits for an outside controller that moves it.
    External,
    /// A guest is shut down, and comes back by itself.
    ShutDown,
    /// A bare instance is shut down, and nothing starts it again.
    BareInstance,
    /// A guest is shut down, and its run strategy leaves it off.
    StaysOff(RunStrategy),
}

/// Either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consent {
    /// To what happens to a pod.
    Pod(PodConsent),
    /// To what happens to a guest.
    Guest(GuestConsent),
}

impl Consent {
    /// The setting of the plan that gives it.
    pub fn setting(&self) -> Setting {
        match self {
            Self::Pod(PodConsent::IgnoreDaemonSet) => Setting::IgnoreDaemonSets,
            Self::Pod(PodConsent::DeleteEmptyDirData) => Setting::DeleteEmptyDirData,
            Self::Pod(PodConsent::NoDaemonSet(_) | PodConsent::NoController) => Setting::Force,
            Self::Guest(GuestConsent::NotMigratable) => Setting::NonMigratable,
            Self::Guest(GuestConsent::External) => Setting::External,
            Self::Guest(GuestConsent::ShutDown) => Setting::ShutDown,
            Self::Guest(GuestConsent::BareInstance | GuestConsent::StaysOff(_)) => Setting::StaysOff,
        }
    }
}

/// A setting of the plan by which it consents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// `drain.ignoreDaemonSets`.
    IgnoreDaemonSets,
    /// `drain.deleteEmptyDirData`.
    DeleteEmptyDirData,
    /// `drain.force`.
    Force,
    /// `virtualMachines.nonMigratable`.
    NonMigratable,
    /// `virtualMachines.external`.
    External,
    /// `virtualMachines.shutDown`.
    ShutDown,
    /// `virtualMachines.staysOff`.
    StaysOff,
}

impl Setting {
    /// All of them, each at its own number.
    pub const ALL: [Self; 7] = [
        Self::IgnoreDaemonSets,
        Self::DeleteEmptyDirData,
        Self::Force,
        Self::NonMigratable,
        Self::External,
        Self::ShutDown,
        Self::StaysOff,
    ];

    /// The field of the plan.
    pub fn field(self) -> &'static str {
        match self {
            Self::IgnoreDaemonSets => "spec.drain.ignoreDaemonSets",
            Self::DeleteEmptyDirData => "spec.drain.deleteEmptyDirData",
            Self::Force => "spec.drain.force",
            Self::NonMigratable => "spec.virtualMachines.nonMigratable",
            Self::External => "spec.virtualMachines.external",
            Self::ShutDown => "spec.virtualMachines.shutDown",
            Self::StaysOff => "spec.virtualMachines.staysOff",
        }
    }
}

/// What kubectl's filters make of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filtered {
    /// It has to leave, possibly by a consent that kubectl warns of.
    Leaves(Option<PodConsent>),
    /// It stays, possibly by a consent.
    Stays(Option<PodConsent>),
    /// The drain may not begin: this consent isn't given.
    Lacks(PodConsent),
}

/// What is consented to for pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permits {
    /// Leave DaemonSet-managed pods.
    pub ignore_daemon_sets: bool,
    /// Allow the loss of emptyDir volumes.
    pub delete_empty_dir_data: bool,
    /// Allow the loss of pods without a controller.
    pub force: bool,
    /// For guests, a plan's own consents count, and not what their launchers look like to kubectl.
    pub guests_by_plan: bool,
}

impl Permits {
    /// Those of a plan.
    pub fn of_plan(drain: &Drain) -> Self {
        Self {
            ignore_daemon_sets: drain.ignore_daemon_sets,
            delete_empty_dir_data: drain.delete_empty_dir_data,
            force: drain.force,
            guests_by_plan: true,
        }
    }

    /// kubectl's filters, in kubectl's order.
    pub fn filter(&self, pod: &Pod, inventory: &Inventory) -> Filtered {
        let mut consent = None;
        match self.daemon_set(pod, inventory) {
            Filtered::Leaves(by) => consent = by.or(consent),
            other => return other,
        }
        let finished = pod.phase.is_terminal();
        // A finished launcher is what a VM left behind: KubeVirt clears it away, and an eviction would only be one request more.
        if pod.is_mirror || guards_running_guest(pod) || (finished && pod.is_launcher()) {
            return Filtered::Stays(None);
        }
        // A launcher's scratch space holds nothing to lose; in a campaign the plan's consents say what may happen to its VM.
        let by_plan = self.guests_by_plan && pod.is_launcher();
        if !finished && pod.has_empty_dir && !by_plan {
            if !self.delete_empty_dir_data {
                return Filtered::Lacks(PodConsent::DeleteEmptyDirData);
            }
            consent = Some(PodConsent::DeleteEmptyDirData);
        }
        if !finished && pod.controller.is_none() {
            if !self.force {
                return Filtered::Lacks(PodConsent::NoController);
            }
            consent = Some(PodConsent::NoController);
        }
        Filtered::Leaves(consent)
    }

    fn daemon_set(&self, pod: &Pod, inventory: &Inventory) -> Filtered {
        let owner = pod.controller.as_ref().filter(|o| o.kind == "DaemonSet" && !pod.phase.is_terminal());
        let Some(owner) = owner else { return Filtered::Leaves(None) };
        if inventory.daemon_set(&ObjectName::new(&pod.name.namespace, &owner.name)).is_none() {
            let gone = PodConsent::NoDaemonSet(owner.name.clone());
            return if self.force { Filtered::Leaves(Some(gone)) } else { Filtered::Lacks(gone) };
        }
        if self.ignore_daemon_sets {
            Filtered::Stays(Some(PodConsent::IgnoreDaemonSet))
        } else {
            Filtered::Lacks(PodConsent::IgnoreDaemonSet)
        }
    }
}

/// A KubeVirt volume-attachment pod leaves together with its launcher. Evicting it earlier is refused by newer
/// webhooks, and older ones let it happen and the guest gets I/O errors.
fn guards_running_guest(pod: &Pod) -> bool {
    pod.is_hotplug() && !pod.phase.is_terminal()
}

/// The consent that a plan doesn't give to what an eviction does to a guest; `None` if it gives it (or lets it wait).
pub fn lacks_for_guest(policy: &VirtualMachines, fate: &VmFate) -> Option<GuestConsent> {
    let (is_lacking, consent) = match fate {
        VmFate::NotMigratable { .. } => {
            let loses = policy.non_migratable == NonMigratable::Restart && !restarts(policy, fate);
            (policy.non_migratable == NonMigratable::Fail || loses, GuestConsent::NotMigratable)
        }
        VmFate::External => (policy.external == ExternalPolicy::Fail, GuestConsent::External),
        VmFate::ShutsDown(Comeback::ByItself) => (policy.shut_down == ShutDown::Fail, GuestConsent::ShutDown),
        VmFate::ShutsDown(Comeback::BareInstance) => {
            (policy.stays_off != StaysOff::Allow, GuestConsent::BareInstance)
        }
        VmFate::ShutsDown(Comeback::StaysOff(strategy)) => {
            (policy.stays_off == StaysOff::Fail, GuestConsent::StaysOff(*strategy))
        }
        VmFate::Migrates
        | VmFate::Booting
        | VmFate::MigrationTarget
        | VmFate::MigrationSource
        | VmFate::Over => return None,
    };
    is_lacking.then_some(consent)
}

/// True if the plan has a VM of this fate restarted. A bare instance would not come back, which takes consent to that.
pub fn restarts(policy: &VirtualMachines, fate: &VmFate) -> bool {
    let VmFate::NotMigratable { comeback, .. } = fate else { return false };
    let lost = *comeback == Comeback::BareInstance && policy.stays_off != StaysOff::Allow;
    policy.non_migratable == NonMigratable::Restart && !lost
}
