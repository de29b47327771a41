//! The scheduler's filters over a pod's volumes, and binding of those that wait for their first consumer.

use super::cluster::Node;
use super::filter::{Refusal, node_term};
use super::quantity::thousandths;
use crate::sim::json::{Value, json};
use crate::sim::store::{Key, Object, Store};

/// Where a claim's volume is to be made: what the scheduler tells the volume controller.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// On a claim: its volume is settled.
pub(in crate::sim) const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// On a claim and on a volume: who bound it was no person.
pub(in crate::sim) const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const ZONES: [&str; 4] = [
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
];

/// The claims of a pod.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims {
    /// The volumes of those that are bound; `None` where the volume is missing.
    bound: Vec<Option<Object>>,
    /// Those that wait for their first consumer.
    waiting: Vec<Object>,
    /// Names of the claims that one pod at a time may use, and another does.
    taken: bool,
}

/// The claims that a pod names, generic ephemeral volumes included.
fn names(pod: &Value) -> impl Iterator<Item = String> {
    let own = pod["metadata"]["name"].as_str().unwrap_or_default();
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes.filter_map(move |v| {
        let claim = v["persistentVolumeClaim"]["claimName"].as_str().map(str::to_owned);
        let ephemeral = || {
            v["ephemeral"].is_object().then(|| format!("{own}-{}", v["name"].as_str().unwrap_or_default()))
        };
        claim.or_else(ephemeral)
    })
}

/// Whether a claim's class waits for the first consumer.
pub(in crate::sim) fn waits_for_consumer(store: &Store, claim: &Value) -> bool {
    let class = claim["spec"]["storageClassName"].as_str().unwrap_or_default();
    let class = store.get("storageclasses.storage.k8s.io", "", class);
    class.is_some_and(|c| c["volumeBindingMode"] == "WaitForFirstConsumer")
}

impl Claims {
    /// Looks at a pod's claims. `Err` says why no node can do.
    pub fn of(store: &Store, pod: &Value) -> Result<Self, String> {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        let mut claims = Self::default();
        let mut immediate = false;
        for name in names(pod) {
            let Some(claim) = store.get("persistentvolumeclaims", namespace, &name) else {
                return Err(format!("persistentvolumeclaim {name:?} not found"));
            };
            if !claim["metadata"]["deletionTimestamp"].is_null() {
                return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
            }
            if claim["spec"]["accessModes"]
                .as_array()
                .is_some_and(|m| m.iter().any(|m| m == "ReadWriteOncePod"))
            {
                let own = Key::of(pod);
                let key = Key::new(namespace, &name);
                let mut others = store.pods_with(&key).filter(|p| Key::of(p) != own);
                claims.taken |= others.any(|p| {
                    p["spec"]["nodeName"].is_string()
                        && !matches!(p["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
                });
            }
            let volume = claim["spec"]["volumeName"].as_str().filter(|v| !v.is_empty());
            match volume {
                Some(volume)
                    if claim["status"]["phase"] != "Pending" || volume_claims(store, volume, claim) =>
                {
                    claims.bound.push(store.get("persistentvolumes", "", volume).cloned());
                }
                None if waits_for_consumer(store, claim) => claims.waiting.push(claim.clone()),
                _ => immediate = true,
            }
        }
        if immediate {
            Err("pod has unbound immediate PersistentVolumeClaims".to_owned())
        } else {
            Ok(claims)
        }
    }

    /// Why a node doesn't do for the volumes.
    pub fn refusal(&self, store: &Store, node: &Node, object: &Value) -> Option<Refusal> {
        if self.taken {
            let why = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by \
                       another pod";
            return Some(Refusal { reasons: vec![why.into()], may_help: true });
        }
        let mut reasons = Vec::new();
        if self.bound.iter().flatten().any(|volume| !reaches(volume, object)) {
            reasons.push("node(s) didn't match PersistentVolume's node affinity".into());
        }
        if self.choice(store, node, object).is_none() {
            reasons.push("node(s) didn't find available persistent volumes to bind".into());
        }
        if self.bound.iter().any(Option::is_none) {
            reasons.push("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)".into());
        }
        if reasons.is_empty() && self.bound.iter().flatten().any(|volume| !in_zone(volume, node)) {
            reasons.push("node(s) had no available volume zone".into());
        }
        (!reasons.is_empty()).then_some(Refusal { reasons, may_help: false })
    }

    /// A volume for each waiting claim on this node, or none where one is to be made; `None` if a claim finds neither.
    fn choice(&self, store: &Store, node: &Node, object: &Value) -> Option<Vec<(Object, Option<String>)>> {
        let mut chosen: Vec<(Object, Option<String>)> = Vec::new();
        for claim in &self.waiting {
            if let Some(selected) = claim["metadata"]["annotations"][SELECTED_NODE].as_str() {
                if selected != node.name {
                    return None;
                }
                chosen.push((claim.clone(), None));
                continue;
            }
            let free = |volume: &&Object| {
                !chosen.iter().any(|(_, name)| name.as_deref() == volume["metadata"]["name"].as_str())
            };
            let fits =
                store.list("persistentvolumes").filter(|v| fits(v, claim) && reaches(v, object)).filter(free);
            let smallest = fits
                .min_by_key(|v| (size(&v["spec"]["capacity"]["storage"]), v["metadata"]["name"].to_string()));
            let name = smallest.and_then(|v| v["metadata"]["name"].as_str()).map(str::to_owned);
            if name.is_none() && !can_provision(store, claim, object) {
                return None;
            }
            chosen.push((claim.clone(), name));
        }
        Some(chosen)
    }

    /// Binds the waiting claims for a pod that goes to this node.
    pub fn bind(&self, store: &mut Store, node: &Node) {
        let Some(object) = &node.object else { return };
        let Some(chosen) = self.choice(store, node, object) else { return };
        for (claim, volume) in chosen {
            match volume {
                Some(volume) => {
                    let reference = json!({
                        "kind": "PersistentVolumeClaim", "apiVersion": "v1", "name": claim["metadata"]["name"],
                        "namespace": claim["metadata"]["namespace"], "uid": claim["metadata"]["uid"],
                    });
                    store.modify("persistentvolumes", &Key::new("", &volume), |v| {
                        if !is_of(v, &claim) {
                            v["metadata"]["annotations"][BOUND_BY_CONTROLLER] = json!("yes");
                        }
                        v["spec"]["claimRef"] = reference;
                    });
                }
                None => {
                    store.modify("persistentvolumeclaims", &Key::of(&claim), |c| {
                        c["metadata"]["annotations"][SELECTED_NODE] = json!(node.name);
                    });
                }
            }
        }
    }
}

/// The volume is bound to this claim, though its status doesn't say so yet.
fn volume_claims(store: &Store, volume: &str, claim: &Value) -> bool {
    let bound = &claim["metadata"]["annotations"][BIND_COMPLETED];
    bound.is_string() || store.get("persistentvolumes", "", volume).is_some_and(|v| is_of(v, claim))
}

fn size(quantity: &Value) -> i64 {
    quantity.as_str().and_then(thousandths).unwrap_or(0)
}

/// Whether a volume is bound to this very claim, or reserved for it: a reservation says no UID.
pub(in crate::sim) fn is_of(volume: &Value, claim: &Value) -> bool {
    let (reference, metadata) = (&volume["spec"]["claimRef"], &claim["metadata"]);
    let uid = &reference["uid"];
    reference["name"] == metadata["name"]
        && reference["namespace"] == metadata["namespace"]
        && (uid.as_str().is_none_or(str::is_empty) || *uid == metadata["uid"])
}

/// Whether a free volume is what a claim wants.
pub(in crate::sim) fn fits(volume: &Value, claim: &Value) -> bool {
    let class = |v: &Value| v["spec"]["storageClassName"].as_str().unwrap_or_default().to_owned();
    let has =
        |mode: &Value| volume["spec"]["accessModes"].as_array().is_some_and(|modes| modes.contains(mode));
    let mut modes = claim["spec"]["accessModes"].as_array().into_iter().flatten();
    let selector = &claim["spec"]["selector"];
    let free = volume["spec"]["claimRef"].is_null() && volume["status"]["phase"] != "Released";
    (free || is_of(volume, claim))
        && class(volume) == class(claim)
        && size(&volume["spec"]["capacity"]["storage"])
            >= size(&claim["spec"]["resources"]["requests"]["storage"])
        && modes.all(has)
        && (selector.is_null() || crate::sim::api::selects(selector, &volume["metadata"]["labels"]))
}

/// Whether a volume can be used on a node.
fn reaches(volume: &Value, node: &Value) -> bool {
    let terms = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"].as_array();
    terms.is_none_or(|terms| terms.iter().any(|term| node_term(term, node)))
}

/// Whether a claim's class makes volumes for a node.
fn can_provision(store: &Store, claim: &Value, node: &Value) -> bool {
    let class = claim["spec"]["storageClassName"].as_str().unwrap_or_default();
    let Some(class) = store.get("storageclasses.storage.k8s.io", "", class) else { return false };
    if class["provisioner"] == "kubernetes.io/no-provisioner" {
        return false;
    }
    let Some(topologies) = class["allowedTopologies"].as_array().filter(|t| !t.is_empty()) else {
        return true;
    };
    topologies.iter().any(|term| {
        let mut expressions = term["matchLabelExpressions"].as_array().into_iter().flatten();
        expressions.all(|e| {
            let actual = &node["metadata"]["labels"][e["key"].as_str().unwrap_or_default()];
            e["values"].as_array().is_some_and(|values| values.contains(actual))
        })
    })
}

/// A volume with a zone's label is for nodes of that zone; a node without such labels takes all.
fn in_zone(volume: &Value, node: &Node) -> bool {
    if ZONES.iter().all(|key| node.label(key).is_none()) {
        return true;
    }
    let stable = |key: &str| key.replace("failure-domain.beta.", "topology.");
    ZONES.iter().all(|key| {
        let Some(zones) = volume["metadata"]["labels"][*key].as_str() else { return true };
        let here = node.label(key).or_else(|| node.label(&stable(key)));
        here.is_some_and(|here| zones.split("__").any(|zone| zone == here))
    })
}
