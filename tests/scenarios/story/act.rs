//! The steps of a story that change something.

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, PropagationPolicy};
use serde_json::{Value, json};

use super::play::Stand;
use super::target::Target;
use super::{DeleteStep, NodeSpec, Step};

/// What is wrong with a step as it is written.
pub fn mistakes(step: &Step) -> Vec<String> {
    let target = |of: &str| Target::read(of).err().into_iter().collect::<Vec<_>>();
    match step {
        Step::Create(manifests) => manifests.iter().filter_map(super::target::mistake).collect(),
        Step::Patch(patch) => target(&patch.of),
        Step::Scale(scale) => target(&scale.of),
        Step::Delete(delete) => target(&delete.of),
        Step::Evict(of) => target(of),
        Step::Refused(refused) => mistakes(&refused.step),
        Step::Expect(expect) => expect.that.iter().filter_map(super::Check::mistake).collect(),
        Step::Stays(stays) => stays.that.iter().filter_map(super::Check::mistake).collect(),
        Step::During(during) => {
            let always = during.always.iter().filter_map(super::Check::mistake);
            always.chain(during.steps.iter().flat_map(mistakes)).collect()
        }
        Step::Happened(happened) if happened.in_order.is_empty() => {
            vec!["happened: nothing in inOrder".to_owned()]
        }
        Step::Report(report) if !matches!(report.ready.as_str(), "True" | "False") => {
            vec![format!("report: ready is 'True' or 'False', not {:?}", report.ready)]
        }
        _ => Vec::new(),
    }
}

/// Takes a step; the API server's refusal is an error.
pub async fn act(stand: &mut Stand, step: &Step) -> Result<(), kube::Error> {
    match step {
        Step::Create(manifests) => {
            for manifest in manifests {
                create(stand, manifest).await?;
            }
        }
        Step::Patch(patch) => {
            let (target, name) = stand.named(&patch.of).await;
            let api = target.api(&stand.client, &stand.name);
            let with = Patch::Merge(&patch.with);
            match patch.subresource.as_deref() {
                Some("status") => api.patch_status(&name, &PatchParams::default(), &with).await?,
                Some(other) => panic!("subresource {other}"),
                None => api.patch(&name, &PatchParams::default(), &with).await?,
            };
        }
        Step::Scale(scale) => {
            let (target, name) = stand.named(&scale.of).await;
            let api = target.api(&stand.client, &stand.name);
            let patch = json!({"spec": {"replicas": scale.to}});
            api.patch_scale(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        }
        Step::Delete(step) => delete(stand, step).await?,
        Step::Evict(of) => {
            let (target, name) = stand.named(of).await;
            let api = target.api(&stand.client, &stand.name);
            let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
            let params = PostParams::default();
            api.create_subresource::<Value, Value>("eviction", &name, &params, &eviction).await?;
        }
        Step::Cordon(node) => spec(stand, node, json!({"unschedulable": true})).await?,
        Step::Uncordon(node) => spec(stand, node, json!({"unschedulable": null})).await?,
        Step::Join(node) => join(stand, node).await?,
        Step::Report(report) => ready(stand, &report.node, &report.ready).await?,
        other => panic!("{other:?} changes nothing"),
    }
    Ok(())
}

async fn spec(stand: &Stand, node: &str, spec: Value) -> Result<(), kube::Error> {
    let nodes = Target::read("node").expect("known").api(&stand.client, "");
    nodes.patch(node, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.map(|_| ())
}

/// A node's condition Ready, as its kubelet would write it.
async fn ready(stand: &Stand, node: &str, status: &str) -> Result<(), kube::Error> {
    let nodes = Target::read("node").expect("known").api(&stand.client, "");
    let now = nodes.get(node).await?;
    let mut conditions = now.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|c| c["type"] != "Ready");
    let time = stand.now();
    conditions.push(json!({
        "type": "Ready", "status": status, "reason": "Reported", "message": "as the story says",
        "lastHeartbeatTime": time, "lastTransitionTime": time,
    }));
    let patch = json!({"status": {"conditions": conditions}});
    nodes.patch_status(node, &PatchParams::default(), &Patch::Merge(patch)).await.map(|_| ())
}

async fn delete(stand: &Stand, step: &DeleteStep) -> Result<(), kube::Error> {
    let (target, name) = stand.named(&step.of).await;
    let propagation_policy = step.propagation.as_deref().map(|p| match p {
        "Foreground" => PropagationPolicy::Foreground,
        "Orphan" => PropagationPolicy::Orphan,
        _ => PropagationPolicy::Background,
    });
    let params =
        DeleteParams { grace_period_seconds: step.grace, propagation_policy, ..DeleteParams::default() };
    target.api(&stand.client, &stand.name).delete(&name, &params).await.map(|_| ())
}

/// Creates an object in the story's namespace, its pods kept to the story's nodes.
pub async fn create(stand: &Stand, manifest: &Value) -> Result<(), kube::Error> {
    let target = Target::of(manifest).expect("checked before");
    let mut manifest = manifest.clone();
    if target.is_namespaced() && target.namespace.is_none() {
        manifest["metadata"]["namespace"] = json!(stand.name);
    }
    for path in ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"] {
        let pod = manifest.pointer_mut(path).filter(|spec| spec["containers"].is_array());
        if let Some(pod) = pod.filter(|spec| spec["nodeName"].is_null()) {
            pod["nodeSelector"]["scenario"] = json!(stand.name);
        }
    }
    let object: DynamicObject = serde_json::from_value(manifest).expect("an object");
    target.api(&stand.client, &stand.name).create(&PostParams::default(), &object).await.map(|_| ())
}

/// Another node joins: `NAME-1`, `NAME-2` …
pub async fn join(stand: &mut Stand, node: &NodeSpec) -> Result<(), kube::Error> {
    stand.nodes += 1;
    let name = format!("{}-{}", stand.name, stand.nodes);
    let mut labels = json!({
        "scenario": stand.name, "kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
        "topology.kubernetes.io/zone": format!("z{}", stand.nodes % 2),
    });
    let mut resources = json!({"cpu": "64", "memory": "256Gi", "pods": "250"});
    for (key, value) in &node.labels {
        labels[key] = value.clone();
    }
    for (key, value) in &node.allocatable {
        resources[key] = value.clone();
    }
    let manifest = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": node.annotations},
        "spec": {"taints": node.taints},
        "status": {"capacity": resources, "allocatable": resources, "nodeInfo": {
            "bootID": name, "architecture": "amd64", "operatingSystem": "linux", "osImage": "x", "machineID": "x",
            "systemUUID": "x", "containerRuntimeVersion": "x", "kubeletVersion": "v1.36.3", "kubeProxyVersion": "x",
            "kernelVersion": "6.9.7",
        }},
    });
    create(stand, &manifest).await?;
    stand.until_ready(&name).await;
    Ok(())
}
