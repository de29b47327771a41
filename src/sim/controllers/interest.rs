//! Whose work a change is.

use super::{Controller, Work, adoption, daemon_set, garbage, namespace, node, pods, volume};
use crate::sim::json::Value;
use crate::sim::store::{Change, ChangeKind, DEFINITIONS, Key, Object, Store};

/// The controllers that a change concerns, and the keys for which they run.
pub(super) fn of(store: &Store, change: &Change, key: &Key) -> Vec<Work> {
    let mut work: Vec<Work> = Vec::new();
    work.extend(own(&change.resource).map(|controller| (controller, key.clone())));
    work.extend(pods::owner(&change.object));
    match &*change.resource {
        "pods" => of_pod(store, change, key, &mut work),
        "nodes" => of_node(store, change, key, &mut work),
        "persistentvolumeclaims" => of_claim(store, change, key, &mut work),
        "persistentvolumes" => of_volume(&change.object, key, &mut work),
        "volumeattachments.storage.k8s.io" => of_attachment(store, change, &mut work),
        _ => {}
    }
    work.extend(garbage::interest(store, change));
    for (resource, key) in adoption::interest(store, change, key) {
        work.push((if resource == "pods" { Controller::AdoptPod } else { Controller::AdoptSet }, key));
    }
    of_quotas(store, change, key, &mut work);
    if change.kind == ChangeKind::Deleted {
        if namespace::comes_back(&change.resource, &key.name) || store.is_terminating(&key.namespace) {
            work.push((Controller::Namespace, Key::new("", &key.namespace)));
        }
        let definition = store.get(DEFINITIONS, "", &change.resource);
        if definition.is_some_and(|d| !d["metadata"]["deletionTimestamp"].is_null()) {
            // It may be the last that its definition waits for.
            work.push((Controller::Definition, Key::new("", &change.resource)));
        }
    }
    work.sort_unstable();
    work.dedup();
    work
}

/// The controller of a kind.
fn own(resource: &str) -> Option<Controller> {
    Some(match resource {
        "deployments.apps" => Controller::Deployment,
        "replicasets.apps" => Controller::ReplicaSet,
        "replicationcontrollers" => Controller::Replication,
        "statefulsets.apps" => Controller::StatefulSet,
        "daemonsets.apps" => Controller::DaemonSet,
        "jobs.batch" => Controller::Job,
        "cronjobs.batch" => Controller::CronJob,
        "resourcequotas" => Controller::Quota,
        "poddisruptionbudgets.policy" => Controller::Budget,
        "persistentvolumeclaims" => Controller::Volume,
        "namespaces" => Controller::Namespace,
        "nodes" => Controller::Node,
        "customresourcedefinitions.apiextensions.k8s.io" => Controller::Definition,
        "pods" => Controller::Kubelet,
        _ => return None,
    })
}

fn of_pod(store: &Store, change: &Change, key: &Key, work: &mut Vec<Work>) {
    let budgets = store.budgets_of(&key.namespace, &change.object["metadata"]["labels"]);
    work.extend(budgets.map(|budget| (Controller::Budget, Key::of(budget))));
    if change.kind == ChangeKind::Deleted {
        // Recreate waits for the last of the old pods.
        let set = pods::controller(&change.object)
            .filter(|c| c["kind"] == "ReplicaSet")
            .and_then(|c| c["name"].as_str());
        let set = set.and_then(|name| store.get("replicasets.apps", &key.namespace, name));
        work.extend(set.and_then(|set| pods::owner(set)));
    }
    if let Some(node) = change.object["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
        if has_claims(&change.object) {
            work.push((Controller::Attachment, Key::new("", node)));
        }
        if node::is_concerned(store, node, &change.object) {
            work.push((Controller::Node, Key::new("", node)));
        }
    }
    for volume in change.object["spec"]["volumes"].as_array().into_iter().flatten() {
        if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
            work.push((Controller::Volume, Key::new(&key.namespace, claim)));
        }
    }
}

fn has_claims(pod: &Value) -> bool {
    let mut volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes.any(|v| !v["persistentVolumeClaim"].is_null())
}

/// DaemonSets look at a node's labels and taints, kubelets at its readiness; heartbeats concern neither.
fn of_node(store: &Store, change: &Change, key: &Key, work: &mut Vec<Work>) {
    let node = &*change.object;
    let old = change.old.as_deref().filter(|_| change.kind == ChangeKind::Modified);
    let same = |part: fn(&Value) -> &Value| old.is_some_and(|old| part(old) == part(node));
    let power = old.is_some_and(|old| pods::condition(old, "Ready") == pods::condition(node, "Ready"));
    if !(same(|n| &n["spec"]["taints"]) && same(|n| &n["metadata"]["labels"])) {
        let gone = change.kind == ChangeKind::Deleted;
        let concerned = |set: &&Object| gone || daemon_set::is_concerned(store, set, node);
        let sets = store.list("daemonsets.apps").filter(concerned);
        work.extend(sets.map(|d| (Controller::DaemonSet, Key::of(d))));
    }
    if !power {
        work.extend(store.pods_on(&key.name).map(|p| (Controller::Kubelet, Key::of(p))));
    }
}

/// What goes, or ends, is used no more.
fn of_quotas(store: &Store, change: &Change, key: &Key, work: &mut Vec<Work>) {
    let over = |pod: &Value| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let ended =
        *change.resource == *"pods" && over(&change.object) && !change.old.as_deref().is_some_and(over);
    if change.kind == ChangeKind::Deleted || ended {
        work.extend(store.list_in("resourcequotas", &key.namespace).map(|q| (Controller::Quota, Key::of(q))));
    }
}

/// A claim that is bound lets its pods start, once its volume is attached; one that is gone leaves its volume.
fn of_claim(store: &Store, change: &Change, key: &Key, work: &mut Vec<Work>) {
    if change.kind == ChangeKind::Deleted {
        let volume = change.object["spec"]["volumeName"].as_str();
        work.extend(volume.map(|volume| (Controller::Reclaim, Key::new("", volume))));
    }
    for pod in store.pods_with(key) {
        if let Some(node) = pod["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
            work.push((Controller::Kubelet, Key::of(pod)));
            work.push((Controller::Attachment, Key::new("", node)));
        }
    }
}

/// A volume that is reserved for a claim is bound to it; its claim may be gone.
fn of_volume(volume: &Value, key: &Key, work: &mut Vec<Work>) {
    work.push((Controller::Reclaim, key.clone()));
    let claim = &volume["spec"]["claimRef"];
    if let (Some(namespace), Some(name)) = (claim["namespace"].as_str(), claim["name"].as_str()) {
        work.push((Controller::Volume, Key::new(namespace, name)));
    }
}

/// An attached volume lets pods start; a detached one may be attached elsewhere.
fn of_attachment(store: &Store, change: &Change, work: &mut Vec<Work>) {
    let spec = &change.object["spec"];
    if change.kind == ChangeKind::Added {
        // In a copy of a cluster nobody may use it any more.
        work.push((Controller::Attachment, Key::new("", spec["nodeName"].as_str().unwrap_or_default())));
    }
    if change.kind == ChangeKind::Deleted {
        let volume = spec["source"]["persistentVolumeName"].as_str().unwrap_or_default();
        let nodes = volume::nodes_of(store, volume);
        work.extend(nodes.iter().map(|node| (Controller::Attachment, Key::new("", node))));
        work.push((Controller::Reclaim, Key::new("", volume)));
    } else {
        let node = spec["nodeName"].as_str().unwrap_or_default();
        work.extend(store.pods_on(node).map(|p| (Controller::Kubelet, Key::of(p))));
    }
}
