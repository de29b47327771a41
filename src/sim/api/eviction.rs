//! `pods/eviction`: the API server's own arithmetic and answers.

use serde_json::{Value, json};

use crate::sim::store::{DeleteOptions, Key, Refusal, Store};

/// Evicts a pod, or says why not. `dry_run` asks only.
///
/// # Errors
/// 404; 409 (UID); 429 by a budget; 500 when several budgets select the pod.
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
    };
    let dry_run = dry_run || delete["dryRun"].as_array().is_some_and(|d| d.contains(&json!("All")));
    if let Some(uid) = options.uid.as_deref().filter(|uid| Some(*uid) != pod["metadata"]["uid"].as_str()) {
        let meta = pod["metadata"]["uid"].as_str().unwrap_or_default();
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {meta}");
        return Err(Refusal::conflict("pods", name, &why));
    }
    if needs_budget(&pod) {
        ask_budgets(store, namespace, name, &pod, dry_run)?;
    }
    if !dry_run {
        store.delete("pods", &key, &options)?;
    }
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
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
    let budgets: Vec<Value> = store
        .list_in("poddisruptionbudgets.policy", namespace)
        .filter(|b| selects(&b["spec"]["selector"], &pod["metadata"]["labels"]))
        .map(|b| (**b).clone())
        .collect();
    let budget = match budgets.as_slice() {
        [] => return Ok(()),
        [budget] => budget,
        _ => {
            let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Refusal::new(500, "InternalError", message));
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
        let cause = format!(
            "The disruption budget {budget_name} needs {} healthy pods and has {} currently",
            number("desiredHealthy"),
            number("currentHealthy")
        );
        return Err(refuse(cause, None));
    }
    if !dry_run {
        let now = store.clock().now_text();
        store.modify("poddisruptionbudgets.policy", &Key::new(namespace, budget_name), |b| {
            b["status"]["disruptionsAllowed"] = json!(number("disruptionsAllowed") - 1);
            b["status"]["disruptedPods"][name] = json!(now);
        });
    }
    Ok(())
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
