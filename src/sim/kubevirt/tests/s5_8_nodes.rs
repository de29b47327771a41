//! §5.8: nodes that reboot, lose their power, or are given up.

use super::lab::{self, Lab, pass, reboot};
use crate::sim::json::{Value, json};
use crate::sim::kubevirt::world::Kind;

/// §5.2: a guest that a reboot cuts off has crashed, so `RerunOnFailure` starts it again and `Once` leaves it failed.
#[tokio::test(start_paused = true)]
async fn a_reboot_under_a_guest_is_a_crash() {
    let text = lab::vm("rerun", "RerunOnFailure", "", "") + &lab::vm("once", "Once", "", "");
    let lab = Lab::new(1, &text, 9, "").await;
    let before = lab.vmi("rerun").await;
    reboot(&lab).await;
    pass(150).await;
    assert_eq!(lab.vmi("once").await["status"]["phase"], "Failed");
    let after = lab.vmi("rerun").await;
    assert_eq!(after["status"]["phase"], "Running");
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
}

/// §5.8: nothing fails over from a dead node until its pods are force-deleted.
#[tokio::test(start_paused = true)]
async fn a_dead_node_keeps_its_guests_until_somebody_deletes_their_pods() {
    let lab = Lab::new(2, &lab::vm("g", "Always", "", ""), 9, "").await;
    lab.patch(Kind::Node, "n1", json!({"metadata": {"annotations": {"sim.virtroll.dev/down": "true"}}}))
        .await;
    pass(150).await;
    assert_eq!(lab.get(Kind::Node, "n1").await["metadata"]["labels"]["kubevirt.io/schedulable"], "true");
    pass(340).await;
    assert_eq!(lab.get(Kind::Node, "n1").await["metadata"]["labels"]["kubevirt.io/schedulable"], "false");
    let before = lab.vmi("g").await;
    assert_eq!(before["status"]["phase"], "Running");
    let pod = lab.launchers("g").await[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let now = kube::api::DeleteParams { grace_period_seconds: Some(0), ..Default::default() };
    lab.api(Kind::Pod).delete(&pod, &now).await.expect("deleted");
    pass(30).await;
    let after = lab.vmi("g").await;
    assert_eq!((&after["status"]["phase"], &after["status"]["nodeName"]), (&json!("Running"), &json!("n2")));
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
}

/// §5.8: an evicted pod of a dead node stays, and its VM with it, until the node is declared out of service.
#[tokio::test(start_paused = true)]
async fn a_node_out_of_service_fails_over() {
    let lab = Lab::new(2, &lab::vm("g", "Always", "", ""), 9, "").await;
    lab.annotate(Kind::Node, "n1", "down", "true").await;
    pass(60).await;
    let before = lab.vmi("g").await;
    assert_eq!(lab.evict_vmi("g").await.0, 201);
    pass(120).await;
    assert_eq!(lab.vmi("g").await["metadata"]["uid"], before["metadata"]["uid"]);
    let mut taints = lab.get(Kind::Node, "n1").await["spec"]["taints"].as_array().expect("taints").clone();
    taints.push(
        json!({"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}),
    );
    lab.patch(Kind::Node, "n1", json!({"spec": {"taints": taints}})).await;
    pass(40).await;
    let after = lab.vmi("g").await;
    assert_eq!((&after["status"]["phase"], &after["status"]["nodeName"]), (&json!("Running"), &json!("n2")));
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
}

/// §5.8: a guest of a dead node that is to migrate gets its migration, which goes no further than `TargetReady`.
#[tokio::test(start_paused = true)]
async fn a_migration_from_a_dead_node_waits_in_target_ready() {
    let lab = Lab::new(2, &lab::vm("g", "Always", "evictionStrategy: LiveMigrate,", ""), 9, "").await;
    lab.annotate(Kind::Node, "n1", "down", "true").await;
    pass(60).await;
    assert_eq!(
        lab.evict_vmi("g").await,
        (429, "Eviction triggered evacuation of VMI \"default/g\"".to_owned())
    );
    pass(120).await;
    let phases: Vec<Value> =
        lab.list(Kind::Migration).await.iter().map(|m| m["status"]["phase"].clone()).collect();
    assert_eq!(phases, ["TargetReady"]);
}

/// §5.8: a guest of a dead node has failed only if none of its pods lives.
#[tokio::test(start_paused = true)]
async fn an_unresponsive_node_fails_the_guests_whose_pods_have_ended() {
    let text = lab::vm("ended", "Once", "", "") + &lab::vm("lives", "Once", "", "");
    let lab = Lab::new(1, &text, 9, "").await;
    lab.annotate(Kind::Node, "n1", "down", "true").await;
    pass(60).await;
    let patch = kube::api::Patch::Merge(json!({"status": {"phase": "Failed"}}));
    let pod = lab.launcher("ended").await;
    lab.api(Kind::Pod).patch_status(&pod, &Default::default(), &patch).await.expect("patched");
    pass(60).await;
    assert_eq!(lab.vmi("ended").await["status"]["phase"], "Running");
    // The heartbeat may be 132 s old when the power goes, the check comes every 60 s.
    pass(300).await;
    let ended = lab.vmi("ended").await["status"].clone();
    assert_eq!((&ended["phase"], &ended["reason"]), (&json!("Failed"), &json!("NodeUnresponsive")));
    assert_eq!(lab.vmi("lives").await["status"]["phase"], "Running");
}
