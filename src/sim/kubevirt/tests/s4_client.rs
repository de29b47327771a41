//! §4: what a client that drains has to know.

use super::lab::{self, Lab, MOVES, SLOW, pass, phase, schedulable};
use crate::sim::json::{Value, json};
use crate::sim::kubevirt::world::Kind;

/// §4.1: if `nodeDrainTaintKey` is the cordon's own, a cordon migrates what can be moved, unmarked and unasked.
#[tokio::test(start_paused = true)]
async fn a_cordon_may_be_a_drain() {
    let key = "migrations: {nodeDrainTaintKey: node.kubernetes.io/unschedulable}";
    let text = lab::vm("moves", "Always", MOVES, "")
        + &lab::vm("stays", "Always", "evictionStrategy: External,", "");
    let lab = Lab::new(2, &text, 9, key).await;
    lab.patch(Kind::Node, "n1", json!({"spec": {"unschedulable": true}})).await;
    pass(30).await;
    assert_eq!(lab.vmi("moves").await["status"]["nodeName"], "n2");
    assert_eq!(lab.vmi("stays").await["status"]["nodeName"], "n1");
    assert!(lab.vmi("stays").await["status"]["evacuationNodeName"].is_null());
}

/// §4.3: a user may not set a priority.
#[tokio::test(start_paused = true)]
async fn priorities_are_kubevirts_own_to_set() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, SLOW), 9, "").await;
    let migration = json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration",
        "metadata": {"name": "m", "namespace": "default"}, "spec": {"vmiName": "g", "priority": "system-critical"},
    });
    let object = serde_json::from_value(migration.clone().into()).expect("an object");
    match lab.api(Kind::Migration).create(&Default::default(), &object).await {
        Err(kube::Error::Api(status)) => assert_eq!((status.code, status.reason.as_str()), (422, "Invalid")),
        other => panic!("{other:?}"),
    }
    let model = lab.cluster.kubevirt().expect("KubeVirt");
    let request = json!({
        "uid": "u", "operation": "CREATE", "namespace": "default", "object": migration,
        "resource": {"resource": "virtualmachineinstancemigrations"},
    });
    let answer = model.review(json!({"request": request})).await;
    assert_eq!(answer["response"]["status"]["details"]["causes"][0]["field"], "spec.migrationPriority");
    // Its own carry one.
    assert_eq!(lab.evict_vmi("g").await.0, 429);
    pass(2).await;
    assert_eq!(lab.list(Kind::Migration).await[0]["spec"]["priority"], "system-critical");
}

/// The eviction of a target pod is granted where the strategy is none, and breaks somebody's migration.
#[tokio::test(start_paused = true)]
async fn an_evicted_target_pod_breaks_the_migration() {
    let slow = "sim.virtroll.dev/migration-takes: 60s";
    let lab = Lab::new(2, &lab::vm("g", "Always", "", slow), 9, "").await;
    lab.migrate("m", "g").await.expect("admitted");
    pass(20).await;
    let target =
        lab.launchers("g").await.into_iter().find(|p| p["spec"]["nodeName"] == "n2").expect("a target");
    assert_eq!(lab.evict(target["metadata"]["name"].as_str().expect("a name"), false).await.0, 201);
    pass(60).await;
    let status = lab.vmi("g").await["status"].clone();
    assert_eq!(status["migrationState"]["failureReason"], "Target pod is down");
    assert_eq!((&status["nodeName"], &status["phase"]), (&json!("n1"), &json!("Running")));
}

/// §4.11: the answers of `evacuate/cancel`.
#[tokio::test(start_paused = true)]
async fn cancelling_an_evacuation_has_its_answers() {
    let slow = "sim.virtroll.dev/migration-takes: 60s";
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, slow), 9, "").await;
    let cancel = async |body: Value| lab.act("virtualmachines", "g", "evacuate/cancel", body).await;
    assert_eq!(cancel(json!({"evacuationNodeName": "n1"})).await, (200, String::new()), "unmarked");
    assert_eq!(cancel(Value::Null).await.0, 200);
    assert_eq!(lab.act("virtualmachines", "g", "evacuate-cancel", json!({})).await.0, 404);
    let (code, message) = lab.act("virtualmachines", "g", "pause", json!({})).await;
    let what = "the model of KubeVirt has no virtualmachines/pause of subresources.kubevirt.io";
    assert_eq!((code, message.as_str()), (501, what));
    assert_eq!(lab.evict_vmi("g").await.0, 429);
    let refused = "Internal error occurred: the server rejected our request due to an error in our request";
    for body in [Value::Null, json!({}), json!({"evacuationNodeName": "n2"})] {
        assert_eq!(cancel(body).await, (500, refused.to_owned()));
    }
    assert_eq!(lab.vmi("g").await["status"]["evacuationNodeName"], "n1");
    assert_eq!(cancel(json!({"evacuationNodeName": "n1"})).await.0, 200);
    assert!(lab.vmi("g").await["status"]["evacuationNodeName"].is_null());
}

/// §4.11 and §5.5.7: an aborted evacuation is begun anew at once while the mark stands, without a backoff; once the mark is gone,
/// it isn't.
#[tokio::test(start_paused = true)]
async fn an_aborted_evacuation_follows_again_while_the_mark_stands() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, SLOW), 9, "").await;
    assert_eq!(lab.evict_vmi("g").await.0, 429);
    pass(15).await;
    let name = async |lab: &Lab| {
        lab.list(Kind::Migration).await[0]["metadata"]["name"].as_str().expect("a name").to_owned()
    };
    let first = name(&lab).await;
    assert_eq!(phase(&lab, &first).await, "Running");
    lab.delete(Kind::Migration, &first).await;
    lab.patch(Kind::Node, "n1", json!({"metadata": {"labels": {"a": "b"}}})).await;
    pass(15).await;
    lab.patch(Kind::Node, "n1", json!({"metadata": {"labels": {"a": "c"}}})).await;
    pass(15).await;
    let second = name(&lab).await;
    assert_ne!(second, first);
    assert_eq!(phase(&lab, &second).await, "Running", "no backoff");
    let body = json!({"evacuationNodeName": "n1"});
    assert_eq!(lab.act("virtualmachines", "g", "evacuate/cancel", body).await.0, 200);
    lab.delete(Kind::Migration, &second).await;
    pass(200).await;
    assert!(lab.list(Kind::Migration).await.is_empty());
    assert_eq!(lab.vmi("g").await["status"]["nodeName"], "n1");
}

/// §4.5: the eviction of an inbound target is granted in the dry run, too, where the strategy doesn't migrate.
#[tokio::test(start_paused = true)]
async fn an_inbound_target_looks_as_if_it_may_go() {
    let text = lab::vm("none", "Always", "", SLOW)
        + &lab::vm("if", "Always", "evictionStrategy: LiveMigrateIfPossible,", SLOW);
    let lab = Lab::new(2, &text, 9, "").await;
    for name in ["none", "if"] {
        lab.migrate(name, name).await.expect("admitted");
    }
    pass(20).await;
    for (name, answer) in
        [("none", (201, String::new())), ("if", (429, "Eviction request for target Pod".to_owned()))]
    {
        let target =
            lab.launchers_on(name, "n2").await[0]["metadata"]["name"].as_str().expect("a name").to_owned();
        assert_eq!(lab.evict(&target, true).await, answer, "{name}");
    }
}

/// §4.9: a finished pod counts as active until its object is gone.
#[tokio::test(start_paused = true)]
async fn active_pods_count_finished_ones_until_they_are_deleted() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, ""), 9, "").await;
    let source = lab.launcher("g").await;
    assert_eq!(lab.evict(&source, false).await.0, 429);
    lab.until(60, async |lab| lab.get(Kind::Pod, &source).await["status"]["phase"] == "Succeeded").await;
    pass(1).await;
    let active = async || lab.vmi("g").await["status"]["activePods"].as_object().expect("pods").len();
    assert_eq!(active().await, 2);
    assert_eq!(lab.evict(&source, false).await.0, 201);
    pass(2).await;
    assert_eq!(active().await, 1);
}

/// §4.10: after a power cut the label alone says that the node is back, before virt-handler runs.
#[tokio::test(start_paused = true)]
async fn the_label_alone_does_not_say_that_a_node_is_back() {
    let lab = Lab::new(1, &lab::vm("g", "Halted", "", ""), 9, "").await;
    let beat = async || {
        let node = lab.get(Kind::Node, "n1").await;
        assert!(node["status"]["allocatable"]["devices.kubevirt.io/kvm"].is_string());
        node["metadata"]["annotations"]["kubevirt.io/heartbeat"].as_str().expect("a heartbeat").to_owned()
    };
    lab.annotate(Kind::Node, "n1", "down", "true").await;
    pass(60).await;
    let before = beat().await;
    assert_eq!(schedulable(&lab).await, "true", "nobody has written anything");
    lab.annotate(Kind::Node, "n1", "down", "false").await;
    lab.until(120, async |_| beat().await != before).await;
    assert_eq!(schedulable(&lab).await, "true");
}

/// §4.11: under a drain taint an evacuation isn't cancelled, marked or not.
#[tokio::test(start_paused = true)]
async fn a_drain_taint_forbids_the_cancel() {
    let lab = Lab::new(2, &lab::vm("g", "Always", "evictionStrategy: External,", ""), 9, "").await;
    let taint = json!({"spec": {"taints": [{"key": "kubevirt.io/drain", "effect": "NoSchedule"}]}});
    lab.patch(Kind::Node, "n1", taint).await;
    let words = "Node \"n1\" has NodeDrainTaintKey \"&Taint{Key:kubevirt.io/drain,Value:,Effect:NoSchedule,TimeAdded:<nil>,}\"";
    for marked in [false, true] {
        assert_eq!(lab.vmi("g").await["status"]["evacuationNodeName"].is_string(), marked);
        let cancel =
            lab.act("virtualmachines", "g", "evacuate/cancel", json!({"evacuationNodeName": "n1"})).await;
        assert_eq!(cancel, (400, words.to_owned()));
        assert_eq!(lab.evict_vmi("g").await.0, 429);
    }
}

/// §4.11: before 1.7 the mark is patched off; then the migration is deleted, and none follows.
#[tokio::test(start_paused = true)]
async fn older_marks_are_patched_off() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, SLOW), 6, "").await;
    assert_eq!(lab.evict_vmi("g").await.0, 429);
    pass(15).await;
    let patch = serde_json::from_value(
        json!([
            {"op": "test", "path": "/status/evacuationNodeName", "value": "n1"},
            {"op": "remove", "path": "/status/evacuationNodeName"},
        ])
        .into(),
    );
    let patch = kube::api::Patch::Json::<()>(patch.expect("a patch"));
    lab.api(Kind::Instance).patch("g", &Default::default(), &patch).await.expect("patched");
    let migration =
        lab.list(Kind::Migration).await[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    lab.delete(Kind::Migration, &migration).await;
    pass(200).await;
    assert!(lab.list(Kind::Migration).await.is_empty());
    assert_eq!(lab.vmi("g").await["status"]["nodeName"], "n1");
}

/// §4.12: a force-delete on a live node fails the VMI at once, and the VM runs elsewhere seconds later.
#[tokio::test(start_paused = true)]
async fn a_force_delete_fails_the_guest_at_once() {
    let quick = "sim.virtroll.dev/boots-after: 1s";
    let text = lab::vm("g", "Always", "", quick) + &lab::vm("once", "Once", "", quick);
    let lab = Lab::new(2, &text, 9, "").await;
    let before = lab.vmi("g").await;
    lab.patch(Kind::Node, "n1", json!({"spec": {"unschedulable": true}})).await;
    for name in ["g", "once"] {
        lab.force_delete(&lab.launcher(name).await).await;
    }
    pass(1).await;
    assert_eq!(lab.vmi("once").await["status"]["phase"], "Failed");
    pass(4).await;
    let after = lab.vmi("g").await;
    assert_eq!((&after["status"]["phase"], &after["status"]["nodeName"]), (&json!("Running"), &json!("n2")));
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
}

fn component(name: &str, replicas: u32) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, labels: {{kubevirt.io: {name}}}}}\n\
         spec: {{replicas: {replicas}, selector: {{matchLabels: {{kubevirt.io: {name}}}}}, template: {{metadata: {{labels: \
         {{kubevirt.io: {name}}}}}, spec: {{containers: [{{name: c, image: c}}]}}}}}}\n"
    )
}

/// §4.13: budgets guard virt-api and virt-controller from two replicas on.
#[tokio::test(start_paused = true)]
async fn components_have_budgets_from_two_replicas_on() {
    let text = component("virt-api", 2) + &component("virt-controller", 1) + &lab::vm("g", "Halted", "", "");
    let lab = Lab::new(2, &text, 9, "").await;
    let budgets = async |lab: &Lab| -> Vec<(String, Value)> {
        let all = lab.list(Kind::Budget).await;
        let row = |b: &Value| (b["metadata"]["name"].to_string(), b["spec"]["minAvailable"].clone());
        all.iter().map(row).collect()
    };
    assert_eq!(budgets(&lab).await, [("\"virt-api-pdb\"".to_owned(), json!(1))]);
    let selector = lab.get(Kind::Budget, "virt-api-pdb").await["spec"]["selector"].clone();
    assert_eq!(selector, json!({"matchLabels": {"kubevirt.io": "virt-api"}}));
    for (replicas, expected) in [(3, vec![2]), (1, vec![])] {
        lab.patch(Kind::Component, "virt-api", json!({"spec": {"replicas": replicas}})).await;
        pass(5).await;
        let least: Vec<Value> = budgets(&lab).await.into_iter().map(|(_, least)| least).collect();
        assert_eq!(
            least,
            expected.into_iter().map(|n: u32| json!(n)).collect::<Vec<_>>(),
            "{replicas} replicas"
        );
    }
}

/// §4.13: virt-api is down as long as none of its pods is ready.
#[tokio::test(start_paused = true)]
async fn virt_api_serves_while_a_pod_of_it_is_ready() {
    let text = component("virt-api", 1) + &lab::vm("g", "Always", MOVES, SLOW);
    let lab = Lab::new(2, &text, 9, "").await;
    assert_eq!(lab.vmi("g").await["status"]["phase"], "Running");
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> =
        kube::Api::namespaced(lab.client.clone(), "default");
    let of_api = kube::api::ListParams::default().labels("kubevirt.io=virt-api");
    let pod = pods.list(&of_api).await.expect("listed").items.remove(0).metadata.name.expect("a name");
    assert_eq!(lab.evict(&pod, false).await.0, 201, "nothing guards a single one");
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(lab.evict_vmi("g").await.0, 500);
    pass(10).await;
    assert_eq!(lab.evict_vmi("g").await.0, 429);
}

/// §4.14: an evacuation that is somebody else's to do is only marked, for as long as nobody acts.
#[tokio::test(start_paused = true)]
async fn an_external_evacuation_waits_for_somebody_else() {
    let lab = Lab::new(2, &lab::vm("g", "Always", "evictionStrategy: External,", ""), 9, "").await;
    let words = "Eviction triggered evacuation of VMI \"default/g\"";
    assert_eq!(lab.evict_vmi("g").await, (429, words.to_owned()));
    pass(600).await;
    assert!(lab.list(Kind::Migration).await.is_empty());
    assert_eq!(lab.evict_vmi("g").await, (429, format!("Evacuation in progress: {words}")));
    // An outside controller moves it.
    lab.migrate("outside", "g").await.expect("admitted");
    pass(30).await;
    let status = lab.vmi("g").await["status"].clone();
    assert!(status["nodeName"] == "n2" && status["evacuationNodeName"].is_null(), "{status}");
}
