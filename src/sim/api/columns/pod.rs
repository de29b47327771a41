//! Pods: the one kind whose row needs thought, since its status is told by its containers.

use jiff::Timestamp;

use super::cells::{NONE, holds, joined_or_none, list, since, text};
use super::{Column, Source};
use crate::sim::json::Value;

pub(super) fn columns() -> Vec<Column> {
    vec![
        Column::name(),
        Column::of("Ready", ready),
        Column::of("Status", status),
        Column::new("Restarts", "string", Source::At(restarts)),
        Column::age(),
        Column::text_or("IP", "/status/podIPs/0/ip", NONE).wide(),
        Column::text_or("Node", "/spec/nodeName", NONE).wide(),
        Column::text_or("Nominated Node", "/status/nominatedNodeName", NONE).wide(),
        Column::of("Readiness Gates", gates).wide(),
    ]
}

/// An init container that goes on beside the others.
fn is_sidecar(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}

fn of_sidecar(pod: &Value, status: &Value) -> bool {
    list(&pod["spec"]["initContainers"]).any(|c| c["name"] == status["name"] && is_sidecar(c))
}

fn runs(status: &Value) -> bool {
    status["ready"] == true && !status["state"]["running"].is_null()
}

fn ready(pod: &Value) -> String {
    let sidecars = list(&pod["spec"]["initContainers"]).filter(|c| is_sidecar(c)).count();
    let total = list(&pod["spec"]["containers"]).count() + sidecars;
    let mut ready = list(&pod["status"]["initContainerStatuses"])
        .filter(|s| of_sidecar(pod, s) && s["started"] == true && s["ready"] == true)
        .count();
    if initializing(pod).is_none() || holds(pod, "Initialized") {
        ready += list(&pod["status"]["containerStatuses"]).filter(|s| runs(s)).count();
    }
    format!("{ready}/{total}")
}

/// Why a container ended.
fn ended(terminated: &Value) -> String {
    match (text(&terminated["reason"]), terminated["signal"].as_i64().unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or(0)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

/// What the first init container that isn't through says.
fn initializing(pod: &Value) -> Option<String> {
    let total = list(&pod["spec"]["initContainers"]).count();
    for (index, status) in list(&pod["status"]["initContainerStatuses"]).enumerate() {
        let state = &status["state"];
        let terminated = &state["terminated"];
        let through = !terminated.is_null() && terminated["exitCode"].as_i64().unwrap_or(0) == 0;
        if through || (of_sidecar(pod, status) && status["started"] == true) {
            continue;
        }
        if !terminated.is_null() {
            return Some(format!("Init:{}", ended(terminated)));
        }
        return Some(match text(&state["waiting"]["reason"]) {
            "" | "PodInitializing" => format!("Init:{index}/{total}"),
            reason => format!("Init:{reason}"),
        });
    }
    None
}

fn status(pod: &Value) -> String {
    let phase = text(&pod["status"]["phase"]);
    let said = text(&pod["status"]["reason"]);
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        if said == "NodeLost" {
            return "Unknown".to_owned();
        }
        if !matches!(phase, "Succeeded" | "Failed") {
            return "Terminating".to_owned();
        }
    }
    let mut reason = if said.is_empty() { phase } else { said }.to_owned();
    if list(&pod["status"]["conditions"])
        .any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated")
    {
        "SchedulingGated".clone_into(&mut reason);
    }
    match initializing(pod) {
        Some(initial) if !holds(pod, "Initialized") => initial,
        _ => by_containers(pod, reason),
    }
}

/// What the containers say, the first having the last word.
fn by_containers(pod: &Value, mut reason: String) -> String {
    let (mut running, mut error) = (false, None);
    for status in list(&pod["status"]["containerStatuses"]).collect::<Vec<_>>().into_iter().rev() {
        let state = &status["state"];
        if let Some(waiting) = state["waiting"]["reason"].as_str().filter(|r| !r.is_empty()) {
            waiting.clone_into(&mut reason);
        } else if !state["terminated"].is_null() {
            reason = ended(&state["terminated"]);
            if state["terminated"]["exitCode"].as_i64().unwrap_or(0) != 0 {
                error = Some(reason.clone());
            }
        } else if runs(status) {
            running = true;
        }
    }
    if reason != "Completed" {
        return reason;
    }
    match (running, holds(pod, "Ready"), error) {
        (true, true, _) => "Running".to_owned(),
        (_, _, Some(error)) => error,
        (true, ..) => "NotReady".to_owned(),
        _ => reason,
    }
}

fn restarts(pod: &Value, now: Timestamp) -> String {
    let beside = list(&pod["status"]["initContainerStatuses"]).filter(|s| of_sidecar(pod, s));
    let all: Vec<&Value> = match initializing(pod) {
        Some(_) if !holds(pod, "Initialized") => list(&pod["status"]["initContainerStatuses"]).collect(),
        _ => list(&pod["status"]["containerStatuses"]).chain(beside).collect(),
    };
    let count: i64 = all.iter().map(|s| s["restartCount"].as_i64().unwrap_or(0)).sum();
    // RFC 3339 in UTC sorts as the times do.
    let last = all.iter().filter_map(|s| s["lastState"]["terminated"]["finishedAt"].as_str()).max();
    match last.filter(|_| count > 0) {
        Some(last) => format!("{count} ({} ago)", since(&Value::from(last), now)),
        None => count.to_string(),
    }
}

fn gates(pod: &Value) -> String {
    let all: Vec<&str> = list(&pod["spec"]["readinessGates"]).map(|g| text(&g["conditionType"])).collect();
    if all.is_empty() {
        return joined_or_none(std::iter::empty());
    }
    format!("{}/{}", all.iter().filter(|gate| holds(pod, gate)).count(), all.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::json::json;

    fn pod(status: Value) -> Value {
        json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}, "status": status})
    }

    fn container(name: &str, state: Value) -> Value {
        json!({"name": name, "ready": !state["running"].is_null(), "restartCount": 0, "state": state})
    }

    #[test]
    fn a_pod_is_what_its_containers_are() {
        let running = || json!({"running": {}});
        let cases = [
            (json!({"phase": "Pending"}), "Pending", "0/2"),
            (
                json!({"phase": "Pending", "initContainerStatuses": [container("i", running())]}),
                "Init:0/1",
                "0/2",
            ),
            (
                json!({"phase": "Running", "containerStatuses": [container("a", running()),
                    container("b", json!({"waiting": {"reason": "CrashLoopBackOff"}}))]}),
                "CrashLoopBackOff",
                "1/2",
            ),
            (
                json!({"phase": "Failed", "containerStatuses": [container("a", json!({"terminated": {"exitCode": 3}})),
                    container("b", json!({"terminated": {"exitCode": 0, "reason": "Completed"}}))]}),
                "ExitCode:3",
                "0/2",
            ),
            (json!({"phase": "Failed", "reason": "Evicted"}), "Evicted", "0/2"),
        ];
        for (given, shown, is_ready) in cases {
            let pod = pod(given);
            assert_eq!((status(&pod).as_str(), ready(&pod).as_str()), (shown, is_ready), "{pod}");
        }
        let mut going = pod(json!({"phase": "Running"}));
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(status(&going), "Terminating");
    }
}
