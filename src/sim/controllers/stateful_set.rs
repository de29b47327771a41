//! StatefulSets: stable names, one after the other (or Parallel), claims from templates.

use serde_json::{Value, json};

use super::pods;
use crate::sim::store::{DeleteOptions, Key, Object, Store, mix_text};

const REVISION: &str = "controller-revision-hash";

fn revision(set: &Value) -> String {
    format!("{:010x}", mix_text(0, &[&set["spec"]["template"].to_string()]) & 0xff_ffff_ffff)
}

/// One round of a StatefulSet.
pub(super) fn reconcile(store: &mut Store, key: &Key) {
    let Some(set) = store.get_key("statefulsets.apps", key).cloned() else {
        return;
    };
    if !set["metadata"]["deletionTimestamp"].is_null() {
        return;
    }
    let wanted = set["spec"]["replicas"].as_i64().unwrap_or(1).max(0);
    let parallel = set["spec"]["podManagementPolicy"] == "Parallel";
    let revision = revision(&set);
    let mut settled = true;
    for ordinal in 0..wanted {
        let name = format!("{}-{ordinal}", key.name);
        match store.get("pods", &key.namespace, &name).cloned() {
            None => {
                create(store, &set, &name, &revision);
                settled = false;
            }
            Some(pod) if matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) => {
                let _ = store.delete("pods", &Key::of(&pod), &DeleteOptions::default());
                settled = false;
            }
            Some(pod) => settled &= pods::is_ready(&pod) && pod["metadata"]["deletionTimestamp"].is_null(),
        }
        if !settled && !parallel {
            break;
        }
    }
    shrink(store, &set, wanted, parallel);
    if settled {
        update_one(store, &set, wanted, &revision);
    }
    report(store, key, &set, &revision);
}

fn create(store: &mut Store, set: &Value, name: &str, revision: &str) {
    let mut pod = pods::from_template(set);
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = json!(name);
    pod["metadata"]["labels"][REVISION] = json!(revision);
    pod["spec"]["hostname"] = json!(name);
    let namespace = set["metadata"]["namespace"].as_str().unwrap_or_default();
    for template in set["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
        let volume = template["metadata"]["name"].as_str().unwrap_or_default();
        let claim = format!("{volume}-{name}");
        if store.get("persistentvolumeclaims", namespace, &claim).is_none() {
            let mut object = template.clone();
            object["metadata"]["name"] = json!(claim);
            object["metadata"]["namespace"] = json!(namespace);
            object["status"] = json!({"phase": "Pending"});
            let _ = store.create("persistentvolumeclaims", object);
        }
        if !pod["spec"]["volumes"].is_array() {
            pod["spec"]["volumes"] = json!([]);
        }
        if let Some(volumes) = pod["spec"]["volumes"].as_array_mut() {
            volumes.retain(|v| v["name"] != volume);
            volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claim}}));
        }
    }
    pods::create(store, pod);
}

fn ordinal(set: &Value, pod: &Object) -> Option<i64> {
    let prefix = format!("{}-", set["metadata"]["name"].as_str()?);
    pod["metadata"]["name"].as_str()?.strip_prefix(&prefix)?.parse().ok()
}

/// Surplus pods go, the highest first; one at a time unless Parallel.
fn shrink(store: &mut Store, set: &Value, wanted: i64, parallel: bool) {
    let mut surplus: Vec<(i64, Object)> = pods::of(store, set)
        .into_iter()
        .filter_map(|p| Some((ordinal(set, &p)?, p)))
        .filter(|(o, _)| *o >= wanted)
        .collect();
    surplus.sort_by_key(|(ordinal, _)| -ordinal);
    let busy = surplus.iter().any(|(_, p)| !p["metadata"]["deletionTimestamp"].is_null());
    let going = if parallel { surplus.len() } else { usize::from(!busy) };
    for (_, pod) in surplus.iter().take(going) {
        let _ = store.delete("pods", &Key::of(pod), &DeleteOptions::default());
    }
}

/// One pod of an older revision goes, the highest first, while all others are ready.
fn update_one(store: &mut Store, set: &Value, wanted: i64, revision: &str) {
    if set["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return;
    }
    let partition = set["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_i64().unwrap_or(0);
    let namespace = set["metadata"]["namespace"].as_str().unwrap_or_default();
    for ordinal in (partition..wanted).rev() {
        let name = format!("{}-{ordinal}", set["metadata"]["name"].as_str().unwrap_or_default());
        let Some(pod) = store.get("pods", namespace, &name) else {
            continue;
        };
        // Pods of a dump carry the real controller's revision: they are current if their set's status says so.
        let label = &pod["metadata"]["labels"][REVISION];
        if label != revision && label != &set["status"]["updateRevision"] {
            let key = Key::of(pod);
            let _ = store.delete("pods", &key, &DeleteOptions::default());
            return;
        }
    }
}

fn report(store: &mut Store, key: &Key, set: &Value, revision: &str) {
    let mine = pods::of(store, set);
    let ready = mine.iter().filter(|p| pods::is_active(p) && pods::is_ready(p)).count();
    let known = set["status"]["updateRevision"].as_str().map(str::to_owned);
    let fresh = mine.iter().any(|p| p["metadata"]["labels"][REVISION] == revision);
    let update = known.filter(|_| !fresh).unwrap_or_else(|| revision.to_owned());
    let updated = mine.iter().filter(|p| p["metadata"]["labels"][REVISION] == update.as_str()).count();
    store.modify("statefulsets.apps", key, |set| {
        set["status"] = json!({
            "observedGeneration": set["metadata"]["generation"], "replicas": mine.len(), "readyReplicas": ready,
            "availableReplicas": ready, "currentReplicas": updated, "updatedReplicas": updated,
            "currentRevision": update, "updateRevision": update,
        });
    });
}
