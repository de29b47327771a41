//! `reboot`: done when the bootID has changed and the node is Ready again.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::job::{pin, seconds};
use super::patiently::patiently;
use super::wait_for::until;
use super::{Context, TIDYING};
use crate::plan::v1alpha1::{RebootBy, RebootHook};
use crate::reconcile::REBOOT_ANNOTATION;

const IMAGE: &str = "busybox:1.37";
const NAMESPACE: &str = "kube-system";
const COMMAND: [&str; 9] =
    ["nsenter", "--target=1", "--pid", "--mount", "--uts", "--ipc", "--net", "--", "systemctl reboot"];

/// Asks for the reboot, unless it has happened already, and waits for the node.
pub(super) async fn run(context: &Context, hook: &RebootHook) -> Result<(), String> {
    let node = context.node().ok_or("reboot works at node points only")?.to_owned();
    let nodes: Api<Node> = Api::all(context.client.clone());
    let boot_id = |node: &Value| node["status"]["nodeInfo"]["bootID"].as_str().unwrap_or_default().to_owned();
    let current = patiently(context, || nodes.get(&node)).await;
    let current = current.map_err(|e| format!("can't read node {node}: {e}"))?;
    let current = boot_id(&serde_json::to_value(&current).unwrap_or_default());
    if current == context.boot_id {
        if let Some(expected) = context.hook.expected.filter(|_| context.play) {
            annotate(context, &nodes, &node, "sim.virtroll.dev/reboots-in", json!(seconds(expected))).await?;
        }
        match hook.by {
            RebootBy::Pod => by_pod(context, hook, &node).await?,
            RebootBy::Annotation => {
                annotate(context, &nodes, &node, REBOOT_ANNOTATION, json!(context.boot_id)).await?;
            }
        }
    }
    let back = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        let mut ready = conditions.filter(|c| c["type"] == "Ready");
        boot_id(object) != context.boot_id && ready.any(|c| c["status"] == "True")
    };
    until(&nodes, &node, back).await?;
    // The node has rebooted; what is left to tidy doesn't change that.
    match tokio::time::timeout(TIDYING, stop(context, hook)).await {
        Ok(Ok(())) => {}
        Ok(Err(left)) => tracing::warn!(hook = context.hook.name, "{left}"),
        Err(_) => tracing::warn!(hook = context.hook.name, "what asked for the reboot could not be removed"),
    }
    Ok(())
}

/// Takes back the request for a reboot, and the pod that was to carry it out.
pub(super) async fn stop(context: &Context, hook: &RebootHook) -> Result<(), String> {
    let nodes: Api<Node> = Api::all(context.client.clone());
    match (hook.by, context.node()) {
        (RebootBy::Annotation, Some(node)) => {
            annotate(context, &nodes, node, REBOOT_ANNOTATION, Value::Null).await
        }
        (RebootBy::Annotation, None) => Ok(()),
        (RebootBy::Pod, _) => remove_pod(context, hook).await,
    }
}

async fn annotate(
    context: &Context,
    nodes: &Api<Node>,
    node: &str,
    key: &str,
    value: Value,
) -> Result<(), String> {
    let body = json!({"metadata": {"annotations": {key: value}}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&body));
    let patched = patiently(context, || nodes.patch(node, &params, &patch)).await;
    patched.map(drop).map_err(|e| format!("can't annotate node {node}: {e}"))
}

async fn by_pod(context: &Context, hook: &RebootHook, node: &str) -> Result<(), String> {
    let namespace = hook.namespace.as_deref().unwrap_or(NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let command: Vec<String> = if hook.command.is_empty() {
        // The last word is split: systemctl gets `reboot` as its argument.
        COMMAND.iter().flat_map(|word| word.split(' ')).map(str::to_owned).collect()
    } else {
        hook.command.clone()
    };
    let mut spec = json!({
        "restartPolicy": "Never", "hostPID": true, "terminationGracePeriodSeconds": 0,
        "containers": [{
            "name": "reboot", "image": hook.image.as_deref().unwrap_or(IMAGE), "command": command,
            "securityContext": {"privileged": true},
        }],
    });
    pin(&mut spec, node);
    let name = context.object_name();
    let labels = json!({"app.kubernetes.io/managed-by": "virtroll", "virtroll.dev/hook": context.hook.name});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec});
    let pod: Pod = serde_json::from_value(pod).map_err(|e| e.to_string())?;
    match patiently(context, || async { pods.create(&PostParams::default(), &pod).await }).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(format!("can't create pod {namespace}/{name}: {error}")),
    }
}

async fn remove_pod(context: &Context, hook: &RebootHook) -> Result<(), String> {
    let namespace = hook.namespace.as_deref().unwrap_or(NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let name = context.object_name();
    match patiently(context, || async { pods.delete(&name, &DeleteParams::default()).await }).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(format!("can't remove the reboot pod: {error}")),
    }
}
