//! §5.5: a migration's phases, failures and aborts.

use super::lab::{self, Lab, MOVES, SLOW, attachments, condition, lab_with_a_disk, pass, phase};
use crate::sim::json::{Value, json};
use crate::sim::kubevirt::Settings;
use crate::sim::kubevirt::world::Kind;

#[tokio::test(start_paused = true)]
async fn a_target_without_a_place_is_given_up_after_five_minutes() {
    let lab = Lab::new(1, &lab::vm("g", "Always", "evictionStrategy: LiveMigrate,", ""), 9, "").await;
    lab.migrate("m", "g").await.expect("admitted");
    pass(290).await;
    assert_eq!(lab.get(Kind::Migration, "m").await["status"]["phase"], "Scheduling");
    pass(20).await;
    assert_eq!(lab.get(Kind::Migration, "m").await["status"]["phase"], "Failed");
    let vmi = lab.vmi("g").await;
    assert!(vmi["status"]["phase"] == "Running" && vmi["status"]["migrationState"].is_null(), "{vmi}");
}

/// §5.5.2: what is known of a target that finds no place, and what is left when it is given up.
#[tokio::test(start_paused = true)]
async fn an_unschedulable_target_is_reported() {
    let lab = Lab::new(1, &lab::vm("g", "Always", "", ""), 9, "").await;
    lab.migrate("m", "g").await.expect("admitted");
    pass(3).await;
    let expected = "Migration target pod for VMI [default/g] is currently unschedulable.";
    assert_eq!(lab.events("migrationTargetPodUnschedulable").await, [expected]);
    let pods = lab.launchers("g").await;
    let source =
        pods.iter().find(|p| p["spec"]["nodeName"] == "n1").expect("the source")["metadata"]["name"].clone();
    let target =
        pods.iter().find(|p| p["spec"]["nodeName"].is_null()).expect("the target")["metadata"]["name"]
            .clone();
    pass(300).await;
    let migration = lab.get(Kind::Migration, "m").await["status"].clone();
    assert_eq!(
        (&migration["phase"], &migration["migrationState"]),
        (&json!("Failed"), &json!({"sourcePod": source}))
    );
    let gone =
        format!("unschedulable pod default/{} timeout period exceeded", target.as_str().expect("a name"));
    assert_eq!(lab.events("SuccessfulDelete").await, [gone]);
    assert_eq!(lab.events("migrationTargetPodUnschedulable").await.len(), 1);
}

/// §5.5.2: a target that is scheduled and doesn't start is given up after 15 minutes, or what the migration's annotation says.
#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_start_is_given_up() {
    let lab = Lab::new(2, &lab::vm("g", "Always", "", ""), 9, "").await;
    lab.annotate(Kind::Instance, "g", "starts-after", "3000s").await;
    for (name, own, seconds) in [("default", None, 900), ("short", Some("20"), 20)] {
        lab.migrate(name, "g").await.expect("admitted");
        let annotation = json!({"kubevirt.io/migrationPendingPodTimeoutSeconds": own});
        lab.patch(Kind::Migration, name, json!({"metadata": {"annotations": annotation}})).await;
        let failed = async |lab: &Lab| lab.get(Kind::Migration, name).await["status"]["phase"] == "Failed";
        let took = lab.until(1000, failed).await;
        assert!((seconds..=seconds + 1).contains(&took), "{name}: {took} s");
        pass(2).await;
        assert_eq!(lab.launchers("g").await.len(), 1);
    }
    let told = lab.events("SuccessfulDelete").await;
    assert!(told.len() == 2 && told.iter().all(|t| t.starts_with("pending pod default/")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_migration_waits_for_the_targets_attachment() {
    let lab = lab_with_a_disk("").await;
    let taint = json!({"spec": {"taints": [{"key": "slow", "effect": "NoSchedule"}]}});
    lab.migrate("m", "g").await.expect("admitted");
    lab.until(10, async |lab| attachments(lab).await.len() == 2).await;
    assert_eq!(lab.get(Kind::Migration, "m").await["status"]["phase"], "Pending");
    lab.patch(Kind::Node, "n1", taint).await;
    pass(40).await;
    assert_eq!(lab.get(Kind::Migration, "m").await["status"]["phase"], "Succeeded");
    // That of the finished source has gone with it; the guest's is on its node.
    let pods = attachments(&lab).await;
    assert_eq!((pods.len(), &pods[0]["spec"]["nodeName"]), (1, &json!("n2")));
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

/// §5.5.5: the order of an arrival: the node first, `completed` later, the source's end last, refused in between as a target.
#[tokio::test(start_paused = true)]
async fn an_arrival_has_its_order() {
    let quick = "sim.virtroll.dev/migration-takes: 3s";
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, quick), 9, "").await;
    let source = lab.launcher("g").await;
    assert_eq!(lab.evict(&source, false).await.0, 429);
    let arrived = async |lab: &Lab| lab.vmi("g").await["status"]["nodeName"] == "n2";
    lab.until(30, arrived).await;
    let vmi = lab.vmi("g").await;
    let state = &vmi["status"]["migrationState"];
    assert!(state["endTimestamp"].is_string() && state["completed"].is_null(), "{state}");
    assert!(vmi["status"]["evacuationNodeName"].is_null());
    assert_eq!(vmi["metadata"]["labels"]["kubevirt.io/nodeName"], "n2");
    assert_eq!(vmi["metadata"]["labels"]["kubevirt.io/migrationTargetNodeName"], "n2");
    assert_eq!(lab.evict(&source, false).await, (429, "Eviction request for target Pod".to_owned()));
    assert_eq!(lab.events("Migrated").await.len(), 1);
    pass(2).await;
    let vmi = lab.vmi("g").await;
    assert_eq!(vmi["status"]["migrationState"]["completed"], true);
    assert!(vmi["metadata"]["labels"]["kubevirt.io/migrationTargetNodeName"].is_null());
    assert_eq!(condition(&vmi, "EvictionRequested"), Value::Null);
    let old = lab.get(Kind::Pod, &source).await;
    assert_eq!(old["status"]["phase"], "Succeeded");
    assert_eq!(
        old["metadata"]["annotations"]["descheduler.alpha.kubernetes.io/eviction-in-progress"],
        "true"
    );
    assert_eq!(lab.evict(&source, false).await.0, 201);
    let migration = &lab.list(Kind::Migration).await[0];
    assert_eq!(migration["status"]["phase"], "Succeeded");
    assert!(migration["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty));
}

/// §5.5.6: a failed post-copy loses the guest.
#[tokio::test(start_paused = true)]
async fn a_failed_post_copy_fails_the_guest() {
    let fails = "sim.virtroll.dev/migration-fails: '1', sim.virtroll.dev/migration-takes: 60s";
    let configuration = "migrations: {completionTimeoutPerGiB: 5, allowPostCopy: true}";
    let lab = Lab::new(2, &lab::vm("g", "Manual", "", fails), 9, configuration).await;
    assert_eq!(lab.act("virtualmachines", "g", "start", json!({})).await.0, 202);
    pass(20).await;
    let source = lab.launchers("g").await[0]["spec"]["nodeName"].clone();
    lab.migrate("m", "g").await.expect("admitted");
    pass(40).await;
    let vmi = lab.vmi("g").await;
    assert_eq!((&vmi["status"]["phase"], &vmi["status"]["nodeName"]), (&json!("Failed"), &source));
    assert_eq!(phase(&lab, "m").await, "Failed");
    assert!(lab.launchers("g").await.is_empty(), "both pods have ended");
}

/// §5.5.7: an abort before the handoff, between the handoff and the start, and of a waiting one.
#[tokio::test(start_paused = true)]
async fn aborts_in_each_phase() {
    let text = lab::vm("g", "Always", MOVES, SLOW) + &lab::vm("h", "Always", MOVES, SLOW);
    let lab = Lab::new(2, &text, 9, "migrations: {parallelMigrationsPerCluster: 1}").await;
    lab.migrate("m", "g").await.expect("admitted");
    lab.migrate("waits", "h").await.expect("admitted");
    lab.until(10, async |lab| phase(lab, "m").await == "PreparingTarget").await;
    assert_eq!(phase(&lab, "waits").await, "Pending");
    lab.delete(Kind::Migration, "waits").await;
    lab.delete(Kind::Migration, "m").await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    // It can't be stopped yet: the condition says that it is to be.
    let migration = lab.get(Kind::Migration, "m").await;
    assert_eq!(condition(&migration, "migrationAbortRequested"), "True");
    assert!(lab.vmi("g").await["status"]["migrationState"]["abortRequested"].is_null());
    pass(5).await;
    assert!(lab.list(Kind::Migration).await.is_empty());
    let state = lab.vmi("g").await["status"]["migrationState"].clone();
    assert_eq!((&state["abortRequested"], &state["abortStatus"]), (&json!(true), &json!("Succeeded")));
    assert_eq!((lab.launchers("g").await.len(), lab.launchers("h").await.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_aborted_migration_leaves_the_guest_where_it_is() {
    let slow = "sim.virtroll.dev/migration-takes: 60s";
    let lab = Lab::new(2, &lab::vm("g", "Always", "evictionStrategy: LiveMigrate,", slow), 9, "").await;
    lab.migrate("m", "g").await.expect("admitted");
    let again = lab.migrate("m2", "g").await.expect_err("one is unfinished");
    assert!(again.0 == 400 && again.1.contains("in-flight migration detected"), "{again:?}");
    pass(20).await;
    lab.api(Kind::Migration).delete("m", &Default::default()).await.expect("deleted");
    pass(10).await;
    let state = lab.vmi("g").await["status"].clone();
    assert_eq!((&state["nodeName"], &state["phase"]), (&json!("n1"), &json!("Running")));
    let migration = &state["migrationState"];
    assert_eq!(
        (&migration["abortStatus"], &migration["failed"], &migration["completed"]),
        (&json!("Succeeded"), &json!(true), &json!(true))
    );
    assert!(lab.get(Kind::Migration, "m").await.is_null());
    assert_eq!(lab.launchers("g").await.len(), 1);
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

/// §5.5: five finished migrations are kept; the pods of the others go with them, and count as active until then (§4.9).
#[tokio::test(start_paused = true)]
async fn five_finished_migrations_are_kept() {
    let fails = "sim.virtroll.dev/migration-fails: always, sim.virtroll.dev/migration-takes: 2s";
    let lab = Lab::new(2, &lab::vm("g", "Always", "", fails), 9, "").await;
    for n in 1..=7 {
        lab.migrate(&format!("m{n}"), "g").await.expect("admitted");
        pass(20).await;
        assert_eq!(phase(&lab, &format!("m{n}")).await, "Failed", "no backoff for a user's");
        let kept = n.min(5);
        assert_eq!(lab.list(Kind::Migration).await.len(), kept, "after {n}");
        let active = lab.vmi("g").await["status"]["activePods"].clone();
        assert_eq!(active.as_object().expect("pods").len(), kept + 1, "after {n}: {active}");
    }
    let mut names: Vec<String> = Vec::new();
    for migration in lab.list(Kind::Migration).await {
        names.push(migration["metadata"]["name"].as_str().expect("a name").to_owned());
    }
    assert_eq!(names, ["m3", "m4", "m5", "m6", "m7"]);
}

/// §5.5.2: the migration's own annotation shortens the wait for a place.
#[tokio::test(start_paused = true)]
async fn an_annotation_sets_how_long_a_place_is_waited_for() {
    let lab = Lab::new(1, &lab::vm("g", "Always", "", ""), 9, "").await;
    let annotations = json!({"kubevirt.io/migrationUnschedulablePodTimeoutSeconds": "30"});
    let metadata = json!({"name": "m", "namespace": "default", "annotations": annotations});
    lab.migrate_with(metadata, json!({"vmiName": "g"})).await.expect("admitted");
    let took = lab.until(100, async |lab| phase(lab, "m").await == "Failed").await;
    assert!((30..=32).contains(&took), "{took} s");
}

/// §5.5.4: one that waits for a dead virt-handler holds its place under the caps.
#[tokio::test(start_paused = true)]
async fn a_stuck_migration_holds_its_place() {
    let text: String = (1..=3)
        .map(|n| lab::vm(&format!("g{n}"), "Always", "", "sim.virtroll.dev/migration-takes: 5s"))
        .collect();
    let lab = Lab::new(2, &text, 9, "migrations: {parallelMigrationsPerCluster: 1}").await;
    lab.migrate("stuck", "g1").await.expect("admitted");
    lab.until(20, async |lab| phase(lab, "stuck").await == "PreparingTarget").await;
    lab.annotate(Kind::Node, "n2", "kubevirt", "false").await;
    lab.migrate("next", "g2").await.expect("admitted");
    pass(360).await;
    assert_eq!(
        (phase(&lab, "stuck").await, phase(&lab, "next").await),
        (json!("PreparingTarget"), json!("Pending"))
    );
    lab.annotate(Kind::Node, "n2", "kubevirt", "true").await;
    pass(40).await;
    assert_eq!(
        (phase(&lab, "stuck").await, phase(&lab, "next").await),
        (json!("Succeeded"), json!("Succeeded"))
    );
}

/// §5.5.6: a failure after the handoff says so three times over, and the guest runs on.
#[tokio::test(start_paused = true)]
async fn a_failed_migration_leaves_the_guest_running() {
    let fails = "sim.virtroll.dev/migration-takes: 10s, sim.virtroll.dev/migration-fails: '1'";
    let lab = Lab::new(2, &lab::vm("g", "Always", "", fails), 9, "").await;
    let before = lab.vmi("g").await;
    lab.migrate("m", "g").await.expect("admitted");
    lab.until(30, async |lab| phase(lab, "m").await == "Failed").await;
    pass(2).await;
    let vmi = lab.vmi("g").await;
    let state = &vmi["status"]["migrationState"];
    assert_eq!((&state["failed"], &state["completed"]), (&json!(true), &json!(true)));
    assert!(state["failureReason"].is_string() && state["endTimestamp"].is_string(), "{state}");
    assert_eq!((&vmi["status"]["phase"], &vmi["status"]["nodeName"]), (&json!("Running"), &json!("n1")));
    assert_eq!(vmi["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(lab.launchers("g").await.len(), 1, "the target's pod has ended");
    let own = lab.get(Kind::Migration, "m").await["status"]["migrationState"].clone();
    assert_eq!(own["failureReason"], state["failureReason"], "the migration says the same");
}

/// §5.5.8: what a migration was for is settled at the target before it is over.
#[tokio::test(start_paused = true)]
async fn a_change_that_needs_a_migration_is_settled_before_its_end() {
    for change in ["HotVCPUChange", "HotMemoryChange", "MigrationRequired"] {
        let settings = Settings { settle: std::time::Duration::from_secs(20), ..Settings::default() };
        let quick = "sim.virtroll.dev/migration-takes: 2s";
        let lab = Lab::with(2, &lab::vm("g", "Always", "", quick), settings, "").await;
        let mut conditions =
            lab.vmi("g").await["status"]["conditions"].as_array().expect("conditions").clone();
        conditions.push(json!({"type": change, "status": "True"}));
        lab.patch(Kind::Instance, "g", json!({"status": {"conditions": conditions}})).await;
        lab.migrate("m", "g").await.expect("admitted");
        lab.until(30, async |lab| lab.vmi("g").await["status"]["migrationState"]["completed"] == true).await;
        pass(15).await;
        assert_eq!(phase(&lab, "m").await, "Running", "{change}");
        assert_eq!(condition(&lab.vmi("g").await, change), "True");
        pass(10).await;
        assert_eq!(phase(&lab, "m").await, "Succeeded", "{change}");
        assert!(condition(&lab.vmi("g").await, change).is_null());
    }
}

/// A migration may say where to: its selector is added to the target's.
#[tokio::test(start_paused = true)]
async fn a_targeted_migration_goes_where_it_is_told() {
    let lab = Lab::new(4, &lab::vm("g", "Always", "", "sim.virtroll.dev/migration-takes: 2s"), 9, "").await;
    lab.patch(Kind::Node, "n3", json!({"metadata": {"labels": {"rack": "r3"}}})).await;
    let metadata = json!({"name": "m", "namespace": "default"});
    let spec = json!({"vmiName": "g", "addedNodeSelector": {"rack": "r3"}});
    lab.migrate_with(metadata, spec).await.expect("admitted");
    pass(30).await;
    assert_eq!(lab.vmi("g").await["status"]["nodeName"], "n3");
    // It is the migration's, not the VMI's.
    assert!(lab.vmi("g").await["spec"]["nodeSelector"]["rack"].is_null());
}
