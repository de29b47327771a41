//! `pods/eviction`: the API server's own arithmetic and answers.

use crate::sim::json::{Value, json};
use crate::sim::store::{DeleteOptions, Key, Refusal, Store};

/// Evicts a pod, or says why not. `dry_run` asks only.
///
/// # Errors
/// 404; 409 (UID, resourceVersion); 429 by a budget; 500 when several budgets select the pod.
pub fn evict(
    store: &mut Store,
    namespace: &str,
    name: &str,
    eviction: &Value,
    dry_run: bool,
) -> Result<Value, Refusal> {
    let key = Key::new(namespace, name);
    let pod = store.get_key("pods", &key).cloned().ok_or_else(|| Refusal::not_found("pods", name))?;
    let delete = &eviction["deleteOptions"];
    let text = |v: &Value| v.as_str().map(str::to_owned);
    let options = DeleteOptions {
        grace_seconds: delete["gracePeriodSeconds"].as_i64(),
        uid: text(&delete["preconditions"]["uid"]),
        resource_version: text(&delete["preconditions"]["resourceVersion"]),
        propagation: None,
        by_request: true,
    };
    let dry_run = dry_run || delete["dryRun"].as_array().is_some_and(|d| d.contains(&json!("All")));
    if needs_budget(&pod) {
        ask_budgets(store, namespace, name, &pod, dry_run)?;
    }
    store.would_delete("pods", &key, &options)?;
    if !dry_run {
        mark(store, &key);
        // The mark made a version of its own.
        store.delete("pods", &key, &DeleteOptions { resource_version: None, ..options })?;
    }
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
}

/// The condition by which a pod is known to have been evicted.
fn mark(store: &mut Store, key: &Key) {
    let now = store.clock().now_text();
    store.modify("pods", key, |pod| {
        let conditions = &mut pod["status"]["conditions"];
        if !conditions.is_array() {
            *conditions = json!([]);
        }
        let Some(list) = conditions.as_array_mut() else { return };
        if list.iter().any(|c| c["type"] == "DisruptionTarget" && c["status"] == "True") {
            return;
        }
        list.retain(|c| c["type"] != "DisruptionTarget");
        list.push(json!({
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": now,
        }));
    });
}

/// A pod that never ran, has ended or is being deleted takes nothing from a budget.
fn needs_budget(pod: &Value) -> bool {
    let phase = pod["status"]["phase"].as_str().unwrap_or("Pending");
    !matches!(phase, "Succeeded" | "Failed" | "Pending") && pod["metadata"]["deletionTimestamp"].is_null()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn ask_budgets(
    store: &mut Store,
    namespace: &str,
    name: &str,
    pod: &Value,
    dry_run: bool,
) -> Result<(), Refusal> {
    let budgets: Vec<Value> =
        store.budgets_of(namespace, &pod["metadata"]["labels"]).map(|b| (**b).clone()).collect();
    let budget = match budgets.as_slice() {
        [] => return Ok(()),
        [budget] => budget,
        _ => {
            let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            // Without a reason: the real one answers a bare Status, which becomes an error on its way out.
            return Err(Refusal::new(500, "", message));
        }
    };
    let number = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    if !is_ready(pod) {
        let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
        let healthy = number("currentHealthy") >= number("desiredHealthy") && number("desiredHealthy") > 0;
        if always || healthy {
            return Ok(());
        }
    }
    let budget_name = budget["metadata"]["name"].as_str().unwrap_or_default();
    let refuse = |cause: String, retry: Option<u32>| {
        let mut refusal = Refusal::new(
            429,
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
        );
        let mut details = json!({"causes": [{"reason": "DisruptionBudget", "message": cause}]});
        if let Some(seconds) = retry {
            details["retryAfterSeconds"] = json!(seconds);
        }
        refusal.details = Some(details);
        refusal
    };
    if number("observedGeneration") < budget["metadata"]["generation"].as_i64().unwrap_or(0) {
        let cause = format!("The disruption budget {budget_name} is still being processed by the server.");
        return Err(refuse(cause, Some(10)));
    }
    if number("disruptionsAllowed") <= 0 {
        return Err(refuse(cause(budget), None));
    }
    if !dry_run {
        let now = store.clock().now_text();
        store.modify("poddisruptionbudgets.policy", &Key::new(namespace, budget_name), |b| {
            b["status"]["disruptionsAllowed"] = json!(number("disruptionsAllowed") - 1);
            b["status"]["disruptedPods"][name] = json!(now);
            if number("disruptionsAllowed") == 1 {
                exhausted(b, &now);
            }
        });
    }
    Ok(())
}

/// The last disruption that a budget allows is taken: its condition says so at once.
fn exhausted(budget: &mut Value, now: &str) {
    let generation = budget["status"]["observedGeneration"].clone();
    let conditions = &mut budget["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(list) = conditions.as_array_mut() else { return };
    let before = list.iter().find(|c| c["type"] == "DisruptionAllowed" && c["status"] == "False");
    let since = before.map_or(json!(now), |c| c["lastTransitionTime"].clone());
    list.retain(|c| c["type"] != "DisruptionAllowed");
    list.push(json!({
        "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
        "observedGeneration": generation, "lastTransitionTime": since,
    }));
}

/// Why a budget allows nothing. Its numbers mean nothing when it couldn't be counted.
fn cause(budget: &Value) -> String {
    let name = budget["metadata"]["name"].as_str().unwrap_or_default();
    let number = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    let conditions = budget["status"]["conditions"].as_array().into_iter().flatten();
    let condition =
        conditions.into_iter().find(|c| c["type"] == "DisruptionAllowed" && c["status"] == "False");
    let said = |field: &str| condition.and_then(|c| c[field].as_str()).unwrap_or_default();
    let (reason, message) = (said("reason"), said("message"));
    let refuses = format!("The disruption budget {name} does not allow evicting pods currently");
    if reason == "SyncFailed" && !message.is_empty() {
        format!("{refuses} because it failed sync: {message}")
    } else if number("currentHealthy") <= number("desiredHealthy") {
        let (needed, healthy) = (number("desiredHealthy"), number("currentHealthy"));
        format!("The disruption budget {name} needs {needed} healthy pods and has {healthy} currently")
    } else if message.is_empty() {
        refuses
    } else {
        format!("{refuses} ({reason}): {message}")
    }
}

/// A label selector as an object carries it; none selects nothing, an empty one everything.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    let Some(parts) = selector.as_object() else {
        return false;
    };
    let by_labels = parts
        .get("matchLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .all(|(key, value)| &labels[key] == value);
    let by_expression = |e: &Value| {
        let actual = labels.get(e["key"].as_str().unwrap_or_default());
        let listed = actual.is_some_and(|a| e["values"].as_array().is_some_and(|values| values.contains(a)));
        match e["operator"].as_str() {
            Some("In") => listed,
            Some("NotIn") => !listed,
            Some("Exists") => actual.is_some(),
            Some("DoesNotExist") => actual.is_none(),
            _ => false,
        }
    };
    by_labels
        && parts.get("matchExpressions").and_then(Value::as_array).into_iter().flatten().all(by_expression)
}
