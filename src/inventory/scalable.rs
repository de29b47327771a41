//! Workloads whose number of replicas can be changed: Deployments and StatefulSets.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ObjectName, Pod};

/// Kinds whose scale is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ScalableKind {
    /// Its pods are those of its ReplicaSets, and have names of chance.
    Deployment,
    /// Its pods have names that stay; scaled down, it loses the one of the highest number.
    StatefulSet,
}

/// Kind and name of a workload with a scale; shown as `Deployment shop/web`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScalableName {
    /// Its kind.
    pub kind: ScalableKind,
    /// Its namespace and name.
    #[serde(flatten)]
    pub name: ObjectName,
}

impl fmt::Display for ScalableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.name)
    }
}

/// A workload with a scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalable {
    /// Kind and name.
    pub name: ScalableName,
    /// UID.
    pub uid: String,
    /// `spec.replicas`.
    pub replicas: u32,
    /// Why its controller can't make a pod (condition `ReplicaFailure` of a Deployment): a quota, an admission webhook.
    pub refused: Option<String>,
}

impl Scalable {
    /// Whether a pod is one of its own. What lies between a Deployment and its pods, its ReplicaSets, isn't observed: their
    /// names, which end in the hash that their pods are labelled with, tell.
    pub fn has(&self, pod: &Pod) -> bool {
        let (kind, name) = pod.workload();
        let is_kind = match self.name.kind {
            ScalableKind::Deployment => kind == "Deployment",
            ScalableKind::StatefulSet => {
                kind == "StatefulSet" && pod.controller.as_ref().is_some_and(|o| o.uid == self.uid)
            }
        };
        is_kind && name == self.name.name.name && pod.name.namespace == self.name.name.namespace
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::inventory::{Inventory, Owner};

    fn pod(namespace: &str, kind: &str, owner: &str, uid: &str, hash: Option<&str>) -> Pod {
        let labels: BTreeMap<_, _> =
            hash.map(|h| ("pod-template-hash".to_owned(), h.to_owned())).into_iter().collect();
        let (kind, name, uid) = (kind.into(), owner.into(), uid.into());
        let controller = Some(Arc::new(Owner { kind, name, uid, ..Owner::default() }));
        Pod { name: ObjectName::new(namespace, "p"), labels: Arc::new(labels), controller, ..Pod::default() }
    }

    #[test]
    fn a_pod_is_its_deployments_by_the_name_and_hash_of_its_set() {
        let mut inventory = Inventory::new();
        for (kind, name) in [(ScalableKind::Deployment, "web"), (ScalableKind::StatefulSet, "db")] {
            let name = ScalableName { kind, name: ObjectName::new("shop", name) };
            inventory.put_scalable(Scalable { name, uid: "u".into(), replicas: 1, refused: None });
        }
        for (pod, expected) in [
            (pod("shop", "ReplicaSet", "web-5d4f", "r", Some("5d4f")), Some("Deployment shop/web")),
            (pod("shop", "StatefulSet", "db", "u", None), Some("StatefulSet shop/db")),
            // Of a StatefulSet that was there before under the same name.
            (pod("shop", "StatefulSet", "db", "v", None), None),
            // No Deployment's: its set's name has no hash at the end, or another one.
            (pod("shop", "ReplicaSet", "web", "r", None), None),
            (pod("shop", "ReplicaSet", "web-5d4f", "r", Some("77")), None),
            (pod("else", "ReplicaSet", "web-5d4f", "r", Some("5d4f")), None),
            (pod("shop", "Job", "db", "u", None), None),
        ] {
            let found = inventory.scalable_of(&pod).map(|s| s.name.to_string());
            assert_eq!(found.as_deref(), expected, "{:?}", pod.controller);
        }
    }
}
