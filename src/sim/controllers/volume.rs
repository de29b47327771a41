//! Volumes: claims are bound, CSI volumes attached and detached.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sim::scheduler::thousandths;
use crate::sim::store::{DeleteOptions, Key, Store};

/// How long a volume stays attached after its last pod has ended.
const DETACH_AFTER: Duration = Duration::from_secs(3);

/// Binds a claim: to a volume that names it or fits it, else to a new one of its class; a class that waits for the first
/// consumer waits for a pod (which node it is bound to makes no difference for a new volume here).
pub(super) fn bind(store: &mut Store, key: &Key) {
    let Some(claim) = store.get_key("persistentvolumeclaims", key).cloned() else {
        return;
    };
    let named = claim["spec"]["volumeName"].as_str().filter(|v| !v.is_empty());
    if claim["status"]["phase"] == "Bound" || !claim["metadata"]["deletionTimestamp"].is_null() {
        return;
    }
    let class = claim["spec"]["storageClassName"].as_str().unwrap_or_default();
    let volume = match named.map(str::to_owned).or_else(|| fitting(store, &claim)) {
        Some(volume) => volume,
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

fn fitting(store: &Store, claim: &Value) -> Option<String> {
    let size = |v: &Value| v.as_str().and_then(thousandths).unwrap_or(0);
    let wanted = size(&claim["spec"]["resources"]["requests"]["storage"]);
    let fits = |pv: &Value| {
        let reference = &pv["spec"]["claimRef"];
        if !reference.is_null() {
            return reference["name"] == claim["metadata"]["name"]
                && reference["namespace"] == claim["metadata"]["namespace"];
        }
        let class = |v: &Value| v["spec"]["storageClassName"].as_str().unwrap_or_default().to_owned();
        class(pv) == class(claim) && size(&pv["spec"]["capacity"]["storage"]) >= wanted
    };
    let found = store.list("persistentvolumes").find(|pv| fits(pv))?;
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

/// Brings the attachments of a node up to what its pods use.
pub(super) fn attach(store: &mut Store, node: &Key) -> Option<Duration> {
    let mut used = BTreeSet::new();
    for pod in store.pods_on(&node.name) {
        if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
            continue;
        }
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
            let claim = volume["persistentVolumeClaim"]["claimName"].as_str();
            let claim = claim.and_then(|c| store.get("persistentvolumeclaims", namespace, c));
            let bound = claim.and_then(|c| c["spec"]["volumeName"].as_str());
            let bound = bound
                .and_then(|v| store.get("persistentvolumes", "", v))
                .filter(|v| !v["spec"]["csi"].is_null());
            used.extend(bound.and_then(|v| v["metadata"]["name"].as_str().map(str::to_owned)));
        }
    }
    let attached: Vec<(Key, String)> = store
        .list("volumeattachments.storage.k8s.io")
        .filter(|a| a["spec"]["nodeName"] == node.name.as_str())
        .filter_map(|a| Some((Key::of(a), a["spec"]["source"]["persistentVolumeName"].as_str()?.to_owned())))
        .collect();
    for volume in used.iter().filter(|v| !attached.iter().any(|(_, a)| a == *v)) {
        let driver = store.get("persistentvolumes", "", volume).map(|v| v["spec"]["csi"]["driver"].clone());
        let attachment = json!({
            "metadata": {"name": format!("csi-{volume}-{}", node.name)},
            "spec": {"attacher": driver, "nodeName": node.name, "source": {"persistentVolumeName": volume}},
            "status": {"attached": true},
        });
        let _ = store.create("volumeattachments.storage.k8s.io", attachment);
    }
    let mut again = None;
    for (key, _) in attached.iter().filter(|(_, volume)| !used.contains(volume)) {
        // First marked as going, then gone: a detach takes its time.
        let marked = store
            .get_key("volumeattachments.storage.k8s.io", key)
            .is_some_and(|a| a["metadata"]["annotations"]["sim.virtroll.dev/detaching"].is_string());
        if marked {
            let _ = store.delete("volumeattachments.storage.k8s.io", key, &DeleteOptions::default());
        } else {
            store.modify("volumeattachments.storage.k8s.io", key, |a| {
                a["metadata"]["annotations"]["sim.virtroll.dev/detaching"] = json!("true");
            });
            again = Some(DETACH_AFTER);
        }
    }
    again
}
