//! Indexes: what is asked for by something else than its key.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Key;
use crate::sim::json::{Text, Value};

/// The name of the kind of attached volumes.
pub(super) const ATTACHMENTS: &str = "volumeattachments.storage.k8s.io";

/// Kinds whose objects are adopted by what selects them.
const ADOPTED: [&str; 2] = ["pods", "replicasets.apps"];

/// Keys by what they refer to.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    pods_by_node: BTreeMap<String, BTreeSet<Key>>,
    /// Those in their host's process namespace.
    host_pods_by_node: BTreeMap<String, BTreeSet<Key>>,
    /// By namespace and claim.
    pods_by_claim: BTreeMap<Key, BTreeSet<Key>>,
    attachments_by_node: BTreeMap<String, BTreeSet<Key>>,
    attachments_by_volume: BTreeMap<String, BTreeSet<Key>>,
    by_owner: BTreeMap<Text, BTreeSet<(Arc<str>, Key)>>,
    /// Objects of the kinds that workloads adopt which nobody controls.
    uncontrolled: BTreeMap<Arc<str>, BTreeSet<Key>>,
    /// Objects of one kind each have a UID of their own; a dump may have been edited.
    by_uid: BTreeMap<Text, BTreeSet<(Arc<str>, Key)>>,
}

/// Puts a value among those of an index's key, or takes it out.
fn set<K: Ord, V: Ord>(index: &mut BTreeMap<K, BTreeSet<V>>, key: K, value: V, present: bool) {
    if present {
        index.entry(key).or_default().insert(value);
    } else if let Some(values) = index.get_mut(&key) {
        values.remove(&value);
        if values.is_empty() {
            index.remove(&key);
        }
    }
}

fn found<'a, K: Ord + Borrow<Q>, V: Ord, Q: Ord + ?Sized>(
    index: &'a BTreeMap<K, BTreeSet<V>>,
    key: &Q,
) -> impl Iterator<Item = &'a V> + use<'a, K, V, Q> {
    index.get(key).into_iter().flatten()
}

/// The claims that a pod names.
fn claims(pod: &Value) -> impl Iterator<Item = &str> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes.filter_map(|v| v["persistentVolumeClaim"]["claimName"].as_str())
}

impl Indexes {
    /// Takes in that an object has changed; `None` where there was or is none.
    pub(super) fn change(
        &mut self,
        resource: &Arc<str>,
        key: &Key,
        old: Option<&Value>,
        new: Option<&Value>,
    ) {
        let differs = |of: fn(&Value) -> &Value| old.map(of) != new.map(of);
        if differs(|o| &o["metadata"]["uid"]) {
            self.each(old, new, |indexes, object, present| indexes.uid(resource, key, object, present));
        }
        if differs(|o| &o["metadata"]["ownerReferences"]) {
            self.each(old, new, |indexes, object, present| indexes.owners(resource, key, object, present));
        }
        match &**resource {
            "pods" if differs(|p| &p["spec"]) => self.each(old, new, |indexes, pod, present| {
                indexes.pod(key, pod, present);
            }),
            ATTACHMENTS => self.each(old, new, |indexes, attachment, present| {
                indexes.attachment(key, &attachment["spec"], present);
            }),
            _ => {}
        }
    }

    /// Takes out what was, and puts in what is.
    fn each(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        mut set: impl FnMut(&mut Self, &Value, bool),
    ) {
        for (object, present) in [(old, false), (new, true)] {
            if let Some(object) = object {
                set(self, object, present);
            }
        }
    }

    fn uid(&mut self, resource: &Arc<str>, key: &Key, object: &Value, present: bool) {
        let Some(uid) = object["metadata"]["uid"].as_text() else { return };
        set(&mut self.by_uid, uid.clone(), (resource.clone(), key.clone()), present);
    }

    fn owners(&mut self, resource: &Arc<str>, key: &Key, object: &Value, present: bool) {
        let owners = || object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        if ADOPTED.contains(&&**resource) && !owners().any(|o| o["controller"] == true) {
            set(&mut self.uncontrolled, resource.clone(), key.clone(), present);
        }
        for uid in owners().filter_map(|o| o["uid"].as_text()) {
            set(&mut self.by_owner, uid.clone(), (resource.clone(), key.clone()), present);
        }
    }

    fn pod(&mut self, key: &Key, pod: &Value, present: bool) {
        if let Some(node) = pod["spec"]["nodeName"].as_str() {
            set(&mut self.pods_by_node, node.to_owned(), key.clone(), present);
            if pod["spec"]["hostPID"] == true {
                set(&mut self.host_pods_by_node, node.to_owned(), key.clone(), present);
            }
        }
        for claim in claims(pod) {
            set(&mut self.pods_by_claim, Key::new(&key.namespace, claim), key.clone(), present);
        }
    }

    fn attachment(&mut self, key: &Key, spec: &Value, present: bool) {
        if let Some(node) = spec["nodeName"].as_str() {
            set(&mut self.attachments_by_node, node.to_owned(), key.clone(), present);
        }
        if let Some(volume) = spec["source"]["persistentVolumeName"].as_str() {
            set(&mut self.attachments_by_volume, volume.to_owned(), key.clone(), present);
        }
    }

    pub(super) fn pods_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Key> + use<'a> {
        found(&self.pods_by_node, node)
    }

    pub(super) fn host_pods_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Key> + use<'a> {
        found(&self.host_pods_by_node, node)
    }

    pub(super) fn pods_with<'a>(&'a self, claim: &Key) -> impl Iterator<Item = &'a Key> + use<'a> {
        found(&self.pods_by_claim, claim)
    }

    pub(super) fn attachments_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Key> + use<'a> {
        found(&self.attachments_by_node, node)
    }

    pub(super) fn attachments_of<'a>(&'a self, volume: &str) -> impl Iterator<Item = &'a Key> + use<'a> {
        found(&self.attachments_by_volume, volume)
    }

    pub(super) fn owned_by<'a>(&'a self, uid: &str) -> impl Iterator<Item = &'a (Arc<str>, Key)> + use<'a> {
        found(&self.by_owner, uid)
    }

    pub(super) fn uncontrolled_in<'a>(
        &'a self,
        resource: &str,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Key> + use<'a> {
        let keys = self.uncontrolled.get(resource).into_iter();
        let keys = keys.flat_map(move |keys| keys.range(Key::new(namespace, "")..));
        keys.take_while(move |key| key.namespace == namespace)
    }

    pub(super) fn with_uid<'a>(&'a self, uid: &str) -> impl Iterator<Item = &'a (Arc<str>, Key)> + use<'a> {
        found(&self.by_uid, uid)
    }
}
