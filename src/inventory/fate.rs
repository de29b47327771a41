//! What an eviction would do to the virtual machine behind a launcher pod, read from KubeVirt's objects.
//!
//! The decision order is that of KubeVirt's eviction webhook (strategy, migratability, mark, node), so that what is said
//! beforehand is what the webhook will answer.

use super::{Condition, Inventory, ObjectName, Pod, RunStrategy, VirtualMachineInstance, VmiPhase};

/// What happens to a VM that is shut down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comeback {
    /// A VirtualMachine with run strategy Always, or a replica set, starts it again by itself.
    ByItself,
    /// A bare VMI: nothing starts it again.
    BareInstance,
    /// Its VirtualMachine's run strategy leaves it off after an orderly shutdown.
    StaysOff(RunStrategy),
}

/// What an eviction does to a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VmFate {
    /// It live-migrates.
    Migrates,
    /// It should migrate but can't: condition `LiveMigratable=False` with this reason and message.
    NotMigratable {
        /// Reason of the condition.
        reason: String,
        /// Message of the condition.
        message: String,
        /// What a restart would come to.
        comeback: Comeback,
    },
    /// It should migrate, and whether it can isn't known before the guest has booted.
    Booting,
    /// Eviction strategy `External`: an outside controller must move it.
    External,
    /// It is shut down gracefully.
    ShutsDown(Comeback),
    /// The pod is the target of a migration under way (or the VM just arrived and its source pod is ending).
    MigrationTarget,
    /// The pod is the source that a VM has just left; it ends by itself.
    MigrationSource,
    /// Nothing runs: the VMI is gone or final.
    Over,
}

/// Works out the fate of the VM behind a launcher pod.
pub fn fate(inventory: &Inventory, pod: &Pod) -> VmFate {
    if pod.phase.is_terminal() {
        return VmFate::Over;
    }
    let Some(vmi) = inventory.vmi_of(pod) else {
        return VmFate::Over;
    };
    if vmi.phase.is_final() {
        return VmFate::Over;
    }
    if let Some(fate) = elsewhere(inventory, pod, vmi) {
        return fate;
    }
    let migratable = vmi.live_migratable();
    let can_migrate = migratable.is_some_and(|c| c.status == "True");
    match strategy(inventory, vmi) {
        Some("LiveMigrate") if can_migrate => VmFate::Migrates,
        Some("LiveMigrate") => not_migratable(migratable, vmi.phase, comeback(inventory, vmi)),
        Some("LiveMigrateIfPossible") if can_migrate => VmFate::Migrates,
        Some("LiveMigrateIfPossible") if migratable.is_none() && vmi.phase != VmiPhase::Running => {
            VmFate::Booting
        }
        Some("External") => VmFate::External,
        _ => VmFate::ShutsDown(comeback(inventory, vmi)),
    }
}

fn strategy<'a>(inventory: &'a Inventory, vmi: &'a VirtualMachineInstance) -> Option<&'a str> {
    let cluster_wide = inventory.kubevirt.as_ref().and_then(|k| k.eviction_strategy.as_deref());
    vmi.eviction_strategy.as_deref().or(cluster_wide)
}

/// False if the fate of a VM may become another one by itself: it is on its way out or to another node, is to be off, runs once only, or
/// ought to migrate and nobody has said yet of its running guest whether it can.
pub fn is_settled(inventory: &Inventory, vmi: &VirtualMachineInstance) -> bool {
    let would_migrate = matches!(strategy(inventory, vmi), Some("LiveMigrate" | "LiveMigrateIfPossible"));
    let is_known = vmi.phase == VmiPhase::Running && vmi.live_migratable().is_some();
    let ends = Comeback::StaysOff(RunStrategy::Halted);
    let may_end = Comeback::StaysOff(RunStrategy::Once);
    let is_to_end = vmi.deleting || [ends, may_end].contains(&comeback(inventory, vmi));
    let moves = inventory.migrations_of(&vmi.name).any(|m| !m.is_final());
    !is_to_end && !moves && (is_known || !would_migrate)
}

/// A pod that isn't where its VMI runs: a target before the handoff's end, or a source after it.
fn elsewhere(inventory: &Inventory, pod: &Pod, vmi: &VirtualMachineInstance) -> Option<VmFate> {
    let runs_here = vmi.node.is_none() || vmi.node == pod.node;
    let target_of =
        pod.migration_uid().and_then(|uid| inventory.migrations_of(&vmi.name).find(|m| m.uid == uid));
    match target_of {
        // The label outlives the migration: only an unfinished one makes the pod a target.
        Some(migration) if !migration.is_final() => Some(VmFate::MigrationTarget),
        _ if runs_here => None,
        // The guest came here by an earlier migration and has moved on, or it never came: the pod ends by itself.
        Some(_) | None => Some(VmFate::MigrationSource),
    }
}

fn not_migratable(condition: Option<&Condition>, phase: VmiPhase, comeback: Comeback) -> VmFate {
    match condition {
        Some(c) => VmFate::NotMigratable { reason: c.reason.clone(), message: c.message.clone(), comeback },
        None if phase == VmiPhase::Running => VmFate::NotMigratable {
            reason: "Unknown".to_owned(),
            message: "virt-handler has not said yet whether it can".to_owned(),
            comeback,
        },
        None => VmFate::Booting,
    }
}

/// Whether a VM that is shut down comes back by itself.
pub fn comeback(inventory: &Inventory, vmi: &VirtualMachineInstance) -> Comeback {
    match vmi.controller.as_ref().map(|o| o.kind.as_str()) {
        Some("VirtualMachine") => {
            let name = vmi.controller.as_ref().map_or("", |o| o.name.as_str());
            let vm = inventory.vm(&ObjectName::new(&vmi.name.namespace, name));
            match vm.map(|vm| vm.run_strategy) {
                Some(RunStrategy::Always) => Comeback::ByItself,
                Some(other) => Comeback::StaysOff(other),
                // The VirtualMachine isn't there: nothing will start it.
                None => Comeback::BareInstance,
            }
        }
        Some("VirtualMachineInstanceReplicaSet" | "VirtualMachinePool") => Comeback::ByItself,
        _ => Comeback::BareInstance,
    }
}

/// What an operator can do about a VM that can't migrate, by the reason that KubeVirt gives.
pub fn remedy(reason: &str) -> &'static str {
    match reason {
        "InterfaceNotLiveMigratable" => {
            "give its pod-network interface the masquerade binding (a VMI that names no interface gets bridge, which does not migrate)"
        }
        "DisksNotLiveMigratable" => "move its disks to ReadWriteMany volumes",
        "HostDeviceNotLiveMigratable" => "detach the host device or GPU",
        "CPUModeLiveMigratable" => "choose a CPU model that other nodes have instead of host-model",
        _ => "stop it beforehand, set evictionStrategy: None",
    }
}
