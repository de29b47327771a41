//! Migrations: admission, queue, phases, aborts, what is kept (§5.3 to §5.5).

use serde_json::{Value, json};

use super::lab::{self, Lab, pass};
use crate::sim::kubevirt::world::Kind;

const MOVES: &str = "evictionStrategy: LiveMigrate,";
const SLOW: &str = "sim.virtroll.dev/migration-takes: 60s";

async fn phase(lab: &Lab, name: &str) -> Value {
    lab.get(Kind::Migration, name).await["status"]["phase"].clone()
}

fn condition(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|c| c["type"] == kind).map_or(Value::Null, |c| c["status"].clone())
}

/// §5.4: refusals in words; a VMI that is booting passes, and its migration waits until it runs.
#[tokio::test(start_paused = true)]
async fn admission_refuses_in_kubevirts_words() {
    let text = [
        lab::vm("over", "Once", "", ""),
        lab::vm("stuck", "Always", "", "").replace("masquerade", "bridge"),
        lab::vm("boots", "Always", "", "sim.virtroll.dev/boots-after: 60s"),
    ];
    let lab = Lab::new(2, &text.concat(), 9, "").await;
    assert_eq!(lab.evict_vmi("over").await.0, 201);
    pass(10).await;
    let (code, message) = lab.migrate("a", "over").await.expect_err("it is over");
    assert!(code == 400 && message.ends_with("Cannot migrate VMI in finalized state."), "{message}");
    let (code, message) = lab.migrate("b", "stuck").await.expect_err("it can't");
    assert!(
        code == 400 && message.contains("Cannot migrate VMI, Reason: InterfaceNotLiveMigratable, Message: "),
        "{message}"
    );
    assert_eq!(lab.vmi("boots").await["status"]["phase"], "Scheduled");
    lab.migrate("c", "boots").await.expect("the condition is absent");
    pass(10).await;
    assert_eq!(phase(&lab, "c").await, "Pending");
    pass(60).await;
    assert_eq!(phase(&lab, "c").await, "Succeeded");
}

/// §5.3 and §5.5: two drains at once: all migrations are there within a second, two a node and four in all under way.
#[tokio::test(start_paused = true)]
async fn two_drains_queue_twelve_migrations() {
    let text: String = (1..=12).map(|n| lab::vm(&format!("g{n}"), "Always", MOVES, SLOW)).collect();
    let lab = Lab::new(3, &text, 9, "").await;
    for n in 1..=6 {
        lab.annotate(Kind::Instance, &format!("g{n}"), "migration-takes", "1s").await;
        lab.migrate(&format!("m{n}"), &format!("g{n}")).await.expect("admitted");
    }
    pass(120).await;
    let vmis = lab.list(Kind::Instance).await;
    for node in ["n1", "n2", "n3"] {
        lab.patch(Kind::Node, node, json!({"spec": {"unschedulable": true}})).await;
    }
    for vmi in &vmis {
        let name = vmi["metadata"]["name"].as_str().expect("a name");
        lab.annotate(Kind::Instance, name, "migration-takes", "60s").await;
    }
    for vmi in &vmis {
        assert_eq!(lab.evict_vmi(vmi["metadata"]["name"].as_str().expect("a name")).await.0, 429);
    }
    pass(1).await;
    let migrations = lab.list(Kind::Migration).await;
    assert_eq!(migrations.iter().filter(|m| m["status"]["phase"] != "Succeeded").count(), 12);
    pass(10).await;
    let mut by_node = std::collections::BTreeMap::new();
    for migration in lab.list(Kind::Migration).await {
        if migration["status"]["phase"] == "Scheduling" {
            let vmi = lab.vmi(migration["spec"]["vmiName"].as_str().expect("a name")).await;
            *by_node.entry(vmi["status"]["nodeName"].to_string()).or_insert(0) += 1;
        }
    }
    assert!(by_node.values().all(|n| *n <= 2) && by_node.values().sum::<i32>() <= 5, "{by_node:?}");
    assert!(by_node.values().sum::<i32>() >= 4, "{by_node:?}");
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

/// §7: the policy that matches by most labels overrides the cluster; the result is written into the state.
#[tokio::test(start_paused = true)]
async fn a_policy_overrides_the_cluster() {
    let policy = "---\napiVersion: migrations.kubevirt.io/v1alpha1\nkind: MigrationPolicy\nmetadata: {name: p}\n\
                  spec: {completionTimeoutPerGiB: 2, allowPostCopy: true, bandwidthPerMigration: 64Mi, selectors: \
                  {virtualMachineInstanceSelector: {team: blue}}}\n";
    let text = policy.to_owned() + &lab::vm("g", "Always", "", SLOW);
    let lab = Lab::new(2, &text, 9, "migrations: {progressTimeout: 40, completionTimeoutPerGiB: 9}").await;
    lab.migrate("m", "g").await.expect("admitted");
    lab.until(20, async |lab| phase(lab, "m").await == "Running").await;
    let settings = lab.vmi("g").await["status"]["migrationState"]["migrationConfiguration"].clone();
    assert_eq!(
        settings,
        json!({
            "completionTimeoutPerGiB": 2, "allowPostCopy": true, "bandwidthPerMigration": "64Mi", "progressTimeout": 40,
            "allowWorkloadDisruption": false, "allowAutoConverge": false, "nodeDrainTaintKey": "kubevirt.io/drain",
            "parallelMigrationsPerCluster": 5, "parallelOutboundMigrationsPerNode": 2,
        })
    );
    // The deadline of 4 s is over: post-copy extends it instead of giving up.
    pass(30).await;
    let status = lab.vmi("g").await["status"].clone();
    assert_eq!((&status["nodeName"], &status["migrationState"]["mode"]), (&json!("n2"), &json!("PostCopy")));
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

/// §5.1: the mark, its condition and annotation outlive an uncordon and failed migrations, and go when it is cancelled.
#[tokio::test(start_paused = true)]
async fn a_mark_stays_until_it_is_cancelled() {
    let fails = "sim.virtroll.dev/migration-fails: always, sim.virtroll.dev/migration-takes: 2s";
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, fails), 9, "").await;
    let pod = lab.launcher("g").await;
    assert_eq!(lab.evict(&pod, false).await.0, 429);
    lab.patch(Kind::Node, "n1", json!({"spec": {"unschedulable": true}})).await;
    pass(30).await;
    lab.patch(Kind::Node, "n1", json!({"spec": {"unschedulable": null}})).await;
    pass(30).await;
    let annotation = "descheduler.alpha.kubernetes.io/eviction-in-progress";
    for marked in [true, false] {
        let vmi = lab.vmi("g").await;
        assert_eq!(vmi["status"]["evacuationNodeName"].is_string(), marked);
        assert_eq!(condition(&vmi, "EvictionRequested") == "True", marked);
        let of_pod = lab.get(Kind::Pod, &pod).await["metadata"]["annotations"][annotation].clone();
        assert_eq!(of_pod == "true", marked);
        let body = json!({"evacuationNodeName": "n1"});
        assert_eq!(lab.act("virtualmachineinstances", "g", "evacuate/cancel", body).await.0, 200);
        pass(2).await;
    }
}
