//! What differs between KubeVirt's releases, and what stands still while virt-api is down. Each has a cluster to itself.

use kube::api::{Api, DynamicObject, Patch};
use serde_json::{Value, json};
use virtroll::sim::kubevirt::{Version, webhook_configuration};

use super::Stage;
use super::vms_hands::{act, denied, evacuates, evict, launcher, launchers, migrate, migrations};

const MOVES: &str = "evictionStrategy: LiveMigrate";

fn kubevirt(stage: &Stage) -> Api<DynamicObject> {
    let resource = kube::api::ApiResource {
        group: "kubevirt.io".into(),
        version: "v1".into(),
        api_version: "kubevirt.io/v1".into(),
        kind: "KubeVirt".into(),
        plural: "kubevirts".into(),
    };
    Api::namespaced_with(stage.client.clone(), "kubevirt", &resource)
}

/// Makes the cluster's KubeVirt this release.
async fn release(stage: &Stage, minor: u32) {
    let status = json!({"status": {"observedKubeVirtVersion": format!("v1.{minor}.0")}});
    let patched = kubevirt(stage).patch_status("kubevirt", &Default::default(), &Patch::Merge(status)).await;
    patched.expect("patched");
    if stage.real {
        let configurations = stage.api("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration");
        let old = configurations.get("virt-api-validator").await.expect("there");
        let client = &old.data["webhooks"][0]["clientConfig"];
        let url = client["url"].as_str().expect("a URL").trim_end_matches("/pod-eviction-validate");
        let mut new =
            webhook_configuration(url, client["caBundle"].as_str().expect("a CA"), Version::minor(minor));
        new["metadata"]["resourceVersion"] = json!(old.metadata.resource_version);
        let new: DynamicObject = serde_json::from_value(new).expect("an object");
        configurations.replace("virt-api-validator", &Default::default(), &new).await.expect("replaced");
    }
    // Until all have heard of it.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
}

/// The budgets that KubeVirt made in the scenario's namespace: name and `minAvailable`.
async fn budgets(stage: &Stage) -> Vec<Value> {
    let all = stage.list("policy/v1", "PodDisruptionBudget").await;
    all.into_iter()
        .filter(|b| b["metadata"]["name"].as_str().is_some_and(|n| n.starts_with("kubevirt-")))
        .collect()
}

const BUDGET: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

fn by_budget() -> (u16, String, String) {
    (429, BUDGET.to_owned(), "TooManyRequests".to_owned())
}

/// The first eviction, the second, and one of the target; with budgets, the one of the VMI raised while it migrates.
async fn plays(stage: &mut Stage, minor: u32) {
    release(stage, minor).await;
    stage.nodes(2).await;
    stage.cordon(&stage.node_name(2), true).await;
    stage.vm("g", "Always", MOVES, "sim.virtroll.dev/migration-takes: 12s").await;
    stage.running(1).await;
    stage.cordon(&stage.node_name(2), false).await;
    let has_budgets = minor <= 5;
    let least = async |s: &Stage| budgets(s).await.first().map(|b| b["spec"]["minAvailable"].clone());
    if has_budgets {
        stage
            .until("its budget is counted", async |s: &Stage| {
                budgets(s).await.first().is_some_and(|b| b["status"]["currentHealthy"] == 1)
            })
            .await;
        assert_eq!(least(stage).await, Some(json!(1)));
    } else {
        assert!(budgets(stage).await.is_empty());
    }
    let words = evacuates(stage, "g");
    let source = launcher(stage, "g").await;
    let first = evict(stage, &source, false).await;
    assert_eq!(first, if minor < 3 { by_budget() } else { denied(&words) }, "1.{minor}");
    assert_eq!(
        stage.vmi("g").await["status"]["evacuationNodeName"],
        stage.node_name(1),
        "marked all the same"
    );
    let second = evict(stage, &source, false).await;
    let later = denied(&format!("Evacuation in progress: {words}"));
    assert_eq!(second, if minor < 5 { by_budget() } else { later }, "1.{minor}");
    stage.until("the target is there", async |s: &Stage| launchers(s, "g").await.len() == 2).await;
    if has_budgets {
        stage.until("the budget is raised", async |s: &Stage| least(s).await == Some(json!(2))).await;
        let raised = budgets(stage).await.remove(0);
        let migration = migrations(stage).await[0]["metadata"]["name"].clone();
        assert_eq!(raised["metadata"]["labels"]["kubevirt.io/migrationName"], migration);
    }
    let ranks = minor >= 9;
    let priority = migrations(stage).await[0]["spec"]["priority"].clone();
    assert_eq!(priority == "system-critical", ranks, "1.{minor}: {priority}");
    let cancel = act(
        stage,
        "virtualmachines",
        "g",
        "evacuate/cancel",
        &json!({"evacuationNodeName": stage.node_name(1)}),
    )
    .await;
    assert_eq!(cancel.0, if minor >= 7 { 200 } else { 404 }, "1.{minor}: {}", cancel.1);
    let second_node = json!(stage.node_name(2));
    stage
        .until("the guest has moved", async |s: &Stage| s.vmi("g").await["status"]["nodeName"] == second_node)
        .await;
    if has_budgets {
        stage.until("the budget is as before", async |s: &Stage| least(s).await == Some(json!(1))).await;
    }
}

/// 1.0: a budget guards each VMI, and says all that is said.
pub async fn kubevirt_1_0_answers_by_its_budgets(stage: &mut Stage) {
    plays(stage, 0).await;
}

/// 1.4: the first eviction is answered in words, the others by the budget.
pub async fn kubevirt_1_4_answers_in_words_once(stage: &mut Stage) {
    plays(stage, 4).await;
}

/// 1.6: no budgets any more, words alone.
pub async fn kubevirt_1_6_answers_in_words_alone(stage: &mut Stage) {
    plays(stage, 6).await;
}

/// 1.9: priorities, and evacuations that can be cancelled.
pub async fn kubevirt_1_9_has_priorities(stage: &mut Stage) {
    plays(stage, 9).await;
}

/// While virt-api is down launchers stay, other pods go, nothing of KubeVirt's is written and no guest's end is seen; then all go
/// on.
pub async fn nothing_moves_while_virt_api_is_down(stage: &mut Stage) {
    release(stage, 9).await;
    stage.nodes(2).await;
    stage.cordon(&stage.node_name(2), true).await;
    stage.vm("moves", "Always", MOVES, "sim.virtroll.dev/migration-takes: 20s").await;
    stage.vm("stops", "Always", "", "").await;
    stage
        .create(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: other}\n\
             spec: {nodeSelector: {scenario: NAME}, containers: [{name: c, image: c}]}\n",
        )
        .await;
    stage.running(2).await;
    stage.cordon(&stage.node_name(2), false).await;
    let before = stage.vmi("stops").await["metadata"]["uid"].clone();
    let pod = launcher(stage, "moves").await;
    assert_eq!(evict(stage, &pod, false).await.0, 429);
    let runs = async |s: &Stage| migrations(s).await.iter().any(|m| m["status"]["phase"] == "Running");
    stage.until("the migration runs", runs).await;
    let stops = launcher(stage, "stops").await;
    assert_eq!(evict(stage, &stops, false).await.0, 201);
    let say = async |stage: &Stage, value: Value| {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"sim.virtroll.dev/virt-api": value}}}));
        kubevirt(stage).patch("kubevirt", &Default::default(), &patch).await.expect("patched");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    };
    say(stage, json!("down")).await;
    let (code, message, reason) = evict(stage, &pod, false).await;
    let webhook = "virt-launcher-eviction-interceptor.kubevirt.io";
    let words =
        format!("Internal error occurred: failed calling webhook {webhook:?}: failed to call webhook: Post ");
    assert!(
        code == 500 && reason == "InternalError" && message.starts_with(&words),
        "{code} {reason} {message}"
    );
    assert_eq!(evict(stage, "other", false).await.0, 201);
    assert_eq!(act(stage, "virtualmachines", "moves", "evacuate/cancel", &json!({})).await.0, 503);
    assert_eq!(migrate(stage, "m", "moves", json!({})).await.0, 500);
    for kind in ["VirtualMachine", "VirtualMachineInstance"] {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
        let refused = stage.api("kubevirt.io/v1", kind).patch("moves", &Default::default(), &patch).await;
        assert!(
            matches!(&refused, Err(kube::Error::Api(status)) if status.code == 500),
            "{kind}: {refused:?}"
        );
    }
    tokio::time::sleep(std::time::Duration::from_secs(if stage.real { 10 } else { 60 })).await;
    assert_eq!(migrations(stage).await[0]["status"]["phase"], "Running");
    let stopping = stage.vmi("stops").await;
    assert_eq!((&stopping["metadata"]["uid"], &stopping["status"]["phase"]), (&before, &json!("Running")));
    say(stage, Value::Null).await;
    let second = json!(stage.node_name(2));
    stage
        .until("the guest has moved", async |s: &Stage| s.vmi("moves").await["status"]["nodeName"] == second)
        .await;
    stage
        .until("the VM has started again", async |s: &Stage| {
            let vmi = s.vmi("stops").await;
            vmi["status"]["phase"] == "Running" && vmi["metadata"]["uid"] != before
        })
        .await;
}
