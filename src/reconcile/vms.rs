//! The record of each VM: moves and outcome, folded from what is observed.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::inventory::{Inventory, ObjectName, VirtualMachineInstance};
use crate::plan::v1alpha1::{CampaignVm, MaintenanceCampaignStatus, VmOutcome};
use crate::reconcile::View;

/// A VM that was shut down is waited for so long after the last node: guests that wait for room, or for KubeVirt's own
/// backoff of up to five minutes, are back by then.
pub(super) const COMEBACK: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// Brings the record of the campaign's VMs up to what is observed. Level-triggered: what happened while nobody drove is
/// seen from the UID and node that were recorded last.
///
/// The record is in the order of namespaces and names. What it was recorded with already isn't looked at again.
pub(super) fn fold(view: &View<'_>, status: &mut MaintenanceCampaignStatus) {
    let recorded = view.ledger.guests_recorded;
    let mut nodes: Option<BTreeSet<&str>> = None;
    let mut is_due = |vmi: &VirtualMachineInstance| {
        let nodes = nodes.get_or_insert_with(|| view.nodes().map(|(_, node)| node).collect());
        vmi.node.as_deref().is_some_and(|node| nodes.contains(node))
    };
    if recorded == 0 {
        // Some may have gone before this driver saw the first of them.
        for record in &mut status.virtual_machines {
            if present(view.inventory, &ObjectName::new(&record.namespace, &record.name)).is_none() {
                ended(view.inventory, record);
            }
        }
    }
    let mut added = Vec::new();
    for name in view.inventory.guests_changed_after(recorded) {
        let known = status
            .virtual_machines
            .binary_search_by(|record| (record.namespace.as_str(), record.name.as_str()).cmp(&name.parts()));
        match (known, present(view.inventory, name)) {
            (Ok(at), Some(vmi)) if !is_as_recorded(&status.virtual_machines[at], vmi) => {
                follow(Arc::make_mut(&mut status.virtual_machines[at]), vmi);
            }
            (Ok(at), None) => ended(view.inventory, &mut status.virtual_machines[at]),
            (Err(_), Some(vmi)) if is_due(vmi) => added.push(begin(vmi)),
            (Ok(_) | Err(_), _) => {}
        }
    }
    if !added.is_empty() {
        status.virtual_machines.extend(added.into_iter().map(Arc::new));
        status.virtual_machines.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    }
}

/// The VMI of that name, unless it is over.
fn present<'a>(inventory: &'a Inventory, name: &ObjectName) -> Option<&'a VirtualMachineInstance> {
    inventory.vmi(name).filter(|vmi| !vmi.phase.is_final())
}

fn is_as_recorded(record: &CampaignVm, vmi: &VirtualMachineInstance) -> bool {
    vmi.uid == record.uid && (vmi.node.is_none() || vmi.node == record.node)
}

/// VMs that the campaign stopped, that come back by themselves, and that don't run yet.
pub(super) fn awaited(view: &View<'_>, status: &MaintenanceCampaignStatus) -> Vec<ObjectName> {
    let touched = status
        .virtual_machines
        .iter()
        .filter(|v| matches!(v.outcome, VmOutcome::Stopped | VmOutcome::Restarted) && !v.replica);
    let names = touched.map(|v| ObjectName::new(&v.namespace, &v.name));
    let comes_back = |name: &ObjectName| {
        let vm = view.inventory.vm(name);
        vm.is_some_and(|vm| vm.run_strategy == crate::inventory::RunStrategy::Always)
    };
    let runs = |name: &ObjectName| {
        view.inventory.vmi(name).is_some_and(|v| v.phase == crate::inventory::VmiPhase::Running)
    };
    names.filter(|name| comes_back(name) && !runs(name)).collect()
}

fn begin(vmi: &VirtualMachineInstance) -> CampaignVm {
    CampaignVm {
        namespace: vmi.name.namespace.clone(),
        name: vmi.name.name.clone(),
        uid: vmi.uid.clone(),
        node: vmi.node.clone(),
        replica: vmi.controller.as_ref().is_some_and(|o| o.kind == "VirtualMachineInstanceReplicaSet"),
        ..CampaignVm::default()
    }
}

fn follow(record: &mut CampaignVm, vmi: &VirtualMachineInstance) {
    // A VMI that is going will not be there long: neither a move nor a new life.
    if vmi.deleting && vmi.uid == record.uid {
        return;
    }
    if vmi.uid != record.uid {
        // Restarted counts once it has a node again.
        let Some(node) = &vmi.node else { return };
        record.uid.clone_from(&vmi.uid);
        record.outcome = VmOutcome::Restarted;
        if record.node.as_ref() != Some(node) {
            record.moves += 1;
        }
        record.node = Some(node.clone());
        return;
    }
    let Some(node) = vmi.node.as_ref().filter(|n| record.node.as_ref() != Some(*n)) else {
        return;
    };
    if record.node.is_some() {
        record.moves += 1;
        if record.outcome == VmOutcome::Untouched {
            record.outcome = VmOutcome::Migrated;
        }
    }
    record.node = Some(node.clone());
}

fn ended(inventory: &Inventory, record: &mut Arc<CampaignVm>) {
    if record.replica {
        if record.outcome != VmOutcome::Restarted {
            let record = Arc::make_mut(record);
            record.moves += 1;
            record.outcome = VmOutcome::Restarted;
        }
        return;
    }
    if record.outcome == VmOutcome::Stopped {
        return;
    }
    let name = ObjectName::new(&record.namespace, &record.name);
    let comes_back =
        inventory.vm(&name).is_some_and(|vm| vm.run_strategy == crate::inventory::RunStrategy::Always);
    // Between two lives of a VM that comes back: what it will be is known when it runs again.
    if !comes_back || record.outcome == VmOutcome::Untouched {
        Arc::make_mut(record).outcome = VmOutcome::Stopped;
    }
}
