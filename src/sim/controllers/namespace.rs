//! Namespaces: a service account for people to see, and on their way out, emptied, pods first, then gone.

use crate::sim::json::{Value, json};
use crate::sim::store::{DeleteOptions, Key, Store};

const FINALIZER: &str = "kubernetes";

/// One round of a namespace. `served` ones have the account that clients look for; it is nothing to a campaign.
pub(super) fn reconcile(store: &mut Store, key: &Key, served: bool) {
    let deleting =
        store.get_key("namespaces", key).is_some_and(|n| !n["metadata"]["deletionTimestamp"].is_null());
    if !deleting {
        let account = json!({"metadata": {"name": "default", "namespace": key.name}});
        let is_there = store.get("serviceaccounts", &key.name, "default").is_some();
        if served && !is_there && store.get_key("namespaces", key).is_some() {
            let _ = store.create("serviceaccounts", account);
        }
        return;
    }
    let kinds = store.resources().filter(|r| r.namespaced && r.name != "pods").map(|r| r.name.clone());
    let others: Vec<String> = kinds.collect();
    if !empty(store, "pods", &key.name) {
        return;
    }
    let mut left = false;
    for kind in others {
        left |= !empty(store, &kind, &key.name);
    }
    if left {
        return;
    }
    store.modify("namespaces", key, |namespace| {
        if let Some(list) = namespace["spec"]["finalizers"].as_array_mut() {
            list.retain(|f: &Value| f != FINALIZER);
        }
    });
}

/// Deletes the objects of a kind. True if none is left.
fn empty(store: &mut Store, kind: &str, namespace: &str) -> bool {
    let keys: Vec<Key> = store.list_in(kind, namespace).map(|o| Key::of(o)).collect();
    for key in &keys {
        // Those that are going already are left as they are.
        let _ = store.delete(kind, key, &DeleteOptions::default());
    }
    store.list_in(kind, namespace).next().is_none()
}
