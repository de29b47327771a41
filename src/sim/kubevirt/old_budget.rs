//! KubeVirt before 1.6: a PodDisruptionBudget for each VMI that an eviction must not stop.

use std::time::Duration;

use super::conditions;
use super::world::{Kind, Object, Trouble, World, is_deleting, is_final, reference, text, uid};
use crate::sim::json::{Value, json};
use crate::sim::store::Key;

const PREFIX: &str = "kubevirt-disruption-budget-";

fn guarded(vmi: &Value) -> bool {
    let migratable = conditions::is_true(vmi, "LiveMigratable");
    let strategy = match text(&vmi["spec"]["evictionStrategy"]) {
        "LiveMigrate" | "External" => true,
        "LiveMigrateIfPossible" => migratable,
        _ => false,
    };
    strategy && !is_final(vmi) && !is_deleting(vmi)
}

fn of(world: &World, vmi: &Value) -> Vec<Object> {
    let budgets = world.owned(uid(vmi), Kind::Budget);
    budgets.filter(|b| text(&b["metadata"]["name"]).starts_with(PREFIX)).cloned().collect()
}

/// One round of a VMI's budget.
pub(super) async fn reconcile(world: &mut World, key: &Key) -> Result<Option<Duration>, Trouble> {
    let Some(vmi) = world.get(Kind::Instance, key).cloned() else { return Ok(None) };
    let budgets = of(world, &vmi);
    if !world.version().has_budgets() || !guarded(&vmi) {
        // Newer releases delete what older ones left.
        for budget in budgets.iter().filter(|b| !is_deleting(b)) {
            world.delete(Kind::Budget, budget).await?;
        }
        return Ok(None);
    }
    let migrating = world
        .migrations_of(key)
        .find(|m| !is_final(m) && !matches!(text(&m["status"]["phase"]), "" | "Pending"));
    let wanted = if migrating.is_some() { 2 } else { 1 };
    let name = migrating.map(|m| m["metadata"]["name"].clone());
    let Some(budget) = budgets.first() else {
        let budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {
                "generateName": PREFIX, "namespace": key.namespace, "ownerReferences": [reference(&vmi)],
            },
            "spec": {
                "minAvailable": 1,
                "selector": {"matchLabels": {"kubevirt.io/created-by": uid(&vmi)}},
            },
        });
        world.create(Kind::Budget, budget).await?;
        return Ok(None);
    };
    world
        .update(Kind::Budget, &Key::of(budget), |budget| {
            budget["spec"]["minAvailable"] = json!(wanted);
            match name {
                Some(name) => budget["metadata"]["labels"]["kubevirt.io/migrationName"] = name,
                None => {
                    budget["metadata"]["labels"]
                        .as_object_mut()
                        .map(|l| l.remove("kubevirt.io/migrationName"));
                }
            }
        })
        .await?;
    Ok(None)
}
