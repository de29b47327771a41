//! Volumes: claims are bound, volumes without them reclaimed, CSI volumes attached and detached.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::until;
use crate::sim::clock::{parse_time, seconds_text};
use crate::sim::json::{Value, json};
use crate::sim::scheduler::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, fits, is_of, thousandths, waits_for_consumer,
};
use crate::sim::store::{DeleteOptions, Key, Object, Store};

const ATTACHMENTS: &str = "volumeattachments.storage.k8s.io";
/// On a volume that was made for its claim: by what.
pub(in crate::sim) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
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
    if named.is_some_and(|volume| is_of_another(store, volume, &claim)) {
        return;
    }
    let volume = match named.map(str::to_owned).or_else(|| fitting(store, &claim, waits)) {
        Some(volume) => volume,
        None if waits => return,
        None if !class.is_empty() || claim["spec"]["storageClassName"].is_null() => {
            provision(store, &claim, class)
        }
        None => return,
    };
    let reference = reference(&claim);
    let bound = store.modify("persistentvolumes", &Key::new("", &volume), |pv| {
        if !is_of(pv, &claim) {
            pv["metadata"]["annotations"][BOUND_BY_CONTROLLER] = json!("yes");
        }
        pv["spec"]["claimRef"] = reference;
        pv["status"]["phase"] = json!("Bound");
    });
    store.modify("persistentvolumeclaims", key, |claim| {
        claim["metadata"]["annotations"][BIND_COMPLETED] = json!("yes");
        if claim["spec"]["volumeName"] != volume.as_str() {
            claim["metadata"]["annotations"][BOUND_BY_CONTROLLER] = json!("yes");
        }
        claim["spec"]["volumeName"] = json!(volume);
        claim["status"]["phase"] = json!("Bound");
        claim["status"]["accessModes"] = claim["spec"]["accessModes"].clone();
        claim["status"]["capacity"] = match &bound {
            Some(volume) => volume["spec"]["capacity"].clone(),
            None => claim["spec"]["resources"]["requests"].clone(),
        };
    });
}

fn reference(claim: &Value) -> Value {
    let metadata = &claim["metadata"];
    json!({
        "kind": "PersistentVolumeClaim", "apiVersion": "v1", "name": metadata["name"], "namespace": metadata["namespace"],
        "uid": metadata["uid"],
    })
}

/// Whether a volume belongs to another claim, be it gone: what is in it isn't for everybody.
fn is_of_another(store: &Store, volume: &str, claim: &Value) -> bool {
    let volume = store.get("persistentvolumes", "", volume);
    volume.is_some_and(|volume| !volume["spec"]["claimRef"].is_null() && !is_of(volume, claim))
}

/// A volume whose claim is gone is kept as it is, or goes, too, once it is attached nowhere. One that somebody has freed is for
/// the next claim.
pub(super) fn reclaim(store: &mut Store, key: &Key) {
    const VOLUMES: &str = "persistentvolumes";
    let Some(volume) = store.get_key(VOLUMES, key).cloned() else { return };
    let claimed = &volume["spec"]["claimRef"];
    let text = |field: &str| claimed[field].as_str().unwrap_or_default();
    let phase = if claimed.is_null() {
        if volume["status"]["phase"] != "Released" {
            return;
        }
        "Available"
    } else {
        let claim = store.get("persistentvolumeclaims", text("namespace"), text("name"));
        if text("uid").is_empty() || claim.is_some_and(|claim| claim["metadata"]["uid"] == claimed["uid"]) {
            return;
        }
        "Released"
    };
    let goes = phase == "Released" && volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete";
    if goes && store.attachments_of(&key.name).next().is_none() {
        let _ = store.delete(VOLUMES, key, &DeleteOptions::default());
        return;
    }
    store.modify(VOLUMES, key, |volume| volume["status"]["phase"] = json!(phase));
}

/// A volume that is reserved for a claim, or else (unless the scheduler has yet to choose) the smallest free one that fits.
fn fitting(store: &Store, claim: &Value, only_reserved: bool) -> Option<String> {
    let size = |v: &Value| v["spec"]["capacity"]["storage"].as_str().and_then(thousandths).unwrap_or(0);
    let reserved = |pv: &&Object| is_of(pv, claim);
    let free = || {
        let free = store.list("persistentvolumes").filter(|pv| !only_reserved && fits(pv, claim));
        free.min_by_key(|pv| (size(pv), Key::of(pv)))
    };
    let found = store.list("persistentvolumes").find(reserved).or_else(free)?;
    found["metadata"]["name"].as_str().map(str::to_owned)
}

fn provision(store: &mut Store, claim: &Value, class: &str) -> String {
    let name = format!("pvc-{}", claim["metadata"]["uid"].as_str().unwrap_or_default());
    let of_class = store.get("storageclasses.storage.k8s.io", "", class);
    let of_class = |field: &str| of_class.and_then(|c| c[field].as_str());
    let driver = of_class("provisioner").unwrap_or("embedded.csi.virtroll.dev").to_owned();
    let policy = of_class("reclaimPolicy").unwrap_or("Delete").to_owned();
    let volume = json!({
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: driver}},
        "spec": {
            "claimRef": reference(claim), "capacity": claim["spec"]["resources"]["requests"], "accessModes": claim["spec"]["accessModes"],
            "storageClassName": class, "persistentVolumeReclaimPolicy": policy,
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
