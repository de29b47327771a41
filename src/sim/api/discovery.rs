//! Discovery: which groups, versions and kinds are served, in the old form (one document a group version) and in the
//! aggregated one (all in two documents), which current clients prefer.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::access;
use crate::sim::json::{Value, json};
use crate::sim::store::{Resource, Store};

/// The media type of the aggregated form.
pub(super) const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The API server's own groups, in its order of preference; custom ones follow by name.
const ORDER: [&str; 15] = [
    "",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
];

/// A kind with what can be done with it.
struct Entry {
    group: String,
    version: String,
    kind: String,
    plural: String,
    singular: String,
    short_names: Vec<String>,
    categories: Vec<String>,
    namespaced: bool,
    verbs: &'static [&'static str],
    subresources: Vec<Sub>,
}

/// A subresource: its name, the kind it speaks (with group and version, if they aren't the parent's) and its verbs.
struct Sub {
    name: &'static str,
    group: String,
    version: String,
    kind: String,
    verbs: &'static [&'static str],
}

const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// Namespaces go one by one.
const NAMESPACE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

/// Answers `/version`, `/api`, `/apis`, `/api/v1`, `/apis/GROUP` and `/apis/GROUP/VERSION`; `None` for any other path.
pub fn answer(store: &Store, path: &str) -> Option<Value> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["version"] => Some(json!({
            "major": "1", "minor": "36", "gitVersion": "v1.36.3+virtroll-embedded", "gitCommit": "", "gitTreeState": "",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "embedded",
        })),
        ["api"] => Some(json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}],
        })),
        ["apis"] => {
            let groups: Vec<Value> = groups(store).iter().skip(1).map(|g| group(store, g)).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", name] => groups(store).iter().find(|g| *g == name).map(|g| {
            let mut group = group(store, g);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            group
        }),
        ["api", "v1"] => Some(resources(store, "", "v1")),
        ["apis", group, version] => {
            versions(store, group).iter().any(|v| v == version).then(|| resources(store, group, version))
        }
        _ => None,
    }
}

/// The plain texts of `/healthz`, `/livez` and `/readyz`.
pub fn health(path: &str, verbose: bool) -> Option<String> {
    let (check, one) = path.trim_matches('/').split_once('/').unwrap_or((path.trim_matches('/'), ""));
    if !matches!(check, "healthz" | "livez" | "readyz") || !matches!(one, "" | "ping") {
        return None;
    }
    Some(if verbose { format!("[+]ping ok\n{check} check passed\n") } else { "ok".to_owned() })
}

/// The aggregated form of `/api` and `/apis`, if that is asked for and taken.
pub fn aggregated(store: &Store, path: &str, accept: &str) -> Option<Value> {
    let is_root = path.trim_end_matches('/') == "/api";
    if !is_root && path.trim_end_matches('/') != "/apis" {
        return None;
    }
    let takes = accept
        .split(',')
        .map(|m| m.replace(' ', ""))
        .any(|m| m.contains("as=APIGroupDiscoveryList") && m.contains("v=v2") && !m.contains("v=v2beta1"));
    let all = groups(store);
    let chosen = if is_root { &all[..1] } else { &all[1..] };
    takes.then(|| {
        let items: Vec<Value> = chosen.iter().map(|group| aggregated_group(store, group)).collect();
        json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
    })
}

fn aggregated_group(store: &Store, group: &str) -> Value {
    let versions: Vec<Value> = versions(store, group)
        .iter()
        .map(|version| {
            let resources: Vec<Value> =
                entries(store, group, version).iter().map(Entry::aggregated).collect();
            json!({"version": version, "freshness": "Current", "resources": resources})
        })
        .collect();
    let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
    json!({"metadata": metadata, "versions": versions})
}

/// The groups that serve anything, the core group first.
fn groups(store: &Store) -> Vec<String> {
    let place = |group: &str| ORDER.iter().position(|g| *g == group).unwrap_or(ORDER.len());
    let served = store.resources().filter(|r| !r.served.is_empty()).map(|r| r.group.as_str());
    let all: BTreeSet<(usize, &str)> =
        served.chain(access::GROUPS).chain([""]).map(|group| (place(group), group)).collect();
    all.into_iter().map(|(_, group)| group.to_owned()).collect()
}

/// The versions of a group, the one to prefer first.
fn versions(store: &Store, group: &str) -> Vec<String> {
    let served =
        store.resources().filter(|r| r.group == group).flat_map(|r| r.served.iter().map(String::as_str));
    let more = access::GROUPS.contains(&group).then_some("v1");
    let all: BTreeSet<(Reverse<Priority>, &str)> =
        served.chain(more).map(|v| (Reverse(priority(v)), v)).collect();
    all.into_iter().map(|(_, version)| version.to_owned()).collect()
}

fn group(store: &Store, name: &str) -> Value {
    let versions: Vec<Value> = versions(store, name)
        .into_iter()
        .map(|v| json!({"groupVersion": format!("{name}/{v}"), "version": v}))
        .collect();
    json!({"name": name, "preferredVersion": versions[0], "versions": versions})
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
    let listed: Vec<Value> = entries(store, group, version).iter().flat_map(Entry::listed).collect();
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed})
}

/// The kinds of a group version, by their plural.
fn entries(store: &Store, group: &str, version: &str) -> Vec<Entry> {
    let here = store.resources().filter(|r| r.group == group && r.served.iter().any(|v| v == version));
    let mut all: Vec<Entry> = here.map(|r| Entry::of(store, r, version)).collect();
    all.extend(access::kinds(group).map(|(kind, namespaced)| Entry::question(group, kind, namespaced)));
    all.sort_by(|a, b| a.plural.cmp(&b.plural));
    all
}

impl Entry {
    fn of(store: &Store, resource: &Resource, version: &str) -> Self {
        Self {
            group: resource.group.clone(),
            version: version.to_owned(),
            kind: resource.kind.clone(),
            plural: resource.plural.clone(),
            singular: singular(store, resource),
            short_names: short_names(resource),
            categories: categories(store, resource),
            namespaced: resource.namespaced,
            verbs: if resource.name == "namespaces" { NAMESPACE_VERBS } else { ALL_VERBS },
            subresources: subresources(resource, version),
        }
    }

    /// A kind that is asked and never stored, such as an access review.
    fn question(group: &str, kind: &str, namespaced: bool) -> Self {
        Self {
            group: group.to_owned(),
            version: "v1".to_owned(),
            kind: kind.to_owned(),
            plural: format!("{}s", kind.to_lowercase()),
            singular: kind.to_lowercase(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced,
            verbs: &["create"],
            subresources: Vec::new(),
        }
    }

    /// As an `APIResourceList` has it: the kind, then its subresources.
    fn listed(&self) -> Vec<Value> {
        let mut kind = json!({
            "name": self.plural, "singularName": self.singular, "namespaced": self.namespaced, "kind": self.kind,
            "verbs": self.verbs,
        });
        if !self.short_names.is_empty() {
            kind["shortNames"] = json!(self.short_names);
        }
        if !self.categories.is_empty() {
            kind["categories"] = json!(self.categories);
        }
        let mut all = vec![kind];
        all.extend(self.subresources.iter().map(|sub| {
            let mut entry = json!({
                "name": format!("{}/{}", self.plural, sub.name), "singularName": "", "namespaced": self.namespaced,
                "kind": sub.kind, "verbs": sub.verbs,
            });
            if sub.kind != self.kind {
                entry["group"] = json!(sub.group);
                entry["version"] = json!(sub.version);
            }
            entry
        }));
        all
    }

    fn aggregated(&self) -> Value {
        let speaks = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
        let mut entry = json!({
            "resource": self.plural, "responseKind": speaks(&self.group, &self.version, &self.kind),
            "scope": if self.namespaced { "Namespaced" } else { "Cluster" },
            "singularResource": self.singular, "verbs": self.verbs,
        });
        if !self.short_names.is_empty() {
            entry["shortNames"] = json!(self.short_names);
        }
        if !self.categories.is_empty() {
            entry["categories"] = json!(self.categories);
        }
        if !self.subresources.is_empty() {
            let subresources: Vec<Value> = self
                .subresources
                .iter()
                .map(|s| json!({
                    "subresource": s.name, "responseKind": speaks(&s.group, &s.version, &s.kind), "verbs": s.verbs,
                }))
                .collect();
            entry["subresources"] = json!(subresources);
        }
        entry
    }
}

fn subresources(resource: &Resource, version: &str) -> Vec<Sub> {
    let mut all = Vec::new();
    let mut sub = |name: &'static str, kind: (&str, &str, &str), verbs: &'static [&'static str]| {
        let (group, version, kind) = (kind.0.to_owned(), kind.1.to_owned(), kind.2.to_owned());
        all.push(Sub { name, group, version, kind, verbs });
    };
    if resource.name == "pods" {
        sub("binding", ("", "v1", "Binding"), &["create"]);
        sub("eviction", ("policy", "v1", "Eviction"), &["create"]);
    }
    if resource.name == "namespaces" {
        sub("finalize", ("", "v1", "Namespace"), &["update"]);
    }
    if resource.has_scale {
        sub("scale", ("autoscaling", "v1", "Scale"), &["get", "patch", "update"]);
    }
    if resource.has_status {
        sub("status", (&resource.group, version, &resource.kind), &["get", "patch", "update"]);
    }
    all
}

/// A field of a custom kind's `spec.names`.
fn named<'a>(store: &'a Store, resource: &Resource, field: &str) -> Option<&'a Value> {
    let definition = store.get("customresourcedefinitions.apiextensions.k8s.io", "", &resource.name)?;
    definition["spec"]["names"].get(field)
}

fn singular(store: &Store, resource: &Resource) -> String {
    let given = named(store, resource, "singular").and_then(Value::as_str).filter(|s| !s.is_empty());
    given.map_or_else(|| resource.kind.to_lowercase(), str::to_owned)
}

fn short_names(resource: &Resource) -> Vec<String> {
    let mut names = resource.short_names.clone();
    if resource.kind == "CustomResourceDefinition" {
        names.push("crds".to_owned());
    }
    names
}

/// The names under which a kind is listed with others: `kubectl get all`.
fn categories(store: &Store, resource: &Resource) -> Vec<String> {
    const ALL: [&str; 10] = [
        "pods",
        "services",
        "replicationcontrollers",
        "daemonsets.apps",
        "deployments.apps",
        "replicasets.apps",
        "statefulsets.apps",
        "jobs.batch",
        "cronjobs.batch",
        "horizontalpodautoscalers.autoscaling",
    ];
    if ALL.contains(&resource.name.as_str()) {
        return vec!["all".to_owned()];
    }
    if matches!(resource.group.as_str(), "apiextensions.k8s.io" | "admissionregistration.k8s.io") {
        return vec!["api-extensions".to_owned()];
    }
    let given = named(store, resource, "categories").and_then(Value::as_array).into_iter().flatten();
    given.filter_map(Value::as_str).map(str::to_owned).collect()
}
