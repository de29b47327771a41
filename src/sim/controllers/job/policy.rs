//! `podFailurePolicy`: what a failed pod means, by exit code or condition.

use super::{Verdict, is_tracked};
use crate::sim::controllers::pods;
use crate::sim::json::Value;
use crate::sim::store::Store;

/// The first rule that a failed pod meets, and its number.
fn rule<'a>(job: &'a Value, pod: &Value) -> Option<(usize, &'a Value)> {
    let rules = job["spec"]["podFailurePolicy"]["rules"].as_array()?;
    rules
        .iter()
        .enumerate()
        .find(|(_, rule)| by_exit_code(rule, pod).is_some() || by_condition(rule, pod).is_some())
}

/// The container whose exit code a rule means, and the code.
fn by_exit_code(rule: &Value, pod: &Value) -> Option<(String, i64)> {
    let wanted = rule["onExitCodes"].as_object()?;
    let values = wanted.get("values")?.as_array()?;
    let only = wanted.get("containerName").and_then(Value::as_str);
    pod["status"]["containerStatuses"].as_array()?.iter().find_map(|status| {
        let code = status["state"]["terminated"]["exitCode"].as_i64().filter(|code| *code != 0)?;
        let name = status["name"].as_str().unwrap_or_default();
        let listed = values.iter().any(|v| v.as_i64() == Some(code));
        let meant = listed == (wanted.get("operator").is_some_and(|o| o == "In"));
        (meant && only.is_none_or(|only| only == name)).then(|| (name.to_owned(), code))
    })
}

/// The condition of a pod that a rule means.
fn by_condition(rule: &Value, pod: &Value) -> Option<String> {
    rule["onPodConditions"].as_array()?.iter().find_map(|wanted| {
        let kind = wanted["type"].as_str()?;
        let status = wanted["status"].as_str().unwrap_or("True");
        (pods::condition(pod, kind) == Some(status)).then(|| kind.to_owned())
    })
}

/// A failure that doesn't count.
pub(super) fn is_ignored(job: &Value, pod: &Value) -> bool {
    rule(job, pod).is_some_and(|(_, rule)| rule["action"] == "Ignore")
}

/// The Job fails because of a pod that has.
pub(super) fn failing(store: &Store, job: &Value) -> Option<Verdict> {
    job["spec"]["podFailurePolicy"].as_object()?;
    let failed = |p: &Value| p["status"]["phase"] == "Failed" && is_tracked(p);
    pods::of(store, job).iter().filter(|p| failed(p)).find_map(|pod| {
        let (number, rule) = rule(job, pod).filter(|(_, rule)| rule["action"] == "FailJob")?;
        let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
        let pod_name = format!("{}/{}", text("namespace"), text("name"));
        let message = match by_exit_code(rule, pod) {
            Some((container, code)) => format!(
                "Container {container} for pod {pod_name} failed with exit code {code} matching FailJob rule at index {number}"
            ),
            None => format!(
                "Pod {pod_name} has condition {} matching FailJob rule at index {number}",
                by_condition(rule, pod).unwrap_or_default()
            ),
        };
        Some(Verdict::new(false, "PodFailurePolicy", &message))
    })
}
