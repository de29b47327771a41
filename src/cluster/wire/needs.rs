//! What a pod needs of a node, from its JSON.

use std::collections::BTreeMap;

use super::{map, optional, quantity, text};
use crate::cluster::lean::Value;
use crate::inventory::{
    HostPort, Needs, NodeTerm, PodTerm, Requirement, Resources, Selector, Spread, Test, Toleration,
};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

fn list(value: &Value) -> std::slice::Iter<'_, Value> {
    value.items().iter()
}

fn texts(value: &Value) -> Vec<String> {
    list(value).map(text).collect()
}

/// Everything that the scheduler must respect of a pod. A DaemonSet's pods have their places: of them, what they request.
pub(super) fn needs(pod: &Value, has_its_place: bool) -> Needs {
    let spec = &pod["spec"];
    let requests = requests(spec);
    if has_its_place {
        return Needs { requests, ..Needs::default() };
    }
    let affinity = &spec["affinity"];
    let terms = &affinity["nodeAffinity"][REQUIRED]["nodeSelectorTerms"];
    Needs {
        requests,
        node_selector: map(&spec["nodeSelector"]),
        node_affinity: terms.as_array().map(|_| node_terms(terms)),
        tolerations: list(&spec["tolerations"]).map(toleration).collect(),
        near: list(&affinity["podAffinity"][REQUIRED]).map(|t| pod_term(t, pod)).collect(),
        apart: list(&affinity["podAntiAffinity"][REQUIRED]).map(|t| pod_term(t, pod)).collect(),
        spread: list(&spec["topologySpreadConstraints"])
            .filter(|c| c["whenUnsatisfiable"] != "ScheduleAnyway")
            .map(|c| spread(c, pod))
            .collect(),
        host_ports: host_ports(spec),
    }
}

/// Amounts under resource names.
pub(super) fn resources(amounts: &Value) -> Resources {
    let mut read = Resources::default();
    for (name, amount) in amounts.fields() {
        put(&mut read, name, amount);
    }
    read
}

fn put(resources: &mut Resources, name: &str, amount: &Value) {
    let units = || quantity::units(amount).unwrap_or(0);
    match name {
        "cpu" => resources.cpu_millis = quantity::thousandths(amount).unwrap_or(0),
        "memory" => resources.memory_bytes = units(),
        "ephemeral-storage" => resources.ephemeral_bytes = units(),
        // Pods are counted, not requested.
        "pods" => {}
        other => {
            let amount = units();
            if amount > 0 {
                resources.extended.insert(other.to_owned(), amount);
            }
        }
    }
}

fn combine(to: &mut Resources, other: &Resources, how: impl Fn(u64, u64) -> u64) {
    to.cpu_millis = how(to.cpu_millis, other.cpu_millis);
    to.memory_bytes = how(to.memory_bytes, other.memory_bytes);
    to.ephemeral_bytes = how(to.ephemeral_bytes, other.ephemeral_bytes);
    for (name, amount) in &other.extended {
        let have = to.extended.entry(name.clone()).or_default();
        *have = how(*have, *amount);
    }
}

/// As Kubernetes counts a pod: its containers and its sidecars (init containers that restart always) run together; an init
/// container runs beside the sidecars that come before it; what the pod asks for as a whole stands for all of that; the
/// overhead of its runtime class comes on top.
fn requests(spec: &Value) -> Resources {
    let mut total = Resources::default();
    for container in list(&spec["containers"]) {
        combine(&mut total, &resources(&container["resources"]["requests"]), u64::saturating_add);
    }
    let (mut sidecars, mut starting) = (Resources::default(), Resources::default());
    for container in list(&spec["initContainers"]) {
        let mut asked = resources(&container["resources"]["requests"]);
        if container["restartPolicy"] == "Always" {
            combine(&mut total, &asked, u64::saturating_add);
            combine(&mut sidecars, &asked, u64::saturating_add);
            asked = sidecars.clone();
        } else {
            combine(&mut asked, &sidecars, u64::saturating_add);
        }
        combine(&mut starting, &asked, u64::max);
    }
    combine(&mut total, &starting, u64::max);
    for (name, amount) in spec["resources"]["requests"].fields() {
        put(&mut total, name, amount);
    }
    combine(&mut total, &resources(&spec["overhead"]), u64::saturating_add);
    total
}

/// Terms of a node selector, as in node affinity and volumes.
pub(super) fn node_terms(terms: &Value) -> Vec<NodeTerm> {
    let read = |list_of: &Value| list(list_of).map(requirement).collect();
    list(terms)
        .map(|term| NodeTerm { labels: read(&term["matchExpressions"]), fields: read(&term["matchFields"]) })
        .collect()
}

fn requirement(expression: &Value) -> Requirement {
    let values = || texts(&expression["values"]);
    let number = |test: fn(i64) -> Test| {
        list(&expression["values"])
            .next()
            .and_then(|v| v.as_str()?.parse().ok())
            .map_or(Test::Unreadable, test)
    };
    let test = match expression["operator"].as_str() {
        Some("In") => Test::In(values()),
        Some("NotIn") => Test::NotIn(values()),
        Some("Exists") => Test::Exists,
        Some("DoesNotExist") => Test::Absent,
        Some("Gt") => number(Test::Above),
        Some("Lt") => number(Test::Below),
        _ => Test::Unreadable,
    };
    Requirement { key: text(&expression["key"]), test }
}

fn selector(selector: &Value) -> Option<Selector> {
    selector.is_object().then(|| {
        let labels: BTreeMap<String, String> = map(&selector["matchLabels"]);
        let equal = labels.into_iter().map(|(key, value)| Requirement { key, test: Test::In(vec![value]) });
        Selector(equal.chain(list(&selector["matchExpressions"]).map(requirement)).collect())
    })
}

/// A selector with what `matchLabelKeys` and `mismatchLabelKeys` add from the pod's own labels.
fn with_own_labels(of: &Value, pod: &Value) -> Option<Selector> {
    let mut selector = selector(&of["labelSelector"])?;
    for (keys, is_equal) in [("matchLabelKeys", true), ("mismatchLabelKeys", false)] {
        for key in texts(&of[keys]) {
            if let Some(value) = pod["metadata"]["labels"][key.as_str()].as_str() {
                let values = vec![value.to_owned()];
                let test = if is_equal { Test::In(values) } else { Test::NotIn(values) };
                selector.0.push(Requirement { key, test });
            }
        }
    }
    // The API server writes the same into the selector by itself.
    selector.0.sort();
    selector.0.dedup();
    Some(selector)
}

fn toleration(toleration: &Value) -> Toleration {
    let exists = toleration["operator"] == "Exists";
    Toleration {
        key: text(&toleration["key"]),
        value: (!exists).then(|| text(&toleration["value"])),
        effect: text(&toleration["effect"]),
    }
}

fn pod_term(term: &Value, pod: &Value) -> PodTerm {
    let namespace_selector = selector(&term["namespaceSelector"]);
    let mut namespaces = texts(&term["namespaces"]);
    if namespaces.is_empty() && namespace_selector.is_none() {
        namespaces.push(text(&pod["metadata"]["namespace"]));
    }
    namespaces.sort();
    PodTerm {
        selector: with_own_labels(term, pod),
        namespaces,
        namespace_selector,
        topology_key: text(&term["topologyKey"]),
    }
}

fn spread(constraint: &Value, pod: &Value) -> Spread {
    let number = |field: &str| constraint[field].as_u64().and_then(|n| u32::try_from(n).ok());
    Spread {
        max_skew: number("maxSkew").unwrap_or(1),
        min_domains: number("minDomains"),
        topology_key: text(&constraint["topologyKey"]),
        selector: with_own_labels(constraint, pod),
        counts_all_nodes: constraint["nodeAffinityPolicy"] == "Ignore",
        honours_taints: constraint["nodeTaintsPolicy"] == "Honor",
    }
}

fn host_ports(spec: &Value) -> Vec<HostPort> {
    let sidecars = list(&spec["initContainers"]).filter(|c| c["restartPolicy"] == "Always");
    let ports = list(&spec["containers"]).chain(sidecars).flat_map(|c| list(&c["ports"]));
    let mut ports: Vec<HostPort> = ports
        .filter_map(|p| {
            let port = p["hostPort"].as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0)?;
            Some(HostPort {
                address: optional(&p["hostIP"]).unwrap_or_else(|| "0.0.0.0".to_owned()),
                protocol: optional(&p["protocol"]).unwrap_or_else(|| "TCP".to_owned()),
                port,
            })
        })
        .collect();
    ports.sort();
    ports
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_requests_what_its_containers_do_at_their_largest() {
        let requests = |spec: &serde_json::Value| requests(&Value::of(&json!({"spec": spec}))["spec"]);
        // Running: 100m + 1 + sidecar 200m = 1300m; starting: init 2000m beside the sidecar 200m = 2200m; overhead 50m.
        let spec = json!({
            "containers": [
                {"resources": {"requests": {"cpu": "100m", "memory": "1Gi", "example.com/gpu": 1}}},
                {"resources": {"requests": {"cpu": "1"}}},
            ],
            "initContainers": [
                {"restartPolicy": "Always", "resources": {"requests": {"cpu": "200m", "memory": "64Mi"}}},
                {"resources": {"requests": {"cpu": 2, "memory": "512Mi"}}},
            ],
            "overhead": {"cpu": "50m", "memory": "32Mi"},
        });
        let asked = requests(&spec);
        assert_eq!(asked.cpu_millis, 2250);
        assert_eq!(asked.memory_bytes, (1024 + 64 + 32) << 20);
        assert_eq!(asked.extended, BTreeMap::from([("example.com/gpu".to_owned(), 1)]));
        // An init container before the sidecar runs without it.
        let mut spec = spec;
        spec["initContainers"].as_array_mut().expect("a list").reverse();
        assert_eq!(requests(&spec).cpu_millis, 2050);
        spec["resources"] = json!({"requests": {"cpu": "3"}});
        assert_eq!(requests(&spec).cpu_millis, 3050);
    }

    #[test]
    fn every_hard_constraint_is_read_and_no_soft_one() {
        let pod = Value::of(&json!({
            "metadata": {"namespace": "shop", "labels": {"app": "db", "pod-template-hash": "x1"}},
            "spec": {
                "nodeSelector": {"disk": "ssd"},
                "tolerations": [{"key": "k", "operator": "Exists"}, {"key": "l", "value": "v", "effect": "NoSchedule"}],
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "gen", "operator": "Gt", "values": ["3"]}]},
                        ]},
                        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {}}],
                    },
                    "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}},
                    ]},
                },
                "topologySpreadConstraints": [
                    {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                     "labelSelector": {"matchLabels": {"app": "db"}}, "matchLabelKeys": ["pod-template-hash"]},
                    {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
                ],
                "containers": [{"ports": [{"containerPort": 80}, {"containerPort": 443, "hostPort": 8443}]}],
            },
        }));
        let is = |key: &str, value: &str| Requirement { key: key.into(), test: Test::In(vec![value.into()]) };
        let read = needs(&pod, false);
        assert_eq!(read.node_selector, BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]));
        let above = Requirement { key: "gen".into(), test: Test::Above(3) };
        let term = NodeTerm { labels: vec![above], fields: vec![] };
        assert_eq!(read.node_affinity, Some(vec![term]));
        let tolerated: Vec<_> =
            read.tolerations.iter().map(|t| (t.key.as_str(), t.value.as_deref())).collect();
        assert_eq!(tolerated, [("k", None), ("l", Some("v"))]);
        assert_eq!(read.apart[0].namespaces, ["shop"]);
        assert_eq!(read.apart[0].selector, Some(Selector(vec![is("app", "db")])));
        assert_eq!(read.spread.len(), 1);
        assert_eq!(read.spread[0].max_skew, 2);
        assert_eq!(
            read.spread[0].selector,
            Some(Selector(vec![is("app", "db"), is("pod-template-hash", "x1")]))
        );
        assert_eq!(read.host_ports.iter().map(|p| p.port).collect::<Vec<_>>(), [8443]);
        assert_eq!(needs(&pod, true), Needs::default(), "it requests nothing, and has its place");
    }
}
