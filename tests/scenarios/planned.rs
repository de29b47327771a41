//! Named cases of planning that go through: budgets, places, spreads, a node lost in the middle, guests of both kinds.

use std::time::Duration;

use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::Stage;
use super::stage::{all_done, is_true, most_at_once, vms};

pub const REBOOT: &str =
    "  hooks: [{name: reboot, at: Maintenance, reboot: {by: Annotation}, timeout: 10m}]\n";
/// A look at the cluster so often.
const LOOK: Duration = Duration::from_millis(200);

/// A Deployment and what its pods ask for beside CPU; `NAME` is the scenario's.
pub fn deployment(app: &str, replicas: usize, cpu: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {app}}}\nspec:\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: {app}}}}}\n  template:\n    metadata: {{labels: {{app: {app}}}}}\n    spec:\n      \
         nodeSelector: {{scenario: NAME}}\n      terminationGracePeriodSeconds: 2\n      \
         containers: [{{name: c, image: c, resources: {{requests: {{cpu: '{cpu}'}}}}}}]\n{more}---\n"
    )
}

/// A budget over an app.
pub fn budget(name: &str, app: &str, terms: &str) -> String {
    format!(
        "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: {name}}}\n\
         spec: {{{terms}, selector: {{matchLabels: {{app: {app}}}}}}}\n---\n"
    )
}

/// No two of an app on one node.
pub fn apart(app: &str) -> String {
    format!(
        "      affinity: {{podAntiAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: \
         [{{topologyKey: kubernetes.io/hostname, labelSelector: {{matchLabels: {{app: {app}}}}}}}]}}}}\n"
    )
}

/// The pods of an app that are Ready, by node.
pub async fn ready(stage: &Stage, app: &str) -> Vec<String> {
    let params = ListParams::default().labels(&format!("app={app}"));
    let pods = stage.api("v1", "Pod").list(&params).await.expect("listed").items;
    let pods = pods.into_iter().map(|p| serde_json::to_value(p).expect("JSON"));
    let ready = pods.filter(|p| is_true(p, "Ready") && p["metadata"]["deletionTimestamp"].is_null());
    let mut nodes: Vec<String> =
        ready.map(|p| p["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()).collect();
    nodes.sort();
    nodes
}

/// Waits until so many pods of an app are Ready, and the budgets have counted all pods.
pub async fn until_ready(stage: &Stage, app: &str, count: usize) {
    stage
        .until("the pods are Ready and counted", async |s: &Stage| {
            let counted = |b: &Value| {
                let pods = &b["status"]["expectedPods"];
                b["status"]["observedGeneration"].is_number() && b["status"]["currentHealthy"] == *pods
            };
            ready(s, app).await.len() == count
                && s.list("policy/v1", "PodDisruptionBudget").await.iter().all(counted)
        })
        .await;
}

/// Watches an app until it is told to stop; gives the fewest pods that were Ready at a look.
pub fn fewest_ready(stage: &Stage, app: &str) -> (tokio::sync::oneshot::Sender<()>, JoinHandle<usize>) {
    let (sender, mut stop) = tokio::sync::oneshot::channel();
    let pods = stage.api("v1", "Pod");
    let params = ListParams::default().labels(&format!("app={app}"));
    let watching = tokio::spawn(async move {
        let mut fewest = usize::MAX;
        while stop.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            let list = pods.list(&params).await.expect("listed").items;
            let ready = list.into_iter().map(|p| serde_json::to_value(p).expect("JSON"));
            fewest = fewest.min(ready.filter(|p| is_true(p, "Ready")).count());
            tokio::time::sleep(LOOK).await;
        }
        fewest
    });
    (sender, watching)
}

/// A budget without pods allows no disruption and is asked about none.
pub async fn a_budget_over_nothing_holds_nobody(stage: &mut Stage) {
    stage.nodes(3).await;
    stage.web(3, "maxUnavailable: 1").await;
    stage.create(&budget("idle", "nobody", "minAvailable: 1")).await;
    stage
        .until("the budget is counted", async |s: &Stage| {
            let idle = s.get("policy/v1", "PodDisruptionBudget", "idle").await;
            idle["status"]["observedGeneration"].is_number() && idle["status"]["disruptionsAllowed"] == 0
        })
        .await;
    let outcome = stage.roll(REBOOT).await;
    all_done(&outcome, 3);
    let told = stage.events.iter().filter(|e| format!("{:?}", e.kind).contains("/idle")).count();
    assert_eq!(told, 0, "{:#?}", stage.events);
}

/// Three replicas apart on three nodes: each has no other place than its own, and is back there when its node is.
pub async fn as_many_apart_as_nodes_come_back_where_they_were(stage: &mut Stage) {
    stage.nodes(3).await;
    stage.create(&deployment("apart", 3, "100m", &apart("apart"))).await;
    until_ready(stage, "apart", 3).await;
    let (stop, fewest) = fewest_ready(stage, "apart");
    let outcome = stage.roll(REBOOT).await;
    all_done(&outcome, 3);
    until_ready(stage, "apart", 3).await;
    stop.send(()).expect("it watches");
    // One node at a time, so one replica at a time: but the next node doesn't wait for a pod that no budget covers.
    assert_eq!(most_at_once(&outcome, |_| true), 1);
    let fewest = fewest.await.expect("watched");
    assert!(fewest <= 2, "{fewest}: a drained replica had no other place");
    let nodes: Vec<String> = (1..=3).map(|n| stage.node_name(n)).collect();
    assert_eq!(ready(stage, "apart").await, nodes);
}

/// Two zones of one node each, a hard spread over them: while a node is away its pods may be nowhere else.
pub async fn a_spread_that_a_drain_breaks_waits_for_the_node(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.create(&spread_over_zones("maxUnavailable: 2")).await;
    until_ready(stage, "even", 4).await;
    let (stop, fewest) = fewest_ready(stage, "even");
    let outcome = stage.roll(REBOOT).await;
    all_done(&outcome, 2);
    until_ready(stage, "even", 4).await;
    stop.send(()).expect("it watches");
    assert_eq!(fewest.await.expect("watched"), 2, "those of one zone stay");
    assert_eq!(most_at_once(&outcome, |_| true), 1);
    let both: Vec<String> = [1, 1, 2, 2].map(|n| stage.node_name(n)).to_vec();
    assert_eq!(ready(stage, "even").await, both);
}

/// Four replicas over the two zones, at most one more in one than in the other, with a budget of these terms.
pub fn spread_over_zones(terms: &str) -> String {
    let spread = "      topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, \
                  whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: even}}}]\n";
    format!("{}{}", deployment("even", 4, "100m", spread), budget("even", "even", terms))
}

/// Writes what a kubelet would of its node.
pub async fn set_ready(nodes: &kube::Api<kube::api::DynamicObject>, node: &str, status: &str, now: &str) {
    let object = nodes.get(node).await.expect("the node");
    let mut conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|c| c["type"] != "Ready");
    conditions.push(json!({
        "type": "Ready", "status": status, "reason": "Scenario", "message": "as the scenario says",
        "lastHeartbeatTime": now, "lastTransitionTime": now,
    }));
    let patch = json!({"status": {"conditions": conditions}});
    nodes.patch_status(node, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
}

/// A node of the plan goes NotReady while another is in work: it counts as away, so of the two that come next, one waits for the
/// other; and the campaign still comes to its end.
pub async fn a_node_lost_in_the_middle_counts_as_away(stage: &mut Stage) {
    stage.nodes(4).await;
    let elsewhere = "      affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: \
                     [{matchExpressions: [{key: kubernetes.io/hostname, operator: NotIn, values: [NAME-4]}]}]}}}\n";
    let web = deployment("shop", 3, "100m", elsewhere);
    stage.create(&format!("{web}{}", budget("shop", "shop", "maxUnavailable: 1"))).await;
    until_ready(stage, "shop", 3).await;
    let (nodes, clock, name) = (stage.api("v1", "Node"), stage.clock, stage.name.clone());
    let meddler = tokio::spawn(async move {
        let begun = async |n: usize| {
            while nodes.get(&format!("{name}-{n}")).await.expect("the node").data["spec"]["unschedulable"]
                != true
            {
                tokio::time::sleep(LOOK).await;
            }
        };
        let lost = format!("{name}-4");
        begun(1).await;
        set_ready(&nodes, &lost, "False", &clock.now().to_string()).await;
        let from = clock.now();
        tokio::join!(begun(2), begun(3));
        let until = clock.now();
        set_ready(&nodes, &lost, "True", &until.to_string()).await;
        (from, until)
    });
    let (stop, fewest) = fewest_ready(stage, "shop");
    let groups = "  groups:\n  - {name: first, nodes: {names: [NAME-1]}}\n  \
                  - {name: then, nodes: {names: [NAME-2, NAME-3]}, dependsOn: [first]}\n  \
                  - {name: last, nodes: {names: [NAME-4]}, dependsOn: [then]}\n";
    let outcome = stage.roll_groups(groups, &format!("  concurrency: {{maxUnavailable: 2}}\n{REBOOT}")).await;
    all_done(&outcome, 4);
    stop.send(()).expect("it watches");
    assert!(fewest.await.expect("watched") >= 2);
    let (from, until) = meddler.await.expect("meddled");
    let then = |name: &str| name.ends_with(['2', '3']);
    let starts = outcome.status.nodes.iter().filter(|n| then(&n.name)).filter_map(|n| n.started_at);
    assert!(
        starts.into_iter().all(|start| from < start && start <= until),
        "{from} to {until}: {outcome:#?}"
    );
    assert_eq!(most_at_once(&outcome, then), 1, "{outcome:#?}");
}

/// Two guests on the first node, one of which can't migrate.
pub async fn guests_of_both_kinds(stage: &mut Stage) {
    stage.nodes(3).await;
    for n in [2, 3] {
        stage.cordon(&stage.node_name(n), true).await;
    }
    stage.vm("moves", "Always", "evictionStrategy: LiveMigrate", "").await;
    // Its disk is on the node.
    let guide = "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: stuck}\nspec:\n  runStrategy: Always\n  template:\n    spec:\n      \
        nodeSelector: {scenario: NAME}\n      evictionStrategy: LiveMigrate\n      domain:\n        resources: {requests: {memory: 1024M}}\n        \
        devices: {disks: [{name: containerdisk, disk: {bus: virtio}}]}\n      volumes: [{name: containerdisk, containerDisk: {image: fedora}}]\n";
    stage.create(guide).await;
    stage.running(2).await;
    for n in [2, 3] {
        stage.cordon(&stage.node_name(n), false).await;
    }
}

pub async fn guests_that_cannot_migrate_restart_beside_those_that_can(stage: &mut Stage) {
    guests_of_both_kinds(stage).await;
    let before = stage.vmi("moves").await;
    let rest = format!(
        "  drain: {{deleteEmptyDirData: true, force: true}}\n{REBOOT}  virtualMachines: {{nonMigratable: Restart}}\n"
    );
    let outcome = stage.roll(&rest).await;
    all_done(&outcome, 3);
    stage.running(2).await;
    assert_eq!(stage.vmi("moves").await["metadata"]["uid"], before["metadata"]["uid"], "the same life");
    let found = vms(&outcome);
    assert_eq!(
        (found["moves"].0.as_str(), found["stuck"].0.as_str()),
        ("Migrated", "Restarted"),
        "{found:?}"
    );
}
