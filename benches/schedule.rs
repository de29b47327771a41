//! What it costs to place a pod on the embedded cluster, and how that grows: `cargo bench --bench schedule`.
//!
//! At each size pods that are alone in the world are created and placed one after the other: pods of a ReplicaSet (spread over hosts and zones by
//! default), some with a hard spread, some with anti-affinity. The figure that counts is the ratio of the times with few
//! and with many pods on the same nodes: it should be about one.

#![allow(clippy::print_stdout, reason = "its figures are what it is for")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use virtroll::sim::{EmbeddedCluster, Settings};

/// Pods of a workload.
const REPLICAS: usize = 15;
/// Pods that are placed while the clock runs.
const NEW: usize = 600;

fn node(n: usize) -> Value {
    let has = json!({"cpu": "64", "memory": "256Gi", "pods": "250"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": format!("n{n:05}"), "labels": {"kubernetes.io/hostname": format!("n{n:05}"), "topology.kubernetes.io/zone": format!("z{}", n % 3)}},
        "status": {"allocatable": has, "capacity": has, "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn spec(workload: usize) -> Value {
    let labels = json!({"matchLabels": {"app": format!("w{workload}")}});
    let mut spec = json!({
        "containers": [{"name": "c", "image": "c", "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}}],
    });
    match workload % 5 {
        0 => {
            spec["topologySpreadConstraints"] = json!([{
                "topologyKey": "topology.kubernetes.io/zone", "maxSkew": 5, "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": labels,
            }]);
        }
        1 => {
            spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
                json!([{"topologyKey": "kubernetes.io/hostname", "labelSelector": labels}]);
        }
        _ => {}
    }
    spec
}

fn set(workload: usize, replicas: usize) -> Value {
    let labels = json!({"app": format!("w{workload}")});
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": format!("w{workload}"), "namespace": "load", "uid": format!("w{workload}"), "generation": 1},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec(workload)},
        },
    })
}

fn pod(workload: usize, n: usize, nodes: usize) -> Value {
    let name = format!("w{workload}");
    let mut spec = spec(workload);
    spec["nodeName"] = json!(format!("n{:05}", (workload * 7 + n) % nodes));
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("{name}-{n}"), "namespace": "load", "labels": {"app": name},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": name, "controller": true}],
        },
        "spec": spec,
        "status": {
            "phase": "Running", "startTime": "2026-01-05T20:00:00Z",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-05T20:00:00Z"}],
        },
    })
}

/// Time for each of the new pods, from its making to its place.
fn measure(nodes: usize, pods: usize) -> Duration {
    let workloads = pods / REPLICAS;
    let mut objects: Vec<Value> = (0..nodes).map(node).collect();
    for workload in 0..workloads {
        objects.push(set(workload, REPLICAS));
        objects.extend((0..REPLICAS).map(|n| pod(workload, n, nodes)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let Ok(runtime) = runtime else { return Duration::ZERO };
    runtime.block_on(async {
        let Ok(cluster) = EmbeddedCluster::from_objects("bench", objects, Settings::default()) else {
            return Duration::ZERO;
        };
        cluster.start().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let pods: kube::Api<k8s_openapi::api::core::v1::Pod> =
            kube::Api::namespaced(cluster.client(), "load");
        let began = Instant::now();
        for n in 0..NEW {
            let workload = n % workloads.min(NEW);
            let mut pod = pod(workload, REPLICAS + n, nodes);
            pod["spec"]["nodeName"] = Value::Null;
            pod["metadata"]["ownerReferences"] = json!([]);
            pod["metadata"]["labels"]["alone"] = json!("yes");
            if let Ok(pod) = serde_json::from_value(pod) {
                let _ = pods.create(&kube::api::PostParams::default(), &pod).await;
            }
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let all = cluster.objects("pods");
        let new = all.iter().filter(|p| p["metadata"]["labels"]["alone"] == "yes");
        let placed = new.filter(|p| p["spec"]["nodeName"].is_string()).count();
        assert_eq!(placed, NEW, "placed");
        began.elapsed() / NEW as u32
    })
}

fn main() {
    for nodes in [1000, 5000] {
        let (few, many) = (measure(nodes, nodes * 3), measure(nodes, nodes * 30));
        println!(
            "{nodes} nodes: {few:?} a pod with {} pods there, {many:?} with {}: ratio {:.2}",
            nodes * 3,
            nodes * 30,
            many.as_secs_f64() / few.as_secs_f64()
        );
    }
}
