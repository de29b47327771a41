//! Namespaces: what people expect to see in them, and on their way out, emptied, pods first, then gone.

use crate::sim::api::fill_defaults;
use crate::sim::json::{Value, json};
use crate::sim::store::{DeleteOptions, Key, Store};

const FINALIZER: &str = "kubernetes";
/// The account and the ConfigMap that every namespace has.
const ACCOUNT: &str = "default";
const ROOT_CERTIFICATE: &str = "kube-root-ca.crt";

/// Whether every namespace has an object of this name, also after somebody deleted it.
pub(super) fn comes_back(resource: &str, name: &str) -> bool {
    matches!((resource, name), ("serviceaccounts", ACCOUNT) | ("configmaps", ROOT_CERTIFICATE))
}

/// One round of a namespace. `served` ones have what clients look for; it is nothing to a campaign.
pub(super) fn reconcile(store: &mut Store, key: &Key, served: bool) {
    let deleting =
        store.get_key("namespaces", key).is_some_and(|n| !n["metadata"]["deletionTimestamp"].is_null());
    if !deleting {
        if served && store.get_key("namespaces", key).is_some() {
            furnish(store, &key.name);
        }
        if served && key.name == "default" {
            furnish_cluster(store);
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

/// What every namespace has: an account, and what its pods know the API server by.
fn furnish(store: &mut Store, namespace: &str) {
    let account = json!({"metadata": {"name": ACCOUNT, "namespace": namespace}});
    let why = "What pods would verify the API server by; this cluster's is served without TLS.";
    let certificate = json!({
        "metadata": {
            "name": ROOT_CERTIFICATE, "namespace": namespace, "annotations": {"kubernetes.io/description": why},
        },
        "data": {"ca.crt": ""},
    });
    for (resource, object) in [("serviceaccounts", account), ("configmaps", certificate)] {
        if store.get_key(resource, &Key::of(&object)).is_none() {
            let _ = store.create(resource, object);
        }
    }
}

/// What every cluster has: the way to its API server, and the two classes of pods that a node or a cluster needs.
fn furnish_cluster(store: &mut Store) {
    const SERVICES: &str = "services";
    const CLASSES: &str = "priorityclasses.scheduling.k8s.io";
    let service = json!({
        "metadata": {
            "name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "type": "ClusterIP",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        },
    });
    let class = |name: &str, value: i64, description: &str| json!({"metadata": {"name": name}, "value": value, "description": description});
    let of_node =
        "For system pods that their very node can't do without: they must not be moved away from it.";
    let of_cluster = "For system pods that the cluster can't do without; another node would do as well.";
    for (resource, mut object) in [
        (SERVICES, service),
        (CLASSES, class("system-node-critical", 2_000_001_000, of_node)),
        (CLASSES, class("system-cluster-critical", 2_000_000_000, of_cluster)),
    ] {
        if store.get_key(resource, &Key::of(&object)).is_none() {
            fill_defaults(store, resource, &mut object);
            let _ = store.create(resource, object);
        }
    }
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
