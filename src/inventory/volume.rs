//! PersistentVolumes, as far as they bind pods to nodes.

use super::{Node, NodeTerm, ObjectName};

/// A volume attached to a node (`storage.k8s.io/v1` VolumeAttachment).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VolumeAttachment {
    /// Name of the object.
    pub name: String,
    /// `spec.nodeName`.
    pub node: String,
    /// `spec.source.persistentVolumeName`.
    pub volume: String,
    /// `status.attached`.
    pub attached: bool,
}

/// A PersistentVolume.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Volume {
    /// Name of the object.
    pub name: String,
    /// The claim that it is bound to (`spec.claimRef`).
    pub claim: Option<ObjectName>,
    /// `spec.nodeAffinity.required`: it can be used on nodes that one of these terms selects. `None`: on all.
    pub node_affinity: Option<Vec<NodeTerm>>,
}

impl Volume {
    /// Whether pods of this node can use it.
    pub fn reaches(&self, node: &Node) -> bool {
        self.node_affinity.as_ref().is_none_or(|terms| terms.iter().any(|t| t.selects(node)))
    }
}
