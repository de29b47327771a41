//! §5.5: which pending migrations begin: caps, priorities, backoff.

use super::lab::{self, Lab, MOVES, pass};
use crate::sim::json::{Value, json};
use crate::sim::kubevirt::world::Kind;

/// §5.5: at most two from a node and five in all, and evacuations overtake users' older migrations.
#[tokio::test(start_paused = true)]
async fn migrations_keep_their_limits_and_priorities() {
    let slow = "sim.virtroll.dev/migration-takes: 30s";
    let text: String = (1..=6)
        .map(|n| lab::vm(&format!("g{n}"), "Always", "evictionStrategy: LiveMigrate,", slow))
        .collect();
    let lab = Lab::new(3, &text, 9, "").await;
    lab.patch(Kind::Node, "n1", json!({"spec": {"unschedulable": true}})).await;
    for n in 1..=3 {
        lab.migrate(&format!("user-{n}"), &format!("g{n}")).await.expect("admitted");
    }
    pass(2).await;
    for n in 4..=6 {
        assert_eq!(lab.evict_vmi(&format!("g{n}")).await.0, 429);
    }
    let mut most = 0;
    let mut order = Vec::new();
    for _ in 0..240 {
        pass(1).await;
        let migrations = lab.list(Kind::Migration).await;
        let active = |m: &&Value| {
            !matches!(m["status"]["phase"].as_str(), None | Some("Succeeded" | "Failed" | "Pending"))
        };
        most = most.max(migrations.iter().filter(active).count());
        for done in migrations.iter().filter(|m| m["status"]["phase"] == "Succeeded") {
            let vmi = done["spec"]["vmiName"].as_str().unwrap_or_default().to_owned();
            if !order.contains(&vmi) {
                order.push(vmi);
            }
        }
    }
    assert_eq!((most, order.len()), (2, 6), "{order:?}");
    assert_eq!(
        order.last().map(String::as_str),
        Some("g3"),
        "the user's third waited for the evacuations: {order:?}"
    );
}

/// §5.5: the end of a migration wakes the capped ones: the next begins a moment after, not with the next look.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_migration_wakes_the_next() {
    let takes = "sim.virtroll.dev/migration-takes: 9s";
    let text = lab::vm("g", "Always", "", takes) + &lab::vm("h", "Always", "", takes);
    let lab = Lab::new(2, &text, 9, "migrations: {parallelMigrationsPerCluster: 1}").await;
    lab.migrate("first", "g").await.expect("admitted");
    lab.migrate("second", "h").await.expect("admitted");
    let phase = async |lab: &Lab, name: &str| lab.get(Kind::Migration, name).await["status"]["phase"].clone();
    lab.until(40, async |lab| lab.vmi("g").await["status"]["nodeName"] == "n2").await;
    assert_eq!(phase(&lab, "second").await, "Pending", "the first isn't over yet");
    lab.until(40, async |lab| phase(lab, "first").await == "Succeeded").await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(phase(&lab, "second").await, "Scheduling");
}

#[tokio::test(start_paused = true)]
async fn failed_evacuations_back_off_and_keep_the_mark() {
    let fails = "sim.virtroll.dev/migration-fails: '3', sim.virtroll.dev/migration-takes: 2s";
    let lab = Lab::new(2, &lab::vm("g", "Always", "evictionStrategy: LiveMigrate,", fails), 9, "").await;
    assert_eq!(lab.evict_vmi("g").await.0, 429);
    let mut begun = Vec::new();
    for second in 0..400 {
        pass(1).await;
        // The evacuation controller looks when something changes.
        lab.annotate(Kind::Node, "n1", "looked-at", &second.to_string()).await;
        let vmi = lab.vmi("g").await;
        let uid = vmi["status"]["migrationState"]["migrationUid"].as_str().unwrap_or_default().to_owned();
        if !uid.is_empty() && begun.last().is_none_or(|(last, _)| *last != uid) {
            begun.push((uid, second));
        }
        if vmi["status"]["nodeName"] == "n1" {
            assert_eq!(vmi["status"]["evacuationNodeName"], "n1");
        }
    }
    let waits: Vec<u64> = begun.windows(2).map(|w| w[1].1 - w[0].1).collect();
    assert_eq!(lab.vmi("g").await["status"]["nodeName"], "n2");
    assert_eq!(waits.len(), 3, "{begun:?}");
    assert_eq!(lab.events("MigrationBackoff").await.len(), 3);
    for (wait, least) in waits.iter().zip([20, 40, 80]) {
        assert!((least..least + 12).contains(wait), "{waits:?}");
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

/// Eight on a node with twenty allowed a node: five in all, of which one is stuck on another node.
#[tokio::test(start_paused = true)]
async fn the_cap_of_the_cluster_counts_stuck_ones_of_other_nodes() {
    let slow = "sim.virtroll.dev/migration-takes: 30s";
    let text: String = (1..=9).map(|n| lab::vm(&format!("g{n}"), "Always", MOVES, slow)).collect();
    let lab = Lab::new(3, &text, 9, "migrations: {parallelOutboundMigrationsPerNode: 20}").await;
    // One moves to n2, and is stuck on its way from there to n3, whose virt-handler is dead.
    lab.annotate(Kind::Instance, "g9", "migration-takes", "1s").await;
    lab.patch(Kind::Node, "n3", json!({"spec": {"unschedulable": true}})).await;
    lab.migrate("there", "g9").await.expect("admitted");
    pass(20).await;
    lab.patch(Kind::Node, "n3", json!({"spec": {"unschedulable": null}})).await;
    lab.migrate("stuck", "g9").await.expect("admitted");
    let target = async |lab: &Lab| {
        let state = lab.vmi("g9").await["status"]["migrationState"].clone();
        state["sourceNode"] == "n2" && state["targetNode"].is_string()
    };
    lab.until(20, target).await;
    let target =
        lab.vmi("g9").await["status"]["migrationState"]["targetNode"].as_str().expect("a node").to_owned();
    lab.annotate(Kind::Node, &target, "kubevirt", "false").await;
    for n in 1..=8 {
        assert_eq!(lab.evict_vmi(&format!("g{n}")).await.0, 429);
    }
    let mut most = 0;
    for _ in 0..20 {
        pass(1).await;
        let migrations = lab.list(Kind::Migration).await;
        let active = |m: &&Value| {
            !matches!(m["status"]["phase"].as_str(), None | Some("Succeeded" | "Failed" | "Pending"))
        };
        most = most.max(migrations.iter().filter(active).count());
    }
    assert_eq!(most, 5);
}

/// The wait is counted from the failure: a migration that comes late waits less.
#[tokio::test(start_paused = true)]
async fn a_migration_that_comes_late_waits_less() {
    let fails = "sim.virtroll.dev/migration-fails: '1', sim.virtroll.dev/migration-takes: 4s";
    for (late, least, most) in [(0, 18, 22), (15, 3, 7), (60, 0, 2)] {
        let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, fails), 9, "").await;
        // What a workload update makes backs off as an evacuation does.
        let metadata = |name: &str| json!({"name": name, "namespace": "default", "annotations": {"kubevirt.io/workloadUpdateMigration": ""}});
        lab.migrate_with(metadata("first"), json!({"vmiName": "g"})).await.expect("admitted");
        lab.until(30, async |lab| lab.get(Kind::Migration, "first").await["status"]["phase"] == "Failed")
            .await;
        pass(late).await;
        lab.migrate_with(metadata("second"), json!({"vmiName": "g"})).await.expect("admitted");
        let begun =
            async |lab: &Lab| lab.get(Kind::Migration, "second").await["status"]["phase"] == "Scheduling";
        let took = lab.until(60, begun).await;
        assert!((least..=most).contains(&took), "{late} s late: {took} s");
    }
}

/// A capped migration is looked at again by itself, in case that nobody wakes it.
#[tokio::test(start_paused = true)]
async fn a_capped_migration_looks_again() {
    let takes = "sim.virtroll.dev/migration-takes: 3000s";
    let text = lab::vm("g", "Always", "", takes) + &lab::vm("h", "Always", "", takes);
    let lab = Lab::new(2, &text, 9, "migrations: {parallelMigrationsPerCluster: 1}").await;
    lab.migrate("first", "g").await.expect("admitted");
    lab.migrate("second", "h").await.expect("admitted");
    pass(20).await;
    assert_eq!(lab.get(Kind::Migration, "second").await["status"]["phase"], "Pending");
    // The cap is raised; the KubeVirt object's change wakes the queue.
    lab.patch(
        Kind::KubeVirt,
        "kubevirt",
        json!({"spec": {"configuration": {"migrations": {"parallelMigrationsPerCluster": 2}}}}),
    )
    .await;
    pass(6).await;
    assert_ne!(lab.get(Kind::Migration, "second").await["status"]["phase"], "Pending");
}
