//! What the scheduler knows of a pod, read once.

use super::labels::Selector;
use super::quantity::{self, Resources};
use crate::sim::json::{Text, Value};
use crate::sim::store::{Key, Store};

/// A pod.
#[derive(Debug, Clone)]
pub(super) struct PodInfo {
    pub key: Key,
    pub labels: Value,
    /// On its way out.
    pub is_leaving: bool,
    /// It made room for another.
    pub is_preempted: bool,
    /// When it started, as it says; empty while it hasn't.
    pub started: Text,
    pub asked: Resources,
    /// CPU and memory with what counts for containers that ask for nothing.
    pub weight: (i64, i64),
    /// Host ports: address, protocol, port.
    pub ports: Vec<(String, String, i64)>,
    pub terms: Terms,
    pub priority: i64,
}

/// A pod's affinity to other pods.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    pub near: Vec<Term>,
    pub apart: Vec<Term>,
    pub prefers_near: Vec<(i64, Term)>,
    pub prefers_apart: Vec<(i64, Term)>,
}

/// One term: which other pods, and what being at the same place means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Term {
    pub selector: Selector,
    pub namespaces: Vec<String>,
    pub namespace_selector: Option<Selector>,
    pub topology_key: String,
}

impl Term {
    fn read(term: &Value, owner: &Value) -> Self {
        let mut selector = Selector::read(&term["labelSelector"]);
        for (keys, equal) in [("matchLabelKeys", true), ("mismatchLabelKeys", false)] {
            for key in term[keys].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if let Some(value) = owner["metadata"]["labels"][key].as_str() {
                    selector.add(key, equal, value);
                }
            }
        }
        let named = term["namespaces"].as_array().into_iter().flatten();
        let mut namespaces: Vec<String> = named.filter_map(Value::as_str).map(str::to_owned).collect();
        let namespace_selector =
            term["namespaceSelector"].is_object().then(|| Selector::read(&term["namespaceSelector"]));
        if namespaces.is_empty() && namespace_selector.is_none() {
            namespaces.push(owner["metadata"]["namespace"].as_str().unwrap_or_default().to_owned());
        }
        namespaces.sort();
        let topology_key = term["topologyKey"].as_str().unwrap_or_default().to_owned();
        Self { selector, namespaces, namespace_selector, topology_key }
    }

    /// Whether it means a pod.
    pub fn means(&self, store: &Store, pod: &PodInfo) -> bool {
        self.selector.selects(&pod.labels) && self.means_namespace(store, &pod.key.namespace)
    }

    pub fn means_namespace(&self, store: &Store, namespace: &str) -> bool {
        let selected = |selector: &Selector| {
            selector.is_everything()
                || store.get("namespaces", "", namespace).map_or_else(
                    || selector.selects(&Value::Null),
                    |n| selector.selects(&n["metadata"]["labels"]),
                )
        };
        self.namespaces.iter().any(|n| n == namespace)
            || self.namespace_selector.as_ref().is_some_and(selected)
    }
}

impl Terms {
    fn read(pod: &Value) -> Self {
        let affinity = &pod["spec"]["affinity"];
        let list = |kind: &str, which: &str| affinity[kind][which].as_array().cloned().unwrap_or_default();
        let required = |kind: &str| {
            let terms = list(kind, "requiredDuringSchedulingIgnoredDuringExecution");
            terms.iter().map(|t| Term::read(t, pod)).collect()
        };
        let preferred = |kind: &str| {
            let terms = list(kind, "preferredDuringSchedulingIgnoredDuringExecution");
            terms
                .iter()
                .map(|t| (t["weight"].as_i64().unwrap_or(0), Term::read(&t["podAffinityTerm"], pod)))
                .collect()
        };
        Self {
            near: required("podAffinity"),
            apart: required("podAntiAffinity"),
            prefers_near: preferred("podAffinity"),
            prefers_apart: preferred("podAntiAffinity"),
        }
    }
}

impl PodInfo {
    pub fn of(pod: &Value) -> Self {
        let no_affinity = pod["spec"]["affinity"].is_null();
        let read = Self {
            key: Key::of(pod),
            labels: pod["metadata"]["labels"].clone(),
            is_leaving: false,
            is_preempted: false,
            started: Text::default(),
            asked: quantity::requests(pod),
            weight: quantity::weight(pod),
            ports: host_ports(pod),
            terms: if no_affinity { Terms::default() } else { Terms::read(pod) },
            priority: pod["spec"]["priority"].as_i64().unwrap_or(0),
        };
        read.later(pod)
    }

    /// The same pod, further in its life: labels and spec are the same.
    pub fn later(self, pod: &Value) -> Self {
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let mut preempted =
            conditions.filter(|c| c["type"] == "DisruptionTarget" && c["reason"] == "PreemptionByScheduler");
        Self {
            is_leaving: !pod["metadata"]["deletionTimestamp"].is_null(),
            is_preempted: preempted.next().is_some(),
            started: pod["status"]["startTime"].as_text().cloned().unwrap_or_default(),
            ..self
        }
    }
}

fn host_ports(pod: &Value) -> Vec<(String, String, i64)> {
    let text = |v: &Value, default: &str| v.as_str().filter(|s| !s.is_empty()).unwrap_or(default).to_owned();
    let list = |field: &str| pod["spec"][field].as_array().into_iter().flatten();
    let sidecars = list("initContainers").filter(|c| c["restartPolicy"] == "Always");
    let ports = list("containers").chain(sidecars).flat_map(|c| c["ports"].as_array().into_iter().flatten());
    ports
        .filter_map(|p| {
            let port = p["hostPort"].as_i64().filter(|p| *p > 0)?;
            Some((text(&p["hostIP"], "0.0.0.0"), text(&p["protocol"], "TCP"), port))
        })
        .collect()
}
