//! How a story names objects.

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use serde_json::Value;

/// Words for a kind, its group and version, its kind and plural, and whether it lives in namespaces.
const KINDS: &[(&str, &str, &str, &str, bool)] = &[
    ("namespace", "v1", "Namespace", "namespaces", false),
    ("node", "v1", "Node", "nodes", false),
    ("pod", "v1", "Pod", "pods", true),
    ("configmap", "v1", "ConfigMap", "configmaps", true),
    ("service", "v1", "Service", "services", true),
    ("serviceaccount", "v1", "ServiceAccount", "serviceaccounts", true),
    ("persistentvolume", "v1", "PersistentVolume", "persistentvolumes", false),
    ("persistentvolumeclaim", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("replicationcontroller", "v1", "ReplicationController", "replicationcontrollers", true),
    ("limitrange", "v1", "LimitRange", "limitranges", true),
    ("resourcequota", "v1", "ResourceQuota", "resourcequotas", true),
    ("deployment", "apps/v1", "Deployment", "deployments", true),
    ("replicaset", "apps/v1", "ReplicaSet", "replicasets", true),
    ("statefulset", "apps/v1", "StatefulSet", "statefulsets", true),
    ("daemonset", "apps/v1", "DaemonSet", "daemonsets", true),
    ("controllerrevision", "apps/v1", "ControllerRevision", "controllerrevisions", true),
    ("job", "batch/v1", "Job", "jobs", true),
    ("cronjob", "batch/v1", "CronJob", "cronjobs", true),
    ("poddisruptionbudget", "policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    ("priorityclass", "scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", false),
    ("storageclass", "storage.k8s.io/v1", "StorageClass", "storageclasses", false),
    ("volumeattachment", "storage.k8s.io/v1", "VolumeAttachment", "volumeattachments", false),
];

/// What `of` names: an object, or the objects of a kind with these labels.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: Option<String>,
    pub labels: String,
    pub namespace: Option<String>,
    resource: ApiResource,
    namespaced: bool,
}

impl Target {
    /// Reads `kind/name`, `kinds`, `kinds key=value`, each with ` in NAMESPACE` if that isn't the story's own.
    ///
    /// # Errors
    /// A kind that stories don't know.
    pub fn read(text: &str) -> Result<Self, String> {
        let (text, namespace) = match text.split_once(" in ") {
            Some((text, namespace)) => (text, Some(namespace.to_owned())),
            None => (text, None),
        };
        let (head, labels) = text.split_once(' ').unwrap_or((text, ""));
        let (kind, name) =
            head.split_once('/').map_or((head, None), |(kind, name)| (kind, Some(name.to_owned())));
        let known = KINDS.iter().find(|(word, _, _, plural, _)| *word == kind || *plural == kind);
        let Some(&(_, api_version, kind_name, plural, namespaced)) = known else {
            let words: Vec<&str> = KINDS.iter().map(|k| k.0).collect();
            return Err(format!("unknown kind {kind:?} in {text:?}; known: {}", words.join(", ")));
        };
        let resource = resource(api_version, kind_name, plural);
        Ok(Self { name, labels: labels.to_owned(), namespace, resource, namespaced })
    }

    /// The target that a manifest is.
    ///
    /// # Errors
    /// No `kind` or `apiVersion`, or one that stories don't know.
    pub fn of(manifest: &Value) -> Result<Self, String> {
        let text = |field: &str| manifest[field].as_str().ok_or(format!("no {field}"));
        let (api_version, kind) = (text("apiVersion")?, text("kind")?);
        let known = KINDS.iter().find(|k| k.1 == api_version && k.2 == kind);
        let Some(&(_, api_version, kind, plural, namespaced)) = known else {
            return Err(format!("stories don't know {api_version} {kind}"));
        };
        let name = manifest["metadata"]["name"].as_str().map(str::to_owned);
        if name.is_none() && manifest["metadata"]["generateName"].is_null() {
            return Err(format!("{kind}: no metadata.name"));
        }
        let namespace = manifest["metadata"]["namespace"].as_str().map(str::to_owned);
        let resource = resource(api_version, kind, plural);
        Ok(Self { name, labels: String::new(), namespace, resource, namespaced })
    }

    pub fn is_namespaced(&self) -> bool {
        self.namespaced
    }

    pub fn api(&self, client: &Client, own: &str) -> Api<DynamicObject> {
        if self.namespaced {
            Api::namespaced_with(client.clone(), self.namespace.as_deref().unwrap_or(own), &self.resource)
        } else {
            Api::all_with(client.clone(), &self.resource)
        }
    }

    /// What is there of it now, by name.
    pub async fn look(&self, client: &Client, own: &str) -> Vec<Value> {
        let api = self.api(client, own);
        let found: Vec<DynamicObject> = match &self.name {
            Some(name) => api.get_opt(name).await.expect("answered").into_iter().collect(),
            None => api.list(&ListParams::default().labels(&self.labels)).await.expect("listed").items,
        };
        found.into_iter().map(|o| serde_json::to_value(o).expect("JSON")).collect()
    }
}

fn resource(api_version: &str, kind: &str, plural: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: api_version.into(),
        kind: kind.into(),
        plural: plural.into(),
    }
}

/// What is wrong with a manifest.
pub fn mistake(manifest: &Value) -> Option<String> {
    Target::of(manifest).err()
}
