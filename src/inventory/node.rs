//! Nodes.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Resources;

/// The label that names a node's zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// KubeVirt's sign of life, the only annotation of a node that nobody maintains.
const HEARTBEAT: &str = "kubevirt.io/heartbeat";

/// What the `Ready` condition of a node says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Readiness {
    /// `Ready=True`.
    Ready,
    /// `Ready=False`: the kubelet says that it is not ready.
    NotReady,
    /// `Ready=Unknown`, or no condition at all: nobody has heard from the kubelet.
    #[default]
    Unknown,
}

/// A taint of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taint {
    /// Taint key.
    pub key: String,
    /// Taint value, empty if none.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
    /// When a `NoExecute` taint was put: pods that tolerate it for a while are evicted by that.
    pub time_added: Option<Timestamp>,
}

/// A node, as far as maintenance needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// The node's name.
    pub name: String,
    /// UID of the Node object.
    pub uid: String,
    /// resourceVersion of the observation, the precondition of a patch.
    pub resource_version: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// The annotations of `virtroll.dev/…` and `kubevirt.io/heartbeat`; others are left out.
    pub annotations: BTreeMap<String, String>,
    /// `spec.unschedulable`: the node is cordoned.
    pub unschedulable: bool,
    /// The `Ready` condition.
    pub readiness: Readiness,
    /// When `Ready` last changed.
    pub ready_since: Option<Timestamp>,
    /// `spec.taints`.
    pub taints: Vec<Taint>,
    /// `status.nodeInfo.bootID`.
    pub boot_id: String,
    /// `status.nodeInfo.kernelVersion`.
    pub kernel_version: String,
    /// `status.allocatable`, pods apart.
    pub allocatable: Resources,
    /// Pods that it takes (`status.allocatable.pods`).
    pub allocatable_pods: u64,
    /// Allocatable `devices.kubevirt.io/kvm`; `None` where KubeVirt has never run.
    pub kvm: Option<u64>,
}

impl Node {
    /// The zone, if its label names one.
    pub fn zone(&self) -> Option<&str> {
        self.labels.get(ZONE).map(String::as_str).filter(|zone| !zone.is_empty())
    }

    /// True when the kubelet reports `Ready=True`.
    pub fn is_ready(&self) -> bool {
        self.readiness == Readiness::Ready
    }

    /// True unless only its revision has changed, or its heartbeat while nobody maintains it (then KubeVirt's return is
    /// told by the heartbeat).
    pub(super) fn differs(&self, other: &Self) -> bool {
        let bare = |node: &Self| {
            let mut bare = Self { resource_version: String::new(), ..node.clone() };
            if bare.annotations.len() == 1 {
                bare.annotations.remove(HEARTBEAT);
            }
            bare
        };
        bare(self) != bare(other)
    }

    /// True when nothing new can be placed here: not Ready, or cordoned.
    pub fn is_unavailable(&self) -> bool {
        !self.is_ready() || self.unschedulable
    }
}
