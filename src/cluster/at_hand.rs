//! An inventory of objects at hand: a snapshot, a dump, a made-up cluster. No watch, no client.

use serde_json::Value;

use super::{lean, wire};
use crate::inventory::{Inventory, Node, ScalableKind};

/// A Node as an inventory keeps it.
pub fn node_of(object: &Value) -> Node {
    wire::node(&lean::Value::of(object))
}

/// Reads the objects that an inventory has a place for, in any order; others are left out.
pub fn inventory_of<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Inventory {
    let mut inventory = Inventory::new();
    for object in objects {
        let kind = object["kind"].as_str().unwrap_or_default();
        let object = &lean::Value::of(object);
        match kind {
            "Node" => inventory.put_node(wire::node(object)),
            "Pod" => inventory.put_pod(wire::pod(object)),
            "PodDisruptionBudget" => inventory.put_budget(wire::budget(object)),
            "DaemonSet" => inventory.put_daemon_set(wire::daemon_set(object)),
            "Deployment" => inventory.put_scalable(wire::scalable(object, ScalableKind::Deployment)),
            "StatefulSet" => inventory.put_scalable(wire::scalable(object, ScalableKind::StatefulSet)),
            "PersistentVolume" => inventory.put_volume(wire::volume(object)),
            "VolumeAttachment" => inventory.put_attachment(wire::attachment(object)),
            "VirtualMachine" => inventory.put_vm(wire::vm(object)),
            "VirtualMachineInstance" => inventory.put_vmi(wire::vmi(object)),
            "VirtualMachineInstanceMigration" => inventory.put_migration(wire::migration(object)),
            "KubeVirt" => {
                inventory.kubevirt = Some(wire::kubevirt(object));
                true
            }
            _ => false,
        };
    }
    inventory
}
