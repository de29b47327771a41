//! Nodes that reboot, lose their power, or are given up.

use serde_json::{Value, json};

use super::lab::{self, Lab, pass};
use crate::sim::kubevirt::world::Kind;

async fn reboot(lab: &Lab) {
    lab.patch(
        Kind::Node,
        "n1",
        json!({"metadata": {"annotations": {"virtroll.dev/reboot-requested": "b1"}}}),
    )
    .await;
}

async fn schedulable(lab: &Lab) -> Value {
    lab.get(Kind::Node, "n1").await["metadata"]["labels"]["kubevirt.io/schedulable"].clone()
}

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

/// §5.7: virt-handler's orderly stop writes that no VMs are to come; a power cut writes nothing for five minutes.
#[tokio::test(start_paused = true)]
async fn an_orderly_stop_of_virt_handler_is_written_down() {
    let lab = Lab::new(1, &lab::vm("g", "Always", "", ""), 9, "").await;
    assert_eq!(schedulable(&lab).await, "true");
    reboot(&lab).await;
    pass(5).await;
    assert_eq!(schedulable(&lab).await, "false");
    pass(120).await;
    assert_eq!(schedulable(&lab).await, "true");
    lab.annotate(Kind::Node, "n1", "down", "true").await;
    pass(120).await;
    assert_eq!(schedulable(&lab).await, "true");
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

/// §5.5.4: towards a node whose virt-handler is dead it stays in `PreparingTarget`, and goes on when that is back.
#[tokio::test(start_paused = true)]
async fn a_migration_to_a_dead_node_waits_in_preparing_target() {
    let lab = Lab::new(2, &lab::vm("g", "Always", "", ""), 9, "").await;
    lab.migrate("m", "g").await.expect("admitted");
    let phase = async |lab: &Lab| lab.get(Kind::Migration, "m").await["status"]["phase"].clone();
    lab.until(20, async |lab| phase(lab).await == "PreparingTarget").await;
    lab.annotate(Kind::Node, "n2", "kubevirt", "false").await;
    pass(360).await;
    assert_eq!(phase(&lab).await, "PreparingTarget");
    lab.annotate(Kind::Node, "n2", "kubevirt", "true").await;
    pass(20).await;
    assert_eq!(phase(&lab).await, "Succeeded");
}

/// §5.7: heartbeats every 60 to 132 s; after a boot the first comes when the device plugins are ready, within 10 s.
#[tokio::test(start_paused = true)]
async fn heartbeats_keep_their_rhythm() {
    let lab = Lab::new(1, &lab::vm("g", "Halted", "", ""), 9, "").await;
    let beat = async |lab: &Lab| {
        let node = lab.get(Kind::Node, "n1").await;
        let at = node["metadata"]["annotations"]["kubevirt.io/heartbeat"].as_str().expect("a heartbeat");
        at.parse::<jiff::Timestamp>().expect("a time")
    };
    let mut beats = vec![beat(&lab).await];
    for _ in 0..1000 {
        pass(1).await;
        let last = beat(&lab).await;
        if beats.last() != Some(&last) {
            beats.push(last);
        }
    }
    for pair in beats.windows(2) {
        let gap = pair[1].duration_since(pair[0]).as_secs();
        assert!((60..=133).contains(&gap), "{beats:?}");
    }
    assert!(beats.len() >= 8, "{beats:?}");
    reboot(&lab).await;
    pass(85).await;
    let ready = async |lab: &Lab| {
        let conditions = lab.get(Kind::Node, "n1").await["status"]["conditions"].clone();
        conditions.as_array().is_some_and(|c| c.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
    };
    lab.until(20, ready).await;
    let before = beat(&lab).await;
    assert_eq!(schedulable(&lab).await, "false", "virt-handler is starting");
    let took = lab.until(20, async |lab| beat(lab).await != before).await;
    assert!(took <= 10 && schedulable(&lab).await == "true", "{took} s");
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
