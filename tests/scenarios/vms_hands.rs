//! Hands for the scenarios about KubeVirt itself: evictions, subresources and migrations, with the answers as they are.

use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};

use super::Stage;

const MIGRATION: &str = "VirtualMachineInstanceMigration";

/// What an API server said to a write: code, message and reason; (201, "", "") if it was done.
pub type Answer = (u16, String, String);

fn answer<T>(result: Result<T, kube::Error>) -> Answer {
    match result {
        Ok(_) => (201, String::new(), String::new()),
        Err(kube::Error::Api(status)) => (status.code, status.message.clone(), status.reason.clone()),
        Err(error) => panic!("{error}"),
    }
}

/// Launcher pods of a VMI that have not ended.
pub async fn launchers(stage: &Stage, vmi: &str) -> Vec<Value> {
    let mut pods = stage.list("v1", "Pod").await;
    let ended = |p: &Value| matches!(p["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    pods.retain(|p| p["metadata"]["labels"]["vm.kubevirt.io/name"] == vmi && !ended(p));
    pods
}

/// The name of a VMI's only launcher.
pub async fn launcher(stage: &Stage, vmi: &str) -> String {
    let pods = launchers(stage, vmi).await;
    assert_eq!(pods.len(), 1, "{vmi}");
    pods[0]["metadata"]["name"].as_str().expect("a name").to_owned()
}

/// Evicts a pod.
pub async fn evict(stage: &Stage, pod: &str, dry_run: bool) -> Answer {
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(stage.client.clone(), &stage.name);
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": stage.name},
    });
    let params = PostParams { dry_run, ..PostParams::default() };
    answer(pods.create_subresource::<Value, Value>("eviction", pod, &params, &eviction).await)
}

/// Asks for a migration of a VMI; `spec` is more of its spec.
pub async fn migrate(stage: &Stage, name: &str, vmi: &str, spec: Value) -> Answer {
    let mut object = json!({
        "apiVersion": "kubevirt.io/v1", "kind": MIGRATION,
        "metadata": {"name": name, "namespace": stage.name}, "spec": spec,
    });
    object["spec"]["vmiName"] = json!(vmi);
    let object: DynamicObject = serde_json::from_value(object).expect("an object");
    answer(stage.api("kubevirt.io/v1", MIGRATION).create(&PostParams::default(), &object).await)
}

/// A migration; null if it isn't there.
pub async fn migration(stage: &Stage, name: &str) -> Value {
    stage.get("kubevirt.io/v1", MIGRATION, name).await
}

/// All migrations of the scenario.
pub async fn migrations(stage: &Stage) -> Vec<Value> {
    stage.list("kubevirt.io/v1", MIGRATION).await
}

/// Waits until a migration is in a phase.
pub async fn in_phase(stage: &Stage, name: &str, phase: &str) {
    let what = format!("migration {name} is {phase}");
    stage.until(&what, async |s: &Stage| migration(s, name).await["status"]["phase"] == phase).await;
}

/// Deletes an object.
pub async fn delete(stage: &Stage, kind: &str, name: &str) {
    stage.api("kubevirt.io/v1", kind).delete(name, &Default::default()).await.expect("deleted");
}

/// PUTs to a subresource: code and message.
pub async fn act(stage: &Stage, plural: &str, name: &str, action: &str, body: &Value) -> (u16, String) {
    let path =
        format!("/apis/subresources.kubevirt.io/v1/namespaces/{}/{plural}/{name}/{action}", stage.name);
    let request = http::Request::put(path).header("content-type", "application/json");
    let request = request.body(kube::client::Body::from(body.to_string().into_bytes())).expect("a request");
    let answer = stage.client.send(request).await.expect("answered");
    let code = answer.status().as_u16();
    let body = answer.into_body().collect_bytes().await.expect("a body");
    let status: Value = serde_json::from_slice(&body).unwrap_or_default();
    (code, status["message"].as_str().unwrap_or_default().to_owned())
}

/// A VMI's migration state.
pub async fn state(stage: &Stage, vmi: &str) -> Value {
    stage.vmi(vmi).await["status"]["migrationState"].clone()
}

/// A change of a node that means nothing but wakes who watches it.
pub async fn touch(stage: &Stage, node: &str, value: &str) {
    stage.patch("v1", "Node", node, json!({"metadata": {"annotations": {"touched": value}}})).await;
}

/// What the webhook's refusal of an eviction begins with.
pub fn denied(words: &str) -> Answer {
    let webhook = "virt-launcher-eviction-interceptor.kubevirt.io";
    (429, format!("admission webhook {webhook:?} denied the request: {words}"), String::new())
}

/// The first refusal of an eviction that moves a VMI.
pub fn evacuates(stage: &Stage, vmi: &str) -> String {
    format!("Eviction triggered evacuation of VMI \"{}/{vmi}\"", stage.name)
}
