//! The garbage collector: objects whose owners are gone, and the finalizers of foreground and orphaning deletions.

use super::{Controller, Work};
use crate::sim::json::Value;
use crate::sim::store::{Change, ChangeKind, DeleteOptions, Key, Object, Store};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// What a change gives the collector to do; most give nothing.
pub(super) fn interest(store: &Store, change: &Change) -> Vec<Work> {
    let object = &change.object;
    let metadata = &object["metadata"];
    if change.kind == ChangeKind::Modified && metadata["deletionTimestamp"].is_null() {
        return Vec::new();
    }
    let uid = metadata["uid"].as_str().unwrap_or_default();
    let gone = change.kind == ChangeKind::Deleted;
    let mut work = Vec::new();
    if (gone && store.has_dependants(uid)) || (!gone && waits_for_us(object)) {
        work.push((Controller::Garbage, Key::new(&change.resource, uid)));
    }
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    let references = metadata["ownerReferences"].as_array().into_iter().flatten();
    work.extend(references.filter_map(|reference| of_owner(store, namespace, reference)));
    work
}

/// The work for an owner that is gone or waits for its dependants. A kind that the cluster doesn't serve counts as there.
fn of_owner(store: &Store, namespace: &str, reference: &Value) -> Option<Work> {
    let kind = store.resource_of(reference["apiVersion"].as_str()?, reference["kind"].as_str()?)?;
    let uid = reference["uid"].as_str()?;
    let owner =
        store.get(&kind.name, if kind.namespaced { namespace } else { "" }, reference["name"].as_str()?);
    let alive = owner.is_some_and(|o| o["metadata"]["uid"] == uid && !waits_for_us(o));
    (!alive).then(|| (Controller::Garbage, Key::new(&kind.name, uid)))
}

/// Being deleted with a finalizer of the collector.
fn waits_for_us(object: &Value) -> bool {
    let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    !object["metadata"]["deletionTimestamp"].is_null()
        && finalizers.into_iter().any(|f| f == FOREGROUND || f == ORPHAN)
}

/// Looks at what depends on an owner. The key is (the owner's kind; its UID).
pub(super) fn reconcile(store: &mut Store, key: &Key) {
    let (resource, uid) = (key.namespace.as_str(), key.name.as_str());
    let owner: Option<Object> = store.with_uid(resource, uid).cloned();
    match owner {
        None => collect(store, uid),
        Some(owner) => finalize(store, resource, &owner, uid),
    }
}

/// The owner is gone: each dependant loses the reference, and goes when that was its last.
fn collect(store: &mut Store, uid: &str) {
    for (resource, key) in store.dependants(uid) {
        let Some(object) = store.get_key(&resource, &key).cloned() else {
            continue;
        };
        let owners = object["metadata"]["ownerReferences"].as_array().map_or(0, Vec::len);
        let is_mirror = resource == "pods"
            && object["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string();
        if is_mirror {
            continue;
        }
        if owners > 1 && has_other_owner(store, &object, uid) {
            without(store, &resource, &key, uid);
        } else if object["metadata"]["deletionTimestamp"].is_null() {
            let _ = store.delete(&resource, &key, &DeleteOptions::default());
        }
    }
}

fn without(store: &mut Store, resource: &str, key: &Key, uid: &str) {
    store.modify(resource, key, |object| drop_owner(object, uid));
}

fn finalize(store: &mut Store, resource: &str, owner: &Value, uid: &str) {
    if owner["metadata"]["deletionTimestamp"].is_null() {
        return;
    }
    let has = |finalizer: &str| {
        owner["metadata"]["finalizers"].as_array().is_some_and(|f| f.iter().any(|x| x == finalizer))
    };
    let dependants = store.dependants(uid);
    if has(ORPHAN) {
        for (resource, key) in &dependants {
            without(store, resource, key, uid);
        }
        return released(store, resource, owner, ORPHAN);
    }
    if has(FOREGROUND) {
        for (resource, key) in &dependants {
            let Some(object) = store.get_key(resource, key).cloned() else { continue };
            if !object["metadata"]["deletionTimestamp"].is_null() {
                continue;
            }
            if has_other_owner(store, &object, uid) {
                without(store, resource, key, uid);
                continue;
            }
            let own = object["metadata"]["uid"].as_str().unwrap_or_default();
            let propagation = if store.has_dependants(own) { "Foreground" } else { "Background" };
            let options =
                DeleteOptions { propagation: Some(propagation.to_owned()), ..DeleteOptions::default() };
            let _ = store.delete(resource, key, &options);
        }
        // Only those that say so keep their owner.
        let blocks = |(resource, key): &(String, Key)| {
            let references =
                store.get_key(resource, key).and_then(|o| o["metadata"]["ownerReferences"].as_array());
            references.into_iter().flatten().any(|r| r["uid"] == uid && r["blockOwnerDeletion"] == true)
        };
        if !store.dependants(uid).iter().any(blocks) {
            released(store, resource, owner, FOREGROUND);
        }
    }
}

/// Whether an owner besides this one is there to stay.
fn has_other_owner(store: &Store, object: &Value, uid: &str) -> bool {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let references = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    references.filter(|r| r["uid"] != uid).any(|r| {
        let kind = store.resource_of(
            r["apiVersion"].as_str().unwrap_or_default(),
            r["kind"].as_str().unwrap_or_default(),
        );
        // A kind that the cluster doesn't serve counts as there.
        kind.is_none_or(|kind| {
            let namespace = if kind.namespaced { namespace } else { "" };
            let owner = store.get(&kind.name, namespace, r["name"].as_str().unwrap_or_default());
            owner.is_some_and(|o| o["metadata"]["uid"] == r["uid"] && !waits_for_us(o))
        })
    })
}

fn released(store: &mut Store, resource: &str, owner: &Value, finalizer: &str) {
    store.modify(resource, &Key::of(owner), |object| drop_finalizer(object, finalizer));
}

/// Takes a finalizer off.
pub(super) fn drop_finalizer(object: &mut Value, finalizer: &str) {
    retain(object, "finalizers", |f| f != finalizer);
}

/// Takes an owner off.
pub(super) fn drop_owner(object: &mut Value, uid: &str) {
    retain(object, "ownerReferences", |r| r["uid"] != uid);
}

/// Keeps some of a list of the metadata; a list with nothing in it goes, too.
fn retain(object: &mut Value, list: &str, keep: impl Fn(&Value) -> bool) {
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    let Some(items) = metadata.get_mut(list).and_then(Value::as_array_mut) else { return };
    items.retain(keep);
    if items.is_empty() {
        metadata.remove(list);
    }
}
