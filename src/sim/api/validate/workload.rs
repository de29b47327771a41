//! The kinds that make pods: selectors, templates, counts.

use std::borrow::Cow;

use super::metadata::labels;
use super::{Causes, kinds, names, pod};
use crate::sim::api::eviction::selects;
use crate::sim::json::{Value, json};

/// A number that may not be negative.
pub(super) fn not_negative(object: &Value, field: &str, at: &str, causes: &mut Causes) {
    if object[field].as_i64().is_some_and(|n| n < 0) {
        causes.invalid(format!("{at}.{field}"), &object[field], "must be greater than or equal to 0");
    }
}

/// A label selector.
pub(super) fn selector(selector: &Value, at: &str, causes: &mut Causes) {
    labels(&selector["matchLabels"], &format!("{at}.matchLabels"), causes);
    for (index, expression) in selector["matchExpressions"].as_array().into_iter().flatten().enumerate() {
        let at = format!("{at}.matchExpressions[{index}]");
        let values = expression["values"].as_array().map_or(0, Vec::len);
        match expression["operator"].as_str().unwrap_or_default() {
            "In" | "NotIn" if values == 0 => {
                causes
                    .required(format!("{at}.values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if values > 0 => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                causes.forbidden(format!("{at}.values"), why);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => causes.invalid(format!("{at}.operator"), &json!(other), "not a valid selector operator"),
        }
        for why in names::qualified(expression["key"].as_str().unwrap_or_default()) {
            causes.invalid(format!("{at}.key"), &expression["key"], &why);
        }
    }
}

/// The selector of a workload, and the template whose labels it has to match.
pub(super) fn selected_template(spec: &Value, kind: &str, causes: &mut Causes) {
    let at = "spec.selector";
    let empty = |s: &Value| {
        s["matchLabels"].as_object().is_none_or(crate::sim::json::Map::is_empty)
            && s["matchExpressions"].as_array().is_none_or(Vec::is_empty)
    };
    let given = &spec["selector"];
    if given.is_null() {
        causes.required(at, "");
    } else {
        let before = causes.0.len();
        selector(given, at, causes);
        if causes.0.len() > before {
            causes.invalid(at, given, "invalid label selector");
            return;
        }
        if empty(given) {
            causes.invalid(at, given, &format!("empty selector is invalid for {kind}"));
        }
    }
    template(spec, given, !given.is_null() && empty(given), causes);
}

/// A template: its labels, its pods.
pub(super) fn template(spec: &Value, selector: &Value, any: bool, causes: &mut Causes) {
    let template = &spec["template"];
    let labels_of = &template["metadata"]["labels"];
    if !any && !selects(selector, labels_of) {
        let why = "`selector` does not match template `labels`";
        causes.invalid("spec.template.metadata.labels", labels_of, why);
    }
    labels(labels_of, "spec.template.labels", causes);
    pod::spec(&template["spec"], "spec.template.spec", causes);
}

/// Pods that are kept running have to be restarted, and have no deadline. `owner` is what makes them.
pub(super) fn runs_on(spec: &Value, owner: &str, causes: &mut Causes) {
    let pod = &spec["template"]["spec"];
    let policy = &pod["restartPolicy"];
    if policy != "Always" && policy.as_str().is_some_and(|p| ["OnFailure", "Never"].contains(&p)) {
        causes.unsupported("spec.template.spec.restartPolicy", policy, &["Always"]);
    }
    if !pod["activeDeadlineSeconds"].is_null() {
        let why = format!("activeDeadlineSeconds in {owner} is not Supported");
        causes.forbidden("spec.template.spec.activeDeadlineSeconds", &why);
    }
}

/// A number of pods, or a percentage of at most 100.
pub(super) fn count_or_percent(object: &Value, field: &str, at: &str, capped: bool, causes: &mut Causes) {
    let at = format!("{at}.{field}");
    match &object[field] {
        Value::Number(n) if n.as_i64().is_some_and(|n| n < 0) => {
            causes.invalid(at, &object[field], "must be greater than or equal to 0");
        }
        Value::String(text) => {
            let digits =
                text.strip_suffix('%').filter(|d| !d.is_empty() && d.chars().all(|c| c.is_ascii_digit()));
            match digits.and_then(|d| d.parse::<u64>().ok()) {
                None => causes.invalid(
                    at,
                    &object[field],
                    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex \
                     used for validation is '[0-9]+%')",
                ),
                Some(n) if capped && n > 100 => causes.invalid(at, &object[field], "must not be greater than 100%"),
                Some(_) => {}
            }
        }
        _ => {}
    }
}

/// How a DaemonSet goes on to new pods: either more of them for a while, or fewer.
pub(super) fn daemon_set_update(strategy: &Value, causes: &mut Causes) {
    let (rolling, at) = (&strategy["rollingUpdate"], "spec.updateStrategy.rollingUpdate");
    if strategy["type"] != "RollingUpdate" || !rolling.is_object() {
        return;
    }
    count_or_percent(rolling, "maxUnavailable", at, true, causes);
    count_or_percent(rolling, "maxSurge", at, true, causes);
    let none = |field: &str| rolling[field].is_null() || is_zero(&rolling[field]);
    match (none("maxUnavailable"), none("maxSurge")) {
        (false, false) => {
            let why = "may not be set when maxUnavailable is non-zero";
            causes.invalid(format!("{at}.maxSurge"), &rolling["maxSurge"], why);
        }
        (true, true) => causes.required(format!("{at}.maxUnavailable"), "cannot be 0 when maxSurge is 0"),
        _ => {}
    }
}

/// Zero of something, as a number or a percentage.
fn is_zero(value: &Value) -> bool {
    *value == 0 || value.as_str().is_some_and(|t| t.trim_end_matches('%').parse::<i64>() == Ok(0))
}

pub(super) fn deployment(spec: &Value, causes: &mut Causes) {
    not_negative(spec, "replicas", "spec", causes);
    selected_template(spec, "deployment", causes);
    runs_on(spec, "ReplicaSet", causes);
    let strategy = &spec["strategy"];
    match strategy["type"].as_str() {
        Some("Recreate") => {
            if !strategy["rollingUpdate"].is_null() {
                let why = "may not be specified when strategy `type` is 'Recreate'";
                causes.forbidden("spec.strategy.rollingUpdate", why);
            }
        }
        Some("RollingUpdate") => {
            let rolling = &strategy["rollingUpdate"];
            let at = "spec.strategy.rollingUpdate";
            count_or_percent(rolling, "maxUnavailable", at, false, causes);
            count_or_percent(rolling, "maxSurge", at, false, causes);
            if is_zero(&rolling["maxUnavailable"]) && is_zero(&rolling["maxSurge"]) {
                let why = "may not be 0 when `maxSurge` is 0";
                causes.invalid(format!("{at}.maxUnavailable"), &rolling["maxUnavailable"], why);
            }
        }
        _ => causes.unsupported("spec.strategy", strategy, &["Recreate", "RollingUpdate"]),
    }
    not_negative(spec, "minReadySeconds", "spec", causes);
    not_negative(spec, "revisionHistoryLimit", "spec", causes);
    not_negative(spec, "progressDeadlineSeconds", "spec", causes);
    let ready = spec["minReadySeconds"].as_i64().unwrap_or(0);
    if spec["progressDeadlineSeconds"].as_i64().is_some_and(|d| d <= ready) {
        let why = "must be greater than minReadySeconds";
        causes.invalid("spec.progressDeadlineSeconds", &spec["progressDeadlineSeconds"], why);
    }
}

pub(super) fn stateful_set(spec: &Value, causes: &mut Causes) {
    let policy = &spec["podManagementPolicy"];
    if policy != "OrderedReady" && policy != "Parallel" {
        causes.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'");
    }
    let strategy = &spec["updateStrategy"];
    match strategy["type"].as_str() {
        Some("RollingUpdate") => {
            not_negative(
                &strategy["rollingUpdate"],
                "partition",
                "spec.updateStrategy.rollingUpdate",
                causes,
            );
        }
        Some("OnDelete") => {
            if !strategy["rollingUpdate"].is_null() {
                let why = "only allowed for updateStrategy 'RollingUpdate'";
                causes.invalid("spec.updateStrategy.rollingUpdate", &strategy["rollingUpdate"], why);
            }
        }
        _ => causes.invalid("spec.updateStrategy", strategy, "must be 'RollingUpdate' or 'OnDelete'"),
    }
    not_negative(spec, "replicas", "spec", causes);
    not_negative(spec, "minReadySeconds", "spec", causes);
    selected_template(&with_claims(spec), "statefulset", causes);
    runs_on(spec, "StatefulSet", causes);
}

/// A StatefulSet's spec with the volumes that its pods will have: one for each claim template, instead of a volume of that name.
fn with_claims(spec: &Value) -> Cow<'_, Value> {
    let claims = spec["volumeClaimTemplates"].as_array().into_iter().flatten();
    let names: Vec<&Value> = claims.map(|c| &c["metadata"]["name"]).collect();
    if names.is_empty() {
        return Cow::Borrowed(spec);
    }
    let of_claim = |name: &&Value| json!({"name": **name, "persistentVolumeClaim": {"claimName": **name}});
    let mut volumes: Vec<Value> = names.iter().map(of_claim).collect();
    let others = spec["template"]["spec"]["volumes"].as_array().into_iter().flatten();
    volumes.extend(others.filter(|v| !names.contains(&&v["name"])).cloned());
    let mut spec = spec.clone();
    spec["template"]["spec"]["volumes"] = json!(volumes);
    Cow::Owned(spec)
}

/// The claims that a new StatefulSet is to make. Later they can't change, and aren't judged again.
pub(super) fn claim_templates(spec: &Value, causes: &mut Causes) {
    for (index, template) in spec["volumeClaimTemplates"].as_array().into_iter().flatten().enumerate() {
        kinds::claim(&template["spec"], &format!("spec.volumeClaimTemplates[{index}].spec"), causes);
    }
}

pub(super) fn job(spec: &Value, causes: &mut Causes) {
    for field in
        ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"]
    {
        not_negative(spec, field, "spec", causes);
    }
    let mode = &spec["completionMode"];
    if mode.as_str().is_some_and(|m| !["NonIndexed", "Indexed"].contains(&m)) {
        causes.unsupported("spec.completionMode", mode, &["NonIndexed", "Indexed"]);
    }
    pod::spec(&spec["template"]["spec"], "spec.template.spec", causes);
    let policy = &spec["template"]["spec"]["restartPolicy"];
    if policy == "Always" {
        causes.required("spec.template.spec.restartPolicy", "valid values: \"OnFailure\", \"Never\"");
    }
}
