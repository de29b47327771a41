//! The evacuation controller: a migration for each marked VMI of a node, or for all on a node with the drain taint.

use std::time::Duration;

use super::instance::{is_terminal, launchers};
use super::world::{Kind, Object, Trouble, World, is_deleting, is_final, text};
use super::{conditions, migration};
use crate::sim::json::{Value, json};
use crate::sim::store::Key;

/// KubeVirt's `nodeDrainTaintKey`, where the cluster names no other.
pub(super) const DRAIN_TAINT: &str = "kubevirt.io/drain";

/// Annotation of a VMI: who asked for its evacuation.
pub(super) const SOURCE: &str = "kubevirt.io/eviction-source";
/// The descheduler did.
pub(super) const DESCHEDULER: &str = "descheduler";

/// How the names of its migrations begin.
pub(super) const NAME: &str = "kubevirt-evacuation-";

/// The node carries this taint with effect NoSchedule.
pub(super) fn has_taint(node: &Value, key: &str) -> bool {
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    taints.into_iter().any(|t| t["key"] == key && t["effect"] == "NoSchedule")
}

fn is_tainted(world: &World, node: &Value) -> bool {
    let key = world.configuration()["migrations"]["nodeDrainTaintKey"].clone();
    has_taint(node, key.as_str().unwrap_or(DRAIN_TAINT))
}

/// One round of a node.
pub(super) async fn reconcile(world: &mut World, name: &str) -> Result<Option<Duration>, Trouble> {
    let tainted = world.node(name).is_some_and(|node| is_tainted(world, node));
    let candidates: Vec<Object> = world
        .vmis_on(name)
        .filter(|v| (tainted || wants_out(v, name)) && may_move(world, v))
        .cloned()
        .collect();
    if candidates.is_empty() {
        return Ok(None);
    }
    let gate = world.gate("MigrationPriorityQueue");
    let version = world.version();
    let room = if version.caps_creation(gate) { creation_room(world, name) } else { usize::MAX };
    let again = (candidates.len() > room).then_some(world.settings.capped_recheck);
    for vmi in candidates.into_iter().take(room) {
        let mut spec = json!({"vmiName": vmi["metadata"]["name"]});
        if version.has_priorities(gate) {
            spec["priority"] = json!(priority(&vmi));
        }
        let object = json!({
            "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration",
            "metadata": {
                "generateName": NAME, "namespace": vmi["metadata"]["namespace"],
                "annotations": {"kubevirt.io/evacuationMigration": name},
                "labels": {"kubevirt.io/vmi-name": vmi["metadata"]["name"]},
                "finalizers": [migration::FINALIZER],
            },
            "spec": spec,
        });
        world.create(Kind::Migration, object).await?;
    }
    Ok(again)
}

/// What the descheduler asks for is less urgent than a drain.
fn priority(vmi: &Value) -> &'static str {
    let source = &vmi["metadata"]["annotations"][SOURCE];
    if *source == DESCHEDULER { "system-maintenance" } else { "system-critical" }
}

fn wants_out(vmi: &Value, node: &str) -> bool {
    let status = &vmi["status"];
    let is_moving = |state: &Value| state.is_object() && state["completed"] != true;
    status["evacuationNodeName"] == node && !is_moving(&status["migrationState"])
}

fn may_move(world: &World, vmi: &Object) -> bool {
    let strategy = text(&vmi["spec"]["evictionStrategy"]);
    let unfinished = || world.migrations_of(&Key::of(vmi)).any(|m| !is_final(m));
    let running = || launchers(world, vmi).iter().filter(|p| !is_terminal(p)).count();
    matches!(strategy, "LiveMigrate" | "LiveMigrateIfPossible")
        && !is_final(vmi)
        && !is_deleting(vmi)
        && conditions::is_true(vmi, "LiveMigratable")
        && !unfinished()
        && running() <= 1
}

/// Before priorities, no more were created than could run.
fn creation_room(world: &World, node: &str) -> usize {
    let (in_all, here) = world.indexes.unfinished(node);
    let left = |field, default, used| (world.migration_limit(field, default) as usize).saturating_sub(used);
    left("parallelMigrationsPerCluster", 5, in_all).min(left("parallelOutboundMigrationsPerNode", 2, here))
}
