//! ControllerRevisions: which template of a StatefulSet or DaemonSet is which.

use std::collections::BTreeSet;

use super::pods;
use crate::sim::json::{Value, json};
use crate::sim::store::{DeleteOptions, Key, Store, mix_text};

/// The label of a pod that says which revision it is of: a name for StatefulSets, the hash alone for DaemonSets.
pub(super) const LABEL: &str = "controller-revision-hash";
const REVISIONS: &str = "controllerrevisions.apps";

/// The name of the revision that has an owner's very template; the newest one. ControllerRevisions remember which is which,
/// so that a copy of a cluster goes on with the names of the real controller: its pods carry them.
pub(super) fn current(store: &mut Store, owner: &Value) -> String {
    let uid = owner["metadata"]["uid"].as_str().unwrap_or_default();
    let template = &owner["spec"]["template"];
    let number = |r: &Value| r["revision"].as_i64().unwrap_or(0);
    let newest = store.owned_by(uid, REVISIONS).map(|r| number(r)).max().unwrap_or(0);
    let known = store
        .owned_by(uid, REVISIONS)
        .filter(|r| has_template(r, template))
        .max_by_key(|r| number(r))
        .cloned();
    if let Some(known) = known {
        if number(&known) < newest {
            // Rolled back: the old template is the newest again.
            store.modify(REVISIONS, &Key::of(&known), |r| r["revision"] = json!(newest + 1));
        }
        return known["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    }
    let captured = captured(store, owner).filter(|_| newest == 0);
    let name = captured.unwrap_or_else(|| {
        let name = owner["metadata"]["name"].as_str().unwrap_or_default();
        format!("{name}-{:010x}", mix_text(0, &[&template.to_string()]) & 0xff_ffff_ffff)
    });
    let mut data = template.clone();
    data["$patch"] = json!("replace");
    let mut record = json!({
        "metadata": {
            "name": name, "namespace": owner["metadata"]["namespace"], "uid": uid_of(owner, &name),
            "labels": template["metadata"]["labels"], "ownerReferences": [pods::reference(owner)],
        },
        "data": {"spec": {"template": data}}, "revision": newest + 1,
    });
    // What is said of the owner at this time, such as the cause of the change, is said of this revision.
    if owner["metadata"]["annotations"].is_object() {
        record["metadata"]["annotations"] = owner["metadata"]["annotations"].clone();
    }
    let _ = store.create(REVISIONS, record);
    name
}

/// What a captured owner without its revisions says of the present one: its status, or else what all its pods carry.
fn captured(store: &Store, owner: &Value) -> Option<String> {
    if owner["status"]["observedGeneration"].is_null()
        || owner["status"]["observedGeneration"] != owner["metadata"]["generation"]
    {
        return None;
    }
    if let Some(name) = owner["status"]["updateRevision"].as_str().filter(|r| !r.is_empty()) {
        return Some(name.to_owned());
    }
    let pods = pods::of(store, owner);
    let labels: BTreeSet<&str> =
        pods.iter().filter_map(|p| p["metadata"]["labels"][LABEL].as_str()).collect();
    let label = labels.first().filter(|_| labels.len() == 1 && owner["kind"] == "DaemonSet")?;
    Some(format!("{}-{label}", owner["metadata"]["name"].as_str()?))
}

/// Real ones say that the template replaces the old as a whole, which is no part of it.
fn has_template(revision: &Value, template: &Value) -> bool {
    let mut data = revision["data"]["spec"]["template"].clone();
    if let Some(fields) = data.as_object_mut() {
        fields.remove("$patch");
    }
    data == *template
}

/// The template of a revision.
pub(super) fn template(store: &Store, namespace: &str, name: &str) -> Option<Value> {
    let mut template = store.get(REVISIONS, namespace, name)?["data"]["spec"]["template"].clone();
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    template.is_object().then_some(template)
}

/// Revisions that no pod is of go, the oldest first, up to the history that is kept.
pub(super) fn forget(store: &mut Store, owner: &Value, live: &BTreeSet<String>) {
    let uid = owner["metadata"]["uid"].as_str().unwrap_or_default();
    let kept = owner["spec"]["revisionHistoryLimit"].as_i64().unwrap_or(10).max(0) as usize;
    let is_live = |name: &str| live.contains(name);
    let name = |r: &Value| r["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let mut dead: Vec<(i64, Key)> = store
        .owned_by(uid, REVISIONS)
        .filter(|r| !is_live(&name(r)))
        .map(|r| (r["revision"].as_i64().unwrap_or(0), Key::of(r)))
        .collect();
    dead.sort();
    let surplus = dead.len().saturating_sub(kept);
    for (_, key) in dead.iter().take(surplus) {
        let _ = store.delete(REVISIONS, key, &DeleteOptions::default());
    }
}

/// A UID that depends on the set alone: one object more doesn't rename the pods of others.
fn uid_of(set: &Value, name: &str) -> String {
    let half = |seed| mix_text(seed, &[set["metadata"]["uid"].as_str().unwrap_or_default(), name]);
    let (high, low) = (half(1), half(2));
    format!("{:08x}-{:04x}-4000-8000-{:012x}", high >> 32, high & 0xffff, low & 0xffff_ffff_ffff)
}
