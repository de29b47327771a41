//! Volumes: claims are bound, CSI volumes attached and detached.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::until;
use crate::sim::clock::{parse_time, seconds_text};
use crate::sim::json::{Value, json};
use crate::sim::scheduler::{fits, thousandths, waits_for_consumer};
use crate::sim::store::{DeleteOptions, Key, Object, Store};

const ATTACHMENTS: &str = "volumeattachments.storage.k8s.io";
const DETACHING: &str = "sim.virtroll.dev/detaching";

/// How long a volume stays attached after its last pod has ended.
const DETACH_AFTER: SignedDuration = SignedDuration::from_secs(3);

/// Binds a claim: to a volume that names it or fits it, else to a new one of its class. Where the class waits for the first
/// consumer, the scheduler says when: it reserves a volume for the claim, or names the node for a new one.
pub(super) fn bind(store: &mut Store, key: &Key) {
    let Some(claim) = store.get_key("persistentvolumeclaims", key).cloned() else {
        return;
    };
    let named = claim["spec"]["volumeName"].as_str().filter(|v| !v.is_empty());
    if claim["status"]["phase"] == "Bound" || !claim["metadata"]["deletionTimestamp"].is_null() {
        return;
    }
    let class = claim["spec"]["storageClassName"].as_str().unwrap_or_default();
    let waits = waits_for_consumer(store, &claim)
        && claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"].is_null();
    let volume = match named.map(str::to_owned).or_else(|| fitting(store, &claim, waits)) {
        Some(volume) => volume,
        None if waits => return,
        None if !class.is_empty() || claim["spec"]["storageClassName"].is_null() => {
            provision(store, &claim, class)
        }
        None => return,
    };
    let reference = json!({
        "kind": "PersistentVolumeClaim", "apiVersion": "v1", "name": key.name, "namespace": key.namespace,
        "uid": claim["metadata"]["uid"],
    });
    store.modify("persistentvolumes", &Key::new("", &volume), |pv| {
        pv["spec"]["claimRef"] = reference;
        pv["status"]["phase"] = json!("Bound");
    });
    store.modify("persistentvolumeclaims", key, |claim| {
        claim["spec"]["volumeName"] = json!(volume);
        claim["status"]["phase"] = json!("Bound");
        claim["status"]["accessModes"] = claim["spec"]["accessModes"].clone();
        claim["status"]["capacity"] = claim["spec"]["resources"]["requests"].clone();
    });
}

/// A volume that is reserved for a claim, or else (unless the scheduler has yet to choose) the smallest free one that fits.
fn fitting(store: &Store, claim: &Value, only_reserved: bool) -> Option<String> {
    let size = |v: &Value| v["spec"]["capacity"]["storage"].as_str().and_then(thousandths).unwrap_or(0);
    let reserved = |pv: &&Object| {
        let reference = &pv["spec"]["claimRef"];
        reference["name"] == claim["metadata"]["name"]
            && reference["namespace"] == claim["metadata"]["namespace"]
    };
    let free = || {
        let free = store.list("persistentvolumes").filter(|pv| !only_reserved && fits(pv, claim));
        free.min_by_key(|pv| (size(pv), Key::of(pv)))
    };
    let found = store.list("persistentvolumes").find(reserved).or_else(free)?;
    found["metadata"]["name"].as_str().map(str::to_owned)
}

fn provision(store: &mut Store, claim: &Value, class: &str) -> String {
    let name = format!("pvc-{}", claim["metadata"]["uid"].as_str().unwrap_or_default());
    let driver = store
        .get("storageclasses.storage.k8s.io", "", class)
        .and_then(|c| c["provisioner"].as_str())
        .unwrap_or("embedded.csi.virtroll.dev")
        .to_owned();
    let volume = json!({
        "metadata": {"name": name},
        "spec": {
            "capacity": claim["spec"]["resources"]["requests"], "accessModes": claim["spec"]["accessModes"],
            "storageClassName": class, "persistentVolumeReclaimPolicy": "Delete",
            "csi": {"driver": driver, "volumeHandle": name},
        },
        "status": {"phase": "Available"},
    });
    let _ = store.create("persistentvolumes", volume);
    name
}

/// The CSI volume that a claim is bound to.
pub(super) fn of_claim(store: &Store, namespace: &str, claim: &str) -> Option<Object> {
    let claim = store.get("persistentvolumeclaims", namespace, claim)?;
    let volume = store.get("persistentvolumes", "", claim["spec"]["volumeName"].as_str()?)?;
    (!volume["spec"]["csi"].is_null()).then(|| volume.clone())
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Whether a volume is attached to a node.
pub(super) fn is_attached(store: &Store, volume: &Value, node: &str) -> bool {
    store
        .attachments_of(name(volume))
        .any(|a| a["spec"]["nodeName"] == node && a["status"]["attached"] == true)
}

/// The nodes whose pods use a volume or wait for it.
pub(super) fn nodes_of(store: &Store, volume: &str) -> BTreeSet<String> {
    let claimed = store.get("persistentvolumes", "", volume).map(|v| &v["spec"]["claimRef"]);
    let claim = match claimed.filter(|c| !c.is_null()) {
        Some(claim) => Key::new(
            claim["namespace"].as_str().unwrap_or_default(),
            claim["name"].as_str().unwrap_or_default(),
        ),
        // Written by hand: only the claim names the volume.
        None => {
            let mut claims = store.list("persistentvolumeclaims");
            claims.find(|c| c["spec"]["volumeName"] == volume).map(|c| Key::of(c)).unwrap_or_default()
        }
    };
    store.pods_with(&claim).filter_map(|p| p["spec"]["nodeName"].as_str().map(str::to_owned)).collect()
}

/// Several nodes may have it at once.
fn is_shared(volume: &Value) -> bool {
    let modes = volume["spec"]["accessModes"].as_array().into_iter().flatten();
    modes.into_iter().any(|mode| mode == "ReadWriteMany" || mode == "ReadOnlyMany")
}

/// The CSI volumes that the pods of a node use.
fn used(store: &Store, node: &str) -> Vec<Object> {
    let mut used = std::collections::BTreeMap::new();
    for pod in store.pods_on(node) {
        if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
            continue;
        }
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
        let claims = volumes.filter_map(|v| v["persistentVolumeClaim"]["claimName"].as_str());
        for volume in claims.filter_map(|claim| of_claim(store, namespace, claim)) {
            used.insert(name(&volume).to_owned(), volume);
        }
    }
    used.into_values().collect()
}

/// Brings the attachments of a node up to what its pods use.
pub(super) fn attach(store: &mut Store, node: &Key, now: Timestamp) -> Option<Duration> {
    let used = used(store, &node.name);
    let attached: Vec<Object> = store.attachments_on(&node.name).cloned().collect();
    let source =
        |a: &Value| a["spec"]["source"]["persistentVolumeName"].as_str().unwrap_or_default().to_owned();
    for volume in used.iter().filter(|v| !attached.iter().any(|a| source(a) == name(v))) {
        // A volume for one node waits until the other node has let go; its detachment calls here again.
        if !is_shared(volume) && store.attachments_of(name(volume)).next().is_some() {
            continue;
        }
        let attachment = json!({
            "metadata": {"name": format!("csi-{}-{}", name(volume), node.name)},
            "spec": {
                "attacher": volume["spec"]["csi"]["driver"], "nodeName": node.name,
                "source": {"persistentVolumeName": name(volume)},
            },
            "status": {"attached": true},
        });
        let _ = store.create(ATTACHMENTS, attachment);
    }
    let mut again: Option<Duration> = None;
    for attachment in attached {
        let is_used = used.iter().any(|v| name(v) == source(&attachment));
        if let Some(wait) = detach(store, &attachment, is_used, now) {
            again = Some(again.map_or(wait, |a| a.min(wait)));
        }
    }
    again
}

/// What is used is attached; what isn't is first marked as going, then gone: a detach takes its time.
fn detach(store: &mut Store, attachment: &Value, is_used: bool, now: Timestamp) -> Option<Duration> {
    let key = Key::of(attachment);
    let due = attachment["metadata"]["annotations"][DETACHING].as_str().and_then(parse_time);
    match due {
        _ if is_used => {
            store.modify(ATTACHMENTS, &key, |a| {
                if due.is_some() {
                    a["metadata"]["annotations"].as_object_mut().map(|all| all.remove(DETACHING));
                }
                a["status"]["attached"] = json!(true);
            });
            None
        }
        None => {
            let due = seconds_text(now + DETACH_AFTER);
            store.modify(ATTACHMENTS, &key, |a| a["metadata"]["annotations"][DETACHING] = json!(due));
            Some(until(now, now + DETACH_AFTER))
        }
        Some(due) if now < due => Some(until(now, due)),
        Some(_) => {
            let _ = store.delete(ATTACHMENTS, &key, &DeleteOptions::default());
            None
        }
    }
}
