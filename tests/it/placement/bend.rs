//! What generated clusters don't have: full nodes, further constraints, and those that the planner leaves out.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::text;

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
const RACK: &str = "example.com/rack";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

fn number_of(app: &str) -> Option<u64> {
    app.strip_prefix("app-")?.parse().ok()
}

/// A selector of another workload's pods.
fn other(app: u64) -> Value {
    json!({"labelSelector": {"matchLabels": {"app": format!("app-{app:05}")}}, "namespaceSelector": {}, "topologyKey": HOST})
}

/// Gives each workload one constraint more; which, its number and the seed say. Some nodes get taints.
pub(super) fn bend(objects: &mut [Value], seed: u64) {
    let mut workloads: BTreeMap<String, u64> = BTreeMap::new();
    let mut node = 0_u64;
    for object in objects.iter_mut() {
        match object["kind"].as_str() {
            Some("Node") => {
                node += 1;
                object["metadata"]["labels"][RACK] = json!(format!("rack-{}", node % 4));
                // A node that no zone or rack is known of: what is kept apart over them isn't kept off it.
                if seed.is_multiple_of(4) && node % 4 == 1 {
                    let labels = object["metadata"]["labels"].as_object_mut().expect("labels");
                    labels.remove(if node == 1 { ZONE } else { RACK });
                }
                let taint = |key: &str, effect: &str| json!({"key": key, "value": "yes", "effect": effect});
                match node % 6 {
                    1 => object["spec"]["taints"] = json!([taint("special", "NoSchedule")]),
                    2 => object["spec"]["taints"] = json!([taint("rather-not", "PreferNoSchedule")]),
                    _ => {}
                }
            }
            Some("PersistentVolume") if seed.is_multiple_of(4) => {
                object["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"] = json!([
                    {"matchExpressions": [{"key": HOST, "operator": "In", "values": ["node-0003", "node-0007"]}]},
                    {"matchExpressions": [{"key": RACK, "operator": "In", "values": ["rack-1"]}]},
                ]);
            }
            Some("Pod") => {
                let app = object["metadata"]["labels"]["app"].as_str().unwrap_or_default().to_owned();
                if let Some(number) = number_of(&app) {
                    let namespace = text(&object["metadata"]["namespace"]).to_owned();
                    workloads.insert(namespace, number);
                    constrain(object, &app, number, seed);
                }
            }
            _ => {}
        }
    }
}

fn constrain(pod: &mut Value, app: &str, number: u64, seed: u64) {
    let own = json!({"matchLabels": {"app": app}});
    let apart = |topology: &str| json!({"podAntiAffinity": {REQUIRED: [{"labelSelector": own, "topologyKey": topology}]}});
    let spec = &mut pod["spec"];
    let is_free = spec["affinity"].is_null() && spec["topologySpreadConstraints"].is_null();
    match (number + seed / 2) % 9 {
        0 => spec["tolerations"] = json!([{"key": "special", "operator": "Exists"}]),
        1 if is_free => spec["affinity"] = json!({"podAffinity": {REQUIRED: [other(number + 1)]}}),
        2 if is_free => spec["affinity"] = json!({"podAntiAffinity": {REQUIRED: [other(number + 1)]}}),
        3 if is_free => spec["affinity"] = apart(RACK),
        4 if is_free => spec["affinity"] = apart(ZONE),
        5 if is_free => spec["affinity"] = apart(HOST),
        6 => {
            let terms = json!([
                {"matchExpressions": [{"key": "disk", "operator": "NotIn", "values": ["ssd"]}]},
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-0001"]}]},
            ]);
            if is_free {
                spec["affinity"] = json!({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}});
            }
        }
        7 => spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 8080 + number % 2}]),
        8 if is_free => {
            spec["topologySpreadConstraints"] = json!([
                {"maxSkew": 2, "topologyKey": HOST, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": own},
            ]);
        }
        _ => {}
    }
}

fn requests(pod: &Value) -> (u64, u64) {
    let asked = &pod["spec"]["containers"][0]["resources"]["requests"];
    let memory = text(&asked["memory"]);
    let bytes = |n: &str| n.parse::<u64>().expect("a number");
    let memory = memory.strip_suffix("Mi").map_or_else(|| bytes(memory), |mib| bytes(mib) << 20);
    (bytes(text(&asked["cpu"]).strip_suffix('m').expect("thousandths")), memory)
}

/// Leaves little room on each node: room for a small pod, for a large one, of CPU or of memory alone, in pods.
pub(super) fn tighten(objects: &mut [Value], seed: u64) {
    let mut used: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    for pod in objects.iter().filter(|o| o["kind"] == "Pod") {
        let (cpu, memory) = requests(pod);
        let entry = used.entry(text(&pod["spec"]["nodeName"]).to_owned()).or_default();
        *entry = (entry.0 + cpu, entry.1 + memory, entry.2 + 1);
    }
    let nodes = objects.iter_mut().filter(|o| o["kind"] == "Node");
    for (index, node) in nodes.enumerate() {
        let (cpu, memory, pods) = used.get(text(&node["metadata"]["name"])).copied().unwrap_or_default();
        let (more_cpu, more_mib, more_pods) = match (index as u64 + seed) % 6 {
            0 => (300, 300, 5),
            1 => (1000, 1024, 5),
            2 => (4000, 6144, 5),
            3 => (8000, 200, 5),
            4 => (150, 40_000, 5),
            _ => (8000, 40_000, seed % 2),
        };
        for field in ["capacity", "allocatable"] {
            let has = &mut node["status"][field];
            has["cpu"] = json!(format!("{}m", cpu + more_cpu));
            has["memory"] = json!((memory + (more_mib << 20)).to_string());
            has["pods"] = json!((pods + more_pods).to_string());
        }
    }
}

fn terms(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["spec"]["affinity"]["podAntiAffinity"][REQUIRED].as_array().into_iter().flatten()
}

/// What the planner leaves out, if that explains why the scheduler doesn't put a pod on a node; `None` if it must know of it.
pub(super) fn omission(objects: &[Value], pod: &Value, target: &str, reason: &str) -> Option<&'static str> {
    let app = &pod["metadata"]["labels"]["app"];
    let of_others = |term: &&Value| term["labelSelector"]["matchLabels"]["app"] != *app;
    let lacks = |constraint: &Value| {
        let nodes = objects.iter().filter(|o| o["kind"] == "Node");
        let label = |node: &Value| node["metadata"]["labels"].get(text(&constraint["topologyKey"])).is_none();
        nodes.into_iter().any(label)
    };
    match reason {
        "node(s) didn't match pod affinity rules" => Some("required affinity to pods"),
        "node(s) didn't satisfy existing pods anti-affinity rules" => {
            Some("anti-affinity to other workloads")
        }
        "node(s) didn't match pod anti-affinity rules" if terms(pod).any(|t| of_others(&t)) => {
            Some("anti-affinity to other workloads")
        }
        "node(s) didn't match pod anti-affinity rules" if terms(pod).any(lacks) => {
            Some("topologies that not every node has")
        }
        "node(s) didn't match pod anti-affinity rules" if terms(pod).any(|t| t["topologyKey"] == RACK) => {
            Some("topologies other than node and zone")
        }
        "node(s) didn't match pod topology spread constraints"
        | "node(s) didn't match pod topology spread constraints (missing required label)"
            if lacks(&pod["spec"]["topologySpreadConstraints"][0]) =>
        {
            Some("topologies that not every node has")
        }
        "node(s) didn't match pod topology spread constraints" => {
            within_the_largest(objects, pod, target).then_some("how a spread stands at the moment")
        }
        "node(s) didn't have free ports for the requested pod ports" => {
            let port = &pod["spec"]["containers"][0]["ports"][0]["hostPort"];
            let there = objects.iter().filter(|o| o["kind"] == "Pod" && o["spec"]["nodeName"] == target);
            let mut takers = there.filter(|o| o["spec"]["containers"][0]["ports"][0]["hostPort"] == *port);
            let has_another =
                terms(pod).next().is_some() || pod["spec"]["topologySpreadConstraints"].is_array();
            if takers.all(|o| o["metadata"]["labels"]["app"] != *app) {
                Some("host ports of other workloads")
            } else {
                has_another.then_some("a second constraint among a pod's own kind")
            }
        }
        _ => None,
    }
}

/// With T pods over D places and a skew of s, one place has (T + s·(D−1)) ÷ D pods at most, or as many as now: so much the planner
/// must know. The pod itself leaves its place.
fn within_the_largest(objects: &[Value], pod: &Value, target: &str) -> bool {
    let constraint = &pod["spec"]["topologySpreadConstraints"][0];
    let key = text(&constraint["topologyKey"]);
    let skew = constraint["maxSkew"].as_u64().expect("a number");
    let nodes = objects.iter().filter(|o| o["kind"] == "Node");
    let place: BTreeMap<&str, &str> =
        nodes.map(|n| (text(&n["metadata"]["name"]), text(&n["metadata"]["labels"][key]))).collect();
    let mut counts: BTreeMap<&str, u64> = place.values().map(|p| (*p, 0)).collect();
    let is_sibling = |o: &&Value| {
        o["kind"] == "Pod"
            && o["metadata"]["namespace"] == pod["metadata"]["namespace"]
            && o["metadata"]["labels"]["app"] == pod["metadata"]["labels"]["app"]
    };
    for sibling in objects.iter().filter(is_sibling) {
        *counts.entry(place[text(&sibling["spec"]["nodeName"])]).or_default() += 1;
    }
    let (places, total) = (counts.len() as u64, counts.values().sum::<u64>());
    let largest = ((total + skew * (places - 1)) / places).max(counts.values().copied().max().unwrap_or(0));
    let here = place[target];
    let own = u64::from(place[text(&pod["spec"]["nodeName"])] == here);
    counts[here] - own < largest
}
