//! StatefulSets: stable names, one after the other (or Parallel), claims from templates, revisions.

use serde_json::{Value, json};

use super::pods;
use crate::sim::store::{DeleteOptions, Key, Object, Store, mix_text};

const REVISION: &str = "controller-revision-hash";

const REVISIONS: &str = "controllerrevisions.apps";

/// The name of the revision that has this very template. ControllerRevisions remember which is which, so that a copy of a
/// cluster goes on with the names of the real controller: its pods carry them.
fn revision(store: &mut Store, set: &Value) -> String {
    let uid = set["metadata"]["uid"].as_str().unwrap_or_default();
    let template = &set["spec"]["template"];
    let known = store
        .owned_by(uid, REVISIONS)
        .filter(|r| has_template(r, template))
        .max_by_key(|r| r["revision"].as_i64());
    if let Some(name) = known.and_then(|r| r["metadata"]["name"].as_str()) {
        return name.to_owned();
    }
    let status = &set["status"];
    let is_current = status["observedGeneration"] == set["metadata"]["generation"];
    let name = match status["updateRevision"].as_str().filter(|r| is_current && !r.is_empty()) {
        Some(captured) => captured.to_owned(),
        None => {
            let name = set["metadata"]["name"].as_str().unwrap_or_default();
            format!("{name}-{:010x}", mix_text(0, &[&template.to_string()]) & 0xff_ffff_ffff)
        }
    };
    let number = store.owned_by(uid, REVISIONS).count() + 1;
    let record = json!({
        "metadata": {
            "name": name, "namespace": set["metadata"]["namespace"], "uid": uid_of(set, &name),
            "ownerReferences": [pods::reference(set)],
        },
        "data": {"spec": {"template": template}}, "revision": number,
    });
    let _ = store.create(REVISIONS, record);
    name
}

/// A UID that depends on the set alone: one object more doesn't rename the pods of others.
fn uid_of(set: &Value, name: &str) -> String {
    let half = |seed| mix_text(seed, &[set["metadata"]["uid"].as_str().unwrap_or_default(), name]);
    let (high, low) = (half(1), half(2));
    format!("{:08x}-{:04x}-4000-8000-{:012x}", high >> 32, high & 0xffff, low & 0xffff_ffff_ffff)
}

/// Real ones say that the template replaces the old as a whole, which is no part of it.
fn has_template(revision: &Value, template: &Value) -> bool {
    let mut data = revision["data"]["spec"]["template"].clone();
    if let Some(fields) = data.as_object_mut() {
        fields.remove("$patch");
    }
    data == *template
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
    let revision = revision(store, &set);
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
        // A pod that was written by hand has none.
        let label = &pod["metadata"]["labels"][REVISION];
        if !label.is_null() && label != revision {
            let key = Key::of(pod);
            let _ = store.delete("pods", &key, &DeleteOptions::default());
            return;
        }
    }
}

fn report(store: &mut Store, key: &Key, set: &Value, revision: &str) {
    let mine = pods::of(store, set);
    let ready = mine.iter().filter(|p| pods::is_active(p) && pods::is_ready(p)).count();
    let updated = mine.iter().filter(|p| p["metadata"]["labels"][REVISION] == revision).count();
    let before = set["status"]["currentRevision"].as_str().filter(|_| updated < mine.len());
    let current = before.unwrap_or(revision).to_owned();
    let with_current = mine.iter().filter(|p| p["metadata"]["labels"][REVISION] == current.as_str()).count();
    store.modify("statefulsets.apps", key, |set| {
        set["status"] = json!({
            "observedGeneration": set["metadata"]["generation"], "replicas": mine.len(), "readyReplicas": ready,
            "availableReplicas": ready, "currentReplicas": with_current, "updatedReplicas": updated,
            "currentRevision": current, "updateRevision": revision,
        });
    });
}
