//! Validating webhooks: asked before a write, without the store's lock.

use http::Method;

use super::route::Route;
use super::service::Call;
use crate::sim::extension::{Extension, Webhook};
use crate::sim::json::{Value, json};
use crate::sim::store::Refusal;

/// What a request would do, as webhooks are asked about it: resource (with its subresource, but for `status`) and operation.
pub(super) fn operation(call: &Call, route: &Route) -> Option<(String, &'static str)> {
    let resource = match route.subresource.as_deref() {
        None | Some("status") => route.resource.name.clone(),
        Some(other) => format!("{}/{other}", route.resource.name),
    };
    match call.method {
        Method::POST => Some((resource, "CREATE")),
        Method::PUT | Method::PATCH => Some((resource, "UPDATE")),
        _ => None,
    }
}

/// The review that a webhook is sent.
pub(super) fn review(call: &Call, route: &Route, operation: &str, object: &Value) -> Value {
    let resource = &route.resource;
    let name = route.name.clone().or_else(|| object["metadata"]["name"].as_str().map(str::to_owned));
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "embedded", "operation": operation, "name": name, "namespace": route.namespace,
            "kind": {"group": resource.group, "version": resource.version, "kind": object["kind"]},
            "resource": {"group": resource.group, "version": resource.version, "resource": resource.plural},
            "subResource": route.subresource, "object": object, "dryRun": call.is_dry_run(),
        },
    })
}

/// Asks one webhook.
pub(super) async fn ask(extension: &dyn Extension, webhook: &Webhook, review: Value) -> Result<(), Refusal> {
    match extension.admit(review).await {
        Ok(answer) => admitted(&webhook.name, &answer["response"]),
        Err(why) if webhook.fail_closed => Err(webhook_down(&webhook.name, &why)),
        Err(_) => Ok(()),
    }
}

fn admitted(webhook: &str, response: &Value) -> Result<(), Refusal> {
    if response["allowed"] == true {
        return Ok(());
    }
    let status = &response["status"];
    let code = status["code"].as_u64().and_then(|c| u16::try_from(c).ok()).unwrap_or(403);
    let why = status["message"].as_str().unwrap_or("denied without a reason");
    let reason = status["reason"].as_str().unwrap_or_default();
    let mut refusal =
        Refusal::new(code, reason, format!("admission webhook {webhook:?} denied the request: {why}"));
    // What the webhook says of fields is passed on.
    refusal.details = Some(status["details"].clone()).filter(|d| !d.is_null());
    Err(refusal)
}

fn webhook_down(webhook: &str, why: &str) -> Refusal {
    let cause = format!("failed calling webhook {webhook:?}: failed to call webhook: {why}");
    let mut refusal = Refusal::new(500, "InternalError", format!("Internal error occurred: {cause}"));
    refusal.details = Some(json!({"causes": [{"message": cause}]}));
    refusal
}
