//! Evacuations: the creation cap of older releases, failures, what is left of them.

use serde_json::json;

use super::lab::{self, Lab, pass};
use crate::sim::kubevirt::world::Kind;

const MOVES: &str = "evictionStrategy: LiveMigrate,";

/// §6: before 1.9 no more migrations are created than can run; those left over are looked at again every few seconds, and
/// don't wait for the node's next heartbeat.
#[tokio::test(start_paused = true)]
async fn a_capped_evacuation_goes_on_without_a_heartbeat() {
    let quick = "sim.virtroll.dev/migration-takes: 2s";
    let text: String = (1..=6).map(|n| lab::vm(&format!("g{n}"), "Always", MOVES, quick)).collect();
    let lab = Lab::new(2, &text, 8, "").await;
    for n in 1..=6 {
        assert_eq!(lab.evict_vmi(&format!("g{n}")).await.0, 429);
    }
    pass(1).await;
    assert_eq!(lab.list(Kind::Migration).await.len(), 2, "two from a node");
    // Three batches of about 6 s, each found at most 5 s late.
    let took = lab.until(60, async |lab| {
        lab.list(Kind::Instance).await.iter().all(|v| v["status"]["nodeName"] == "n2")
    });
    assert!((15..=33).contains(&took.await));
}

/// §5.5.6 and §5.3: the target ends after the migration has failed, and a pod wakes nobody: the next migration comes with
/// whatever changes next.
#[tokio::test(start_paused = true)]
async fn after_a_failure_the_target_ends_last_and_nobody_looks() {
    let fails = "sim.virtroll.dev/migration-fails: '1', sim.virtroll.dev/migration-takes: 4s";
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, fails), 9, "").await;
    assert_eq!(lab.evict_vmi("g").await.0, 429);
    let failed =
        async |lab: &Lab| lab.list(Kind::Migration).await.iter().any(|m| m["status"]["phase"] == "Failed");
    lab.until(30, failed).await;
    pass(1).await;
    assert!(lab.launchers_on("g", "n2").await.is_empty(), "a moment later");
    let status = lab.vmi("g").await["status"].clone();
    assert_eq!((&status["nodeName"], &status["evacuationNodeName"]), (&json!("n1"), &json!("n1")));
    pass(4).await;
    assert_eq!(lab.list(Kind::Migration).await.len(), 1, "nothing has changed since");
    lab.patch(Kind::Node, "n1", json!({"metadata": {"labels": {"something": "changes"}}})).await;
    pass(1).await;
    assert_eq!(lab.list(Kind::Migration).await.len(), 2);
    pass(60).await;
    assert_eq!(lab.vmi("g").await["status"]["nodeName"], "n2");
}

/// §5.5.7: migrations are deleted with their VMI, the finished ones too, even if another of its name follows at once.
#[tokio::test(start_paused = true)]
async fn migrations_go_with_their_vmi() {
    let text = lab::vm("again", "Always", MOVES, "") + &lab::vm("over", "Always", MOVES, "");
    let lab = Lab::new(2, &text, 9, "").await;
    for name in ["again", "over"] {
        lab.migrate(name, name).await.expect("admitted");
    }
    pass(30).await;
    assert!(lab.list(Kind::Migration).await.iter().all(|m| m["status"]["phase"] == "Succeeded"));
    assert_eq!(lab.list(Kind::Migration).await.len(), 2);
    lab.delete(Kind::Instance, "again").await;
    lab.delete(Kind::Vm, "over").await;
    pass(40).await;
    assert_eq!(lab.vmi("again").await["status"]["phase"], "Running");
    assert!(lab.vmi("over").await.is_null());
    assert!(lab.list(Kind::Migration).await.is_empty());
}

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

/// §6: in 1.7 and 1.8 the gate brings priorities and takes the creation cap away; from 1.9 on nobody asks for it.
#[tokio::test(start_paused = true)]
async fn priorities_come_with_their_gate() {
    let slow = "sim.virtroll.dev/migration-takes: 60s";
    let text: String = (1..=4).map(|n| lab::vm(&format!("g{n}"), "Always", MOVES, slow)).collect();
    let gate = "developerConfiguration: {featureGates: [MigrationPriorityQueue]}";
    for (version, configuration, created, priority) in [
        (6, gate, 2, json!(null)),
        (8, "", 2, json!(null)),
        (8, gate, 4, json!("system-critical")),
        (9, "", 4, json!("system-critical")),
    ] {
        let lab = Lab::new(2, &text, version, configuration).await;
        for n in 1..=4 {
            assert_eq!(lab.evict_vmi(&format!("g{n}")).await.0, 429);
        }
        pass(10).await;
        let migrations = lab.list(Kind::Migration).await;
        assert_eq!(migrations.len(), created, "1.{version} {configuration}");
        assert_eq!(migrations[0]["spec"]["priority"], priority, "1.{version} {configuration}");
    }
}

/// §5.5: the wait after a failure doubles from 20 s, up to 320 s: no more failures than five are remembered.
#[tokio::test(start_paused = true)]
async fn the_backoff_ends_at_five_failures() {
    let fails = "sim.virtroll.dev/migration-fails: always, sim.virtroll.dev/migration-takes: 2s";
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, fails), 9, "").await;
    assert_eq!(lab.evict_vmi("g").await.0, 429);
    let mut begun: Vec<(String, u64)> = Vec::new();
    for second in 0..1100 {
        pass(1).await;
        lab.annotate(Kind::Node, "n1", "looked-at", &second.to_string()).await;
        let state = lab.vmi("g").await["status"]["migrationState"].clone();
        let uid = state["migrationUid"].as_str().unwrap_or_default().to_owned();
        if !uid.is_empty() && begun.last().is_none_or(|(last, _)| *last != uid) {
            begun.push((uid, second));
        }
    }
    let waits: Vec<u64> = begun.windows(2).map(|w| w[1].1 - w[0].1).collect();
    // A few seconds of each are the migration itself.
    let expected = [20, 40, 80, 160, 320, 320];
    assert_eq!(waits.len(), expected.len(), "{waits:?}");
    for (wait, least) in waits.iter().zip(expected) {
        assert!((least..least + 12).contains(wait), "{waits:?}");
    }
}
