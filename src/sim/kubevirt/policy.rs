//! The settings of a migration: those of the KubeVirt object, overridden by the MigrationPolicy that fits best.

use std::cmp::Reverse;

use super::evacuation::DRAIN_TAINT;
use super::world::{Kind, World, text};
use crate::sim::json::{Value, json};
use crate::sim::store::Key;

const OVERRIDES: [&str; 5] = [
    "bandwidthPerMigration",
    "completionTimeoutPerGiB",
    "allowPostCopy",
    "allowWorkloadDisruption",
    "allowAutoConverge",
];

/// How many labels of a selector there are, if all are among `labels`. No selector has none.
fn matched(selector: &Value, labels: &Value) -> Option<usize> {
    let Some(wanted) = selector.as_object() else { return Some(0) };
    wanted.iter().all(|(key, value)| labels[key] == *value).then_some(wanted.len())
}

/// How well a policy fits: by how many labels, and how many of them are the VMI's own.
fn fit(policy: &Value, vmi: &Value, namespace: &Value) -> Option<(usize, usize)> {
    let selectors = &policy["spec"]["selectors"];
    let own = matched(&selectors["virtualMachineInstanceSelector"], &vmi["metadata"]["labels"])?;
    let of_namespace = matched(&selectors["namespaceSelector"], &namespace["metadata"]["labels"])?;
    (own + of_namespace > 0).then_some((own + of_namespace, own))
}

/// The policy that fits best: by most labels, then by most of the VMI's own, then the first by name.
fn best<'a>(world: &'a World, vmi: &Value) -> Option<&'a Value> {
    static NONE: Value = Value::Null;
    let key = Key::new("", text(&vmi["metadata"]["namespace"]));
    let namespace = world.get(Kind::Namespace, &key).map_or(&NONE, |n| n);
    let fitting = world.all(Kind::Policy).filter_map(|(key, policy)| {
        let fit = fit(policy, vmi, namespace)?;
        Some(((fit, Reverse(key.name.clone())), &**policy))
    });
    fitting.max_by(|one, other| one.0.cmp(&other.0)).map(|(_, policy)| policy)
}

/// The settings in force for a migration of this VMI, as its state shows them.
pub(super) fn resolve(world: &World, vmi: &Value) -> Value {
    let configured = &world.configuration()["migrations"];
    let number = |field, default| world.migration_limit(field, default);
    let mut settings = json!({
        "nodeDrainTaintKey": configured["nodeDrainTaintKey"].as_str().unwrap_or(DRAIN_TAINT),
        "parallelMigrationsPerCluster": number("parallelMigrationsPerCluster", 5),
        "parallelOutboundMigrationsPerNode": number("parallelOutboundMigrationsPerNode", 2),
        "bandwidthPerMigration": configured["bandwidthPerMigration"].as_str().unwrap_or("0"),
        "completionTimeoutPerGiB":
            number("completionTimeoutPerGiB", world.version().completion_timeout_per_gib()),
        "progressTimeout": number("progressTimeout", 150),
        "allowPostCopy": configured["allowPostCopy"] == true,
        "allowWorkloadDisruption": configured["allowWorkloadDisruption"] == true,
        "allowAutoConverge": configured["allowAutoConverge"] == true,
    });
    if let Some(policy) = best(world, vmi) {
        for field in OVERRIDES {
            if !policy["spec"][field].is_null() {
                settings[field] = policy["spec"][field].clone();
            }
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_fits_by_all_its_labels() {
        let vmi = json!({"metadata": {"labels": {"team": "blue", "size": "big"}}});
        let namespace = json!({"metadata": {"labels": {"stage": "test"}}});
        for (selectors, expected) in [
            (json!({}), None),
            (json!({"virtualMachineInstanceSelector": {}}), None),
            (json!({"virtualMachineInstanceSelector": {"team": "blue"}}), Some((1, 1))),
            (json!({"virtualMachineInstanceSelector": {"team": "red"}}), None),
            (json!({"namespaceSelector": {"stage": "test"}}), Some((1, 0))),
            (json!({"namespaceSelector": {"stage": "live"}}), None),
            (
                json!({"virtualMachineInstanceSelector": {"team": "blue"}, "namespaceSelector": {"stage": "test"}}),
                Some((2, 1)),
            ),
            (
                json!({"virtualMachineInstanceSelector": {"team": "blue"}, "namespaceSelector": {"stage": "live"}}),
                None,
            ),
        ] {
            assert_eq!(
                fit(&json!({"spec": {"selectors": selectors}}), &vmi, &namespace),
                expected,
                "{selectors}"
            );
        }
    }
}
