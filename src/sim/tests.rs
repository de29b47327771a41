//! The embedded cluster through an ordinary client, in paused time.

mod api;
mod copies;
mod definitions;
mod endpoints;
mod generated;
mod refused;
mod scheduling;
mod unmodelled;
mod volumes;
mod workloads;

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::{Eviction, PodDisruptionBudget};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};

use super::{EmbeddedCluster, Settings};
use crate::sim::json::json;

const TWO_NODES: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: w1, labels: {kubernetes.io/hostname: w1}}
status: {allocatable: {cpu: "4", memory: 8Gi, pods: "110"}, nodeInfo: {bootID: boot-1, kernelVersion: 6.9.1}}
---
apiVersion: v1
kind: Node
metadata: {name: w2, labels: {kubernetes.io/hostname: w2}}
status: {allocatable: {cpu: "4", memory: 8Gi, pods: "110"}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web, resources: {requests: {cpu: 500m, memory: 1Gi}}}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: shop}
spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}
"#;

async fn running(text: &str) -> EmbeddedCluster {
    let cluster = EmbeddedCluster::from_manifests("test.yaml", text, Settings::default()).expect("loads");
    cluster.start().await;
    assert!(cluster.settle(Duration::from_secs(5), Duration::from_secs(120)).await, "gets quiet");
    cluster
}

/// Runs a cluster for a while, quiet or not.
async fn after(seconds: u64, text: &str) -> EmbeddedCluster {
    let cluster = EmbeddedCluster::from_manifests("test.yaml", text, Settings::default()).expect("loads");
    cluster.start().await;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    cluster
}

/// An object as it is stored; null if there is none.
fn stored(cluster: &EmbeddedCluster, resource: &str, namespace: &str, name: &str) -> crate::sim::json::Value {
    let store = cluster.store.lock().expect("a store");
    store.get(resource, namespace, name).map(|o| (**o).clone()).unwrap_or_default()
}

/// All objects of a kind in a namespace.
fn all(cluster: &EmbeddedCluster, resource: &str, namespace: &str) -> Vec<crate::sim::json::Value> {
    let store = cluster.store.lock().expect("a store");
    store.list_in(resource, namespace).map(|o| (**o).clone()).collect()
}

/// Changes an object as a controller of somebody else would.
fn change(
    cluster: &EmbeddedCluster,
    resource: &str,
    namespace: &str,
    name: &str,
    how: impl FnOnce(&mut crate::sim::json::Value),
) {
    let mut store = cluster.store.lock().expect("a store");
    store.modify(resource, &super::store::Key::new(namespace, name), how).expect("is there");
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn eviction(pod: &str) -> Eviction {
    let metadata = kube::core::ObjectMeta { name: Some(pod.to_owned()), ..Default::default() };
    Eviction { metadata, ..Default::default() }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_runs_and_its_budget_counts() {
    let cluster = running(TWO_NODES).await;
    let client = cluster.client();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
    let list = pods.list(&ListParams::default().labels("app=web")).await.expect("list");
    assert_eq!(list.items.len(), 3);
    assert!(list.items.iter().all(|p| p.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running")));
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), "shop");
    let status = budgets.get("web").await.expect("budget").status.expect("status");
    assert_eq!(
        (status.expected_pods, status.desired_healthy, status.current_healthy, status.disruptions_allowed),
        (3, 2, 3, 1)
    );
    let deployments: Api<Deployment> = Api::namespaced(client, "shop");
    assert_eq!(
        deployments.get("web").await.expect("deployment").status.and_then(|s| s.available_replicas),
        Some(3)
    );
}

#[tokio::test(start_paused = true)]
async fn an_eviction_takes_from_the_budget_until_the_replacement_is_ready() {
    let cluster = running(TWO_NODES).await;
    let pods: Api<Pod> = Api::namespaced(cluster.client(), "shop");
    let names: Vec<String> = pods
        .list(&ListParams::default())
        .await
        .expect("list")
        .items
        .into_iter()
        .filter_map(|p| p.metadata.name)
        .collect();
    let evict = |name: &str| {
        let (pods, name) = (pods.clone(), name.to_owned());
        async move {
            pods.create_subresource::<Eviction, crate::sim::json::Value>(
                "eviction",
                &name,
                &PostParams::default(),
                &eviction(&name),
            )
            .await
        }
    };
    evict(&names[0]).await.expect("the first is allowed");
    // The disruption controller needs a moment to recount.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let refused = match evict(&names[1]).await {
        Err(kube::Error::Api(status)) => status,
        other => panic!("wanted a refusal, got {other:?}"),
    };
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (429, "Cannot evict pod as it would violate the pod's disruption budget.")
    );
    let cause = &refused.details.expect("details").causes[0].message;
    assert_eq!(cause, "The disruption budget web needs 2 healthy pods and has 2 currently");
    cluster.settle(Duration::from_secs(5), Duration::from_secs(60)).await;
    evict(&names[1]).await.expect("allowed again when the replacement is Ready");
}

#[tokio::test(start_paused = true)]
async fn a_cordon_keeps_new_pods_away_and_is_a_taint() {
    let cluster = running(TWO_NODES).await;
    let client = cluster.client();
    let nodes: Api<Node> = Api::all(client.clone());
    let cordon = json!({"spec": {"unschedulable": true}});
    nodes.patch("w1", &PatchParams::default(), &Patch::Merge(cordon)).await.expect("cordon");
    let pods: Api<Pod> = Api::namespaced(client, "shop");
    for pod in pods.list(&ListParams::default()).await.expect("list").items {
        pods.delete(&pod.metadata.name.expect("name"), &DeleteParams::default()).await.expect("delete");
    }
    cluster.settle(Duration::from_secs(5), Duration::from_secs(60)).await;
    let on: Vec<_> = pods
        .list(&ListParams::default())
        .await
        .expect("list")
        .items
        .into_iter()
        .map(|p| p.spec.and_then(|s| s.node_name))
        .collect();
    assert_eq!(on, vec![Some("w2".to_owned()); 3]);
    let taints = nodes.get("w1").await.expect("node").spec.and_then(|s| s.taints).unwrap_or_default();
    assert_eq!(
        taints.iter().map(|t| t.key.as_str()).collect::<Vec<_>>(),
        ["node.kubernetes.io/unschedulable"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_requested_reboot_changes_the_boot_id_and_the_kernel_once() {
    let cluster = running(TWO_NODES).await;
    let nodes: Api<Node> = Api::all(cluster.client());
    let request = json!({"metadata": {"annotations": {
        "virtroll.dev/reboot-requested": "boot-1", "sim.virtroll.dev/kernel-after-reboot": "6.12.4", "sim.virtroll.dev/reboots-in": "30s",
    }}});
    nodes.patch("w1", &PatchParams::default(), &Patch::Merge(request)).await.expect("request");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let ready = |node: &Node| {
        let conditions = node.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
        conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
    };
    assert!(!ready(&nodes.get("w1").await.expect("node")));
    tokio::time::sleep(Duration::from_secs(30)).await;
    let node = nodes.get("w1").await.expect("node");
    let info = node.status.as_ref().and_then(|s| s.node_info.clone()).expect("nodeInfo");
    assert!(ready(&node) && info.boot_id != "boot-1" && info.kernel_version == "6.12.4", "{info:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_bytes() {
    let (one, two) = (running(TWO_NODES).await.dump(), running(TWO_NODES).await.dump());
    assert_eq!(one, two);
    assert!(one.len() > 8);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_lags_behind_the_history_gets_410() {
    let settings = Settings { history: 5, ..Settings::default() };
    let cluster = EmbeddedCluster::from_manifests("test.yaml", TWO_NODES, settings).expect("loads");
    let nodes: Api<Node> = Api::all(cluster.client());
    let first =
        nodes.list(&ListParams::default()).await.expect("listed").metadata.resource_version.expect("one");
    for n in 0..10 {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"n": n.to_string()}}}));
        nodes.patch("w1", &PatchParams::default(), &patch).await.expect("patched");
    }
    use futures::TryStreamExt;
    use kube::api::{WatchEvent, WatchParams};
    let code = match nodes.watch(&WatchParams::default().timeout(5), &first).await {
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
        Ok(stream) => match stream.try_collect::<Vec<_>>().await.expect("events").first() {
            Some(WatchEvent::Error(status)) => status.code,
            other => panic!("{other:?}"),
        },
    };
    assert_eq!(code, 410);
}
