//! Scores: which of the feasible nodes is best. The weights are those of the real default profile.

use serde_json::Value;

use super::Cluster;
use super::filter::{node_term, pod_tolerates};
use super::quantity::{Amounts, amounts};
use super::topology;
use crate::sim::store::{Object, mix_text};

/// The name of the best node; ties are broken by a hash of seed and pod, so that they are spread but repeatable.
pub(super) fn best(
    cluster: &Cluster<'_>,
    pod: &Value,
    asked: &Amounts,
    nodes: &[Object],
    seed: u64,
) -> Option<String> {
    if nodes.len() < 2 {
        return nodes.first().and_then(|n| n["metadata"]["name"].as_str()).map(str::to_owned);
    }
    let spread = soft_spread(cluster, pod);
    let mut ranked: Vec<(i64, u64, &str)> = nodes
        .iter()
        .map(|node| {
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            let (least, balanced) = resources(cluster, asked, node, name);
            let crowd: i64 = spread
                .iter()
                .map(|(key, counts)| {
                    counts
                        .get(node["metadata"]["labels"][key].as_str().unwrap_or_default())
                        .copied()
                        .unwrap_or(0)
                })
                .sum();
            let total = least + balanced - 2 * 10 * crowd + 3 * taints(pod, node) + 2 * preferred(pod, node);
            let tie = mix_text(seed, &[pod["metadata"]["name"].as_str().unwrap_or_default(), name]);
            (total, tie, name)
        })
        .collect();
    ranked.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(b.2)));
    ranked.first().map(|(_, _, name)| (*name).to_owned())
}

/// LeastAllocated and BalancedAllocation over CPU and memory, 0 to 100 each. As in the real one, a pod that asks for
/// nothing counts as 100m and 200Mi here.
fn resources(cluster: &Cluster<'_>, asked: &Amounts, node: &Value, name: &str) -> (i64, i64) {
    const NOTHING_ASKED: [(&str, i64); 2] = [("cpu", 100), ("memory", 200 << 20)];
    let have = amounts(&node["status"]["allocatable"]);
    let fraction = |resource: &str, least: i64| {
        let capacity = have.get(resource).copied().unwrap_or(0).max(1);
        let used = cluster.used.get(name).and_then(|u| u.get(resource)).copied().unwrap_or(0);
        let more = asked.get(resource).copied().unwrap_or(least);
        ((used + more) * 1000 / capacity).min(1000)
    };
    let [cpu, memory] = NOTHING_ASKED.map(|(resource, least)| fraction(resource, least));
    ((2000 - cpu - memory) / 20, (1000 - (cpu - memory).abs() / 2) / 10)
}

/// Soft spread constraints, and for pods without any the real one's default over hosts and zones of the same owner.
fn soft_spread(cluster: &Cluster<'_>, pod: &Value) -> Vec<(String, std::collections::BTreeMap<String, i64>)> {
    let given = pod["spec"]["topologySpreadConstraints"].as_array().cloned().unwrap_or_default();
    let soft: Vec<Value> = if given.is_empty() {
        let labels = &pod["metadata"]["labels"];
        if labels.is_null() || pod["metadata"]["ownerReferences"].is_null() {
            return Vec::new();
        }
        let of =
            |key: &str| serde_json::json!({"topologyKey": key, "labelSelector": {"matchLabels": labels}});
        vec![of("kubernetes.io/hostname"), of("topology.kubernetes.io/zone")]
    } else {
        given.into_iter().filter(|c| c["whenUnsatisfiable"] == "ScheduleAnyway").collect()
    };
    let key = |c: &Value| c["topologyKey"].as_str().unwrap_or_default().to_owned();
    soft.iter().map(|c| (key(c), topology::counts(cluster, pod, c, &[]))).collect()
}

/// 100 less what soft taints the pod doesn't tolerate.
fn taints(pod: &Value, node: &Value) -> i64 {
    let soft =
        node["spec"]["taints"].as_array().into_iter().flatten().filter(|t| t["effect"] == "PreferNoSchedule");
    if soft.filter(|t| !pod_tolerates(pod, t)).count() > 0 { 0 } else { 100 }
}

fn preferred(pod: &Value, node: &Value) -> i64 {
    let terms = &pod["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
    let met = terms.as_array().into_iter().flatten().filter(|t| node_term(&t["preference"], node));
    met.map(|t| t["weight"].as_i64().unwrap_or(1)).sum::<i64>().min(100)
}
