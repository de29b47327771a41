//! Of pods: scheduled or not, started, stopped, evicted; and what that says of their owners.

use super::{Told, begins_to_go, controller, list, reference, text};
use crate::sim::json::{Value, json};
use crate::sim::store::{Change, ChangeKind, Store};

pub(super) fn tell(store: &Store, change: &Change, told: &mut Vec<Told>) {
    let pod = &*change.object;
    let old = change.old.as_deref().filter(|_| change.kind == ChangeKind::Modified);
    if change.kind == ChangeKind::Added {
        tell_owner(store, pod, true, told);
    }
    if change.kind == ChangeKind::Deleted {
        // A pod that nothing ran of goes at once.
        if change.old.as_deref().is_some_and(|o| o["metadata"]["deletionTimestamp"].is_null()) {
            tell_owner(store, pod, false, told);
        }
        return;
    }
    scheduling(pod, old, told);
    if begins_to_go(change) {
        going(store, pod, told);
    }
    containers(pod, old, told);
}

fn scheduling(pod: &Value, old: Option<&Value>, told: &mut Vec<Told>) {
    let node = |p: &Value| text(&p["spec"]["nodeName"]).to_owned();
    let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
    let by_scheduler = old.is_some() || controller(pod).is_some_and(|o| o["kind"] == "DaemonSet");
    if !node(pod).is_empty() && old.is_none_or(|old| node(old).is_empty()) && by_scheduler {
        let message = format!("Successfully assigned {namespace}/{name} to {}", node(pod));
        told.push(Told::normal(reference(pod), "default-scheduler", "Scheduled", message));
    }
    let refused = |p: &Value| {
        let found =
            list(&p["status"]["conditions"]).find(|c| c["type"] == "PodScheduled" && c["status"] == "False");
        found.map(|c| text(&c["message"]).to_owned()).filter(|m| !m.is_empty())
    };
    let now = refused(pod);
    if let Some(message) = now.filter(|m| Some(m) != old.and_then(refused).as_ref()) {
        told.push(Told::warning(reference(pod), "default-scheduler", "FailedScheduling", message));
    }
}

/// By the kubelet of the pod's node, about a container.
fn of_kubelet(pod: &Value, container: &str) -> Value {
    let mut object = reference(pod);
    object["fieldPath"] = json!(format!("spec.containers{{{container}}}"));
    object["host"] = pod["spec"]["nodeName"].clone();
    object
}

fn status_of<'a>(pod: &'a Value, container: &Value) -> Option<&'a Value> {
    list(&pod["status"]["containerStatuses"]).find(|s| s["name"] == *container)
}

fn containers(pod: &Value, old: Option<&Value>, told: &mut Vec<Told>) {
    for status in list(&pod["status"]["containerStatuses"]) {
        let before = old.and_then(|old| status_of(old, &status["name"]));
        let ran = before.is_some_and(|s| !s["state"]["running"].is_null());
        if status["state"]["running"].is_null() || ran {
            continue;
        }
        let name = text(&status["name"]);
        let container = list(&pod["spec"]["containers"]).find(|c| c["name"] == status["name"]);
        let image = container.map(|c| text(&c["image"])).unwrap_or_default();
        let mut say = |reason, message: String| {
            told.push(Told::normal(of_kubelet(pod, name), "kubelet", reason, message));
        };
        say(
            "Pulled",
            format!("Container image {image:?} already present on machine and can be accessed by the pod"),
        );
        say("Created", "Container created".to_owned());
        say("Started", "Container started".to_owned());
    }
}

/// A pod was asked to stop.
fn going(store: &Store, pod: &Value, told: &mut Vec<Told>) {
    let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
    if is_tainted_out(store, pod) {
        let message = format!("Marking for deletion Pod {namespace}/{name}");
        told.push(Told::normal(reference(pod), "taint-eviction-controller", "TaintManagerEviction", message));
    }
    for status in list(&pod["status"]["containerStatuses"]).filter(|s| !s["state"]["running"].is_null()) {
        let container = text(&status["name"]);
        let message = format!("Stopping container {container}");
        told.push(Told::normal(of_kubelet(pod, container), "kubelet", "Killing", message));
    }
    tell_owner(store, pod, false, told);
}

/// Whether its node has a taint that a pod like this is not let stay with.
fn is_tainted_out(store: &Store, pod: &Value) -> bool {
    let Some(node) = store.get("nodes", "", text(&pod["spec"]["nodeName"])) else { return false };
    let stays = |taint: &Value| {
        list(&pod["spec"]["tolerations"]).any(|t| {
            let effect = t["effect"].is_null() || t["effect"] == "" || t["effect"] == "NoExecute";
            let key = t["key"].is_null() || t["key"] == "" || t["key"] == taint["key"];
            effect && key && t["tolerationSeconds"].is_null()
        })
    };
    list(&node["spec"]["taints"]).any(|t| t["effect"] == "NoExecute" && !stays(t))
}

/// The pod's controller made it, or took it away because it has too many.
fn tell_owner(store: &Store, pod: &Value, came: bool, told: &mut Vec<Told>) {
    let Some(owner) = controller(pod) else { return };
    let (resource, from) = match text(&owner["kind"]) {
        "ReplicaSet" => ("replicasets.apps", "replicaset-controller"),
        "ReplicationController" => ("replicationcontrollers", "replication-controller"),
        "DaemonSet" => ("daemonsets.apps", "daemonset-controller"),
        "StatefulSet" => ("statefulsets.apps", "statefulset-controller"),
        "Job" => ("jobs.batch", "job-controller"),
        _ => return,
    };
    let found = store.get(resource, text(&pod["metadata"]["namespace"]), text(&owner["name"]));
    let Some(owner) = found.filter(|o| o["metadata"]["uid"] == owner["uid"]) else { return };
    if !came && !has_too_many(store, owner) && !is_outdated(store, owner, pod) {
        return;
    }
    let name = text(&pod["metadata"]["name"]);
    let (reason, message) = match (came, resource) {
        (true, "statefulsets.apps") => {
            let set = text(&owner["metadata"]["name"]);
            ("SuccessfulCreate", format!("Create Pod {name} in StatefulSet {set} successful"))
        }
        (false, "statefulsets.apps") => {
            let set = text(&owner["metadata"]["name"]);
            ("SuccessfulDelete", format!("Delete Pod {name} in StatefulSet {set} successful"))
        }
        (true, _) => ("SuccessfulCreate", format!("Created pod: {name}")),
        (false, _) => ("SuccessfulDelete", format!("Deleted pod: {name}")),
    };
    told.push(Told::normal(reference(owner), from, reason, message));
}

/// Whether a rolling update replaces the pod: it is of an older template than its set has now.
fn is_outdated(store: &Store, owner: &Value, pod: &Value) -> bool {
    let metadata = &owner["metadata"];
    let revisions = store.owned_by(text(&metadata["uid"]), "controllerrevisions.apps");
    let Some(newest) = revisions.max_by_key(|r| r["revision"].as_i64()) else { return false };
    let strategy = &owner["spec"]["updateStrategy"];
    let ordinal = text(&pod["metadata"]["name"]).rsplit('-').next().and_then(|n| n.parse::<i64>().ok());
    let is_kept = strategy["rollingUpdate"]["partition"].as_i64().is_some_and(|first| ordinal < Some(first));
    if strategy["type"] == "OnDelete" || is_kept {
        return false;
    }
    let hash = text(&pod["metadata"]["labels"]["controller-revision-hash"]);
    let newest = text(&newest["metadata"]["name"]);
    newest != hash && newest != format!("{}-{hash}", text(&metadata["name"]))
}

/// Whether as many pods as wanted stay without the one that goes: then its controller sent it away.
fn has_too_many(store: &Store, owner: &Value) -> bool {
    let Some(wanted) = owner["spec"]["replicas"].as_u64() else { return false };
    let active = |pod: &Value| {
        pod["metadata"]["deletionTimestamp"].is_null()
            && !matches!(text(&pod["status"]["phase"]), "Succeeded" | "Failed")
    };
    let stay = store.owned_by(text(&owner["metadata"]["uid"]), "pods").filter(|p| active(p)).count();
    stay as u64 >= wanted
}
