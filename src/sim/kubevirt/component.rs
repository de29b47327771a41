//! KubeVirt's own Deployments, as far as a drain meets them: their budgets, and whether virt-api serves.

use std::time::Duration;

use super::world::{Kind, Trouble, World, is_deleting, text};
use crate::sim::json::{Value, json};
use crate::sim::store::Key;

const API: &str = "virt-api";
const GUARDED: [&str; 2] = [API, "virt-controller"];

/// The Deployment that a budget guards.
pub(super) fn guarded(budget: &Key) -> Option<Key> {
    let name = budget.name.strip_suffix("-pdb").filter(|name| GUARDED.contains(name))?;
    Some(Key::new(&budget.namespace, name))
}

/// Whether virt-api serves: the KubeVirt object doesn't say that it is down, and of its Deployment, where the cluster has one, a
/// pod is ready.
pub(super) fn serves(world: &World) -> bool {
    let down = world.installation()["metadata"]["annotations"]["sim.virtroll.dev/virt-api"] == "down";
    let ready = |deployment: &Value| deployment["status"]["readyReplicas"].as_u64().unwrap_or(0) > 0;
    let mut deployments = world.all(Kind::Component).filter(|(key, _)| key.name == API);
    !down && deployments.all(|(_, deployment)| ready(deployment))
}

/// One round of a Deployment: with two replicas or more a budget lets one go at a time.
pub(super) async fn reconcile(world: &mut World, key: &Key) -> Result<Option<Duration>, Trouble> {
    if !GUARDED.contains(&key.name.as_str()) {
        return Ok(None);
    }
    let deployment = world.get(Kind::Component, key).cloned();
    let replicas = deployment.as_ref().map_or(0, |d| d["spec"]["replicas"].as_u64().unwrap_or(1));
    let of_budget = Key::new(&key.namespace, &format!("{}-pdb", key.name));
    let budget = world.get(Kind::Budget, &of_budget).cloned();
    let Some(deployment) = deployment.filter(|d| replicas >= 2 && !is_deleting(d)) else {
        if let Some(budget) = budget {
            world.delete(Kind::Budget, &budget).await?;
        }
        return Ok(None);
    };
    let spec = json!({"minAvailable": replicas - 1, "selector": deployment["spec"]["selector"]});
    if budget.is_none() {
        let budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {
                "name": of_budget.name, "namespace": key.namespace, "labels": {"kubevirt.io": text(&deployment["metadata"]["name"])},
            },
            "spec": spec,
        });
        world.create(Kind::Budget, budget).await?;
        return Ok(None);
    }
    world
        .update(Kind::Budget, &of_budget, |budget| {
            budget["spec"]["minAvailable"] = spec["minAvailable"].clone();
            budget["spec"]["selector"] = spec["selector"].clone();
        })
        .await?;
    Ok(None)
}
