//! Workload controllers, the disruption controller, kubelets, and what a copy of a cluster brings along.

use kube::api::Api;

use super::*;
use crate::sim::json::{Value, json};

/// Two ready nodes.
const NODES: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: w1}
status: {allocatable: {cpu: "4", memory: 8Gi, pods: "110"}, nodeInfo: {bootID: boot-1}, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Node
metadata: {name: w2}
status: {allocatable: {cpu: "4", memory: 8Gi, pods: "110"}, nodeInfo: {bootID: boot-2}, conditions: [{type: Ready, status: "True"}]}
"#;

fn on_nodes(more: &str) -> String {
    format!("{NODES}---{more}")
}

/// disruptionsAllowed, expectedPods, observedGeneration; reason and message of the condition.
fn counted(cluster: &EmbeddedCluster, name: &str) -> (Value, Value, Value, String, String) {
    let status = stored(cluster, "poddisruptionbudgets.policy", "shop", name)["status"].clone();
    let condition = &status["conditions"][0];
    let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    let number = |field: &str| status[field].clone();
    (
        number("disruptionsAllowed"),
        number("expectedPods"),
        number("observedGeneration"),
        text("reason"),
        text("message"),
    )
}

#[tokio::test(start_paused = true)]
async fn budgets_count_by_scale_or_fail_safe() {
    let workload = |kind: &str, name: &str, more: &str| {
        format!(
            "\napiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  {more}\n  \
             selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
             spec: {{containers: [{{name: c, image: c}}]}}\n---"
        )
    };
    let budget = |name: &str, app: &str, limit: &str| {
        format!(
            "\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{{limit}, selector: {{matchLabels: {{app: {app}}}}}}}\n---"
        )
    };
    let bare = "\napiVersion: v1\nkind: Pod\nmetadata: {name: bare, namespace: shop, labels: {app: web}}\n\
                spec: {containers: [{name: c, image: c}]}\n---";
    let text = [
        workload("Deployment", "web", "replicas: 3"),
        workload("DaemonSet", "agent", "updateStrategy: {type: OnDelete}"),
        budget("web-most", "web", "maxUnavailable: 1"),
        budget("web-half", "web", "minAvailable: 50%"),
        budget("agent-most", "agent", "maxUnavailable: 1"),
        budget("agent-half", "agent", "minAvailable: 50%"),
        budget("agent-least", "agent", "minAvailable: 1"),
        budget("none", "nobody", "minAvailable: 0"),
        bare.to_owned(),
    ];
    let cluster = running(&on_nodes(&text.concat())).await;
    let sufficient = |allowed: i64, expected: i64| {
        (json!(allowed), json!(expected), json!(1), "SufficientPods".to_owned(), String::new())
    };
    // Three replicas and an unmanaged pod: 4 healthy; the Deployment wants 3, of which 2 (1 unavailable, or half) are needed.
    assert_eq!(counted(&cluster, "web-most"), sufficient(2, 3));
    assert_eq!(counted(&cluster, "web-half"), sufficient(2, 3));
    assert_eq!(counted(&cluster, "agent-least"), sufficient(1, 2));
    let failed = "daemonsets.apps does not implement the scale subresource".to_owned();
    for name in ["agent-most", "agent-half"] {
        // The status is that of the first round, when there was no pod yet.
        let expected = (json!(0), json!(0), json!(1), "SyncFailed".to_owned(), failed.clone());
        assert_eq!(counted(&cluster, name), expected, "{name}");
    }
    let (allowed, expected, _, reason, _) = counted(&cluster, "none");
    assert_eq!((allowed, expected, reason.as_str()), (json!(0), json!(0), "InsufficientPods"));
}

#[tokio::test(start_paused = true)]
async fn a_taint_on_a_ready_node_leaves_its_pods_ready() {
    let cluster = running(TWO_NODES).await;
    let tolerant = json!({
        "metadata": {"name": "tolerant", "namespace": "shop"},
        "spec": {
            "nodeName": "w1", "tolerations": [{"operator": "Exists"}], "containers": [{"name": "c", "image": "c"}],
        },
    });
    cluster.store.lock().expect("a store").create("pods", tolerant).expect("created");
    seconds(10).await;
    change(&cluster, "nodes", "", "w1", |node| {
        node["spec"]["taints"] = json!([{"key": "maintenance", "effect": "NoExecute"}]);
    });
    assert!(cluster.settle(Duration::from_secs(5), Duration::from_secs(120)).await, "gets quiet");
    let pod = stored(&cluster, "pods", "shop", "tolerant");
    let ready = pod["status"]["conditions"].as_array().expect("some").iter().find(|c| c["type"] == "Ready");
    assert_eq!(ready.expect("one")["status"], "True");
}

#[tokio::test(start_paused = true)]
async fn a_new_annotation_in_the_template_rolls_a_deployment() {
    let cluster = running(TWO_NODES).await;
    let before = all(&cluster, "replicasets.apps", "shop");
    change(&cluster, "deployments.apps", "shop", "web", |web| {
        web["spec"]["template"]["metadata"]["annotations"] = json!({"restartedAt": "now"});
    });
    assert!(cluster.settle(Duration::from_secs(5), Duration::from_secs(120)).await, "gets quiet");
    let sets = all(&cluster, "replicasets.apps", "shop");
    assert_eq!((before.len(), sets.len()), (1, 2));
    let old =
        stored(&cluster, "replicasets.apps", "shop", before[0]["metadata"]["name"].as_str().expect("a name"));
    assert_eq!(old["spec"]["replicas"], 0);
    let pods = all(&cluster, "pods", "shop");
    let rolled = pods.iter().filter(|p| p["metadata"]["annotations"]["restartedAt"] == "now").count();
    assert_eq!((pods.len(), rolled), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn among_equal_sets_the_newest_revision_is_the_deployments() {
    let set = |name: &str, revision: u64, replicas: u64| {
        format!(
            "\napiVersion: apps/v1\nkind: ReplicaSet\nmetadata:\n  name: {name}\n  namespace: shop\n  uid: {name}\n  \
             labels: {{app: web, pod-template-hash: {name}}}\n  annotations: {{deployment.kubernetes.io/revision: '{revision}'}}\n  \
             ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: web, controller: true}}]\n\
             spec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: web, pod-template-hash: {name}}}}}\n  template:\n    \
             metadata: {{creationTimestamp: null, labels: {{app: web, pod-template-hash: {name}}}}}\n    \
             spec: {{containers: [{{name: c, image: c}}]}}\n---"
        )
    };
    let deployment = "\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop, uid: web}\nspec:\n  \
                      replicas: 2\n  selector: {matchLabels: {app: web}}\n  template: {metadata: {labels: {app: web}}, \
                      spec: {containers: [{name: c, image: c}]}}\n---";
    let text = [deployment.to_owned(), set("web-a", 2, 0), set("web-b", 10, 2), set("web-c", 9, 0)];
    // The set's name must be its Deployment's and the hash.
    let text = text.concat().replace("pod-template-hash: web-", "pod-template-hash: ");
    let cluster = running(&on_nodes(&text)).await;
    let wants = |name: &str| stored(&cluster, "replicasets.apps", "shop", name)["spec"]["replicas"].clone();
    assert_eq!(all(&cluster, "replicasets.apps", "shop").len(), 3, "no new one");
    assert_eq!((wants("web-a"), wants("web-b"), wants("web-c")), (json!(0), json!(2), json!(0)));
}

/// A StatefulSet `db` as captured, with the real controller's revision.
fn captured_stateful_set() -> String {
    let pod = |ordinal: usize| {
        format!(
            "\napiVersion: v1\nkind: Pod\nmetadata:\n  name: db-{ordinal}\n  namespace: shop\n  uid: db-{ordinal}\n  \
             labels: {{app: db, controller-revision-hash: db-7f5b9}}\n  \
             ownerReferences: [{{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: db, controller: true}}]\n\
             spec: {{nodeName: w{}, containers: [{{name: c, image: c}}]}}\n\
             status: {{phase: Running, conditions: [{{type: Ready, status: 'True'}}]}}\n---",
            ordinal % 2 + 1
        )
    };
    let set = "\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db, namespace: shop, uid: db, generation: 4}\nspec:\n  \
               replicas: 3\n  selector: {matchLabels: {app: db}}\n  template: {metadata: {labels: {app: db}}, \
               spec: {containers: [{name: c, image: c}]}}\n\
               status: {observedGeneration: 4, replicas: 3, currentRevision: db-7f5b9, updateRevision: db-7f5b9}\n---";
    on_nodes(&[set.to_owned(), pod(0), pod(1), pod(2)].concat())
}

#[tokio::test(start_paused = true)]
async fn a_captured_stateful_set_replaces_one_pod_and_restarts_no_other() {
    let cluster = running(&captured_stateful_set()).await;
    let uids = |cluster: &EmbeddedCluster| -> Vec<String> {
        let pods = all(cluster, "pods", "shop");
        pods.iter().map(|p| p["metadata"]["uid"].as_str().expect("a UID").to_owned()).collect()
    };
    let pods: Api<Pod> = Api::namespaced(cluster.client(), "shop");
    pods.delete("db-1", &DeleteParams::default()).await.expect("deleted");
    seconds(120).await;
    let now = uids(&cluster);
    assert_eq!((now[0].as_str(), now[2].as_str(), now.len()), ("db-0", "db-2", 3));
    assert_ne!(now[1], "db-1");
    let label =
        stored(&cluster, "pods", "shop", "db-1")["metadata"]["labels"]["controller-revision-hash"].clone();
    assert_eq!(label, "db-7f5b9");
    // More replicas are no new revision, another template is.
    change(&cluster, "statefulsets.apps", "shop", "db", |set| set["spec"]["replicas"] = json!(4));
    seconds(60).await;
    assert_eq!((&uids(&cluster)[0], &uids(&cluster)[2], uids(&cluster).len()), (&now[0], &now[2], 4));
    change(&cluster, "statefulsets.apps", "shop", "db", |set| {
        set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("c:2");
    });
    seconds(120).await;
    let images: Vec<Value> =
        all(&cluster, "pods", "shop").iter().map(|p| p["spec"]["containers"][0]["image"].clone()).collect();
    assert_eq!(images, ["c:2"; 4]);
}

#[tokio::test(start_paused = true)]
async fn captured_sick_pods_stay_sick() {
    let pod = |name: &str, phase: &str, since: &str, container: &str| {
        format!(
            "\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{nodeName: w1, containers: [{{name: c, image: c}}]}}\nstatus:\n  phase: {phase}\n  \
             startTime: {since}\n  conditions: [{{type: Ready, status: 'False', lastTransitionTime: {since}}}]\n  \
             containerStatuses: [{{name: c, ready: false, state: {container}}}]\n---"
        )
    };
    let text = [
        pod("crashes", "Running", "2026-01-05T21:59:30Z", "{waiting: {reason: CrashLoopBackOff}}"),
        pod("no-image", "Pending", "2026-01-05T21:59:30Z", "{waiting: {reason: ImagePullBackOff}}"),
        pod("unready", "Running", "2026-01-05T21:50:00Z", "{running: {startedAt: 2026-01-05T21:50:00Z}}"),
        pod("fresh", "Running", "2026-01-05T21:59:30Z", "{running: {startedAt: 2026-01-05T21:59:30Z}}"),
        pod("starting", "Pending", "2026-01-05T21:59:30Z", "{waiting: {reason: ContainerCreating}}"),
    ];
    let newest = "\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: shop, creationTimestamp: 2026-01-05T22:00:00Z}\n";
    let cluster = running(&on_nodes(&[text.concat(), newest.to_owned()].concat())).await;
    seconds(600).await;
    let ready = |name: &str| {
        let pod = stored(&cluster, "pods", "shop", name);
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    let all = ["crashes", "no-image", "unready", "fresh", "starting"].map(ready);
    assert_eq!(all, [false, false, false, true, true]);
    assert_eq!(stored(&cluster, "pods", "shop", "no-image")["status"]["phase"], "Pending");
}

#[tokio::test(start_paused = true)]
async fn owners_of_unknown_kinds_stay() {
    let pod = |name: &str, owner: &str| {
        format!(
            "\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: shop\n  \
             ownerReferences: [{{{owner}, name: kafka, uid: owner-{name}, controller: true}}]\n\
             spec: {{containers: [{{name: c, image: c}}]}}\n---"
        )
    };
    let text = [
        pod("of-operator", "apiVersion: core.strimzi.io/v1beta2, kind: StrimziPodSet"),
        pod("of-nobody", "apiVersion: apps/v1, kind: StatefulSet"),
    ];
    let cluster = running(&on_nodes(&text.concat())).await;
    let owners = |name: &str| {
        stored(&cluster, "pods", "shop", name)["metadata"]["ownerReferences"].as_array().map(Vec::len)
    };
    assert_eq!((owners("of-operator"), owners("of-nobody")), (Some(1), Some(0)));
}

#[tokio::test(start_paused = true)]
async fn a_budget_over_an_unknown_kind_keeps_what_its_cluster_counted() {
    let pod = |n: usize| {
        format!(
            "\napiVersion: v1\nkind: Pod\nmetadata:\n  name: kafka-{n}\n  namespace: shop\n  labels: {{app: kafka}}\n  \
             ownerReferences: [{{apiVersion: core.strimzi.io/v1beta2, kind: StrimziPodSet, name: kafka, uid: set, controller: true}}]\n\
             spec: {{containers: [{{name: c, image: c}}]}}\n---"
        )
    };
    let budget = |name: &str, status: &str| {
        format!(
            "\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{maxUnavailable: 1, selector: {{matchLabels: {{app: kafka}}}}}}\nstatus: {{{status}}}\n---"
        )
    };
    let counted_before = "expectedPods: 3, observedGeneration: 1";
    let text =
        [pod(0), pod(1), pod(2), budget("copied", counted_before), budget("new", "observedGeneration: 1")];
    let cluster = running(&on_nodes(&text.concat())).await;
    let (allowed, expected, _, reason, _) = counted(&cluster, "copied");
    assert_eq!((allowed, expected, reason.as_str()), (json!(1), json!(3), "SufficientPods"));
    let (allowed, _, _, reason, message) = counted(&cluster, "new");
    assert_eq!((allowed, reason.as_str()), (json!(0), "SyncFailed"));
    assert_eq!(message, "no matches for kind \"StrimziPodSet\" in version \"core.strimzi.io/v1beta2\"");
}

#[tokio::test(start_paused = true)]
async fn a_replication_controller_replaces_its_pods() {
    let text = "\napiVersion: v1\nkind: ReplicationController\nmetadata: {name: old, namespace: shop}\nspec:\n  replicas: 2\n  \
                selector: {app: old}\n  template: {metadata: {labels: {app: old}}, spec: {containers: [{name: c, image: c}]}}\n";
    let cluster = running(&on_nodes(text)).await;
    let first = all(&cluster, "pods", "shop")[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let pods: Api<Pod> = Api::namespaced(cluster.client(), "shop");
    pods.delete(&first, &DeleteParams::default()).await.expect("deleted");
    seconds(30).await;
    assert_eq!(all(&cluster, "pods", "shop").len(), 2);
    let status = stored(&cluster, "replicationcontrollers", "shop", "old")["status"].clone();
    assert_eq!((&status["replicas"], &status["readyReplicas"]), (&json!(2), &json!(2)));
}

fn job(spec: &str, status: &str) -> String {
    format!(
        "\napiVersion: batch/v1\nkind: Job\nmetadata: {{name: copy, namespace: shop, uid: copy}}\nspec:\n  {spec}\n  template:\n    \
         metadata: {{labels: {{job: copy}}, annotations: {{sim.virtroll.dev/runs-for: 60s}}}}\n    \
         spec: {{restartPolicy: Never, containers: [{{name: c, image: c}}]}}\nstatus: {{{status}}}\n---"
    )
}

fn counts(cluster: &EmbeddedCluster) -> (i64, i64, Option<String>) {
    let status = stored(cluster, "jobs.batch", "shop", "copy")["status"].clone();
    let number = |field: &str| status[field].as_i64().unwrap_or(0);
    let last = status["conditions"].as_array().and_then(|all| all.last());
    let end = last.and_then(|c| c["type"].as_str()).map(str::to_owned);
    (number("succeeded"), number("failed"), end)
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_counts_as_failed() {
    let cluster = after(10, &on_nodes(&job("backoffLimit: 0", ""))).await;
    let name = all(&cluster, "pods", "shop")[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let pods: Api<Pod> = Api::namespaced(cluster.client(), "shop");
    pods.delete(&name, &DeleteParams::default()).await.expect("deleted");
    seconds(30).await;
    assert_eq!(counts(&cluster), (0, 1, Some("Failed".to_owned())));
    assert_eq!(all(&cluster, "pods", "shop").len(), 0, "its finalizer is gone and nothing replaces it");
}

#[tokio::test(start_paused = true)]
async fn a_job_counts_on_from_its_status() {
    // Captured with two of three completions done, their pods long gone, and one that runs.
    let pod = "\napiVersion: v1\nkind: Pod\nmetadata:\n  name: copy-x\n  namespace: shop\n  \
               finalizers: [batch.kubernetes.io/job-tracking]\n  labels: {job: copy}\n  annotations: {sim.virtroll.dev/runs-for: 5s}\n  \
               ownerReferences: [{apiVersion: batch/v1, kind: Job, name: copy, uid: copy, controller: true}]\n\
               spec: {restartPolicy: Never, nodeName: w1, containers: [{name: c, image: c}]}\n---";
    let text =
        [job("completions: 3", "succeeded: 2, failed: 1, startTime: 2026-01-05T21:00:00Z"), pod.to_owned()];
    let cluster = after(30, &on_nodes(&text.concat())).await;
    assert_eq!(counts(&cluster), (3, 1, Some("Complete".to_owned())));
    let pods = all(&cluster, "pods", "shop");
    assert_eq!(pods.len(), 1, "no more pods than were needed");
    assert_eq!(pods[0]["metadata"]["finalizers"], json!(null));
}

#[tokio::test(start_paused = true)]
async fn daemon_pods_leave_only_for_taints_that_evict() {
    let text = "\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: agent, namespace: shop}\nspec:\n  \
                selector: {matchLabels: {app: agent}}\n  \
                template: {metadata: {labels: {app: agent}}, spec: {containers: [{name: c, image: c}]}}\n";
    let cluster = running(&on_nodes(text)).await;
    let on = |cluster: &EmbeddedCluster| -> Vec<String> {
        let pods = all(cluster, "pods", "shop");
        let mut nodes: Vec<String> =
            pods.iter().filter_map(|p| p["spec"]["nodeName"].as_str().map(str::to_owned)).collect();
        nodes.sort();
        nodes
    };
    let taint = |effect: &str| {
        let taints = json!([{"key": "gpu", "effect": effect}]);
        change(&cluster, "nodes", "", "w1", |node| node["spec"]["taints"] = taints);
    };
    taint("NoSchedule");
    seconds(60).await;
    assert_eq!(on(&cluster), ["w1", "w2"]);
    let here = all(&cluster, "pods", "shop");
    let mine = here.iter().find(|p| p["spec"]["nodeName"] == "w1").expect("one");
    let pods: Api<Pod> = Api::namespaced(cluster.client(), "shop");
    pods.delete(mine["metadata"]["name"].as_str().expect("a name"), &DeleteParams::default())
        .await
        .expect("deleted");
    seconds(60).await;
    assert_eq!(on(&cluster), ["w2"], "none is created");
    change(&cluster, "nodes", "", "w1", |node| node["spec"]["taints"] = json!([]));
    seconds(60).await;
    assert_eq!(on(&cluster), ["w1", "w2"]);
    taint("NoExecute");
    seconds(60).await;
    assert_eq!(on(&cluster), ["w2"]);
}

#[tokio::test(start_paused = true)]
async fn a_foreground_deletion_ends_when_the_last_dependant_is_gone() {
    let cluster = running(TWO_NODES).await;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), "shop");
    deployments.delete("web", &DeleteParams::foreground()).await.expect("deleted");
    seconds(60).await;
    let left = |resource: &str| all(&cluster, resource, "shop").len();
    assert_eq!((left("deployments.apps"), left("replicasets.apps"), left("pods")), (0, 0, 0));
}

/// Revisions say what their owner said when they were made: `kubectl rollout history` shows its change-cause.
#[tokio::test(start_paused = true)]
async fn revisions_have_the_annotations_of_their_owner() {
    let set = |kind: &str, name: &str| {
        format!(
            "\napiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop, annotations: {{kubernetes.io/change-cause: first}}}}\n\
             spec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
             spec: {{containers: [{{name: c, image: c}}]}}\n---"
        )
    };
    let cluster = after(5, &on_nodes(&(set("StatefulSet", "db") + &set("DaemonSet", "agent")))).await;
    for resource in ["statefulsets.apps", "daemonsets.apps"] {
        let name = if resource == "daemonsets.apps" { "agent" } else { "db" };
        change(&cluster, resource, "shop", name, |set| {
            set["metadata"]["annotations"]["kubernetes.io/change-cause"] = json!("second");
            set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("d");
        });
    }
    seconds(5).await;
    let cause = "kubernetes.io/change-cause";
    let mut said: Vec<(String, i64, Value)> = Vec::new();
    for revision in all(&cluster, "controllerrevisions.apps", "shop") {
        assert_eq!(revision["data"]["spec"]["template"]["$patch"], "replace");
        let owner = &revision["metadata"]["ownerReferences"][0]["name"];
        let annotations = revision["metadata"]["annotations"].clone();
        said.push((
            owner.as_str().expect("an owner").to_owned(),
            revision["revision"].as_i64().expect("a number"),
            annotations,
        ));
    }
    said.sort_by_key(|(owner, number, _)| (owner.clone(), *number));
    let generation = "deprecated.daemonset.template.generation";
    assert_eq!(
        said,
        [
            ("agent".to_owned(), 1, json!({cause: "first", generation: "1"})),
            ("agent".to_owned(), 2, json!({cause: "second", generation: "1"})),
            ("db".to_owned(), 1, json!({cause: "first"})),
            ("db".to_owned(), 2, json!({cause: "second"})),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_says_that_it_is_ready_and_keeps_no_empty_list_of_taints() {
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: w1}\n";
    let cluster = after(2, node).await;
    let ready = stored(&cluster, "nodes", "", "w1")["status"]["conditions"][0].clone();
    let time = ready["lastTransitionTime"].clone();
    assert!(time.is_string());
    assert_eq!(
        ready,
        json!({
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status",
            "lastHeartbeatTime": time, "lastTransitionTime": time,
        })
    );
    change(&cluster, "nodes", "", "w1", |n| n["spec"]["unschedulable"] = json!(true));
    seconds(1).await;
    assert_eq!(
        stored(&cluster, "nodes", "", "w1")["spec"]["taints"],
        json!([{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}])
    );
    change(&cluster, "nodes", "", "w1", |n| {
        n["spec"].as_object_mut().map(|s| s.remove("unschedulable"));
    });
    seconds(1).await;
    let spec = stored(&cluster, "nodes", "", "w1")["spec"].clone();
    assert!(spec.get("taints").is_none(), "{spec}");
}

#[tokio::test(start_paused = true)]
async fn a_job_made_by_hand_is_none_of_its_cron_jobs_active_ones() {
    let job = |name: &str, annotations: &str| {
        format!(
            "\n---\napiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  namespace: shop\n  annotations: {{{annotations}}}\n  \
             ownerReferences: [{{apiVersion: batch/v1, kind: CronJob, name: tidy, uid: of-tidy, controller: true}}]\n\
             spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: c}}]}}}}}}"
        )
    };
    let cron = "\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: tidy, namespace: shop, uid: of-tidy}\nspec:\n  schedule: '0 0 1 1 *'\n  \
                jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: c}]}}}}";
    let text =
        [cron, &job("scheduled", ""), &job("by-hand", "cronjob.kubernetes.io/instantiate: manual")].concat();
    let cluster = after(2, &on_nodes(&text)).await;
    let active = stored(&cluster, "cronjobs.batch", "shop", "tidy")["status"]["active"].clone();
    let names: Vec<&Value> = active.as_array().into_iter().flatten().map(|job| &job["name"]).collect();
    assert_eq!(names, [&json!("scheduled")]);
}
