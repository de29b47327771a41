//! The scheduler: what it tries again and when, topology; volumes that one node has at a time.

use kube::api::Api;

use super::*;
use crate::sim::json::json;
use crate::sim::store::{DeleteOptions, Key};

fn node(name: &str, labels: &str, more: &str) -> String {
    format!(
        "\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{kubernetes.io/hostname: {name}{labels}}}}}\n{more}\
         status: {{allocatable: {{cpu: '4', memory: 8Gi, pods: '110'}}, conditions: [{{type: Ready, status: 'True'}}]}}\n---"
    )
}

fn pod(name: &str, labels: &str, spec: &str) -> String {
    format!(
        "\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{{labels}}}}}\n\
         spec: {{containers: [{{name: c, image: c}}]{spec}}}\n---"
    )
}

/// The node of a pod; empty while it has none.
fn place(cluster: &EmbeddedCluster, name: &str) -> String {
    let pod = stored(cluster, "pods", "shop", name);
    pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_wants_company_is_tried_again_when_it_comes() {
    let near = ", affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: \
                [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: cache}}}]}}";
    let text = [node("w1", "", ""), pod("web", "app: web", near)].concat();
    let cluster = after(10, &text).await;
    assert_eq!(place(&cluster, "web"), "");
    let cache = json!({
        "metadata": {"name": "cache", "namespace": "shop", "labels": {"app": "cache"}},
        "spec": {"containers": [{"name": "c", "image": "c"}]},
    });
    cluster.store.lock().expect("a store").create("pods", cache).expect("created");
    seconds(5).await;
    assert_eq!((place(&cluster, "cache"), place(&cluster, "web")), ("w1".to_owned(), "w1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_nodes_answered_counts_until_their_labels_change() {
    let fast = |name: &str| pod(name, "app: web", ", nodeSelector: {disk: fast}");
    let text = [node("w1", "", ""), node("w2", "", ""), fast("one"), fast("two")].concat();
    let cluster = after(10, &text).await;
    assert_eq!(place(&cluster, "one"), "");
    let label = |node: &str, disk: &str| {
        change(&cluster, "nodes", "", node, |node| node["metadata"]["labels"]["disk"] = json!(disk));
    };
    label("w2", "fast");
    seconds(5).await;
    assert_eq!((place(&cluster, "one"), place(&cluster, "two")), ("w2".to_owned(), "w2".to_owned()));
    label("w2", "slow");
    label("w1", "fast");
    let third = json!({
        "metadata": {"name": "three", "namespace": "shop"},
        "spec": {"containers": [{"name": "c", "image": "c"}], "nodeSelector": {"disk": "fast"}},
    });
    cluster.store.lock().expect("a store").create("pods", third).expect("created");
    seconds(5).await;
    assert_eq!(place(&cluster, "three"), "w1");
    // Another node, of the name of one that is gone, answers for itself.
    for name in ["w1", "w2"] {
        let mut store = cluster.store.lock().expect("a store");
        store.delete("nodes", &Key::new("", name), &DeleteOptions::default()).expect("deleted");
    }
    seconds(5).await;
    let fourth = json!({
        "metadata": {"name": "four", "namespace": "shop"},
        "spec": {"containers": [{"name": "c", "image": "c"}], "nodeSelector": {"disk": "fast"}},
    });
    let status = json!({"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True"}]});
    for (name, disk) in [("w2", "fast"), ("w1", "slow")] {
        let node = json!({"metadata": {"name": name, "labels": {"disk": disk}}, "status": status});
        cluster.store.lock().expect("a store").create("nodes", node).expect("created");
    }
    cluster.store.lock().expect("a store").create("pods", fourth).expect("created");
    seconds(5).await;
    assert_eq!(place(&cluster, "four"), "w2");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_try_nothing_again_and_five_minutes_try_all() {
    let picky = ", affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: \
                 kubernetes.io/hostname, labelSelector: {}, namespaceSelector: {matchLabels: {team: data}}}]}}";
    let other = "\napiVersion: v1\nkind: Namespace\nmetadata: {name: data}\n---\napiVersion: v1\nkind: Pod\n\
                 metadata: {name: cache, namespace: data}\nspec: {nodeName: w1, containers: [{name: c, image: c}]}\n---";
    let text = [node("w1", "", ""), other.to_owned(), pod("web", "app: web", picky)].concat();
    let cluster = after(10, &text).await;
    let beat = |n: u64| {
        change(&cluster, "nodes", "", "w1", |node| {
            node["metadata"]["annotations"]["beat"] = json!(n.to_string());
            node["status"]["conditions"][0]["lastHeartbeatTime"] = json!(n.to_string());
        });
    };
    // What nobody tells the scheduler of: only a retry finds it.
    change(&cluster, "namespaces", "", "data", |namespace| {
        namespace["metadata"]["labels"] = json!({"team": "data"});
    });
    for n in 0..28 {
        beat(n);
        seconds(10).await;
    }
    assert_eq!(place(&cluster, "web"), "");
    seconds(30).await;
    assert_eq!(place(&cluster, "web"), "w1");
}

#[tokio::test(start_paused = true)]
async fn spread_counts_the_nodes_that_its_policies_let_count() {
    let spread = |more: &str| {
        format!(
            ", topologySpreadConstraints: [{{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, \
             labelSelector: {{matchLabels: {{app: web}}}}{more}}}]"
        )
    };
    let tainted = "spec: {taints: [{key: gpu, effect: NoSchedule}]}\n";
    let nodes = [node("a1", ", zone: a", ""), node("b1", ", zone: b", tainted)].concat();
    let placed = pod("first", "app: web, version: one", ", nodeName: a1");
    let cases = [
        // Zone b can't be used, but counts: a second pod in a would be one too many.
        ("", ""),
        // It doesn't count.
        (", nodeTaintsPolicy: Honor", "a1"),
        // The pod that is there has another version.
        (", matchLabelKeys: [version]", "a1"),
    ];
    for (more, expected) in cases {
        let second = pod("second", "app: web, version: two", &spread(more));
        let cluster = after(10, &[nodes.clone(), placed.clone(), second].concat()).await;
        assert_eq!(place(&cluster, "second"), expected, "{more}");
    }
    // With Ignore, a node that the pod's selector excludes counts as well.
    for (more, expected) in [("", "a1"), (", nodeAffinityPolicy: Ignore", "")] {
        let nodes = [node("a1", ", zone: a", ""), node("b1", ", zone: b", "")].concat();
        let only_a = format!(", nodeSelector: {{zone: a}}{}", spread(more));
        let second = pod("second", "app: web", &only_a);
        let cluster = after(10, &[nodes, placed.clone(), second].concat()).await;
        assert_eq!(place(&cluster, "second"), expected, "{more}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_without_the_label_is_near_nothing_and_keeps_its_enemies() {
    let near = "podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: \
                [{topologyKey: zone, labelSelector: {matchLabels: {app: web}}}]}";
    let far = "podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: \
               [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: noisy}}}]}";
    let affinity = format!(", affinity: {{{near}, {far}}}");
    // w1 has no zone; w2 has one and a noisy neighbour; w3 has one. The first of its group may go to any with a zone.
    let nodes = [node("w1", "", ""), node("w2", ", zone: a", ""), node("w3", ", zone: a", "")].concat();
    let noisy = pod("noisy", "app: noisy", ", nodeName: w2");
    let cluster = after(10, &[nodes.clone(), noisy, pod("web", "app: web", &affinity)].concat()).await;
    assert_eq!(place(&cluster, "web"), "w3");
    let noise =
        ["w2", "w3"].map(|n| pod(&format!("noisy-{n}"), "app: noisy", &format!(", nodeName: {n}"))).concat();
    let cluster = after(10, &[nodes, noise, pod("web", "app: web", &affinity)].concat()).await;
    assert_eq!(place(&cluster, "web"), "");
    let message = stored(&cluster, "pods", "shop", "web")["status"]["conditions"][0]["message"].clone();
    let expected = "0/3 nodes are available: 1 node(s) didn't match pod affinity rules, 2 node(s) didn't match pod \
                    anti-affinity rules. no new claims to deallocate, preemption: 0/3 nodes are available: 1 Preemption is \
                    not helpful for scheduling, 2 No preemption victims found for incoming pod.";
    assert_eq!(message, expected);
}

#[tokio::test(start_paused = true)]
async fn affinity_looks_into_the_namespaces_that_it_selects() {
    let near = |namespaces: &str| {
        format!(
            ", affinity: {{podAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: [{{topologyKey: \
             kubernetes.io/hostname, labelSelector: {{matchLabels: {{app: cache}}}}{namespaces}}}]}}}}"
        )
    };
    let other = "\napiVersion: v1\nkind: Namespace\nmetadata: {name: data, labels: {team: data}}\n---\napiVersion: v1\nkind: Pod\n\
                 metadata: {name: cache, namespace: data, labels: {app: cache}}\n\
                 spec: {nodeName: w2, containers: [{name: c, image: c}]}\n---";
    let cases = [
        ("", ""),
        (", namespaces: [data]", "w2"),
        (", namespaceSelector: {matchLabels: {team: data}}", "w2"),
        (", namespaceSelector: {}", "w2"),
        (", namespaceSelector: {matchLabels: {team: other}}", ""),
    ];
    for (namespaces, expected) in cases {
        let nodes = [node("w1", "", ""), node("w2", "", "")].concat();
        let text = [nodes, other.to_owned(), pod("web", "app: web", &near(namespaces))].concat();
        assert_eq!(place(&after(10, &text).await, "web"), expected, "{namespaces}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_volume_for_one_node_is_attached_to_one_at_a_time() {
    let volume = "\napiVersion: v1\nkind: PersistentVolume\nmetadata: {name: data}\nspec:\n  accessModes: [ReadWriteOnce]\n  \
                  capacity: {storage: 1Gi}\n  csi: {driver: csi.example.com, volumeHandle: data}\n  \
                  claimRef: {namespace: shop, name: data}\nstatus: {phase: Bound}\n---\napiVersion: v1\n\
                  kind: PersistentVolumeClaim\nmetadata: {name: data, namespace: shop}\nspec: {volumeName: data, accessModes: \
                  [ReadWriteOnce]}\nstatus: {phase: Bound}\n---";
    let uses = |node: &str| {
        format!(", nodeName: {node}, volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]")
    };
    let slow = pod("old", "app: db", &uses("w1"))
        .replace("labels:", "annotations: {sim.virtroll.dev/stops-after: 20s}, labels:");
    let text = [node("w1", "", ""), node("w2", "", ""), volume.to_owned(), slow].concat();
    let cluster = after(10, &text).await;
    let attached = |cluster: &EmbeddedCluster| -> Vec<String> {
        let attachments = all(cluster, "volumeattachments.storage.k8s.io", "");
        attachments.iter().filter_map(|a| a["spec"]["nodeName"].as_str().map(str::to_owned)).collect()
    };
    let phase = |name: &str| stored(&cluster, "pods", "shop", name)["status"]["phase"].clone();
    assert_eq!(attached(&cluster), ["w1"]);
    let new = json!({
        "metadata": {"name": "new", "namespace": "shop"}, "status": {"phase": "Pending"},
        "spec": {
            "nodeName": "w2", "containers": [{"name": "c", "image": "c"}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        },
    });
    cluster.store.lock().expect("a store").create("pods", new).expect("created");
    let pods: Api<Pod> = Api::namespaced(cluster.client(), "shop");
    pods.delete("old", &DeleteParams::default()).await.expect("deleted");
    seconds(15).await;
    // The old one takes 20 s to stop, and a detachment 3 s more.
    assert_eq!((attached(&cluster), phase("new")), (vec!["w1".to_owned()], json!("Pending")));
    seconds(15).await;
    assert_eq!((attached(&cluster), phase("new")), (vec!["w2".to_owned()], json!("Running")));
}
