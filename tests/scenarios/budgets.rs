//! Budgets that never let a pod go, and the plan's two ways: one replica more meanwhile, and a deletion past the budget.

use std::time::Duration;

use serde_json::{Value, json};
use virtroll::engine::Outcome;
use virtroll::journal::EventKind;
use virtroll::reconcile::{End, STATE_ANNOTATION};

use super::Stage;
use super::stage::all_done;

const SURGE: &str = "  drain: {surge: SingleReplica, timeout: 10m}\n";

/// A StatefulSet `db` of one pod that may never be missing.
async fn db(stage: &Stage) {
    let set = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  serviceName: db\n  replicas: 1\n  \
        selector: {matchLabels: {app: db}}\n  template:\n    metadata: {labels: {app: db}}\n    \
        spec: {nodeSelector: {scenario: NAME}, containers: [{name: db, image: db}]}\n---\n\
        apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: db}\nspec: {minAvailable: 1, selector: {matchLabels: {app: db}}}\n";
    stage.create(set).await;
    stage
        .until("db is Ready and its budget counted", async |s: &Stage| {
            s.get("policy/v1", "PodDisruptionBudget", "db").await["status"]["currentHealthy"] == 1
        })
        .await;
}

async fn replicas(stage: &Stage, kind: &str, name: &str) -> Value {
    stage.get("apps/v1", kind, name).await["spec"]["replicas"].clone()
}

/// Scales as they were told: `Deployment ns/web 1 → 2`.
fn scales(stage: &Stage) -> Vec<String> {
    let told = stage.events.iter().filter_map(|e| match &e.kind {
        EventKind::WorkloadScaled { workload, from, to, .. } => Some(format!("{workload} {from} → {to}")),
        _ => None,
    });
    told.collect()
}

fn reason(outcome: &Outcome) -> String {
    outcome.status.nodes.iter().filter_map(|n| n.reason.clone()).collect::<Vec<_>>().join("; ")
}

async fn carries_state(stage: &Stage, node: &str) -> bool {
    !stage.get("v1", "Node", node).await["metadata"]["annotations"][STATE_ANNOTATION].is_null()
}

/// The only pod of a Deployment, and of a StatefulSet, may never be missing: without the plan's word nothing begins, and what
/// would help is said; with it a second one serves first, and all is as it was afterwards.
pub async fn a_single_replica_leaves_when_a_second_one_serves(stage: &mut Stage) {
    stage.nodes(3).await;
    stage.web(1, "minAvailable: 1").await;
    db(stage).await;
    let outcome = stage.roll("  onConflict: Proceed\n").await;
    assert!(matches!(outcome.end, End::Paused { .. }), "{outcome:#?}");
    assert!(reason(&outcome).contains("or set drain.surge: SingleReplica"), "{outcome:#?}");
    assert_eq!((scales(stage), stage.evictions()), (vec![], 0));
    stage.new = true;
    let outcome = stage.roll(SURGE).await;
    all_done(&outcome, 3);
    let scales = scales(stage);
    for workload in [format!("Deployment {}/web", stage.name), format!("StatefulSet {}/db", stage.name)] {
        let of: Vec<_> = scales.iter().filter_map(|s| s.strip_prefix(&workload)).collect();
        assert!(!of.is_empty() && of.chunks(2).all(|c| c == [" 1 → 2", " 2 → 1"]), "{scales:?}");
    }
    for (kind, name) in [("Deployment", "web"), ("StatefulSet", "db")] {
        assert_eq!(replicas(stage, kind, name).await, 1, "{name}");
    }
    for n in 1..=3 {
        assert!(!carries_state(stage, &stage.node_name(n)).await);
    }
    assert!(outcome.status.nodes.iter().all(|n| n.surged.is_empty()), "{outcome:#?}");
}

/// A budget that no number of replicas contents still counts, surge or not.
pub async fn a_budget_that_allows_nothing_stands_against_a_surge_too(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.web(1, "maxUnavailable: 0").await;
    let outcome = stage.roll(&format!("  onConflict: Proceed\n{SURGE}")).await;
    assert!(reason(&outcome).contains("maxUnavailable 0"), "{outcome:#?}");
    assert_eq!((scales(stage), stage.evictions()), (vec![], 0));
}

/// A second pod that no node takes: the drain says so, ends with its timeout, and the workload is scaled back.
pub async fn a_second_replica_that_finds_no_node_is_told_and_taken_back(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.cordon(&stage.node_name(2), true).await;
    stage.web(1, "minAvailable: 1").await;
    let group = format!("  groups: [{{name: all, nodes: {{names: [{}]}}}}]\n", stage.node_name(1));
    let outcome = stage.roll_groups(&group, "  drain: {surge: SingleReplica, timeout: 20s}\n").await;
    assert!(matches!(outcome.end, End::Paused { .. }), "{outcome:#?}");
    let reason = reason(&outcome);
    assert!(
        reason.starts_with("drain took longer than 20s: pod ") && reason.contains("finds no node"),
        "{reason}"
    );
    let web = format!("Deployment {}/web", stage.name);
    assert_eq!(scales(stage), [format!("{web} 1 → 2"), format!("{web} 2 → 1")]);
    assert_eq!((replicas(stage, "Deployment", "web").await, stage.evictions()), (json!(1), 0));
}

/// Somebody scales the workload up for good while it has its second replica: that stays.
pub async fn what_somebody_scales_meanwhile_stays(stage: &mut Stage) {
    stage.nodes(3).await;
    stage.web(1, "minAvailable: 1").await;
    let (client, name) = (stage.api("apps/v1", "Deployment"), "web");
    let somebody = tokio::spawn(async move {
        loop {
            let web = client.get(name).await.expect("there");
            if web.data["spec"]["replicas"] == 2 {
                let patch = kube::api::Patch::Merge(json!({"spec": {"replicas": 3}}));
                client.patch(name, &Default::default(), &patch).await.expect("scaled");
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let outcome = stage.roll(SURGE).await;
    somebody.await.expect("it was scaled");
    all_done(&outcome, 3);
    assert_eq!(replicas(stage, "Deployment", "web").await, 3);
    let said = stage.events.iter().any(
        |e| matches!(&e.kind, EventKind::Warning { text } if text.contains("and has 3 now: somebody else has scaled it")),
    );
    assert!(said, "{:?}", scales(stage));
}

/// Past a budget that never allows a disruption: not before its time, and told with its reason.
pub async fn an_override_passes_a_budget_after_its_time(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.cordon(&stage.node_name(2), true).await;
    stage.web(2, "maxUnavailable: 0").await;
    stage.cordon(&stage.node_name(2), false).await;
    let group = format!("  groups: [{{name: all, nodes: {{names: [{}]}}}}]\n", stage.node_name(1));
    let over = "  drain:\n    overrides:\n    - {workload: {kind: Deployment, namespace: NAME, name: web}, reason: the vendor's budget, after: 15s}\n";
    let outcome = stage.roll_groups(&group, over).await;
    all_done(&outcome, 1);
    let node = &outcome.status.nodes[0];
    assert_eq!((node.past_budgets.len(), node.pods_evicted, stage.evictions()), (2, 2, 0), "{outcome:#?}");
    let budget = format!("{}/web", stage.name);
    for past in &node.past_budgets {
        let told = (past.workload.as_str(), past.budgets.as_slice(), past.reason.as_str());
        assert_eq!(
            told,
            (&*format!("Deployment {budget}"), std::slice::from_ref(&budget), "the vendor's budget")
        );
        let waited = past.at.duration_since(node.started_at.expect("begun")).as_secs();
        assert!(waited >= 15, "{waited} s");
    }
    let told =
        stage.events.iter().filter(|e| matches!(&e.kind, EventKind::PodDeletedPastBudget { .. })).count();
    assert_eq!(told, 2);
}
