//! Pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Needs, ObjectName};

/// `status.phase` of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PodPhase {
    /// Accepted, not all containers started.
    #[default]
    Pending,
    /// Bound, and at least one container runs.
    Running,
    /// All containers ended with success.
    Succeeded,
    /// All containers ended, one at least with a failure.
    Failed,
    /// The node can't be asked.
    Unknown,
}

impl PodPhase {
    /// True for `Succeeded` and `Failed`: nothing of this pod runs any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// The owner reference with `controller: true`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Owner {
    /// `apiVersion`, such as `apps/v1`.
    pub api_version: String,
    /// `kind`, such as `ReplicaSet`.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// UID of the owner.
    pub uid: String,
}

/// A pod, as far as maintenance needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod {
    /// Namespace and name.
    pub name: ObjectName,
    /// UID, the precondition of every eviction.
    pub uid: String,
    /// All labels.
    pub labels: Arc<BTreeMap<String, String>>,
    /// `spec.nodeName`, once bound.
    pub node: Option<String>,
    /// `status.phase`.
    pub phase: PodPhase,
    /// Condition `Ready=True`.
    pub ready: bool,
    /// `metadata.deletionTimestamp`: when the grace period ends (not when deletion was asked for).
    pub deletion: Option<Timestamp>,
    /// `metadata.deletionGracePeriodSeconds`.
    pub deletion_grace_seconds: Option<i64>,
    /// `spec.terminationGracePeriodSeconds`.
    pub grace_seconds: i64,
    /// The controlling owner.
    pub controller: Option<Arc<Owner>>,
    /// True if it may end for good by itself: its `restartPolicy` isn't `Always`.
    pub may_end: bool,
    /// True if a volume is an `emptyDir`.
    pub has_empty_dir: bool,
    /// True for a mirror (static) pod: annotation `kubernetes.io/config.mirror`.
    pub is_mirror: bool,
    /// True if `metadata.finalizers` is not empty.
    pub has_finalizers: bool,
    /// `spec.priorityClassName`.
    pub priority_class: Option<String>,
    /// Names of the PersistentVolumeClaims that it mounts, in its namespace.
    pub claims: Vec<String>,
    /// Annotation `kubevirt.io/domain`: the VMI that this launcher pod runs.
    pub domain: Option<String>,
    /// `metadata.creationTimestamp`.
    pub created: Option<Timestamp>,
    /// Seconds from its creation until it was last seen to become Ready, while it is.
    pub ready_after: Option<u32>,
    /// What it needs of a node. Of a DaemonSet's pod, which has its place, only what it requests.
    pub needs: Arc<Needs>,
    /// Why the scheduler finds no node for it (condition `PodScheduled=False`, reason `Unschedulable`).
    pub unschedulable: Option<String>,
}

impl Pod {
    /// True for a KubeVirt launcher pod (label `kubevirt.io=virt-launcher`), migration targets included.
    pub fn is_launcher(&self) -> bool {
        self.labels.get("kubevirt.io").is_some_and(|v| v == "virt-launcher")
    }

    /// True for a KubeVirt volume-attachment pod (label `kubevirt.io=hotplug-disk`); it leaves with its launcher.
    pub fn is_hotplug(&self) -> bool {
        self.labels.get("kubevirt.io").is_some_and(|v| v == "hotplug-disk")
    }

    /// UID of the VMI that this launcher pod belongs to.
    pub fn vmi_uid(&self) -> Option<&str> {
        self.labels.get("kubevirt.io/created-by").map(String::as_str)
    }

    /// UID of the migration whose target this pod is or was (label `kubevirt.io/migrationJobUID`).
    pub fn migration_uid(&self) -> Option<&str> {
        self.labels.get("kubevirt.io/migrationJobUID").map(String::as_str)
    }

    /// True for a pod of virtroll's own hooks: it comes and goes with its hook, and no drain touches it.
    pub fn is_of_hook(&self) -> bool {
        self.labels.get("app.kubernetes.io/managed-by").is_some_and(|v| v == "virtroll")
    }

    /// Kind and name of the object that an operator knows behind it: of a ReplicaSet with a template's hash in its name the
    /// Deployment, else the controlling owner, else the pod itself.
    pub fn workload(&self) -> (&str, &str) {
        let Some(owner) = &self.controller else { return ("Pod", &self.name.name) };
        let hash = self.labels.get("pod-template-hash").filter(|_| owner.kind == "ReplicaSet");
        let deployment = hash.and_then(|hash| owner.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
        deployment.map_or((&owner.kind, &owner.name), |name| ("Deployment", name))
    }

    /// True if the controlling owner has this kind.
    pub fn is_owned_by(&self, kind: &str) -> bool {
        self.controller.as_ref().is_some_and(|o| o.kind == kind)
    }
}
