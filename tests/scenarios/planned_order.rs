//! Named cases of planning in which one node must wait for another, or in which none may begin.

use virtroll::engine::Outcome;
use virtroll::journal::EventKind;

use super::Stage;
use super::planned::{
    REBOOT, apart, budget, deployment, fewest_ready, guests_of_both_kinds, ready, spread_over_zones,
    until_ready,
};
use super::stage::{all_done, most_at_once};

/// Nodes in the order of their beginning, by their numbers.
fn order(stage: &Stage, outcome: &Outcome) -> Vec<usize> {
    let number = |name: &str| name.strip_prefix(&format!("{}-", stage.name))?.parse().ok();
    let mut nodes: Vec<_> = outcome.status.nodes.iter().collect();
    nodes.sort_by_key(|n| n.started_at);
    nodes.iter().filter_map(|n| number(&n.name)).collect()
}

/// When a node's drain began, and when the last of its evictions was granted.
fn drain(stage: &Stage, n: usize) -> (jiff::Timestamp, jiff::Timestamp) {
    let name = stage.node_name(n);
    let begins = |kind: &EventKind| matches!(kind, EventKind::NodePhaseChanged { node, phase, .. } if *node == name && phase == "Draining");
    let evicts = |kind: &EventKind| matches!(kind, EventKind::PodEvicted { node, .. } if *node == name);
    let begun = stage.events.iter().find(|e| begins(&e.kind)).expect("it is drained");
    let last = stage.events.iter().rfind(|e| evicts(&e.kind)).expect("something leaves it");
    (begun.at, last.at)
}

/// The plan is refused with these words, and nothing was touched: neither a cordon nor an eviction.
async fn no_way(stage: &mut Stage, nodes: usize, rest: &str, words: &[&str]) {
    let refusal = match stage.try_roll(rest).await {
        Err(error) => error.to_string(),
        Ok(outcome) => panic!("no schedule exists, and yet: {outcome:#?}"),
    };
    for word in words {
        assert!(refusal.contains(&word.replace("NAME", &stage.name)), "{word:?} is not in: {refusal}");
    }
    for n in 1..=nodes {
        assert!(!stage.is_cordoned(&stage.node_name(n)).await, "node {n}");
    }
    assert_eq!(stage.evictions(), 0);
}

/// Node 1 and node 2 each have a pod of both budgets: drained together each would hold what the other waits for.
pub async fn nodes_that_hold_each_others_budgets_do_not_drain_together(stage: &mut Stage) {
    stage.nodes(4).await;
    for n in [3, 4] {
        stage.cordon(&stage.node_name(n), true).await;
    }
    for app in ["left", "right"] {
        let pods = deployment(app, 2, "100m", &apart(app));
        stage.create(&format!("{pods}{}", budget(app, app, "maxUnavailable: 1"))).await;
    }
    until_ready(stage, "left", 2).await;
    until_ready(stage, "right", 2).await;
    for n in [3, 4] {
        stage.cordon(&stage.node_name(n), false).await;
    }
    let watched = ["left", "right"].map(|app| fewest_ready(stage, app));
    let groups = "  groups: [{name: both, nodes: {names: [NAME-1, NAME-2]}}]\n";
    let outcome = stage.roll_groups(groups, &format!("  concurrency: {{maxUnavailable: 2}}\n{REBOOT}")).await;
    all_done(&outcome, 2);
    for (stop, fewest) in watched {
        stop.send(()).expect("it watches");
        assert!(fewest.await.expect("watched") >= 1);
    }
    let (one, other) = (drain(stage, 1), drain(stage, 2));
    // Once a node's last eviction is granted, it only gives back what it has taken.
    assert!(one.1 < other.0 || other.1 < one.0, "drained together: {one:?} {other:?}");
    assert_eq!(stage.evictions(), 4, "each pod is asked for once");
}

/// Three members apart on three nodes, of which two must be there: each node must be back before the next begins.
pub async fn a_quorum_of_three_over_three_nodes_goes_one_by_one(stage: &mut Stage) {
    stage.nodes(3).await;
    let members = deployment("member", 3, "100m", &apart("member"));
    stage.create(&format!("{members}{}", budget("quorum", "member", "minAvailable: 2"))).await;
    until_ready(stage, "member", 3).await;
    let (stop, fewest) = fewest_ready(stage, "member");
    let outcome = stage.roll(&format!("  concurrency: {{maxUnavailable: 3}}\n{REBOOT}")).await;
    all_done(&outcome, 3);
    stop.send(()).expect("it watches");
    assert_eq!(fewest.await.expect("watched"), 2);
    assert_eq!(most_at_once(&outcome, |_| true), 1, "more would only be cordoned for longer");
    assert_eq!(stage.evictions(), 3, "each member is asked for once");
}

/// One replica that must always be there.
pub async fn a_single_replica_that_must_be_there_is_a_conflict(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.web(1, "minAvailable: 1").await;
    let words = ["NAME/web", "minAvailable 1", "never allows a disruption", "Deployment"];
    no_way(stage, 2, REBOOT, &words).await;
    // Left out, the other node is maintained.
    let carries = ready(stage, "web").await;
    let outcome = stage.roll(&format!("  onConflict: Skip\n{REBOOT}")).await;
    for node in &outcome.status.nodes {
        let is_its = carries.contains(&node.name);
        assert_eq!(node.phase, if is_its { "Skipped" } else { "Done" }, "{outcome:#?}");
        let told = node.reason.as_deref().unwrap_or_default();
        assert_eq!(is_its, told.contains(&format!("{}/web", stage.name)), "{told}");
    }
    assert_eq!(outcome.status.nodes.len(), 2);
    assert_eq!(ready(stage, "web").await, carries);
    assert_eq!(stage.evictions(), 0);
}

/// The API server refuses such a pod's eviction always.
pub async fn two_budgets_over_one_pod_are_a_conflict(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.web(2, "maxUnavailable: 1").await;
    stage.create(&budget("second", "web", "maxUnavailable: 1")).await;
    until_ready(stage, "web", 2).await;
    no_way(stage, 2, REBOOT, &["two budgets", "NAME/web", "NAME/second"]).await;
}

/// 94.8% of the CPU is asked for. What stays takes 54 of each node's 64; the third node has two pods of 1, the others one of 9
/// each: only when the third has given its pods away and is back do those of 9 find room, one after the other.
pub async fn a_cluster_nearly_full_goes_in_the_only_order_that_works(stage: &mut Stage) {
    stage.nodes(3).await;
    stage
        .create(
            "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: stays}\nspec:\n  selector: {matchLabels: {app: stays}}\n  template:\n    \
             metadata: {labels: {app: stays}}\n    spec: {nodeSelector: {scenario: NAME}, containers: [{name: c, image: c, resources: {requests: {cpu: '54'}}}]}\n",
        )
        .await;
    until_ready(stage, "stays", 3).await;
    stage.cordon(&stage.node_name(3), true).await;
    stage.create(&deployment("large", 2, "9", "")).await;
    until_ready(stage, "large", 2).await;
    for n in [1, 2] {
        stage.cordon(&stage.node_name(n), true).await;
    }
    stage.cordon(&stage.node_name(3), false).await;
    stage.create(&deployment("small", 2, "1", "")).await;
    until_ready(stage, "small", 2).await;
    for n in [1, 2] {
        stage.cordon(&stage.node_name(n), false).await;
    }
    let outcome = stage.roll(&format!("  concurrency: {{maxUnavailable: 3}}\n{REBOOT}")).await;
    all_done(&outcome, 3);
    assert_eq!((order(stage, &outcome)[0], most_at_once(&outcome, |_| true)), (3, 1), "{outcome:#?}");
}

/// Each member's volume is on its node: it comes back there, so its budget is used up until the node is back.
pub async fn local_volumes_pin_their_pods_and_nodes_go_one_by_one(stage: &mut Stage) {
    stage.nodes(2).await;
    for n in [1, 2] {
        let member = n - 1;
        stage
            .create(&format!(
                "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: NAME-{n}}}\nspec:\n  capacity: {{storage: 1Gi}}\n  accessModes: [ReadWriteOnce]\n  \
                 storageClassName: ''\n  claimRef: {{namespace: NAME, name: data-db-{member}}}\n  local: {{path: /x}}\n  \
                 nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [NAME-{n}]}}]}}]}}}}\n---\n\
                 apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data-db-{member}, labels: {{app: db}}}}\n\
                 spec: {{accessModes: [ReadWriteOnce], storageClassName: '', volumeName: NAME-{n}, resources: {{requests: {{storage: 1Gi}}}}}}\n"
            ))
            .await;
    }
    let claims = "  volumeClaimTemplates:\n  - {metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], storageClassName: '', resources: {requests: {storage: 1Gi}}}}\n";
    let set = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  replicas: 2\n  serviceName: db\n  selector: {matchLabels: {app: db}}\n  \
        template:\n    metadata: {labels: {app: db}}\n    spec: {terminationGracePeriodSeconds: 2, containers: [{name: c, image: c}]}\n";
    stage.create(&format!("{set}{claims}---\n{}", budget("db", "db", "maxUnavailable: 1"))).await;
    until_ready(stage, "db", 2).await;
    let (stop, fewest) = fewest_ready(stage, "db");
    let outcome = stage.roll(&format!("  concurrency: {{maxUnavailable: 2}}\n{REBOOT}")).await;
    all_done(&outcome, 2);
    stop.send(()).expect("it watches");
    assert_eq!(fewest.await.expect("watched"), 1);
    assert_eq!(most_at_once(&outcome, |_| true), 1);
    until_ready(stage, "db", 2).await;
    assert_eq!(ready(stage, "db").await, [stage.node_name(1), stage.node_name(2)]);
}

/// Two pods that can come back to their node only, and a budget that lets one be away: the second could never leave.
pub async fn a_spread_that_a_drain_breaks_for_good_is_a_conflict(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.create(&spread_over_zones("maxUnavailable: 1")).await;
    until_ready(stage, "even", 4).await;
    no_way(stage, 2, REBOOT, &["can come back to that node only", "NAME/even", "maxUnavailable 1"]).await;
}

/// One of two guests can't migrate, and the plan doesn't say that it may restart.
pub async fn a_guest_that_cannot_migrate_is_a_conflict(stage: &mut Stage) {
    guests_of_both_kinds(stage).await;
    let rest = format!("  drain: {{deleteEmptyDirData: true, force: true}}\n{REBOOT}");
    no_way(stage, 3, &rest, &["NAME/stuck", "cannot live-migrate", "InterfaceNotLiveMigratable"]).await;
}

/// Data in an emptyDir on the first node, and on the second a guest that stays off: the plan gives up neither. What ends by itself,
/// on the third, is no conflict.
pub async fn what_the_plan_does_not_consent_to_is_a_conflict(stage: &mut Stage) {
    stage.nodes(3).await;
    let at = |n: usize| {
        format!("nodeName: NAME-{n}, terminationGracePeriodSeconds: 2, containers: [{{name: c, image: c}}]")
    };
    let set = "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: scratch}\nspec:\n  selector: {matchLabels: {app: scratch}}\n";
    let template = format!(
        "{{metadata: {{labels: {{app: scratch}}}}, spec: {{{}, volumes: [{{name: v, emptyDir: {{}}}}]}}}}",
        at(1)
    );
    let task = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: task, labels: {{app: task}}}}\nspec: {{restartPolicy: Never, {}}}\n",
        at(3)
    );
    stage.create(&format!("{set}  template: {template}\n---\n{task}")).await;
    until_ready(stage, "scratch", 1).await;
    until_ready(stage, "task", 1).await;
    for n in [1, 3] {
        stage.cordon(&stage.node_name(n), true).await;
    }
    stage.vm("desk", "RerunOnFailure", "", "").await;
    stage.running(1).await;
    for n in [1, 3] {
        stage.cordon(&stage.node_name(n), false).await;
    }
    let data = ["NAME/scratch on NAME-1 has data in emptyDir volumes", "drain.deleteEmptyDirData"];
    no_way(stage, 3, REBOOT, &data).await;
    let consents = "  drain: {deleteEmptyDirData: true}\n";
    let off =
        ["NAME/desk on NAME-2", "stays off by its run strategy RerunOnFailure", "virtualMachines.staysOff"];
    no_way(stage, 3, &format!("{consents}{REBOOT}"), &off).await;
    // Left out, the third node is maintained, and its task goes by the plan's consent.
    let skip = format!("  onConflict: Skip\n  drain: {{force: true}}\n{REBOOT}");
    let outcome = stage.roll(&skip).await;
    let became =
        |n: usize| outcome.status.nodes.iter().find(|r| r.name == stage.node_name(n)).expect("a record");
    assert_eq!([1, 2, 3].map(|n| became(n).phase.as_str()), ["Skipped", "Skipped", "Done"], "{outcome:#?}");
    let told = became(2).reason.clone().unwrap_or_default();
    assert!(told.contains("spec.runStrategy: Always, or stop it beforehand"), "{told}");
    assert_eq!(stage.evictions(), 1);
}
