//! Whether a node can be powered off without harm: what still stands against it, in words.

use std::collections::BTreeSet;

use crate::inventory::{Inventory, Pod, VirtualMachineInstance};
use crate::plan::v1alpha1::Scope;

/// What stands against powering the node off; empty when it is safe.
///
/// With either scope: launcher and volume-attachment pods that have not ended (migration targets included), and VMIs that
/// report the node or are on their way to it. With [`Scope::AllPods`] also every other pod that has not ended, but for
/// DaemonSet and mirror pods. Volumes still attached count unless a pod that may stay can explain them: attachments name
/// PersistentVolumes and pods name claims, so only their numbers are compared.
pub fn blockers(inventory: &Inventory, node: &str, scope: Scope) -> Vec<String> {
    let mut found = Vec::new();
    let mut volumes_of_staying = 0;
    let mut shown = BTreeSet::new();
    for pod in inventory.pods_on(node).filter(|p| !p.phase.is_terminal() && !p.is_of_hook()) {
        if pod.is_launcher() || pod.is_hotplug() {
            shown.extend(inventory.vmi_of(pod).map(|vmi| vmi.name.clone()));
            found.push(vm_pod_text(inventory, pod));
        } else if scope == Scope::AllPods && !pod.is_owned_by("DaemonSet") && !pod.is_mirror {
            let state = if pod.deletion.is_some() { "is still shutting down" } else { "is still running" };
            found.push(format!("pod {} {state}", pod.name));
        } else {
            volumes_of_staying += pod.claims.len();
        }
    }
    // A VM whose pod stands above needn't be told twice.
    let not_shown = |v: &&VirtualMachineInstance| !v.phase.is_final() && !shown.contains(&v.name);
    for vmi in inventory.vmis_on(node).filter(not_shown) {
        found.push(format!("vm {} still reports this node", vmi.name));
    }
    let inbound =
        inventory.vmis_bound_for(node).filter(not_shown).filter(|v| v.node.as_deref() != Some(node));
    found.extend(inbound.map(|vmi| format!("vm {} is migrating to this node", vmi.name)));
    let attached: Vec<_> = inventory.attachments_on(node).filter(|a| a.attached).collect();
    if attached.len() > volumes_of_staying {
        found.extend(attached.iter().map(|a| format!("volume {} is still attached", a.volume)));
    }
    found
}

fn vm_pod_text(inventory: &Inventory, pod: &Pod) -> String {
    let vm = inventory.vmi_of(pod).map(|v| format!(" of vm {}", v.name)).unwrap_or_default();
    let state = match (pod.migration_uid(), pod.deletion.is_some()) {
        (_, true) => "is still shutting down",
        (Some(_), false) if inventory.vmi_of(pod).is_some_and(|v| v.node != pod.node) => {
            "is a migration target"
        }
        (_, false) => "is still running",
    };
    format!("pod {}{vm} {state}", pod.name)
}
