//! Kinds: the built-in ones, and those that CustomResourceDefinitions add.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::schema::Version;
use crate::sim::json::Value;

/// A kind of object and how it is addressed.
#[derive(Debug, Clone)]
pub struct Resource {
    /// `pods`, `deployments.apps`: how the store names it.
    pub name: String,
    /// API group; empty for the core group.
    pub group: String,
    /// API version in which its objects are stored.
    pub version: String,
    /// API versions in which it is served.
    pub served: Vec<String>,
    /// Kind.
    pub kind: String,
    /// Plural, as in paths.
    pub plural: String,
    /// Short names, for kubectl.
    pub short_names: Vec<String>,
    /// Objects live in namespaces.
    pub namespaced: bool,
    /// `/status` is a subresource: a plain update leaves the status alone, and the other way round.
    pub has_status: bool,
    /// `/scale` is a subresource.
    pub has_scale: bool,
    /// A CustomResourceDefinition defines it.
    pub is_custom: bool,
    /// What the definition says of each version's objects.
    pub(in crate::sim) versions: BTreeMap<String, Arc<Version>>,
}

impl Resource {
    /// `apiVersion` of its objects as they are stored.
    pub fn api_version(&self) -> String {
        self.api_version_of(&self.version)
    }

    /// Whether its objects count the changes of their spec.
    pub fn has_generation(&self) -> bool {
        const COUNTED: [&str; 15] = [
            "pods",
            "replicationcontrollers",
            "deployments.apps",
            "replicasets.apps",
            "statefulsets.apps",
            "daemonsets.apps",
            "jobs.batch",
            "cronjobs.batch",
            "poddisruptionbudgets.policy",
            "priorityclasses.scheduling.k8s.io",
            "networkpolicies.networking.k8s.io",
            "ingresses.networking.k8s.io",
            "endpointslices.discovery.k8s.io",
            "validatingwebhookconfigurations.admissionregistration.k8s.io",
            "customresourcedefinitions.apiextensions.k8s.io",
        ];
        self.is_custom || COUNTED.contains(&self.name.as_str())
    }

    /// `apiVersion` of its objects in one of its versions.
    pub fn api_version_of(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }
}

/// group, version, kind, plural, short name, namespaced, status, scale.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, bool, bool, bool);

const BUILT_IN: &[Row] = &[
    ("", "v1", "Namespace", "namespaces", "ns", false, true, false),
    ("", "v1", "Node", "nodes", "no", false, true, false),
    ("", "v1", "Pod", "pods", "po", true, true, false),
    ("", "v1", "Service", "services", "svc", true, true, false),
    ("", "v1", "Endpoints", "endpoints", "ep", true, false, false),
    ("", "v1", "ConfigMap", "configmaps", "cm", true, false, false),
    ("", "v1", "Secret", "secrets", "", true, false, false),
    ("", "v1", "ServiceAccount", "serviceaccounts", "sa", true, false, false),
    ("", "v1", "Event", "events", "ev", true, false, false),
    ("", "v1", "PersistentVolume", "persistentvolumes", "pv", false, true, false),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", true, true, false),
    ("", "v1", "ReplicationController", "replicationcontrollers", "rc", true, true, true),
    ("", "v1", "ResourceQuota", "resourcequotas", "quota", true, true, false),
    ("", "v1", "LimitRange", "limitranges", "limits", true, false, false),
    ("apps", "v1", "Deployment", "deployments", "deploy", true, true, true),
    ("apps", "v1", "ReplicaSet", "replicasets", "rs", true, true, true),
    ("apps", "v1", "StatefulSet", "statefulsets", "sts", true, true, true),
    ("apps", "v1", "DaemonSet", "daemonsets", "ds", true, true, false),
    ("apps", "v1", "ControllerRevision", "controllerrevisions", "", true, false, false),
    ("batch", "v1", "Job", "jobs", "", true, true, false),
    ("batch", "v1", "CronJob", "cronjobs", "cj", true, true, false),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", true, true, false),
    ("coordination.k8s.io", "v1", "Lease", "leases", "", true, false, false),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", "sc", false, false, false),
    ("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", "", false, true, false),
    ("storage.k8s.io", "v1", "CSINode", "csinodes", "", false, false, false),
    ("storage.k8s.io", "v1", "CSIDriver", "csidrivers", "", false, false, false),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "pc", false, false, false),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "", true, false, false),
    ("events.k8s.io", "v1", "Event", "events", "ev", true, false, false),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", "ing", true, true, false),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "netpol", true, false, false),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", "", true, false, false),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "", true, false, false),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "", false, false, false),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "", false, false, false),
    (
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        "",
        false,
        false,
        false,
    ),
    (
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "crd",
        false,
        true,
        false,
    ),
];

/// The built-in kinds.
pub(super) fn built_in() -> impl Iterator<Item = Resource> {
    BUILT_IN.iter().map(|&(group, version, kind, plural, short, namespaced, has_status, has_scale)| {
        Resource {
            name: full_name(plural, group),
            group: group.to_owned(),
            version: version.to_owned(),
            served: vec![version.to_owned()],
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            short_names: if short.is_empty() { Vec::new() } else { vec![short.to_owned()] },
            namespaced,
            has_status,
            has_scale,
            is_custom: false,
            versions: BTreeMap::new(),
        }
    })
}

/// `plural`, or `plural.group`.
pub fn full_name(plural: &str, group: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

/// The kind that a CustomResourceDefinition defines. Its versions differ by name only: nothing is converted.
pub(super) fn defined_by(crd: &Value) -> Option<Resource> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let spec = &crd["spec"];
    let names = &spec["names"];
    let versions = spec["versions"].as_array()?;
    let stored = versions.iter().find(|v| v["storage"] == true)?;
    Some(Resource {
        name: full_name(&text(&names["plural"]), &text(&spec["group"])),
        group: text(&spec["group"]),
        version: text(&stored["name"]),
        served: versions.iter().filter(|v| v["served"] == true).map(|v| text(&v["name"])).collect(),
        kind: text(&names["kind"]),
        plural: text(&names["plural"]),
        short_names: names["shortNames"].as_array().into_iter().flatten().map(text).collect(),
        namespaced: spec["scope"] == "Namespaced",
        has_status: !stored["subresources"]["status"].is_null(),
        has_scale: !stored["subresources"]["scale"].is_null(),
        is_custom: true,
        versions: versions.iter().map(|v| (text(&v["name"]), Arc::new(Version::read(v)))).collect(),
    })
}
