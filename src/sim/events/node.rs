//! Of nodes and what is attached to them.

use super::{Told, list, reference, text};
use crate::sim::controllers::PROVISIONED_BY;
use crate::sim::json::{Value, json};
use crate::sim::store::{Change, ChangeKind, Store};

/// As the kubelet refers to its node: by the name in place of the UID.
fn of_kubelet(node: &Value) -> Value {
    let name = &node["metadata"]["name"];
    json!({"kind": "Node", "name": name, "uid": name, "host": name})
}

fn of_controller(node: &Value) -> Value {
    json!({"kind": "Node", "apiVersion": "v1", "name": node["metadata"]["name"], "uid": node["metadata"]["uid"]})
}

pub(super) fn tell(store: &Store, change: &Change, told: &mut Vec<Told>) {
    let node = &*change.object;
    let name = text(&node["metadata"]["name"]);
    match (change.kind, change.old.as_deref()) {
        (ChangeKind::Added, _) => {
            let message = format!("Node {name} event: Registered Node {name} in Controller");
            told.push(Told::normal(of_controller(node), "node-controller", "RegisteredNode", message));
        }
        (ChangeKind::Deleted, _) => {
            let message = format!("Node {name} event: Removing Node {name} from Controller");
            told.push(Told::normal(of_controller(node), "node-controller", "RemovingNode", message));
        }
        (ChangeKind::Modified, Some(old)) => changed(store, node, old, told),
        (ChangeKind::Modified, None) => {}
    }
}

fn changed(store: &Store, node: &Value, old: &Value, told: &mut Vec<Told>) {
    let name = text(&node["metadata"]["name"]);
    let status = |reason: &str| format!("Node {name} status is now: {reason}");
    let ready =
        |n: &Value| list(&n["status"]["conditions"]).any(|c| c["type"] == "Ready" && c["status"] == "True");
    match (ready(old), ready(node)) {
        (true, false) => {
            told.push(Told::normal(
                of_controller(node),
                "node-controller",
                "NodeNotReady",
                status("NodeNotReady"),
            ));
            for pod in store.pods_on(name).filter(|p| !is_over(p)) {
                let message = "Node is not ready";
                told.push(Told::warning(reference(pod), "node-controller", "NodeNotReady", message));
            }
        }
        (false, true) => {
            told.push(Told::normal(of_kubelet(node), "kubelet", "NodeReady", status("NodeReady")));
        }
        _ => {}
    }
    let closed = |n: &Value| n["spec"]["unschedulable"] == true;
    if closed(old) != closed(node) {
        let reason = if closed(node) { "NodeNotSchedulable" } else { "NodeSchedulable" };
        told.push(Told::normal(of_kubelet(node), "kubelet", reason, status(reason)));
    }
    let boot = |n: &Value| text(&n["status"]["nodeInfo"]["bootID"]).to_owned();
    if !boot(old).is_empty() && boot(old) != boot(node) {
        told.push(Told::normal(of_kubelet(node), "kubelet", "Starting", "Starting kubelet."));
        let message = format!("Node {name} has been rebooted, boot id: {}", boot(node));
        told.push(Told::warning(of_kubelet(node), "kubelet", "Rebooted", message));
    }
}

fn is_over(pod: &Value) -> bool {
    matches!(text(&pod["status"]["phase"]), "Succeeded" | "Failed")
}

/// A volume that was attached, told of the pods that wait for it.
pub(super) fn tell_of_attachment(store: &Store, change: &Change, told: &mut Vec<Told>) {
    let attached = |o: &Value| o["status"]["attached"] == true;
    if change.kind == ChangeKind::Deleted
        || !attached(&change.object)
        || change.old.as_deref().is_some_and(attached)
    {
        return;
    }
    let spec = &change.object["spec"];
    let volume = text(&spec["source"]["persistentVolumeName"]);
    for pod in store.pods_on(text(&spec["nodeName"])) {
        let namespace = text(&pod["metadata"]["namespace"]);
        let uses = list(&pod["spec"]["volumes"])
            .filter_map(|v| v["persistentVolumeClaim"]["claimName"].as_str())
            .filter_map(|claim| store.get("persistentvolumeclaims", namespace, claim))
            .any(|claim| claim["spec"]["volumeName"] == volume);
        if uses && !is_over(pod) {
            let message = format!("AttachVolume.Attach succeeded for volume {volume:?}");
            told.push(Told::normal(
                reference(pod),
                "attachdetach-controller",
                "SuccessfulAttachVolume",
                message,
            ));
        }
    }
}

/// A claim that got a volume of its own. One that was there before is no news.
pub(super) fn tell_of_claim(store: &Store, change: &Change, told: &mut Vec<Told>) {
    let volume = |c: &Value| text(&c["spec"]["volumeName"]).to_owned();
    let Some(old) = change.old.as_deref().filter(|_| change.kind == ChangeKind::Modified) else { return };
    let bound = volume(&change.object);
    let made = store.get("persistentvolumes", "", &bound);
    let made = made.is_some_and(|v| v["metadata"]["annotations"][PROVISIONED_BY].is_string());
    if volume(old).is_empty() && made {
        let message = format!("Successfully provisioned volume {bound}");
        let from = "persistentvolume-controller";
        told.push(Told::normal(reference(&change.object), from, "ProvisioningSucceeded", message));
    }
}
