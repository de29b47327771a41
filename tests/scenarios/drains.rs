//! Drains by hand: kubectl's filters and texts, the KubeVirt guide's first recipe, a budget that refuses and recovers.

use std::time::Duration;

use virtroll::engine::DrainReport;
use virtroll::journal::EventKind;
use virtroll::plan::selector;
use virtroll::reconcile::drain::DrainOptions;

use super::Stage;

const MINUTE: Duration = Duration::from_secs(60);

fn failure(report: &DrainReport, node: &str) -> String {
    report.failed.get(node).map(|lines| lines.join("; ")).unwrap_or_default()
}

/// Two bare pods, one of a DaemonSet, one with scratch space.
async fn a_pod_for_each_filter(stage: &Stage) {
    let pod = |name: &str, volumes: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:\n  nodeSelector: {{scenario: NAME}}\n  \
             containers: [{{name: c, image: c}}]\n{volumes}---\n"
        )
    };
    let set = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: agent}\nspec:\n  selector: {matchLabels: {app: agent}}\n  \
        template:\n    metadata: {labels: {app: agent}}\n    spec: {nodeSelector: {scenario: NAME}, containers: [{name: c, image: c}]}\n---\n";
    let web = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: scratch}\nspec:\n  replicas: 1\n  selector: {matchLabels: {app: scratch}}\n  \
        template:\n    metadata: {labels: {app: scratch}}\n    spec: {nodeSelector: {scenario: NAME}, containers: [{name: c, image: c}], volumes: [{name: s, emptyDir: {}}]}\n";
    // A static pod's mirror: no drain touches it.
    let mirror = "apiVersion: v1\nkind: Pod\nmetadata: {name: mirror, labels: {app: mirror}, annotations: {kubernetes.io/config.mirror: x}}\n\
        spec: {nodeName: NAME-1, containers: [{name: c, image: c}]}\n---\n";
    stage.create(&format!("{}{}{mirror}{set}{web}", pod("bare", ""), pod("kept", ""))).await;
}

/// `--disable-eviction`: deleted, so no budget is asked.
async fn deleted_without_an_eviction(stage: &mut Stage, node: &str) {
    let asked = stage.evictions();
    let by_deletion = DrainOptions {
        pod_selector: selector::parse("app=kept").ok(),
        disable_eviction: true,
        force: true,
        ..DrainOptions::default()
    };
    let report = stage.drain(node, by_deletion, MINUTE).await;
    assert_eq!(report.drained, [node], "{report:?}");
    assert!(stage.get("v1", "Pod", "kept").await.is_null());
    assert_eq!(stage.evictions(), asked);
}

/// One pod for each filter; each flag lets the next one through, with kubectl's words.
pub async fn filters_speak_as_kubectls(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.cordon(&stage.node_name(2), true).await;
    a_pod_for_each_filter(stage).await;
    let node = stage.node_name(1);
    stage
        .until("the pods run", async |s: &Stage| {
            let pods = s.list("v1", "Pod").await;
            pods.iter()
                .filter(|p| p["spec"]["nodeName"] == node.as_str() && p["status"]["phase"] == "Running")
                .count()
                == 5
        })
        .await;
    stage.cordon(&stage.node_name(2), false).await;
    let mut options =
        DrainOptions { pod_selector: selector::parse("app!=kept").ok(), ..DrainOptions::default() };
    let text = failure(&stage.drain(&node, options.clone(), MINUTE).await, &node);
    assert!(
        text.contains(&format!(
            "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): {}/agent-",
            stage.name
        )),
        "{text}"
    );
    options.ignore_daemon_sets = true;
    let text = failure(&stage.drain(&node, options.clone(), MINUTE).await, &node);
    assert!(
        text.contains(&format!(
            "cannot delete Pods with local storage (use --delete-emptydir-data to override): {}/scratch-",
            stage.name
        )),
        "{text}"
    );
    assert!(
        text.contains(&format!(
            "cannot delete Pods that declare no controller (use --force to override): {}/bare",
            stage.name
        )),
        "{text}"
    );
    assert_eq!(stage.evictions(), 0, "nothing is evicted while something is fatal");
    options.delete_empty_dir_data = true;
    options.force = true;
    let report = stage.drain(&node, options, MINUTE).await;
    assert_eq!(report.drained, std::slice::from_ref(&node), "{report:?}");
    let warnings: Vec<&String> = stage
        .events
        .iter()
        .filter_map(|e| match &e.kind {
            EventKind::Warning { text } => Some(text),
            _ => None,
        })
        .collect();
    assert!(
        warnings.iter().any(|w| w.contains("ignoring DaemonSet-managed Pods")
            && w.contains("deleting Pods that declare no controller")
            && w.contains("deleting Pods with local storage")),
        "{warnings:?}"
    );
    let left: Vec<String> = stage
        .list("v1", "Pod")
        .await
        .iter()
        .filter(|p| p["spec"]["nodeName"] == node.as_str())
        .map(|p| p["metadata"]["labels"]["app"].to_string())
        .collect();
    let mut left = left;
    left.sort();
    assert_eq!(left, ["\"agent\"", "\"kept\"", "\"mirror\""]);
    assert_eq!(stage.evictions(), 2);
    deleted_without_an_eviction(stage, &node).await;
}

/// The API server's own refusal, and it is said to be for good.
pub async fn a_pod_under_two_budgets_never_leaves(stage: &mut Stage) {
    stage.nodes(1).await;
    stage.web(2, "maxUnavailable: 1").await;
    let second = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: second}\nspec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}\n";
    stage.create(second).await;
    let node = stage.node_name(1);
    let report = stage.drain(&node, DrainOptions::default(), MINUTE).await;
    let text = failure(&report, &node);
    assert!(text.contains("was refused: This pod has more than one PodDisruptionBudget"), "{text}");
    assert_eq!(stage.evictions(), 2, "each pod is asked for once");
    assert_eq!(stage.list("v1", "Pod").await.len(), 2);
    // A plan doesn't even begin its node.
    let outcome = stage.roll("  onConflict: Proceed\n").await;
    let reason = outcome.status.nodes[0].reason.clone().unwrap_or_default();
    assert!(
        reason.contains("is selected by 2 budgets") && reason.contains("waiting will not help"),
        "{reason}"
    );
}

/// `--pod-selector=kubevirt.io=virt-launcher --delete-emptydir-data --force`: guests move, ordinary pods stay.
pub async fn only_virtual_machines_leave_by_the_guides_first_recipe(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.cordon(&stage.node_name(2), true).await;
    stage.web(2, "maxUnavailable: 1").await;
    stage.vm("moves", "Always", "evictionStrategy: LiveMigrate", "").await;
    stage.running(1).await;
    stage.cordon(&stage.node_name(2), false).await;
    let node = stage.node_name(1);
    let before = stage.vmi("moves").await;
    let options = DrainOptions {
        pod_selector: selector::parse("kubevirt.io=virt-launcher").ok(),
        delete_empty_dir_data: true,
        force: true,
        ..DrainOptions::default()
    };
    let report = stage.drain(&node, options, 5 * MINUTE).await;
    assert_eq!(report.drained, std::slice::from_ref(&node), "{report:?}");
    let after = stage.vmi("moves").await;
    assert_eq!(
        (&after["metadata"]["uid"], &after["status"]["nodeName"]),
        (&before["metadata"]["uid"], &stage.node_name(2).into())
    );
    let pods = stage.list("v1", "Pod").await;
    let web = pods
        .iter()
        .filter(|p| p["metadata"]["labels"]["app"] == "web" && p["spec"]["nodeName"] == node.as_str());
    assert_eq!(web.count(), 2, "ordinary pods stay");
    assert_eq!(stage.evictions(), 1);
}

/// A budget allows nothing until somebody mends it: the drain says so, and then goes one pod at a time.
pub async fn a_budget_refuses_and_recovers(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.cordon(&stage.node_name(2), true).await;
    stage.web(3, "maxUnavailable: 0").await;
    let node = stage.node_name(1);
    let report = stage.drain(&node, DrainOptions::default(), Duration::from_secs(8)).await;
    let text = failure(&report, &node);
    assert!(
        text.contains(&format!("budget {}/web", stage.name)) && text.contains("maxUnavailable 0"),
        "{text}"
    );
    assert!(text.contains("waiting will not help"), "{text}");
    stage.cordon(&stage.node_name(2), false).await;
    let one = serde_json::json!({"spec": {"maxUnavailable": 1}});
    stage.patch("policy/v1", "PodDisruptionBudget", "web", one).await;
    let report = stage.drain(&node, DrainOptions::default(), 5 * MINUTE).await;
    assert_eq!(report.drained, [node], "{report:?}");
}
