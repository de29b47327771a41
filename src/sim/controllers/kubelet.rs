//! Kubelets: pods start, become ready, complete, stop.
//!
//! How long things take is said by annotations on the pod, all under `sim.virtroll.dev/`: `starts-after` (1 s), `ready-after`
//! (1 s more), `stops-after` (1 s after SIGTERM), `stops: external` (ends only when somebody sets its phase, or when its grace
//! has run out), `runs-for` (pods of Jobs: 2 s), `exit-code` (0). The first two and `runs-for` may be `never`.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::node::{annotation, duration};
use super::{pods, until, volume};
use crate::sim::clock::{parse_time, seconds_text};
use crate::sim::json::{Text, Value, json};
use crate::sim::scheduler::set_condition;
use crate::sim::store::{DeleteOptions, Key, Store, mix_text};

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Exit code of what SIGTERM has ended.
const TERMINATED: i64 = 143;

const STARTS_AFTER: &str = "sim.virtroll.dev/starts-after";
const READY_AFTER: &str = "sim.virtroll.dev/ready-after";
const RUNS_FOR: &str = "sim.virtroll.dev/runs-for";
const STOPS_AFTER: &str = "sim.virtroll.dev/stops-after";

fn setting(pod: &Value, name: &str, default: SignedDuration) -> SignedDuration {
    annotation(pod, name).and_then(duration).unwrap_or(default)
}

fn never(pod: &Value, name: &str) -> bool {
    annotation(pod, name) == Some("never")
}

/// What the kubelets know of a pod to the millisecond; the API's times have whole seconds. What they don't know, such as in
/// a copy of a cluster, its object says.
#[derive(Debug, Default, Clone)]
struct Moments {
    uid: Text,
    admitted: Option<Timestamp>,
    started: Option<Timestamp>,
    stopping: Option<Timestamp>,
}

/// The kubelets.
#[derive(Debug, Default)]
pub(super) struct Kubelets {
    /// Only ever asked for one pod's.
    moments: HashMap<Key, Moments>,
}

impl Kubelets {
    /// One round of a pod.
    pub(super) fn reconcile(&mut self, store: &mut Store, key: &Key, now: Timestamp) -> Option<Duration> {
        let Some(pod) = store.get_key("pods", key).cloned() else {
            self.moments.remove(key);
            return None;
        };
        let uid = pod["metadata"]["uid"].as_text();
        let moments = match self.moments.get_mut(key) {
            Some(moments) => moments,
            None => self.moments.entry(key.clone()).or_default(),
        };
        if uid != Some(&moments.uid) {
            *moments = Moments { uid: uid.cloned().unwrap_or_default(), ..Moments::default() };
        }
        reconcile(store, key, &pod, moments, now)
    }
}

/// The moment itself, if it is the one that the object's text means; else what the text says.
fn exact(moment: Option<Timestamp>, text: Timestamp) -> Timestamp {
    let fits = |m: &Timestamp| (0..1000).contains(&m.duration_since(text).as_millis());
    moment.filter(fits).unwrap_or(text)
}

fn reconcile(
    store: &mut Store,
    key: &Key,
    pod: &Value,
    moments: &mut Moments,
    now: Timestamp,
) -> Option<Duration> {
    let node = pod["spec"]["nodeName"].as_str().filter(|n| !n.is_empty())?;
    let Some(node) = store.get("nodes", "", node) else {
        // Its node is gone: the pod collector deletes it, and nobody is there to stop it in order.
        let _ =
            store.delete("pods", key, &DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() });
        return None;
    };
    if pods::condition(node, "Ready") != Some("True") {
        return None;
    }
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return stop(store, key, pod, moments, now);
    }
    match pod["status"]["phase"].as_str() {
        Some("Running") => run(store, key, pod, moments, now),
        Some("Succeeded" | "Failed") => None,
        _ => start(store, key, pod, moments, now),
    }
}

fn start(
    store: &mut Store,
    key: &Key,
    pod: &Value,
    moments: &mut Moments,
    now: Timestamp,
) -> Option<Duration> {
    let Some(admitted) = pod["status"]["startTime"].as_str().and_then(parse_time) else {
        let text = seconds_text(now);
        moments.admitted = Some(now);
        store.modify("pods", key, |pod| pod["status"]["startTime"] = json!(text));
        return None;
    };
    // A claim that is bound, and a volume that is attached, call the kubelet again.
    if never(pod, STARTS_AFTER) || !volumes_ready(store, key, pod) {
        return None;
    }
    let due = exact(moments.admitted, admitted) + setting(pod, STARTS_AFTER, SECOND);
    if now < due {
        return Some(until(now, due));
    }
    moments.started = Some(now);
    let bits = mix_text(store.seed(), &[&key.namespace, &key.name]);
    let ip = format!("10.{}.{}.{}", bits & 0xff, (bits >> 8) & 0xff, (bits >> 16) & 0xff);
    let text = seconds_text(now);
    store.modify("pods", key, |pod| {
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        let statuses: Vec<Value> = containers
            .map(|c| {
                json!({
                    "name": c["name"], "image": c["image"], "imageID": "", "ready": false, "started": true,
                    "restartCount": 0, "state": {"running": {"startedAt": text}},
                })
            })
            .collect();
        pod["status"]["phase"] = json!("Running");
        pod["status"]["podIP"] = json!(ip);
        pod["status"]["podIPs"] = json!([{"ip": ip}]);
        pod["status"]["containerStatuses"] = json!(statuses);
        set_condition(&mut pod["status"], "Initialized", "True", "", "", &text);
        set_condition(&mut pod["status"], "Ready", "False", "ContainersNotReady", "", &text);
    });
    None
}

/// Claims are bound, and their CSI volumes attached to the pod's node.
fn volumes_ready(store: &Store, key: &Key, pod: &Value) -> bool {
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let mut claims = volumes.filter_map(|v| v["persistentVolumeClaim"]["claimName"].as_str());
    claims.all(|claim| {
        let bound = store
            .get("persistentvolumeclaims", &key.namespace, claim)
            .is_some_and(|c| c["status"]["phase"] == "Bound");
        bound
            && volume::of_claim(store, &key.namespace, claim)
                .is_none_or(|v| volume::is_attached(store, &v, node))
    })
}

fn running_since(pod: &Value) -> Option<Timestamp> {
    pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"].as_str().and_then(parse_time)
}

fn run(store: &mut Store, key: &Key, pod: &Value, moments: &Moments, now: Timestamp) -> Option<Duration> {
    let once = pod["spec"]["restartPolicy"] != "Always";
    let is_ready = pods::is_ready(pod);
    if is_ready && !once {
        return None;
    }
    let since = running_since(pod).map_or(now, |text| exact(moments.started, text));
    let of_job = pod["metadata"]["ownerReferences"][0]["kind"] == "Job";
    let runs_for = annotation(pod, RUNS_FOR).and_then(duration).or(of_job.then_some(SECOND * 2));
    let ends = runs_for.filter(|_| once && !never(pod, RUNS_FOR)).map(|r| since + r);
    if ends.is_some_and(|due| due <= now) {
        complete(store, key, pod, now);
        return None;
    }
    let end = ends.map(|due| until(now, due));
    if is_ready || never(pod, READY_AFTER) {
        return end;
    }
    let due = since + setting(pod, READY_AFTER, SECOND);
    if now < due {
        return Some(until(now, due)).into_iter().chain(end).min();
    }
    let gates = pod["spec"]["readinessGates"].as_array().into_iter().flatten();
    let open = gates
        .filter_map(|g| g["conditionType"].as_str())
        .all(|gate| pods::condition(pod, gate) == Some("True"));
    let text = seconds_text(now);
    store.modify("pods", key, |pod| {
        for status in pod["status"]["containerStatuses"].as_array_mut().into_iter().flatten() {
            status["ready"] = json!(true);
        }
        set_condition(&mut pod["status"], "ContainersReady", "True", "", "", &text);
        let (value, reason) = if open { ("True", "") } else { ("False", "ReadinessGatesNotReady") };
        set_condition(&mut pod["status"], "Ready", value, reason, "", &text);
    });
    end
}

fn complete(store: &mut Store, key: &Key, pod: &Value, now: Timestamp) {
    let code: i64 = annotation(pod, "sim.virtroll.dev/exit-code").and_then(|c| c.parse().ok()).unwrap_or(0);
    end(store, key, code, now);
}

/// All containers end with this code.
fn end(store: &mut Store, key: &Key, code: i64, now: Timestamp) {
    let text = seconds_text(now);
    store.modify("pods", key, |pod| {
        let reason = if code == 0 { "Completed" } else { "Error" };
        for status in pod["status"]["containerStatuses"].as_array_mut().into_iter().flatten() {
            let began = status["state"]["running"]["startedAt"].as_str().unwrap_or(&text).to_owned();
            let ended = json!({"exitCode": code, "reason": reason, "startedAt": began, "finishedAt": text});
            status["ready"] = json!(false);
            status["started"] = json!(false);
            status["state"] = json!({"terminated": ended});
        }
        pod["status"]["phase"] = json!(if code == 0 { "Succeeded" } else { "Failed" });
        let reason = if code == 0 { "PodCompleted" } else { "PodFailed" };
        for kind in ["Ready", "ContainersReady"] {
            set_condition(&mut pod["status"], kind, "False", reason, "", &text);
        }
    });
}

/// SIGTERM, then the end: after the pod's own time, or when its grace has run out.
fn stop(
    store: &mut Store,
    key: &Key,
    pod: &Value,
    moments: &mut Moments,
    now: Timestamp,
) -> Option<Duration> {
    let deadline = pod["metadata"]["deletionTimestamp"].as_str().and_then(parse_time).unwrap_or(now);
    let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    let asked = deadline - SignedDuration::from_secs(grace);
    let over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let external = annotation(pod, "sim.virtroll.dev/stops") == Some("external");
    let heard = exact(Some(*moments.stopping.get_or_insert(now)), asked);
    let own = if external { deadline } else { heard + setting(pod, STOPS_AFTER, SECOND) };
    let due = own.min(deadline);
    if !over && now < due {
        return Some(until(now, due));
    }
    if has_finalizers(pod) && !over {
        // Whoever holds it sees how it ended.
        let of_job = pod["metadata"]["ownerReferences"][0]["kind"] == "Job";
        end(store, key, if of_job { TERMINATED } else { 0 }, now);
    }
    let options = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
    let _ = store.delete("pods", key, &options);
    None
}

fn has_finalizers(pod: &Value) -> bool {
    pod["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty())
}
