//! Pods that were sick when their cluster was copied stay so.
//!
//! Without that, the model's kubelets would start every one of them, and a pod that never gets ready, the commonest reason
//! why a budget refuses and a drain hangs, would be well in a rehearsal. What replaces a sick pod is made from its
//! template and starts as any other.

use jiff::{SignedDuration, Timestamp};

use crate::sim::clock::parse_time;
use crate::sim::json::{Value, json};

/// A pod that isn't ready for longer is more than slow.
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

/// Marks the sick pods for the kubelets.
pub(super) fn mark(objects: &mut [Value]) {
    // A snapshot doesn't say when it was taken; the newest time that anything in it carries is close.
    let Some(taken) = objects.iter().flat_map(times).max() else { return };
    let unready: Vec<String> =
        objects.iter().filter(|o| o["kind"] == "Node" && !is_ready(o)).filter_map(name).collect();
    for pod in objects.iter_mut().filter(|o| o["kind"] == "Pod") {
        let Some(node) = pod["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) else { continue };
        // Pods of a node that is down are well again when it is.
        if unready.iter().any(|n| n == node) {
            continue;
        }
        for setting in settings(pod, taken) {
            pod["metadata"]["annotations"][format!("sim.virtroll.dev/{setting}")] = json!("never");
        }
    }
}

/// What a sick pod never does.
fn settings(pod: &Value, taken: Timestamp) -> &'static [&'static str] {
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return &[];
    }
    let (waits, late) = (waits(pod), late(pod, taken));
    match pod["status"]["phase"].as_str() {
        Some("Pending") if waits || late => &["starts-after"],
        Some("Running") if waits => &["ready-after", "runs-for"],
        Some("Running") if late => &["ready-after"],
        _ => &[],
    }
}

/// A container waits for what doesn't come by itself: CrashLoopBackOff, ImagePullBackOff, CreateContainerConfigError, …
fn waits(pod: &Value) -> bool {
    let lists = ["containerStatuses", "initContainerStatuses"].map(|field| pod["status"][field].as_array());
    let reasons =
        lists.into_iter().flatten().flatten().filter_map(|c| c["state"]["waiting"]["reason"].as_str());
    reasons.into_iter().any(|reason| !matches!(reason, "ContainerCreating" | "PodInitializing"))
}

/// Not Ready for long, and not only because a readiness gate is closed, which others open.
fn late(pod: &Value, taken: Timestamp) -> bool {
    let is_closed = condition(pod, "ContainersReady").is_some_and(|c| c["status"] == "True");
    let since = condition(pod, "Ready").filter(|c| c["status"] == "False" && !is_closed);
    let since = since.and_then(|c| c["lastTransitionTime"].as_str().and_then(parse_time));
    since.is_some_and(|since| taken.duration_since(since) > PATIENCE)
}

fn is_ready(object: &Value) -> bool {
    condition(object, "Ready").is_none_or(|c| c["status"] == "True")
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

fn name(object: &Value) -> Option<String> {
    object["metadata"]["name"].as_str().map(str::to_owned)
}

fn times(object: &Value) -> impl Iterator<Item = Timestamp> + use<'_> {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let of_conditions = conditions
        .flat_map(|c| ["lastTransitionTime", "lastHeartbeatTime", "lastProbeTime"].map(|field| &c[field]));
    let all = of_conditions.chain([&object["metadata"]["creationTimestamp"]]);
    all.filter_map(|time| time.as_str().and_then(parse_time))
}
