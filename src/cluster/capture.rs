//! Capturing: a live cluster's objects, for a rehearsal on the embedded one. Reads only.

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use serde_json::Value;

use super::Error;

/// Group, version, kind, plural; whether every cluster has it.
const KINDS: &[(&str, &str, &str, &str, bool)] = &[
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false),
    ("", "v1", "Namespace", "namespaces", true),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", true),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", true),
    ("", "v1", "Node", "nodes", true),
    ("", "v1", "PersistentVolume", "persistentvolumes", true),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("", "v1", "ReplicationController", "replicationcontrollers", true),
    ("apps", "v1", "Deployment", "deployments", true),
    ("apps", "v1", "ReplicaSet", "replicasets", true),
    ("apps", "v1", "StatefulSet", "statefulsets", true),
    ("apps", "v1", "DaemonSet", "daemonsets", true),
    ("batch", "v1", "Job", "jobs", true),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    ("kubevirt.io", "v1", "KubeVirt", "kubevirts", false),
    ("kubevirt.io", "v1", "VirtualMachine", "virtualmachines", false),
    ("kubevirt.io", "v1", "VirtualMachineInstance", "virtualmachineinstances", false),
    ("kubevirt.io", "v1", "VirtualMachineInstanceReplicaSet", "virtualmachineinstancereplicasets", false),
    ("", "v1", "Pod", "pods", true),
    ("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", true),
];

/// Reads everything that a rehearsal needs. No Secrets and no ConfigMaps are asked for; environment values and user data
/// of cloud-init are dropped on arrival. Only definitions of KubeVirt's kinds are taken.
///
/// # Errors
/// The first kind that may not be listed.
pub async fn capture(client: &Client) -> Result<Vec<Value>, Error> {
    let groups =
        client.list_api_groups().await.map_err(|e| Error::of("discover the cluster's API groups", e))?;
    let has_kubevirt = groups.groups.iter().any(|g| g.name == "kubevirt.io");
    let mut objects = Vec::new();
    for &(group, version, kind, plural, always) in KINDS {
        if !always && !has_kubevirt {
            continue;
        }
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let resource = ApiResource {
            group: group.into(),
            version: version.into(),
            api_version: api_version.clone(),
            kind: kind.into(),
            plural: plural.into(),
        };
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let mut params = ListParams::default().limit(500);
        loop {
            let page = api.list(&params).await.map_err(|e| Error::of(&format!("list {plural}"), e))?;
            for object in page.items {
                let mut value = serde_json::to_value(object).unwrap_or_default();
                value["apiVersion"] = api_version.clone().into();
                value["kind"] = kind.into();
                if kind == "CustomResourceDefinition" && value["spec"]["group"] != "kubevirt.io" {
                    continue;
                }
                strip(&mut value);
                objects.push(value);
            }
            match page.metadata.continue_.filter(|c| !c.is_empty()) {
                Some(next) => params.continue_token = Some(next),
                None => break,
            }
        }
    }
    Ok(objects)
}

/// Drops what a rehearsal doesn't need and what must not leave the cluster.
fn strip(object: &mut Value) {
    const MANIFESTS: [&str; 2] =
        ["kubectl.kubernetes.io/last-applied-configuration", "kubevirt.io/latest-observed-api-version"];
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|key, _| !MANIFESTS.contains(&key.as_str()));
        }
    }
    scrub(object);
}

fn scrub(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(env) = fields.get_mut("env").and_then(Value::as_array_mut) {
                env.clear();
            }
            for (name, value) in fields.iter_mut() {
                if name.starts_with("userData") || name.starts_with("networkData") {
                    *value = Value::Null;
                } else {
                    scrub(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(scrub),
        _ => {}
    }
}
