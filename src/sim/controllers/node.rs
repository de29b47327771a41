//! Nodes: taints for cordons and for nodes that aren't Ready, eviction from those, reboots.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{pods, until};
use crate::sim::clock::{parse_time, seconds_text};
use crate::sim::json::{Map, Value, json};
use crate::sim::scheduler::{pod_tolerates, set_condition};
use crate::sim::store::{DeleteOptions, Key, Object, Store, mix_text};

/// A node is doubted after this long without a heartbeat (the node monitor's grace period).
const GRACE: SignedDuration = SignedDuration::from_secs(50);
/// How long a reboot takes unless the node says otherwise.
const REBOOT: SignedDuration = SignedDuration::from_secs(90);

const TAINTS_SEEN: &str = "sim.virtroll.dev/taints-seen";
const DOWN: &str = "sim.virtroll.dev/down";
const DOWN_SINCE: &str = "sim.virtroll.dev/down-since";
const UP_AGAIN: &str = "sim.virtroll.dev/up-again-at";
const REBOOTS_IN: &str = "sim.virtroll.dev/reboots-in";
/// How slow this machine is: a reboot takes so many times as long.
const PACE: &str = "sim.virtroll.dev/pace";
const KERNEL: &str = "sim.virtroll.dev/kernel-after-reboot";
const REBOOT_REQUEST: &str = "virtroll.dev/reboot-requested";

pub(super) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][name].as_str()
}

/// Reads `90s`, `2m`, `1m30s`.
pub(super) fn duration(text: &str) -> Option<SignedDuration> {
    text.parse().ok()
}

/// One round of a node.
pub(super) fn reconcile(store: &mut Store, key: &Key, now: Timestamp) -> Option<Duration> {
    let node = store.get_key("nodes", key).cloned()?;
    if pods::condition(&node, "Ready").is_none() {
        set_ready(store, key, "True", "KubeletReady", now);
    }
    let mut again = power(store, key, &node, now);
    taints(store, key, now);
    if let Some(wait) = evict_by_taint(store, key, now) {
        again = Some(again.map_or(wait, |a| a.min(wait)));
    }
    out_of_service(store, key);
    again
}

/// Whether a pod's change is its node's business: it may ask for a reboot, or the node may not bear it.
pub(super) fn is_concerned(store: &Store, node: &str, pod: &Value) -> bool {
    let taints = store.get("nodes", "", node).and_then(|n| n["spec"]["taints"].as_array());
    let mut others = taints.into_iter().flatten().filter(|t| t["key"] != "node.kubernetes.io/unschedulable");
    pod["spec"]["hostPID"] == true || others.next().is_some()
}

fn set_ready(store: &mut Store, key: &Key, value: &str, reason: &str, now: Timestamp) {
    let text = seconds_text(now);
    store.modify("nodes", key, |node| say_ready(&mut node["status"], value, reason, &text));
}

/// The condition Ready, with the words for its reason. A node monitor that hears nothing leaves the last heartbeat as it was.
fn say_ready(status: &mut Value, value: &str, reason: &str, now: &str) {
    let message = match reason {
        "KubeletReady" => "kubelet is posting ready status",
        "NodeStatusUnknown" => "Kubelet stopped posting node status.",
        _ => "node is shutting down",
    };
    set_condition(status, "Ready", value, reason, message, now);
    let conditions = status["conditions"].as_array_mut().into_iter().flatten();
    for condition in conditions.filter(|c| c["type"] == "Ready" && value != "Unknown") {
        condition["lastHeartbeatTime"] = json!(now);
    }
}

/// Power: a node that is down is found out after the grace; a reboot takes it down and brings it up with a new bootID.
fn power(store: &mut Store, key: &Key, node: &Value, now: Timestamp) -> Option<Duration> {
    if let Some(at) = annotation(node, UP_AGAIN).and_then(parse_time) {
        if now < at {
            return Some(until(now, at));
        }
        boot(store, key, now);
        return None;
    }
    if let Some(asked) = asks_for_reboot(store, key, node) {
        let takes = annotation(node, REBOOTS_IN).and_then(duration).unwrap_or(REBOOT);
        let pace = annotation(node, PACE).and_then(|p| p.parse::<f64>().ok()).filter(|p| *p > 0.0);
        let takes = SignedDuration::from_millis((takes.as_secs_f64() * pace.unwrap_or(1.0) * 1000.0) as i64);
        // To the millisecond: a reboot isn't over sooner because the API's own times have whole seconds.
        let up_again = (now + takes).to_string();
        store.modify("nodes", key, |node| node["metadata"]["annotations"][UP_AGAIN] = json!(up_again));
        set_ready(store, key, "False", "KubeletNotReady", now);
        if let Asked::Pod(pod) = asked {
            store.modify("pods", &pod, |pod| pod["status"]["phase"] = json!("Succeeded"));
        }
        return Some(until(now, now + takes));
    }
    if annotation(node, DOWN) != Some("true") {
        if annotation(node, DOWN_SINCE).is_some() {
            store.modify("nodes", key, |node| {
                node["metadata"]["annotations"].as_object_mut().map(|a| a.remove(DOWN_SINCE));
            });
            set_ready(store, key, "True", "KubeletReady", now);
        }
        return None;
    }
    let Some(since) = annotation(node, DOWN_SINCE).and_then(parse_time) else {
        let text = seconds_text(now);
        store.modify("nodes", key, |node| node["metadata"]["annotations"][DOWN_SINCE] = json!(text));
        return Some(until(now, now + GRACE));
    };
    if now < since + GRACE {
        return Some(until(now, since + GRACE));
    }
    set_ready(store, key, "Unknown", "NodeStatusUnknown", now);
    None
}

/// Who asks for a reboot.
enum Asked {
    Annotation,
    Pod(Key),
}

/// A request by annotation (once for each bootID), or a privileged pod in the host's process namespace that runs a
/// command with the word `reboot`.
fn asks_for_reboot(store: &Store, key: &Key, node: &Value) -> Option<Asked> {
    let boot_id = node["status"]["nodeInfo"]["bootID"].as_str().unwrap_or_default();
    if annotation(node, REBOOT_REQUEST) == Some(boot_id) {
        return Some(Asked::Annotation);
    }
    let reboots = |pod: &Object| {
        let container = &pod["spec"]["containers"][0];
        let words = ["command", "args"].iter().flat_map(|f| container[*f].as_array().into_iter().flatten());
        let mut words = words.filter_map(Value::as_str).flat_map(str::split_whitespace);
        container["securityContext"]["privileged"] == true
            && pod["status"]["phase"] == "Running"
            && words.any(|w| w == "reboot")
    };
    store.host_pods_on(&key.name).find(|p| reboots(p)).map(|p| Asked::Pod(Key::of(p)))
}

fn boot(store: &mut Store, key: &Key, now: Timestamp) {
    let seed = store.seed();
    let text = seconds_text(now);
    store.modify("nodes", key, |node| {
        let old = node["status"]["nodeInfo"]["bootID"].as_str().unwrap_or_default();
        let new = mix_text(seed, &[&key.name, old]);
        node["status"]["nodeInfo"]["bootID"] = json!(format!("{new:016x}"));
        if let Some(kernel) = annotation(node, KERNEL).map(str::to_owned) {
            node["status"]["nodeInfo"]["kernelVersion"] = json!(kernel);
        }
        node["metadata"]["annotations"].as_object_mut().map(|a| a.remove(UP_AGAIN));
        say_ready(&mut node["status"], "True", "KubeletReady", &text);
    });
    // What should run here runs again; what runs once was cut off.
    let pods: Vec<Key> = store.pods_on(&key.name).map(|p| Key::of(p)).collect();
    for pod in pods {
        store.modify("pods", &pod, |pod| {
            let once = pod["spec"]["restartPolicy"] != "Always" && pod["status"]["phase"] == "Running";
            if once {
                pod["status"]["phase"] = json!("Failed");
                pod["status"]["reason"] = json!("Terminated");
            }
        });
    }
}

/// The taints that the control plane puts on a node by its state.
fn taints(store: &mut Store, key: &Key, now: Timestamp) {
    let Some(node) = store.get_key("nodes", key).cloned() else {
        return;
    };
    let ready = pods::condition(&node, "Ready").unwrap_or("Unknown").to_owned();
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    if node["spec"]["unschedulable"] == true {
        wanted.push(("node.kubernetes.io/unschedulable", "NoSchedule"));
    }
    match ready.as_str() {
        "True" => {}
        "False" => wanted.extend([
            ("node.kubernetes.io/not-ready", "NoSchedule"),
            ("node.kubernetes.io/not-ready", "NoExecute"),
        ]),
        _ => wanted.extend([
            ("node.kubernetes.io/unreachable", "NoSchedule"),
            ("node.kubernetes.io/unreachable", "NoExecute"),
        ]),
    }
    const MANAGED: [&str; 3] = [
        "node.kubernetes.io/unschedulable",
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ];
    let have = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let managed = |t: &Value| t["key"].as_str().is_some_and(|k| MANAGED.contains(&k));
    let mut taints: Vec<Value> = have.iter().filter(|t| !managed(t)).cloned().collect();
    for (name, effect) in wanted {
        let kept = have.iter().find(|t| t["key"] == name && t["effect"] == effect).cloned();
        let mut taint = json!({"key": name, "effect": effect});
        if effect == "NoExecute" {
            taint["timeAdded"] = json!(seconds_text(now));
        }
        taints.push(kept.unwrap_or(taint));
    }
    if taints != have {
        store.modify("nodes", key, |node| {
            // A list with nothing in it isn't there.
            match node["spec"].as_object_mut().filter(|_| taints.is_empty()) {
                Some(spec) => drop(spec.remove("taints")),
                None => node["spec"]["taints"] = json!(taints),
            }
        });
    }
}

/// Taint-based eviction: pods that don't tolerate a NoExecute taint (for so long) are deleted. On a node that isn't Ready
/// its pods aren't either; a taint alone leaves them ready.
fn evict_by_taint(store: &mut Store, key: &Key, now: Timestamp) -> Option<Duration> {
    note_taints(store, key, now);
    let node = store.get_key("nodes", key).cloned()?;
    let taints: Vec<&Value> =
        node["spec"]["taints"].as_array()?.iter().filter(|t| t["effect"] == "NoExecute").collect();
    if taints.is_empty() {
        return None;
    }
    let text = seconds_text(now);
    let node_ready = pods::condition(&node, "Ready") == Some("True");
    let mut again: Option<Duration> = None;
    let pods: Vec<Object> = store.pods_on(&key.name).cloned().collect();
    for pod in pods.iter().filter(|p| pods::is_active(p)) {
        if !node_ready && pods::is_ready(pod) {
            store.modify("pods", &Key::of(pod), |p| {
                set_condition(&mut p["status"], "Ready", "False", "NodeNotReady", "", &text);
            });
        }
        for taint in &taints {
            let since = taint["timeAdded"]
                .as_str()
                .and_then(parse_time)
                .unwrap_or_else(|| seen_since(&node, taint, now));
            let due = match tolerated_for(pod, taint) {
                None => continue,
                Some(seconds) => since + SignedDuration::from_secs(seconds),
            };
            if now >= due {
                let says = "Taint manager: deleting due to NoExecute taint";
                store.modify("pods", &Key::of(pod), |pod| {
                    set_condition(
                        &mut pod["status"],
                        "DisruptionTarget",
                        "True",
                        "DeletionByTaintManager",
                        says,
                        &text,
                    );
                });
                let _ = store.delete("pods", &Key::of(pod), &DeleteOptions::default());
            } else {
                again = Some(again.map_or(until(now, due), |a| a.min(until(now, due))));
            }
        }
    }
    again
}

/// Remembers when a NoExecute taint that doesn't say so was seen first: tolerations count from then on.
fn note_taints(store: &mut Store, key: &Key, now: Timestamp) {
    let Some(node) = store.get_key("nodes", key) else { return };
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    let unsaid = taints.filter(|t| t["effect"] == "NoExecute" && t["timeAdded"].is_null());
    let seen: Map = unsaid
        .filter_map(|t| Some((t["key"].as_str()?.to_owned(), json!(seconds_text(seen_since(node, t, now))))))
        .collect();
    if seen.is_empty() && annotation(node, TAINTS_SEEN).is_none() {
        return;
    }
    store.modify("nodes", key, |node| {
        if seen.is_empty() {
            node["metadata"]["annotations"].as_object_mut().map(|a| a.remove(TAINTS_SEEN));
        } else {
            node["metadata"]["annotations"][TAINTS_SEEN] = json!(Value::Object(seen).to_string());
        }
    });
}

/// When a taint was seen first; now, if it wasn't before.
fn seen_since(node: &Value, taint: &Value, now: Timestamp) -> Timestamp {
    let seen = annotation(node, TAINTS_SEEN).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let at = seen.and_then(|seen| parse_time(seen[taint["key"].as_str().unwrap_or_default()].as_str()?));
    at.unwrap_or(now)
}

/// A node that isn't Ready and is declared out of service: its pods that are on their way out are gone, and with them what
/// keeps their volumes there.
fn out_of_service(store: &mut Store, key: &Key) {
    let Some(node) = store.get_key("nodes", key) else { return };
    let mut taints = node["spec"]["taints"].as_array().into_iter().flatten();
    let declared = taints.any(|t| t["key"] == "node.kubernetes.io/out-of-service");
    if !declared || pods::condition(node, "Ready") == Some("True") {
        return;
    }
    let leaving = |p: &&Object| !p["metadata"]["deletionTimestamp"].is_null();
    let pods: Vec<Key> = store.pods_on(&key.name).filter(leaving).map(|p| Key::of(p)).collect();
    for pod in pods {
        let _ =
            store.delete("pods", &pod, &DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() });
    }
}

/// Seconds for which a pod tolerates a taint; `None`: for ever.
fn tolerated_for(pod: &Value, taint: &Value) -> Option<i64> {
    if !pod_tolerates(pod, taint) {
        return Some(0);
    }
    let tolerations = pod["spec"]["tolerations"].as_array().into_iter().flatten();
    let matching = tolerations
        .filter(|t| (t["key"] == taint["key"] || t["key"].is_null()) && t["effect"] != "NoSchedule");
    matching.map(|t| t["tolerationSeconds"].as_i64()).min_by_key(|s| s.unwrap_or(i64::MAX)).flatten()
}
