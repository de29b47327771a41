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
    ("kubevirt.io", "v1", "VirtualMachineInstanceMigration", "virtualmachineinstancemigrations", false),
    ("migrations.kubevirt.io", "v1alpha1", "MigrationPolicy", "migrationpolicies", false),
    ("", "v1", "Pod", "pods", true),
    ("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", true),
    // What is begun, a rehearsal goes on with, as the run would.
    ("virtroll.dev", "v1alpha1", "MaintenanceCampaign", "maintenancecampaigns", false),
];

/// Groups of which the definitions are taken.
const DEFINED: [&str; 3] = ["kubevirt.io", "migrations.kubevirt.io", "virtroll.dev"];

/// Reads everything that a rehearsal needs. No Secrets and no ConfigMaps are asked for; environment values and user data
/// of cloud-init are dropped on arrival. Of definitions only KubeVirt's and virtroll's own are taken.
///
/// # Errors
/// The first kind that may not be listed.
pub async fn capture(client: &Client) -> Result<Vec<Value>, Error> {
    let groups =
        client.list_api_groups().await.map_err(|e| Error::of("discover the cluster's API groups", e))?;
    let serves = |group: &str| groups.groups.iter().any(|g| g.name == group);
    let mut objects = Vec::new();
    for &(group, version, kind, plural, always) in KINDS {
        let defines = kind == "CustomResourceDefinition" && DEFINED.into_iter().any(serves);
        if !(always || defines || DEFINED.contains(&group) && serves(group)) {
            continue;
        }
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let (group, version, kind, plural) = (group.into(), version.into(), kind.into(), plural.into());
        let resource = ApiResource { group, version, api_version, kind, plural };
        list(client, &resource, &mut objects).await?;
    }
    Ok(objects)
}

async fn list(client: &Client, resource: &ApiResource, objects: &mut Vec<Value>) -> Result<(), Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let mut params = ListParams::default().limit(500);
    loop {
        let listed = api.list(&params).await;
        let page = listed.map_err(|e| Error::of(&format!("list {}", resource.plural), e))?;
        for object in page.items {
            let mut value = serde_json::to_value(object).unwrap_or_default();
            value["apiVersion"] = resource.api_version.clone().into();
            value["kind"] = resource.kind.clone().into();
            if matters(&value) {
                strip(&mut value);
                objects.push(value);
            }
        }
        match page.metadata.continue_.filter(|c| !c.is_empty()) {
            Some(next) => params.continue_token = Some(next),
            None => return Ok(()),
        }
    }
}

/// Definitions of other kinds and migrations that are over decide nothing.
fn matters(object: &Value) -> bool {
    match object["kind"].as_str() {
        Some("CustomResourceDefinition") => {
            object["spec"]["group"].as_str().is_some_and(|group| DEFINED.contains(&group))
        }
        Some("VirtualMachineInstanceMigration") => {
            !matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
        }
        _ => true,
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unfinished_migrations_and_policies_are_captured() {
        let migration =
            |phase: &str| json!({"kind": "VirtualMachineInstanceMigration", "status": {"phase": phase}});
        for (phase, expected) in [
            ("Pending", true),
            ("Scheduling", true),
            ("Running", true),
            ("Succeeded", false),
            ("Failed", false),
        ] {
            assert_eq!(matters(&migration(phase)), expected, "{phase}");
        }
        assert!(matters(&json!({"kind": "VirtualMachineInstanceMigration"})), "just created");
        let definition = |group: &str| json!({"kind": "CustomResourceDefinition", "spec": {"group": group}});
        assert!(matters(&definition("migrations.kubevirt.io")) && matters(&definition("kubevirt.io")));
        assert!(matters(&definition("virtroll.dev")));
        assert!(!matters(&definition("cdi.kubevirt.io")));
        let asked: Vec<&str> = KINDS.iter().map(|(_, _, kind, _, _)| *kind).collect();
        assert!(asked.contains(&"MigrationPolicy") && asked.contains(&"VirtualMachineInstanceMigration"));
    }
}
