//! §5.3: the evacuation controller.

use super::lab::{self, Lab, MOVES, SLOW, pass};
use crate::sim::json::json;
use crate::sim::kubevirt::world::Kind;

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

/// By drain taint only what can be moved is: not what stays by its strategy, nor what can't migrate, nor what is moving already.
#[tokio::test(start_paused = true)]
async fn a_drain_taint_passes_by_what_cannot_or_must_not_move() {
    let text = lab::vm("none", "Always", "", "")
        + &lab::vm("external", "Always", "evictionStrategy: External,", "")
        + &lab::vm("stuck", "Always", MOVES, "").replace("masquerade", "bridge")
        + &lab::vm("if-stuck", "Always", "evictionStrategy: LiveMigrateIfPossible,", "")
            .replace("masquerade", "bridge")
        + &lab::vm("boots", "Always", MOVES, "sim.virtroll.dev/boots-after: 3000s")
        + &lab::vm("moving", "Always", MOVES, SLOW);
    let lab = Lab::new(2, &text, 9, "").await;
    lab.migrate("own", "moving").await.expect("admitted");
    pass(5).await;
    let taint = json!({"spec": {"taints": [{"key": "kubevirt.io/drain", "effect": "NoSchedule"}]}});
    lab.patch(Kind::Node, "n1", taint).await;
    pass(40).await;
    let migrations = lab.list(Kind::Migration).await;
    assert_eq!((migrations.len(), &migrations[0]["metadata"]["name"]), (1, &json!("own")), "{migrations:?}");
    for vmi in lab.list(Kind::Instance).await {
        assert!(vmi["status"]["evacuationNodeName"].is_null(), "{vmi}");
    }
}

/// What the descheduler asks for is less urgent than a drain: by its account, or by what its evictions say.
#[tokio::test(start_paused = true)]
async fn the_descheduler_is_less_urgent_than_a_drain() {
    let text = lab::vm("drained", "Always", MOVES, SLOW) + &lab::vm("moved", "Always", MOVES, SLOW);
    let lab = Lab::new(2, &text, 9, "").await;
    assert_eq!(lab.evict_vmi("drained").await.0, 429);
    let pod = lab.launcher("moved").await;
    let metadata = json!({"name": pod, "annotations": {"requested-by": "sigs.k8s.io/descheduler"}});
    assert_eq!(lab.refusal(&pod, metadata, false).await.expect("denied").code, 429);
    pass(2).await;
    for migration in lab.list(Kind::Migration).await {
        let expected =
            if migration["spec"]["vmiName"] == "moved" { "system-maintenance" } else { "system-critical" };
        assert_eq!(migration["spec"]["priority"], expected, "{migration}");
    }
    // The next one who asks is somebody else.
    let body = json!({"evacuationNodeName": "n1"});
    assert_eq!(lab.act("virtualmachines", "moved", "evacuate/cancel", body).await.0, 200);
    assert_eq!(lab.evict(&pod, false).await.0, 429);
    assert!(lab.vmi("moved").await["metadata"]["annotations"]["kubevirt.io/eviction-source"].is_null());
    let request = json!({
        "uid": "u", "operation": "CREATE", "namespace": "default", "name": pod, "object": {},
        "userInfo": {"username": "system:serviceaccount:kube-system:descheduler"}, "resource": {"resource": "pods"},
    });
    assert_eq!(
        lab.act("virtualmachines", "moved", "evacuate/cancel", json!({"evacuationNodeName": "n1"})).await.0,
        200
    );
    lab.cluster.kubevirt().expect("KubeVirt").review(json!({"request": request})).await;
    assert_eq!(
        lab.vmi("moved").await["metadata"]["annotations"]["kubevirt.io/eviction-source"],
        "descheduler"
    );
}
