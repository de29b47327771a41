//! ResourceQuotas: what a namespace may use. New objects are charged as they are made, and what is used is counted again when
//! something goes.
//!
//! Counted are pods with their requests and limits, `count/RESOURCE`, and the resources that have a name of their own. Scopes
//! are those by termination, quality of service and priority class.

use std::collections::BTreeMap;

use crate::sim::json::{Value, json};
use crate::sim::scheduler::{requests_of, thousandths};
use crate::sim::store::{Key, Object, Refusal, Store};

const QUOTAS: &str = "resourcequotas";
/// Resources that a quota counts by their own name.
const NAMED: [&str; 7] = [
    "pods",
    "services",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "replicationcontrollers",
    "resourcequotas",
];

/// Amounts in thousandths.
type Usage = BTreeMap<String, i64>;

/// Why an object may not be made; its message names the quota.
pub(in crate::sim) fn refusal(store: &Store, resource: &str, object: &Value) -> Option<Refusal> {
    let key = Key::of(object);
    let usage = usage(resource, object);
    let forbidden = |why: String| Refusal::forbidden(resource, &key.name, &why);
    for quota in store.list_in(QUOTAS, &key.namespace) {
        if usage.is_empty() || !concerns(quota, resource, object) {
            continue;
        }
        let name = quota["metadata"]["name"].as_str().unwrap_or_default();
        let hard = amounts(&quota["status"]["hard"]);
        let used = amounts(&quota["status"]["used"]);
        if let Some(unsaid) = unsaid(resource, object, &hard) {
            return Some(forbidden(format!("failed quota: {name}: must specify {unsaid}")));
        }
        let over: Vec<&String> = usage
            .iter()
            .filter(|(what, more)| {
                hard.get(*what)
                    .is_some_and(|hard| used.get(*what).copied().unwrap_or(0) + **more > *hard && **more > 0)
            })
            .map(|(what, _)| what)
            .collect();
        if !over.is_empty() {
            let list = |of: &dyn Fn(&str) -> String| {
                over.iter().map(|what| format!("{what}={}", of(what))).collect::<Vec<_>>().join(",")
            };
            let text = |map: &Value, what: &str| map[what].as_str().unwrap_or("0").to_owned();
            let requested = list(&|what| written(what, usage.get(what).copied().unwrap_or(0)));
            let had = list(&|what| text(&quota["status"]["used"], what));
            let most = list(&|what| text(&quota["status"]["hard"], what));
            return Some(forbidden(format!(
                "exceeded quota: {name}, requested: {requested}, used: {had}, limited: {most}"
            )));
        }
    }
    None
}

/// Adds a new object to what is used.
pub(in crate::sim) fn charge(store: &mut Store, resource: &str, object: &Value) {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let concerned: Vec<Key> = store
        .list_in(QUOTAS, namespace)
        .filter(|q| concerns(q, resource, object))
        .map(|q| Key::of(q))
        .collect();
    for key in concerned {
        let usage = usage(resource, object);
        store.modify(QUOTAS, &key, |quota| {
            for (what, more) in &usage {
                if quota["status"]["hard"][what].is_string() {
                    let used = quota["status"]["used"][what].as_str().and_then(thousandths).unwrap_or(0);
                    quota["status"]["used"][what] = json!(written(what, used + more));
                }
            }
        });
    }
}

/// Counts anew what a quota limits.
pub(super) fn reconcile(store: &mut Store, key: &Key) {
    let Some(quota) = store.get_key(QUOTAS, key).cloned() else { return };
    let hard = quota["spec"]["hard"].as_object().cloned().unwrap_or_default();
    let mut used = Usage::new();
    let kinds: Vec<String> = store.resources().filter(|r| r.namespaced).map(|r| r.name.clone()).collect();
    let meant = |kind: &String| {
        let is_pods = kind == "pods";
        hard.keys().any(|what| {
            what == kind
                || what.strip_prefix("count/") == Some(kind)
                || (is_pods && !NAMED.contains(&what.as_str()) && !what.starts_with("count/"))
                || (kind == "persistentvolumeclaims" && what == "requests.storage")
        })
    };
    for kind in kinds.iter().filter(|kind| meant(kind)) {
        let counted: Vec<Object> =
            store.list_in(kind, &key.namespace).filter(|o| concerns(&quota, kind, o)).cloned().collect();
        for object in counted {
            for (what, amount) in usage(kind, &object) {
                *used.entry(what).or_default() += amount;
            }
        }
    }
    store.modify(QUOTAS, key, |quota| {
        let mut counts = json!({});
        for what in hard.keys() {
            counts[what.as_str()] = json!(written(what, used.get(what.as_str()).copied().unwrap_or(0)));
        }
        quota["status"] = json!({"hard": hard, "used": counts});
    });
}

fn amounts(map: &Value) -> Usage {
    let entries = map.as_object().into_iter().flatten();
    entries.filter_map(|(what, amount)| Some((what.to_string(), thousandths(amount.as_str()?)?))).collect()
}

/// What an object uses. Pods that have ended use nothing but their name.
fn usage(resource: &str, object: &Value) -> Usage {
    let mut usage = Usage::new();
    usage.insert(format!("count/{resource}"), 1000);
    if resource == "persistentvolumeclaims" {
        let size =
            object["spec"]["resources"]["requests"]["storage"].as_str().and_then(thousandths).unwrap_or(0);
        usage.insert("requests.storage".to_owned(), size);
    }
    let over = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if NAMED.contains(&resource) && !(resource == "pods" && over) {
        usage.insert(resource.to_owned(), 1000);
    }
    if resource == "pods" && !over {
        for (prefix, of) in [("requests", "requests"), ("limits", "limits")] {
            for (what, amount) in requests_of(object, of) {
                if prefix == "requests" && matches!(what.as_str(), "cpu" | "memory" | "ephemeral-storage") {
                    usage.insert(what.clone(), amount);
                }
                usage.insert(format!("{prefix}.{what}"), amount);
            }
        }
    }
    usage
}

/// CPU and memory that a quota limits and a container doesn't say.
fn unsaid(resource: &str, pod: &Value, hard: &Usage) -> Option<String> {
    if resource != "pods" {
        return None;
    }
    let mut missing = Vec::new();
    for what in hard.keys() {
        let (list, name) = match what.as_str() {
            "cpu" | "memory" => ("requests", what.as_str()),
            other => match other.split_once('.') {
                Some((list @ ("requests" | "limits"), name @ ("cpu" | "memory"))) => (list, name),
                _ => continue,
            },
        };
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        let silent: Vec<&str> = containers
            .filter(|c| c["resources"][list][name].is_null())
            .filter_map(|c| c["name"].as_str())
            .collect();
        if !silent.is_empty() {
            missing.push(format!("{what} for: {}", silent.join(",")));
        }
    }
    (!missing.is_empty()).then(|| missing.join("; "))
}

/// As a quantity: CPU may have thousandths.
fn written(what: &str, thousandths: i64) -> String {
    if thousandths % 1000 == 0 || !what.ends_with("cpu") {
        (thousandths / 1000).to_string()
    } else {
        format!("{thousandths}m")
    }
}

/// Whether a quota's scopes mean an object. Scopes are about pods.
fn concerns(quota: &Value, resource: &str, object: &Value) -> bool {
    let scopes = quota["spec"]["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut scopes = scopes.map(|scope| (scope, json!({"operator": "Exists"}))).collect::<Vec<_>>();
    let expressions = quota["spec"]["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten();
    scopes.extend(expressions.filter_map(|e| Some((e["scopeName"].as_str()?, e.clone()))));
    if scopes.is_empty() {
        return true;
    }
    let spec = &object["spec"];
    let none = requests_of(object, "requests").is_empty() && requests_of(object, "limits").is_empty();
    resource == "pods"
        && scopes.iter().all(|(scope, expression)| match *scope {
            "Terminating" => !spec["activeDeadlineSeconds"].is_null(),
            "NotTerminating" => spec["activeDeadlineSeconds"].is_null(),
            "BestEffort" => none,
            "NotBestEffort" => !none,
            "PriorityClass" => {
                let class = &spec["priorityClassName"];
                let listed = expression["values"].as_array().is_some_and(|values| values.contains(class));
                match expression["operator"].as_str() {
                    Some("In") => listed,
                    Some("NotIn") => !listed,
                    Some("DoesNotExist") => class.is_null(),
                    _ => !class.is_null(),
                }
            }
            _ => false,
        })
}
