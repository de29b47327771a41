//! Deployments: rolling updates within maxSurge and maxUnavailable, or Recreate.

use serde_json::{Value, json};

use super::pods;
use crate::sim::scheduler::set_condition;
use crate::sim::store::{Key, Object, Store, mix_text};

const HASH: &str = "pod-template-hash";

/// The hash that tells one pod template from another.
fn template_hash(template: &Value) -> String {
    format!("{:010x}", mix_text(0, &[&template.to_string()]) & 0xff_ffff_ffff)
}

/// One round of a deployment.
pub(super) fn reconcile(store: &mut Store, key: &Key) {
    let Some(deployment) = store.get_key("deployments.apps", key).cloned() else {
        return;
    };
    if !deployment["metadata"]["deletionTimestamp"].is_null() {
        return;
    }
    let hash = current_hash(store, &deployment);
    let name = format!("{}-{hash}", key.name);
    let new_key = Key::new(&key.namespace, &name);
    if store.get_key("replicasets.apps", &new_key).is_none() {
        create_set(store, &deployment, &name, &hash);
    }
    if deployment["spec"]["paused"] != true {
        roll(store, &deployment, &new_key);
    }
    report(store, key, &new_key, &deployment);
}

/// The hash of the set that has this very template (a dump's sets have hashes of the real controller's), else a new one.
/// Among several sets with it the newest revision is the one that the Deployment uses.
fn current_hash(store: &Store, deployment: &Value) -> String {
    let wanted = comparable(&deployment["spec"]["template"]);
    let matching =
        sets(store, deployment).into_iter().filter(|set| comparable(&set["spec"]["template"]) == wanted);
    let revision = |set: &Object| {
        set["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
            .as_str()
            .and_then(|r| r.parse::<u64>().ok())
    };
    let newest = matching.max_by_key(revision);
    let known = newest.and_then(|set| set["metadata"]["labels"][HASH].as_str().map(str::to_owned));
    known.unwrap_or_else(|| template_hash(&deployment["spec"]["template"]))
}

/// A template without the hash of its set, as the API server compares: an absent map or list is an empty one.
fn comparable(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH);
    }
    for map in ["labels", "annotations"] {
        if template["metadata"][map].as_object().is_some_and(serde_json::Map::is_empty) {
            template["metadata"][map] = Value::Null;
        }
    }
    drop_absent(&mut template);
    template
}

fn drop_absent(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(drop_absent);
            fields.retain(|_, v| !v.is_null() && v.as_array().is_none_or(|list| !list.is_empty()));
        }
        Value::Array(items) => items.iter_mut().for_each(drop_absent),
        _ => {}
    }
}

fn sets(store: &Store, deployment: &Value) -> Vec<Object> {
    let uid = deployment["metadata"]["uid"].as_str().unwrap_or_default();
    store.owned_by(uid, "replicasets.apps").cloned().collect()
}

fn create_set(store: &mut Store, deployment: &Value, name: &str, hash: &str) {
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"][HASH] = json!(hash);
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"][HASH] = json!(hash);
    let revision = sets(store, deployment).len() + 1;
    let set = json!({
        "metadata": {
            "name": name, "namespace": deployment["metadata"]["namespace"], "labels": template["metadata"]["labels"],
            "annotations": {"deployment.kubernetes.io/revision": revision.to_string()},
            "ownerReferences": [pods::reference(deployment)],
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    });
    let _ = store.create("replicasets.apps", set);
}

fn count(set: &Value, field: &str) -> i64 {
    set["status"][field].as_i64().unwrap_or(0)
}

fn scale(store: &mut Store, set: &Value, replicas: i64) {
    store.modify("replicasets.apps", &Key::of(set), |set| set["spec"]["replicas"] = json!(replicas.max(0)));
}

fn roll(store: &mut Store, deployment: &Value, new_key: &Key) {
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let all = sets(store, deployment);
    let Some(new) = all.iter().find(|s| Key::of(s) == *new_key).cloned() else {
        return;
    };
    let old: Vec<&Object> = all.iter().filter(|s| Key::of(s) != *new_key).collect();
    let asked = |set: &Value| set["spec"]["replicas"].as_i64().unwrap_or(0);
    if deployment["spec"]["strategy"]["type"] == "Recreate" {
        for set in &old {
            scale(store, set, 0);
        }
        if old.iter().all(|s| count(s, "replicas") == 0) {
            scale(store, &new, wanted);
        }
        return;
    }
    let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
    let mut surge = pods::scaled(&rolling["maxSurge"], wanted, true);
    let unavailable = pods::scaled(&rolling["maxUnavailable"], wanted, false);
    if surge == 0 && unavailable == 0 {
        surge = 1;
    }
    let total: i64 = all.iter().map(|s| asked(s)).sum();
    if asked(&new) > wanted {
        scale(store, &new, wanted);
    } else if asked(&new) < wanted {
        let room = (wanted + surge - total).max(0);
        scale(store, &new, (asked(&new) + room).min(wanted));
    }
    let available: i64 = all.iter().map(|s| count(s, "availableReplicas")).sum();
    // Pods of old sets that aren't available may go at once; of the others only as many as stay above the minimum.
    let mut spare = available - (wanted - unavailable);
    for set in old {
        let unready = asked(set) - count(set, "availableReplicas");
        let going = (unready.max(0) + spare.max(0)).min(asked(set));
        if going > 0 {
            spare -= (going - unready.max(0)).max(0);
            scale(store, set, asked(set) - going);
        }
    }
}

fn report(store: &mut Store, key: &Key, new_key: &Key, deployment: &Value) {
    let all = sets(store, deployment);
    let sum = |field: &str| all.iter().map(|s| count(s, field)).sum::<i64>();
    let updated = store.get_key("replicasets.apps", new_key).map_or(0, |s| count(s, "replicas"));
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let (replicas, ready, available) = (sum("replicas"), sum("readyReplicas"), sum("availableReplicas"));
    let most =
        pods::scaled(&deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], wanted, false);
    let now = store.clock().now_text();
    store.modify("deployments.apps", key, |deployment| {
        let conditions = deployment["status"]["conditions"].clone();
        deployment["status"] = json!({
            "observedGeneration": deployment["metadata"]["generation"], "replicas": replicas, "readyReplicas": ready,
            "availableReplicas": available, "updatedReplicas": updated, "unavailableReplicas": (wanted - available).max(0),
        });
        if conditions.is_array() {
            deployment["status"]["conditions"] = conditions;
        }
        let status = &mut deployment["status"];
        let enough = available >= wanted - most;
        let (value, reason) =
            if enough { ("True", "MinimumReplicasAvailable") } else { ("False", "MinimumReplicasUnavailable") };
        set_condition(status, "Available", value, reason, "", &now);
        let done = updated == wanted && available == wanted && replicas == wanted;
        let reason = if done { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" };
        set_condition(status, "Progressing", "True", reason, "", &now);
    });
}
