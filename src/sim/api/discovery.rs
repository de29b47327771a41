//! Discovery: which groups, versions and kinds are served.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::sim::store::{Resource, Store};

/// Answers `/version`, `/api`, `/apis`, `/api/v1` and `/apis/GROUP/VERSION`; `None` for any other path.
pub fn answer(store: &Store, path: &str) -> Option<Value> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["version"] => Some(json!({
            "major": "1", "minor": "36", "gitVersion": "v1.36.3+virtroll-embedded", "gitCommit": "", "gitTreeState": "",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "embedded",
        })),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
        ["apis"] => Some(groups(store)),
        ["api", "v1"] => Some(resources(store, "", "v1")),
        ["apis", group, version] => store
            .resources()
            .any(|r| r.group == *group && r.served.iter().any(|v| v == version))
            .then(|| resources(store, group, version)),
        ["livez" | "readyz" | "healthz"] => Some(json!("ok")),
        _ => None,
    }
}

fn groups(store: &Store) -> Value {
    let mut versions: BTreeMap<&str, BTreeSet<(Reverse<Priority>, &str)>> = BTreeMap::new();
    for resource in store.resources().filter(|r| !r.group.is_empty() && !r.served.is_empty()) {
        let served = resource.served.iter().map(|v| (Reverse(priority(v)), v.as_str()));
        versions.entry(&resource.group).or_default().extend(served);
    }
    let groups: Vec<Value> = versions
        .into_iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .into_iter()
                .map(|(_, v)| json!({"groupVersion": format!("{group}/{v}"), "version": v}))
                .collect();
            json!({"name": group, "preferredVersion": versions[0], "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// Stability, major and minor number of a version: the higher, the more a client should prefer it.
type Priority = (u8, u64, u64);

/// As the API server ranks versions: v2 before v1 before v1beta2 before v1alpha1 before anything else.
fn priority(version: &str) -> Priority {
    let number = |text: &str| text.parse::<u64>().ok();
    let ranked = version.strip_prefix('v').and_then(|rest| {
        for (name, stability) in [("alpha", 1), ("beta", 2)] {
            if let Some((major, minor)) = rest.split_once(name) {
                return Some((stability, number(major)?, number(minor)?));
            }
        }
        Some((3, number(rest)?, 0))
    });
    ranked.unwrap_or_default()
}

fn resources(store: &Store, group: &str, version: &str) -> Value {
    let served = store.resources().filter(|r| r.group == group && r.served.iter().any(|v| v == version));
    let listed: Vec<Value> = served.flat_map(|r| with_subresources(r)).collect();
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed})
}

fn with_subresources(resource: &Resource) -> Vec<Value> {
    let mut all = vec![json!({
        "name": resource.plural, "singularName": resource.kind.to_lowercase(), "namespaced": resource.namespaced,
        "kind": resource.kind, "shortNames": resource.short_names,
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    })];
    let mut sub = |name: &str, kind: &str, group: &str, version: &str, verbs: &[&str]| {
        all.push(json!({
            "name": format!("{}/{name}", resource.plural), "singularName": "", "namespaced": resource.namespaced,
            "kind": kind, "group": group, "version": version, "verbs": verbs,
        }));
    };
    if resource.has_status {
        sub("status", &resource.kind, "", "", &["get", "patch", "update"]);
    }
    if resource.has_scale {
        sub("scale", "Scale", "autoscaling", "v1", &["get", "patch", "update"]);
    }
    if resource.name == "pods" {
        sub("eviction", "Eviction", "policy", "v1", &["create"]);
        sub("binding", "Binding", "", "v1", &["create"]);
    }
    all
}
