//! A story of two nodes and a Deployment, as its events tell it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::sim::json::{Value, json};
use crate::sim::store::Key;
use crate::sim::{EmbeddedCluster, Settings};

const CLUSTER: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: w1, labels: {kubernetes.io/hostname: w1}}
status: {allocatable: {cpu: "2", memory: 8Gi, pods: "110"}, nodeInfo: {bootID: boot-1}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1", resources: {requests: {cpu: 500m}}}]}
"#;

async fn running(events: bool) -> EmbeddedCluster {
    let settings = Settings { events, ..Settings::default() };
    let cluster = EmbeddedCluster::from_manifests("test.yaml", CLUSTER, settings).expect("loads");
    cluster.start().await;
    assert!(cluster.settle(Duration::from_secs(5), Duration::from_secs(120)).await, "gets quiet");
    cluster
}

/// `kind reason from: message`, with what is random in names left out.
fn told(cluster: &EmbeddedCluster) -> BTreeSet<String> {
    let hash = cluster.objects("replicasets.apps").first().map(|r| r["metadata"]["name"].clone());
    let hash = hash.as_ref().and_then(serde_json::Value::as_str).unwrap_or("none").to_owned();
    let line = |event: &serde_json::Value| {
        let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        let name = text(&event["involvedObject"]["name"]);
        let message = text(&event["message"]).replace(&hash, "SET");
        let message =
            message.split_once("SET-").map_or(message.clone(), |(before, _)| format!("{before}POD"));
        let message = if name == "w1" { message.replace(&name, "IT") } else { message };
        let kind = text(&event["involvedObject"]["kind"]);
        format!("{kind} {} {}: {message}", text(&event["reason"]), text(&event["source"]["component"]))
    };
    cluster.objects("events").iter().map(|e| line(e)).collect()
}

fn change(cluster: &EmbeddedCluster, resource: &str, key: &Key, how: impl FnOnce(&mut Value)) {
    let mut store = cluster.store.lock().expect("a store");
    store.modify(resource, key, how).expect("there");
}

#[tokio::test(start_paused = true)]
async fn a_rollout_a_scaling_and_a_cordon_are_told_as_the_real_components_tell_them() {
    let cluster = running(true).await;
    let begun = told(&cluster);
    for line in [
        "Deployment ScalingReplicaSet deployment-controller: Scaled up replica set SET from 0 to 2",
        "ReplicaSet SuccessfulCreate replicaset-controller: Created pod: POD",
        "Pod Scheduled default-scheduler: Successfully assigned shop/POD",
        "Pod Created kubelet: Container created",
        "Pod Started kubelet: Container started",
    ] {
        assert!(begun.iter().any(|l| l.starts_with(line)), "{line} in {begun:#?}");
    }
    // Each once a pod.
    assert_eq!(cluster.objects("events").iter().filter(|e| e["reason"] == "Started").count(), 2);
    change(&cluster, "nodes", &Key::new("", "w1"), |n| n["spec"]["unschedulable"] = json!(true));
    change(&cluster, "deployments.apps", &Key::new("shop", "web"), |d| d["spec"]["replicas"] = json!(3));
    cluster.settle(Duration::from_secs(5), Duration::from_secs(60)).await;
    let cordoned = told(&cluster);
    for line in [
        "Node NodeNotSchedulable kubelet: Node IT status is now: NodeNotSchedulable",
        "Pod FailedScheduling default-scheduler: 0/1 nodes are available",
        "Deployment ScalingReplicaSet deployment-controller: Scaled up replica set SET from 2 to 3",
    ] {
        assert!(cordoned.iter().any(|l| l.starts_with(line)), "{line} in {cordoned:#?}");
    }
    assert!(!cordoned.iter().any(|l| l.contains("SuccessfulDelete")), "{cordoned:#?}");
    change(&cluster, "deployments.apps", &Key::new("shop", "web"), |d| d["spec"]["replicas"] = json!(1));
    cluster.settle(Duration::from_secs(5), Duration::from_secs(60)).await;
    let scaled = told(&cluster);
    for line in [
        "ReplicaSet SuccessfulDelete replicaset-controller: Deleted pod: POD",
        "Pod Killing kubelet: Stopping container web",
    ] {
        assert!(scaled.iter().any(|l| l.starts_with(line)), "{line} in {scaled:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_event_is_counted_and_forgotten_an_hour_after_it_was_seen_last() {
    let cluster = running(true).await;
    let cordon = |on: bool| {
        change(&cluster, "nodes", &Key::new("", "w1"), |n| n["spec"]["unschedulable"] = json!(on));
    };
    let counts = || -> Vec<i64> {
        let events = cluster.objects("events");
        let mine = events.iter().filter(|e| e["reason"] == "NodeNotSchedulable");
        mine.filter_map(|e| e["count"].as_i64()).collect()
    };
    for _ in 0..3 {
        cordon(true);
        tokio::time::sleep(Duration::from_secs(1200)).await;
        cordon(false);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(counts(), [3]);
    assert!(cluster.objects("events").iter().all(|e| e["reason"] != "Started"), "an hour old");
    tokio::time::sleep(Duration::from_secs(3700)).await;
    change(&cluster, "nodes", &Key::new("", "w1"), |n| n["metadata"]["labels"]["x"] = json!("y"));
    cluster.settle(Duration::from_secs(5), Duration::from_secs(60)).await;
    assert_eq!(counts(), [] as [i64; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_rehearsal_records_none() {
    assert!(running(false).await.objects("events").is_empty());
}
