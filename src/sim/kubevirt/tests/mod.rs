//! The model's behaviour, claim by claim of what KubeVirt's own controllers were seen to do.

mod captures;
mod evacuations;
mod guests;
mod hotplug;
mod lab;
mod launchers;
mod migrations;
mod nodes;
mod objects;
mod releases;
mod transfers;
mod virt_api;

use std::time::Duration;

use serde_json::{Value, json};

use super::world::Kind;
use crate::sim::{EmbeddedCluster, Settings};
use lab::{Lab, pass};

const HOMELAB: &str = include_str!("../../../../examples/clusters/homelab.yaml");

fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |o| o["kind"] == kind)
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_cluster_keeps_its_running_guests() {
    let cluster = EmbeddedCluster::from_manifests("homelab", HOMELAB, Settings::default()).expect("loads");
    cluster.start().await;
    assert!(cluster.settle(Duration::from_secs(15), Duration::from_secs(600)).await);
    let before = cluster.dump();
    let guests = |objects: &[Value]| -> Vec<(String, String, String)> {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        of_kind(objects, "VirtualMachineInstance")
            .map(|v| {
                (text(&v["metadata"]["uid"]), text(&v["status"]["phase"]), text(&v["status"]["nodeName"]))
            })
            .collect()
    };
    assert!(guests(&before).iter().all(|(_, phase, _)| phase == "Running") && guests(&before).len() == 3);
    let copy = EmbeddedCluster::from_objects(
        "copy",
        before.clone(),
        Settings { start: cluster.now(), ..Settings::default() },
    );
    let copy = copy.expect("loads");
    copy.start().await;
    assert!(copy.settle(Duration::from_secs(15), Duration::from_secs(600)).await);
    assert_eq!(guests(&copy.dump()), guests(&before));
}

/// §5.2: evicted guests that obey and guests that crash, under each run strategy.
#[tokio::test(start_paused = true)]
async fn run_strategies_decide_what_follows_an_eviction() {
    let guests = [("", "obeys"), ("sim.virtroll.dev/guest-shutdown: crash", "crashes")];
    let mut text = String::new();
    for strategy in ["Always", "RerunOnFailure", "Manual", "Once"] {
        for (annotation, suffix) in guests {
            text.push_str(&lab::vm(
                &format!("{}-{suffix}", strategy.to_lowercase()),
                strategy,
                "",
                annotation,
            ));
        }
    }
    let lab = Lab::new(2, &text, 9, "").await;
    for suffix in ["obeys", "crashes"] {
        assert_eq!(lab.act("virtualmachines", &format!("manual-{suffix}"), "start", json!({})).await.0, 202);
    }
    pass(30).await;
    for (name, again, phase) in [
        ("always-obeys", true, "Running"),
        ("always-crashes", true, "Running"),
        ("rerunonfailure-obeys", false, ""),
        ("rerunonfailure-crashes", true, "Running"),
        ("manual-obeys", false, "Succeeded"),
        ("manual-crashes", false, "Failed"),
        ("once-obeys", false, "Succeeded"),
        ("once-crashes", false, "Failed"),
    ] {
        let before = lab.vmi(name).await;
        assert_eq!(before["status"]["phase"], "Running", "{name}");
        assert_eq!(lab.evict_vmi(name).await, (201, String::new()), "{name}");
        pass(60).await;
        let after = lab.vmi(name).await;
        assert_eq!(after["status"]["phase"].as_str().unwrap_or_default(), phase, "{name}");
        let reborn = after["metadata"]["uid"] != before["metadata"]["uid"] && !after.is_null();
        assert_eq!(reborn, again, "{name}");
    }
    let once = lab.vmi("once-obeys").await;
    lab.api(Kind::Instance).delete("once-obeys", &Default::default()).await.expect("deleted");
    pass(60).await;
    let another = lab.vmi("once-obeys").await;
    assert!(another["status"]["phase"] == "Running" && another["metadata"]["uid"] != once["metadata"]["uid"]);
}

/// §3: the webhook's decisions in their order, in its words.
#[tokio::test(start_paused = true)]
async fn the_webhook_answers_in_kubevirts_words() {
    let text = [
        lab::vm("moves", "Always", "evictionStrategy: LiveMigrate,", "sim.virtroll.dev/migration-takes: 60s"),
        lab::vm("stuck", "Always", "evictionStrategy: LiveMigrate,", "").replace("masquerade", "bridge"),
        lab::vm("outside", "Always", "evictionStrategy: External,", ""),
    ];
    let lab = Lab::new(2, &text.concat(), 9, "").await;
    let source = lab.launchers("moves").await[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let evacuates = |name: &str| format!("Eviction triggered evacuation of VMI \"default/{name}\"");
    // A dry run answers the same and marks nothing.
    assert_eq!(lab.evict(&source, true).await, (429, evacuates("moves")));
    assert!(lab.vmi("moves").await["status"]["evacuationNodeName"].is_null());
    assert_eq!(lab.evict(&source, false).await, (429, evacuates("moves")));
    assert_eq!(lab.vmi("moves").await["status"]["evacuationNodeName"], "n1");
    assert_eq!(
        lab.evict(&source, false).await,
        (429, format!("Evacuation in progress: {}", evacuates("moves")))
    );
    let stuck = "VMI stuck is configured with an eviction strategy but is not live-migratable";
    assert_eq!(lab.evict_vmi("stuck").await, (429, stuck.to_owned()));
    assert_eq!(lab.evict_vmi("outside").await, (429, evacuates("outside")));
    pass(10).await;
    assert!(
        lab.list(Kind::Migration).await.iter().all(|m| m["spec"]["vmiName"] == "moves"),
        "External is left alone"
    );
    // The mark is on n1; the target pod is another's.
    lab.act("virtualmachineinstances", "moves", "evacuate/cancel", json!({"evacuationNodeName": "n1"})).await;
    let pods = lab.launchers("moves").await;
    let target = pods.iter().find(|p| p["metadata"]["name"] != source.as_str()).expect("a target");
    let target = target["metadata"]["name"].as_str().expect("a name");
    assert_eq!(lab.evict(target, false).await, (429, "Eviction request for target Pod".to_owned()));
    pass(120).await;
    assert_eq!(lab.vmi("moves").await["status"]["nodeName"], "n2");
}

#[tokio::test(start_paused = true)]
async fn with_virt_api_down_launchers_stay_and_others_go() {
    let text = lab::vm("plain", "Always", "", "")
        + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: other}\nspec: {containers: [{name: c, image: c}]}\n";
    let lab = Lab::new(2, &text, 9, "").await;
    let model = lab.cluster.kubevirt().expect("KubeVirt").clone();
    model.set_available(false);
    let (code, message) = lab.evict_vmi("plain").await;
    let words =
        "failed calling webhook \"virt-launcher-eviction-interceptor.kubevirt.io\": failed to call webhook: ";
    assert!(
        code == 500 && message.starts_with(&format!("Internal error occurred: {words}")),
        "{code} {message}"
    );
    assert_eq!(lab.act("virtualmachines", "plain", "restart", json!({})).await.0, 503);
    assert_eq!(lab.evict("other", false).await.0, 201);
    let refused = lab.migrate("m", "plain").await.expect_err("fail-closed");
    assert_eq!(refused.0, 500);
    model.set_available(true);
    assert_eq!(lab.evict_vmi("plain").await.0, 201);
}

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

/// §5.2: what the actions do to run strategies, and what they refuse.
#[tokio::test(start_paused = true)]
async fn actions_change_run_strategies_as_kubevirt_does() {
    let text = [
        lab::vm("halted", "Halted", "", ""),
        lab::vm("once", "Once", "", ""),
        lab::vm("manual", "Manual", "", ""),
        lab::vm("always", "Always", "", ""),
    ];
    let lab = Lab::new(1, &text.concat(), 9, "").await;
    let act = async |name: &str, action: &str| lab.act("virtualmachines", name, action, json!({})).await;
    let strategy = async |name: &str| lab.get(Kind::Vm, name).await["spec"]["runStrategy"].clone();
    let refusal = "RunStategy Once does not support manual restart requests";
    assert_eq!(act("once", "restart").await, (409, refusal.to_owned()));
    assert_eq!(act("manual", "stop").await, (409, "VM is not running".to_owned()));
    assert_eq!(act("halted", "start").await.0, 202);
    assert_eq!(strategy("halted").await, "Always");
    assert_eq!(act("manual", "start").await.0, 202);
    let before = lab.vmi("always").await;
    assert_eq!(act("always", "restart").await.0, 202);
    pass(60).await;
    assert_eq!(lab.vmi("halted").await["status"]["phase"], "Running");
    assert_eq!(lab.vmi("manual").await["status"]["phase"], "Running");
    let after = lab.vmi("always").await;
    assert!(after["metadata"]["uid"] != before["metadata"]["uid"] && after["status"]["phase"] == "Running");
    assert_eq!((strategy("always").await, strategy("manual").await), (json!("Always"), json!("Manual")));
    for name in ["once", "manual"] {
        assert_eq!(act(name, "stop").await.0, 202, "{name}");
    }
    pass(60).await;
    assert_eq!((strategy("once").await, strategy("manual").await), (json!("Halted"), json!("Manual")));
    assert!(lab.vmi("once").await.is_null() && lab.vmi("manual").await.is_null());
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

/// By the drain taint all migratable guests go, unmarked; others stay put.
#[tokio::test(start_paused = true)]
async fn the_drain_taint_moves_what_can_be_moved() {
    let text = lab::vm("moves", "Always", "evictionStrategy: LiveMigrate,", "")
        + &lab::vm("stays", "Always", "", "");
    let lab = Lab::new(2, &text, 9, "").await;
    let taint = json!({"spec": {"taints": [{"key": "kubevirt.io/drain", "effect": "NoSchedule"}]}});
    lab.patch(Kind::Node, "n1", taint).await;
    let cancel = lab.act("virtualmachineinstances", "moves", "evacuate/cancel", json!({})).await;
    assert!(cancel.0 == 400 && cancel.1.contains("NodeDrainTaintKey"), "{cancel:?}");
    pass(30).await;
    let moved = lab.vmi("moves").await;
    assert_eq!(moved["status"]["nodeName"], "n2");
    assert!(moved["status"]["evacuationNodeName"].is_null());
    assert_eq!(lab.vmi("stays").await["status"]["nodeName"], "n1");
}

/// §6: what older releases do instead.
#[tokio::test(start_paused = true)]
async fn older_releases_guard_guests_by_budgets() {
    let slow = "sim.virtroll.dev/migration-takes: 60s";
    let text = lab::vm("g", "Always", "evictionStrategy: LiveMigrate,", slow);
    let refused = "Cannot evict pod as it would violate the pod's disruption budget.";
    for (version, first, later) in
        [(0, refused, refused), (4, "Eviction triggered evacuation of VMI \"default/g\"", refused)]
    {
        let lab = Lab::new(2, &text, version, "").await;
        let budget = async || lab.list(Kind::Budget).await.first().map(|b| b["spec"]["minAvailable"].clone());
        assert_eq!(budget().await, Some(json!(1)), "1.{version}");
        assert_eq!(lab.evict_vmi("g").await, (429, first.to_owned()), "1.{version}");
        assert_eq!(lab.evict_vmi("g").await, (429, later.to_owned()), "1.{version}");
        pass(20).await;
        assert_eq!(budget().await, Some(json!(2)), "raised while it migrates");
        pass(90).await;
        assert_eq!(
            (budget().await, lab.vmi("g").await["status"]["nodeName"].clone()),
            (Some(json!(1)), json!("n2"))
        );
    }
    let newer = Lab::new(2, &text, 6, "").await;
    assert!(newer.list(Kind::Budget).await.is_empty());
}
