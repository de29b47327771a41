//! The garbage collector: objects whose owners are gone, and the finalizers of foreground and orphaning deletions.

use serde_json::Value;

use crate::sim::store::{DeleteOptions, Key, Store};

/// Looks at what depends on a UID. The key is (the owner's kind, or empty; the owner's UID).
pub(super) fn reconcile(store: &mut Store, key: &Key) {
    let uid = key.name.as_str();
    let owner = find(store, &key.namespace, uid);
    match owner {
        None => collect(store, uid),
        Some((resource, object)) => finalize(store, &resource, &object, uid),
    }
}

fn find(store: &Store, resource: &str, uid: &str) -> Option<(String, Value)> {
    let in_kind = |name: &str| {
        store.list(name).find(|o| o["metadata"]["uid"] == uid).map(|o| (name.to_owned(), (**o).clone()))
    };
    if !resource.is_empty() {
        return in_kind(resource);
    }
    // The owner's kind isn't known from here: one of its dependants names it.
    let (dependant, key) = store.dependants(uid).into_iter().next()?;
    let object = store.get_key(&dependant, &key)?;
    let reference = object["metadata"]["ownerReferences"].as_array()?.iter().find(|r| r["uid"] == uid)?;
    let kind = store.resource_of(reference["apiVersion"].as_str()?, reference["kind"].as_str()?)?.clone();
    let namespace = if kind.namespaced { key.namespace.as_str() } else { "" };
    let owner = store.get(&kind.name, namespace, reference["name"].as_str()?)?;
    (owner["metadata"]["uid"] == uid).then(|| (kind.name.clone(), (**owner).clone()))
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
        if owners > 1 {
            without(store, &resource, &key, uid);
        } else if object["metadata"]["deletionTimestamp"].is_null() {
            let _ = store.delete(&resource, &key, &DeleteOptions::default());
        }
    }
}

fn without(store: &mut Store, resource: &str, key: &Key, uid: &str) {
    store.modify(resource, key, |object| {
        if let Some(references) = object["metadata"]["ownerReferences"].as_array_mut() {
            references.retain(|r| r["uid"] != uid);
        }
    });
}

fn finalize(store: &mut Store, resource: &str, owner: &Value, uid: &str) {
    if owner["metadata"]["deletionTimestamp"].is_null() {
        return;
    }
    let has = |finalizer: &str| {
        owner["metadata"]["finalizers"].as_array().is_some_and(|f| f.iter().any(|x| x == finalizer))
    };
    let dependants = store.dependants(uid);
    if has("orphan") {
        for (resource, key) in &dependants {
            without(store, resource, key, uid);
        }
        return drop_finalizer(store, resource, owner, "orphan");
    }
    if has("foregroundDeletion") {
        for (resource, key) in &dependants {
            let idle =
                store.get_key(resource, key).is_some_and(|o| o["metadata"]["deletionTimestamp"].is_null());
            if idle {
                let options =
                    DeleteOptions { propagation: Some("Foreground".to_owned()), ..DeleteOptions::default() };
                let _ = store.delete(resource, key, &options);
            }
        }
        if store.dependants(uid).is_empty() {
            drop_finalizer(store, resource, owner, "foregroundDeletion");
        }
    }
}

fn drop_finalizer(store: &mut Store, resource: &str, owner: &Value, finalizer: &str) {
    store.modify(resource, &Key::of(owner), |object| {
        if let Some(list) = object["metadata"]["finalizers"].as_array_mut() {
            list.retain(|f| f != finalizer);
        }
    });
}
