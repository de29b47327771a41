//! LimitRanges and ResourceQuotas.

use std::collections::BTreeSet;

use super::{Causes, names};
use crate::sim::api::quantity;
use crate::sim::json::{Value, json};

/// What a LimitRange says.
pub(super) fn range(spec: &Value, causes: &mut Causes) {
    let mut seen = Vec::new();
    for (index, item) in spec["limits"].as_array().into_iter().flatten().enumerate() {
        let at = format!("spec.limits[{index}]");
        kind(&item["type"], &format!("{at}.type"), causes);
        if seen.contains(&&item["type"]) {
            causes.duplicate(format!("{at}.type"), &item["type"]);
        }
        seen.push(&item["type"]);
        if item["type"] == "Pod" {
            for field in ["default", "defaultRequest"] {
                if item[field].as_object().is_some_and(|f| !f.is_empty()) {
                    causes.forbidden(format!("{at}.{field}"), "may not be specified when `type` is 'Pod'");
                }
            }
        }
        if item["type"] == "PersistentVolumeClaim"
            && item["min"]["storage"].is_null()
            && item["max"]["storage"].is_null()
        {
            let why = "either minimum or maximum storage value is required, but neither was provided";
            causes.required(format!("{at}.limits"), why);
        }
        amounts(item, &at, causes);
    }
}

fn kind(kind: &Value, at: &str, causes: &mut Causes) {
    let text = kind.as_str().unwrap_or_default();
    let wrong = names::qualified(text);
    if wrong.is_empty()
        && !text.contains('/')
        && !["Container", "PersistentVolumeClaim", "Pod"].contains(&text)
    {
        causes.invalid(at, kind, "must be a standard limit type or fully qualified");
    }
    for why in wrong {
        causes.invalid(at, &json!(text), &why);
    }
}

/// The amounts of an item, which have to stand in order.
fn amounts(item: &Value, at: &str, causes: &mut Causes) {
    // The lesser of two fields with its title, the greater with its own, the field that is blamed, and whose value is shown.
    const ORDER: [([&str; 2], [&str; 2], &str, &str); 6] = [
        (["min", "min value"], ["max", "max value"], "min", "min"),
        (
            ["min", "min value"],
            ["defaultRequest", "default request value"],
            "defaultRequest",
            "defaultRequest",
        ),
        (
            ["defaultRequest", "default request value"],
            ["max", "max value"],
            "defaultRequest",
            "defaultRequest",
        ),
        (
            ["defaultRequest", "default request value"],
            ["default", "default limit value"],
            "defaultRequest",
            "defaultRequest",
        ),
        (["min", "min value"], ["default", "default value"], "default", "min"),
        (["default", "default value"], ["max", "max value"], "default", "max"),
    ];
    let fields: &[&str] = if item["type"] == "Pod" {
        &["max", "min", "maxLimitRequestRatio"]
    } else {
        &["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"]
    };
    let named = |field: &&str| item[*field].as_object().into_iter().flatten().map(|(what, _)| what.as_str());
    let resources: BTreeSet<&str> = fields.iter().flat_map(named).collect();
    for what in resources {
        let amount = |field: &str| item[field][what].as_str().filter(|_| fields.contains(&field));
        for ([low, low_title], [high, high_title], blamed, shown) in ORDER {
            let (Some(least), Some(most)) = (amount(low), amount(high)) else { continue };
            if quantity::value(least) > quantity::value(most) {
                let why = format!("{low_title} {least} is greater than {high_title} {most}");
                causes.invalid(format!("{at}.{blamed}[{what}]"), &item[shown][what], &why);
            }
        }
        if let Some(ratio) = amount("maxLimitRequestRatio").filter(|r| quantity::value(r) < Some(1.0)) {
            let why = format!("ratio {ratio} is less than 1");
            causes.invalid(format!("{at}.maxLimitRequestRatio[{what}]"), &json!(ratio), &why);
        }
    }
}

/// What a quota counts without a domain in its name.
const COUNTED: [&str; 19] = [
    "configmaps",
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];

/// Of these, what pods ask for.
const OF_PODS: [&str; 6] =
    ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];

/// A ResourceQuota counts what it knows, and anything else by a name with a domain.
pub(super) fn quota(spec: &Value, causes: &mut Causes) {
    for (name, amount) in spec["hard"].as_object().into_iter().flatten() {
        let pages = name.strip_prefix("requests.").unwrap_or(name).starts_with("hugepages-");
        let known = name.contains('/') || pages || COUNTED.contains(&name.as_str());
        let at = format!("spec.hard[{name}]");
        if !known {
            if name.as_str() != "storage" {
                causes.invalid(&at, &json!(name), "must be a standard resource type or fully qualified");
            }
            causes.invalid(&at, &json!(name), "must be a standard resource for quota");
        }
        let size = amount.as_str().map(str::to_owned).unwrap_or_else(|| amount.to_string());
        if quantity::value(&size).is_some_and(|size| size < 0.0) {
            causes.invalid(&at, &json!(size), "must be greater than or equal to 0");
        }
    }
    scopes(spec, causes);
}

/// Which pods a quota counts. Those without requests have nothing but themselves to be counted.
fn scopes(spec: &Value, causes: &mut Causes) {
    const KNOWN: [&str; 7] = [
        "BestEffort",
        "CrossNamespacePodAffinity",
        "NotBestEffort",
        "NotTerminating",
        "PriorityClass",
        "Terminating",
        "VolumeAttributesClass",
    ];
    let scopes = &spec["scopes"];
    let named: Vec<&str> = scopes.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for scope in &named {
        if !KNOWN.contains(scope) {
            causes.invalid("spec.scopes", scopes, "unsupported scope");
        }
        let fits = |hard: &str| match *scope {
            "BestEffort" => hard == "pods",
            "VolumeAttributesClass" => ["persistentvolumeclaims", "requests.storage"].contains(&hard),
            _ => hard == "pods" || OF_PODS.contains(&hard),
        };
        let misses = |hard: &str| KNOWN.contains(scope) && COUNTED.contains(&hard) && !fits(hard);
        for _ in spec["hard"].as_object().into_iter().flatten().filter(|(name, _)| misses(name)) {
            causes.invalid("spec.scopes", scopes, "unsupported scope applied to resource");
        }
    }
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| named.contains(scope)) {
            causes.invalid("spec.scopes", scopes, "conflicting scopes");
        }
    }
}
