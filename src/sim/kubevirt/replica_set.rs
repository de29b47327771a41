//! The controller of VirtualMachineInstanceReplicaSets.

use std::time::Duration;

use super::conditions;
use super::world::{Kind, Object, Trouble, World, is_deleting, is_final, reference, uid};
use crate::sim::json::{Value, json};
use crate::sim::store::Key;

/// At most so many VMIs are made or deleted in one pass.
const BURST: usize = 250;

/// Counts towards the replicas: not final, not going, and its pod not terminating.
fn is_active(vmi: &Value) -> bool {
    let terminating = conditions::get(vmi, "Ready")
        .is_some_and(|c| c["status"] == "False" && c["reason"] == "PodTerminating");
    !is_final(vmi) && !is_deleting(vmi) && !terminating
}

/// One round of a replica set.
pub(super) async fn reconcile(world: &mut World, key: &Key) -> Result<Option<Duration>, Trouble> {
    let Some(set) = world.get(Kind::ReplicaSet, key).cloned() else { return Ok(None) };
    let vmis: Vec<Object> = world.owned(uid(&set), Kind::Instance).cloned().collect();
    let paused = set["spec"]["paused"] == true;
    if !is_deleting(&set) && !paused {
        scale(world, &set, &vmis).await?;
    }
    let vmis: Vec<Object> = world.owned(uid(&set), Kind::Instance).cloned().collect();
    let active = vmis.iter().filter(|v| is_active(v)).count();
    let ready = vmis.iter().filter(|v| is_active(v) && conditions::is_true(v, "Ready")).count();
    world
        .update(Kind::ReplicaSet, key, |set| {
            set["status"]["replicas"] = json!(active);
            set["status"]["readyReplicas"] = json!(ready);
        })
        .await?;
    Ok(None)
}

async fn scale(world: &mut World, set: &Object, vmis: &[Object]) -> Result<(), Trouble> {
    // Whatever no longer counts goes, even while its guest is still shutting down.
    let spent: Vec<&Object> = vmis.iter().filter(|v| !is_active(v) && !is_deleting(v)).collect();
    for vmi in spent.iter().take(BURST) {
        world
            .event(
                set,
                "Normal",
                "SuccessfulDelete",
                &format!(
                    "Deleted finished virtual machine {}",
                    vmi["metadata"]["name"].as_str().unwrap_or_default()
                ),
            )
            .await;
        world.delete(Kind::Instance, vmi).await?;
    }
    let wanted = usize::try_from(set["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap_or(0);
    let active: Vec<&Object> = vmis.iter().filter(|v| is_active(v)).collect();
    for _ in active.len()..wanted.min(active.len() + BURST) {
        let template = &set["spec"]["template"];
        let mut metadata = template["metadata"].clone();
        if !metadata.is_object() {
            metadata = json!({});
        }
        metadata.as_object_mut().map(|m| m.remove("name"));
        metadata["generateName"] = json!(set["metadata"]["name"].as_str().unwrap_or_default());
        metadata["namespace"] = set["metadata"]["namespace"].clone();
        metadata["ownerReferences"] = json!([reference(set)]);
        let vmi = json!({
            "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
            "metadata": metadata, "spec": template["spec"],
        });
        world.create(Kind::Instance, vmi).await?;
    }
    for vmi in active.iter().skip(wanted).take(BURST) {
        world.delete(Kind::Instance, vmi).await?;
    }
    Ok(())
}
