//! What a snapshot of a large cluster costs, and what loading it does: `cargo bench --bench snapshot [PODS]`.
//!
//! A small server makes up pages of pods as they are asked for, so that what this process holds is the snapshot's own.

#![allow(clippy::print_stdout, reason = "figures are what a benchmark is for")]

use std::time::Instant;

use serde_json::{Value, json};
use virtroll::cluster::{Destination, Names, write_snapshot};
use virtroll::sim::{EmbeddedCluster, Settings};

fn pod(n: usize) -> Value {
    let node = n / 30;
    let environment: Vec<Value> = (0..20)
        .map(|i| json!({"name": format!("SETTING_{i}"), "value": format!("value {i} of {n}")}))
        .collect();
    let managed = json!([{"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": {"f:conditions": {".": {}}}}}]);
    json!({
        "metadata": {
            "name": format!("web-{}-5f6d7c{:05}", n / 10, n), "namespace": format!("team-{}", n % 50), "uid": format!("00000000-0000-4000-8000-{n:012}"),
            "labels": {"app": format!("web-{}", n / 10), "pod-template-hash": "5f6d7c"}, "managedFields": managed,
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x".repeat(800)},
        },
        "spec": {
            "nodeName": format!("worker-{node:05}"), "restartPolicy": "Always",
            "containers": [{"name": "main", "image": "registry.example/web:1", "env": environment, "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}],
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-05T21:00:00Z"}]},
    })
}

fn node(n: usize) -> Value {
    let resources = json!({"cpu": "64", "memory": "256Gi", "pods": "110"});
    json!({
        "metadata": {"name": format!("worker-{n:05}"), "labels": {"kubernetes.io/hostname": format!("worker-{n:05}")}},
        "status": {"allocatable": resources, "nodeInfo": {"bootID": "b"}, "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn client(pods: usize) -> kube::Client {
    let server = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let number = |name: &str| {
            let value = query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|v| v.parse::<usize>().ok()).unwrap_or(0)
        };
        let (limit, from) = (number("limit"), number("continue"));
        let page = |all: usize, make: fn(usize) -> Value| {
            let items: Vec<Value> = (from..(from + limit).min(all)).map(make).collect();
            let next = (from + limit < all).then(|| (from + limit).to_string());
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"continue": next}, "items": items})
        };
        let body = match request.uri().path() {
            "/apis" => json!({"kind": "APIGroupList", "groups": []}),
            "/api/v1/pods" => page(pods, pod),
            "/api/v1/nodes" => page(pods.div_ceil(30), node),
            _ => page(0, pod),
        };
        let body = http_body_util::Full::new(bytes::Bytes::from(body.to_string()));
        async move { Ok::<_, std::convert::Infallible>(http::Response::new(body)) }
    });
    kube::Client::new(server, "default")
}

/// The most memory that this process has held so far, MB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default().to_owned();
    line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn main() {
    let pods = std::env::args().find_map(|a| a.parse().ok()).unwrap_or(150_000);
    let path = std::env::temp_dir().join(format!("virtroll-bench-{}.json", std::process::id()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let to = Destination::File(path.clone());
        println!("at the beginning: {} MB", peak());
        let began = Instant::now();
        let written = write_snapshot(&client(pods), &to, None).await.expect("written");
        let size = std::fs::metadata(&path).map_or(0, |m| m.len()) / 1_000_000;
        println!(
            "{} objects, {size} MB on disk in {:.1?}: peak {} MB",
            written.objects,
            began.elapsed(),
            peak()
        );
        let began = Instant::now();
        let mut names = Names::default();
        write_snapshot(&client(pods), &to, Some(&mut names)).await.expect("written");
        println!("with pseudonyms in {:.1?}: peak {} MB", began.elapsed(), peak());
        let began = Instant::now();
        drop(names);
        let cluster = EmbeddedCluster::from_file(&path, Settings::default()).expect("loads");
        println!("loaded in {:.1?}: peak {} MB", began.elapsed(), peak());
        drop(cluster);
    });
    let _ = std::fs::remove_file(&path);
}
