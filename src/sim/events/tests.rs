//! A story of two nodes and a Deployment, as its events tell it.

use std::collections::BTreeSet;
use std::sync::Arc;
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
    running_with("", events).await
}

/// The same with more manifests.
async fn running_with(manifests: &str, events: bool) -> EmbeddedCluster {
    let settings = Settings { events, ..Settings::default() };
    let text = format!("{CLUSTER}{manifests}");
    let cluster = EmbeddedCluster::from_manifests("test.yaml", &text, settings).expect("loads");
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

/// Warnings of a reason, as `kind name from: message` and how often; names of pods end with their random part.
fn warnings(cluster: &EmbeddedCluster, reason: &str) -> BTreeSet<(String, i64)> {
    let events = cluster.objects("events");
    let warned = events.iter().filter(|e| e["reason"] == reason && e["type"] == "Warning");
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let random = regex::Regex::new("-[a-z0-9]{5}\"").expect("a pattern");
    let line = |e: &serde_json::Value| {
        let about = &e["involvedObject"];
        let message = random.replace(&text(&e["message"]), "-XXXXX\"").into_owned();
        let (kind, from) = (text(&about["kind"]), text(&e["source"]["component"]));
        format!("{kind} {} {from}: {message}", text(&about["name"]))
    };
    warned.map(|e| (line(e), e["count"].as_i64().unwrap_or(0))).collect()
}

/// Each workload whose pods a quota refuses says so in one event, which is counted up; a Deployment has its set's condition.
/// When the quota is gone they come.
#[tokio::test(start_paused = true)]
async fn a_refused_pod_is_a_warning_of_its_workload() {
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: w1}\n\
                status: {allocatable: {cpu: \"2\", memory: 8Gi, pods: \"110\"}}\n";
    let quota = "---\napiVersion: v1\nkind: ResourceQuota\nmetadata: {name: none, namespace: shop}\nspec: {hard: {pods: \"0\"}}\n";
    let settings = Settings { events: true, ..Settings::default() };
    let cluster =
        EmbeddedCluster::from_manifests("test.yaml", &format!("{node}{quota}"), settings).expect("loads");
    cluster.start().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let template = |name: &str, restart: &str| {
        json!({
            "metadata": {"labels": {"app": name}},
            "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": "c"}]},
        })
    };
    for (resource, name, replicas) in [
        ("replicasets.apps", "web", 3),
        ("statefulsets.apps", "db", 1),
        ("daemonsets.apps", "agent", 0),
        ("deployments.apps", "api", 1),
    ] {
        let mut spec =
            json!({"selector": {"matchLabels": {"app": name}}, "template": template(name, "Always")});
        if replicas > 0 {
            spec["replicas"] = json!(replicas);
        }
        let object = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
        cluster.store.lock().expect("a store").create(resource, object).expect("created");
    }
    let job = json!({
        "metadata": {"name": "once", "namespace": "shop"}, "spec": {"parallelism": 2, "completions": 2, "template": template("once", "Never")},
    });
    cluster.store.lock().expect("a store").create("jobs.batch", job).expect("created");
    // Tried at once, and twice again.
    tokio::time::sleep(Duration::from_secs(35)).await;
    let set = cluster
        .objects("replicasets.apps")
        .iter()
        .filter_map(|s| s["metadata"]["name"].as_str().map(str::to_owned))
        .find(|n| n != "web")
        .expect("a set");
    let why = "exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0";
    let refused = |pod: &str| format!("pods \"{pod}\" is forbidden: {why}");
    let expected = [
        format!("ReplicaSet web replicaset-controller: Error creating: {}", refused("web-XXXXX")),
        format!(
            "ReplicaSet {set} replicaset-controller: Error creating: {}",
            refused(&format!("{set}-XXXXX"))
        ),
        format!(
            "StatefulSet db statefulset-controller: create Pod db-0 in StatefulSet db failed error: {}",
            refused("db-0")
        ),
        format!("DaemonSet agent daemonset-controller: Error creating: {}", refused("agent-XXXXX")),
        format!("Job once job-controller: Error creating: {}", refused("once-XXXXX")),
    ];
    let warned = warnings(&cluster, "FailedCreate");
    assert_eq!(warned.iter().map(|(line, _)| line.clone()).collect::<BTreeSet<_>>(), expected.into());
    // Once each for the three tries, and when a set's own status has changed.
    assert!(warned.iter().all(|(_, count)| (3..=6).contains(count)), "{warned:#?}");
    assert_eq!(warned.len(), 5);
    let deployments = cluster.objects("deployments.apps");
    let conditions = deployments[0]["status"]["conditions"].as_array().expect("conditions");
    let failure = conditions.iter().find(|c| c["type"] == "ReplicaFailure").expect("a failure");
    assert_eq!(
        (&failure["status"], &failure["reason"]),
        (&serde_json::json!("True"), &serde_json::json!("FailedCreate"))
    );
    assert!(failure["message"].as_str().is_some_and(|m| m.ends_with(why)), "{failure}");
    let key = Key::new("shop", "none");
    cluster
        .store
        .lock()
        .expect("a store")
        .delete("resourcequotas", &key, &Default::default())
        .expect("deleted");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(cluster.objects("pods").len(), 3 + 1 + 1 + 1 + 2);
    let deployments = cluster.objects("deployments.apps");
    let conditions = deployments[0]["status"]["conditions"].as_array().expect("conditions");
    assert!(conditions.iter().all(|c| c["type"] != "ReplicaFailure"), "{conditions:?}");
}

/// What is told for a reason: whose it is, the words up to a name's random end, how often.
fn said(cluster: &EmbeddedCluster, reason: &str) -> Vec<(String, i64)> {
    let line = |e: Arc<serde_json::Value>| {
        let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        let message = text(&e["message"]);
        let message = message.split_inclusive("nightly-").next().unwrap_or_default();
        (format!("{} {message}", text(&e["involvedObject"]["kind"])), e["count"].as_i64().unwrap_or(0))
    };
    let events = cluster.objects("events").into_iter().filter(|e| e["reason"] == reason);
    let mut said: Vec<_> = events.map(line).collect();
    said.sort();
    said
}

const CRON_JOB: &str = r#"---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: shop}
spec:
  schedule: "*/10 * * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}
"#;

#[tokio::test(start_paused = true)]
async fn a_cron_job_tells_of_its_jobs_and_of_those_of_others() {
    let cluster = running_with(CRON_JOB, true).await;
    tokio::time::sleep(Duration::from_secs(660)).await;
    let created =
        said(&cluster, "SuccessfulCreate").into_iter().filter(|(line, _)| line.starts_with("CronJob"));
    assert_eq!(created.collect::<Vec<_>>(), [("CronJob Created job nightly-".to_owned(), 1)]);
    assert_eq!(said(&cluster, "SawCompletedJob"), [("CronJob Saw completed job: nightly-".to_owned(), 1)]);
    let cron_job = cluster.objects("cronjobs.batch").remove(0);
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {
            "name": "by-hand", "namespace": "shop", "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "controller": true,
                "uid": cron_job["metadata"]["uid"].as_str().expect("a UID"),
            }],
        },
        "spec": {"template": {"metadata": {}, "spec": {"containers": []}}},
    });
    cluster.store.lock().expect("a store").create("jobs.batch", job).expect("created");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let words = "CronJob Saw a job that the controller did not create or forgot: by-hand".to_owned();
    assert_eq!(said(&cluster, "UnexpectedJob"), [(words, 1)]);
}

/// What a newcomer finds in any cluster. A rehearsal, which nobody looks into, has none of it.
#[tokio::test(start_paused = true)]
async fn a_cluster_has_what_every_cluster_has() {
    let cluster = running(true).await;
    let service = cluster.objects("services").first().cloned().expect("a service");
    assert_eq!(service["metadata"]["name"], "kubernetes");
    assert_eq!(service["metadata"]["namespace"], "default");
    assert_eq!(
        service["metadata"]["labels"],
        serde_json::json!({"component": "apiserver", "provider": "kubernetes"})
    );
    assert_eq!(service["spec"]["clusterIP"], "10.96.0.1");
    assert_eq!(
        service["spec"]["ports"],
        serde_json::json!([{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}])
    );
    let classes: BTreeSet<(String, i64)> = cluster
        .objects("priorityclasses.scheduling.k8s.io")
        .iter()
        .filter_map(|c| Some((c["metadata"]["name"].as_str()?.to_owned(), c["value"].as_i64()?)))
        .collect();
    let expected = [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];
    assert_eq!(classes, expected.map(|(name, value)| (name.to_owned(), value)).into_iter().collect());
    let certificates = || -> BTreeSet<(String, String)> {
        let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        let maps = cluster.objects("configmaps");
        maps.iter().map(|c| (text(&c["metadata"]["namespace"]), text(&c["metadata"]["name"]))).collect()
    };
    let in_shop = ("shop".to_owned(), "kube-root-ca.crt".to_owned());
    assert!(certificates().contains(&in_shop), "{:?}", certificates());
    let key = Key::new("shop", "kube-root-ca.crt");
    let deleted =
        cluster.store.lock().expect("a store").delete("configmaps", &key, &Default::default()).is_ok();
    assert!(deleted && !certificates().contains(&in_shop));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(certificates().contains(&in_shop), "it comes back");
    let quiet = running(false).await;
    assert!(quiet.objects("services").is_empty() && quiet.objects("configmaps").is_empty());
    assert!(quiet.objects("priorityclasses.scheduling.k8s.io").is_empty());
}

/// Of the pods of sets, those that a rolling update or a smaller number takes away are told of, and none that a user deletes.
#[tokio::test(start_paused = true)]
async fn sets_tell_whom_a_rolling_update_deletes() {
    let set = |kind: &str, name: &str, more: &str| {
        format!(
            "---\napiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  {more}\n  \
             selector: {{matchLabels: {{app: {name}}}}}\n  template: {{metadata: {{labels: {{app: {name}}}}}, \
             spec: {{containers: [{{name: c, image: c}}]}}}}\n"
        )
    };
    let partition = "replicas: 2\n  updateStrategy: {rollingUpdate: {partition: 1}}";
    let sets = set("StatefulSet", "db", "replicas: 2")
        + &set("StatefulSet", "part", partition)
        + &set("DaemonSet", "agent", "updateStrategy: {type: RollingUpdate}")
        + &set("DaemonSet", "still", "updateStrategy: {type: OnDelete}");
    let cluster = running_with(&sets, true).await;
    let deleted = || -> BTreeSet<String> {
        let lines = told(&cluster).into_iter().filter(|l| l.contains("SuccessfulDelete"));
        lines.map(|l| l.rsplit_once("agent-").map_or(l.clone(), |(b, _)| format!("{b}agent-POD"))).collect()
    };
    {
        let mut store = cluster.store.lock().expect("a store");
        let options = Default::default();
        store.delete("pods", &Key::new("shop", "db-0"), &options).expect("deleted");
        let agents: Vec<Key> = store.list("pods").map(|p| Key::of(p)).collect();
        for key in agents.iter().filter(|k| k.name.starts_with("agent-") || k.name.starts_with("still-")) {
            store.delete("pods", key, &options).expect("deleted");
        }
    }
    cluster.settle(Duration::from_secs(5), Duration::from_secs(120)).await;
    assert_eq!(deleted(), BTreeSet::new());
    for (resource, name) in [
        ("statefulsets.apps", "db"),
        ("statefulsets.apps", "part"),
        ("daemonsets.apps", "agent"),
        ("daemonsets.apps", "still"),
    ] {
        change(&cluster, resource, &Key::new("shop", name), |set| {
            set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("d");
        });
    }
    cluster.settle(Duration::from_secs(5), Duration::from_secs(240)).await;
    for name in ["part-0", "still"] {
        let mut store = cluster.store.lock().expect("a store");
        let key = store.list("pods").map(|p| Key::of(p)).find(|k| k.name.starts_with(name)).expect("a pod");
        store.delete("pods", &key, &Default::default()).expect("deleted");
    }
    cluster.settle(Duration::from_secs(5), Duration::from_secs(120)).await;
    let expected = [
        "DaemonSet SuccessfulDelete daemonset-controller: Deleted pod: agent-POD",
        "StatefulSet SuccessfulDelete statefulset-controller: Delete Pod db-0 in StatefulSet db successful",
        "StatefulSet SuccessfulDelete statefulset-controller: Delete Pod db-1 in StatefulSet db successful",
        "StatefulSet SuccessfulDelete statefulset-controller: Delete Pod part-1 in StatefulSet part successful",
    ];
    assert_eq!(deleted(), expected.map(str::to_owned).into());
}
