//! `waitFor`: a condition or a value of any object; watched, not polled.

use std::fmt::Debug;

use futures::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject, WatchEvent, WatchParams};
use kube::discovery;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Context;
use super::patiently::patiently;
use crate::plan::v1alpha1::WaitForHook;

/// Waits until the object is there and satisfies the hook.
pub(super) async fn run(context: &Context, hook: &WaitForHook) -> Result<(), String> {
    let api_version = hook.api_version.as_deref().unwrap_or("v1");
    let kind = hook.kind.as_deref().unwrap_or("Node");
    let name = hook.name.as_deref().map(|n| context.expand(n)).or_else(|| context.node().map(str::to_owned));
    let name = name.ok_or("waitFor needs a name outside of node points")?;
    let resource = resolve(context, api_version, kind).await?;
    let client = context.client.clone();
    let api: Api<DynamicObject> = match &hook.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    if let Some(condition) = &hook.condition {
        let (kind, value) = condition.split_once('=').unwrap_or((condition, "True"));
        until(&api, &name, |object| has_condition(object, kind, value)).await?;
        return Ok(());
    }
    let path = hook.json_path.as_deref().unwrap_or_default();
    let path = crate::plan::json_path::parse(path)?;
    until(&api, &name, |object| has_value(object, &path, hook.value.as_deref())).await?;
    Ok(())
}

async fn resolve(context: &Context, api_version: &str, kind: &str) -> Result<ApiResource, String> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = kube::core::GroupVersionKind::gvk(group, version, kind);
    let found = patiently(context, || discovery::pinned_kind(&context.client, &kind)).await;
    found
        .map(|(resource, _)| resource)
        .map_err(|e| format!("the cluster does not serve {} {}: {e}", api_version, kind.kind))
}

fn has_condition(object: &Value, kind: &str, value: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .filter(|c| c["type"].as_str().is_some_and(|t| t.eq_ignore_ascii_case(kind)))
        .any(|c| c["status"].as_str().is_some_and(|s| s.eq_ignore_ascii_case(value)))
}

fn has_value(object: &Value, path: &serde_json_path::JsonPath, wanted: Option<&str>) -> bool {
    let found = path.query(object).all();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match wanted {
        Some(wanted) => found.iter().any(|v| text(v) == wanted),
        None => found.iter().any(|v| !v.is_null()),
    }
}

/// Looks until an object is gone.
pub(super) async fn until_gone<K>(api: &Api<K>, name: &str)
where
    K: Clone + DeserializeOwned + Debug,
{
    while !matches!(api.get_opt(name).await, Ok(None)) {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// Watches one object until the predicate holds; gives the object.
pub(super) async fn until<K>(
    api: &Api<K>,
    name: &str,
    holds: impl Fn(&Value) -> bool,
) -> Result<Value, String>
where
    K: Clone + DeserializeOwned + Serialize + Debug + kube::Resource,
{
    let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(290);
    loop {
        // From "0": the watch begins with the object as it is.
        let stream = match api.watch(&params, "0").await {
            Ok(stream) => stream,
            Err(kube::Error::Api(status)) if status.code == 403 || status.code == 404 => {
                return Err(status.message.clone());
            }
            Err(_) => {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                continue;
            }
        };
        let mut stream = std::pin::pin!(stream);
        while let Some(Ok(event)) = stream.next().await {
            if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event {
                let value = serde_json::to_value(&object).unwrap_or_default();
                if holds(&value) {
                    return Ok(value);
                }
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
