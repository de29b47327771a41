//! Indexes: what is asked for by something else than its key.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use super::Key;
use super::collection::Place;
use crate::sim::json::{Text, Value};

/// The name of the kind of attached volumes.
pub(super) const ATTACHMENTS: &str = "volumeattachments.storage.k8s.io";

/// Kinds whose objects are adopted by what selects them.
const ADOPTED: [&str; 2] = ["pods", "replicasets.apps"];

/// What refers to the same, in order, with its place. Sorted vectors: they are gone through far more often than they change.
pub(super) type Members<K> = Vec<(K, Place)>;
type Named = (Arc<str>, Key);

/// Objects by what they refer to. Only ever asked by that: nothing goes through a hash map.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    pods_by_node: HashMap<Text, Members<Key>>,
    /// Those in their host's process namespace.
    host_pods_by_node: HashMap<Text, Members<Key>>,
    /// By namespace and claim.
    pods_by_claim: HashMap<Key, Members<Key>>,
    attachments_by_node: HashMap<Text, Members<Key>>,
    attachments_by_volume: HashMap<Text, Members<Key>>,
    by_owner: HashMap<Text, Members<Named>>,
    /// Objects of the kinds that workloads adopt which nobody controls.
    uncontrolled: BTreeMap<Arc<str>, BTreeSet<Key>>,
    /// Objects of one kind each have a UID of their own; a dump may have been edited.
    by_uid: HashMap<Text, Members<Named>>,
}

/// Puts an object among others, or takes it out.
pub(super) fn put<K: Ord>(members: &mut Members<K>, (key, place): (K, Place), present: bool) {
    match (members.binary_search_by(|(k, _)| k.cmp(&key)), present) {
        (Ok(at), true) => members[at].1 = place,
        (Err(at), true) => members.insert(at, (key, place)),
        (Ok(at), false) => drop(members.remove(at)),
        (Err(_), false) => {}
    }
}

/// Puts an object among those of an index's key, or takes it out.
fn set<I: Eq + Hash, K: Ord>(index: &mut HashMap<I, Members<K>>, at: I, member: (K, Place), present: bool) {
    if present {
        put(index.entry(at).or_default(), member, true);
    } else if let Some(members) = index.get_mut(&at) {
        put(members, member, false);
        if members.is_empty() {
            index.remove(&at);
        }
    }
}

fn members<'a, I: Eq + Hash + Borrow<Q>, K, Q: Eq + Hash + ?Sized>(
    index: &'a HashMap<I, Members<K>>,
    at: &Q,
) -> impl Iterator<Item = &'a (K, Place)> + use<'a, I, K, Q> {
    index.get(at).into_iter().flatten()
}

fn places<'a, I: Eq + Hash + Borrow<Q>, K, Q: Eq + Hash + ?Sized>(
    index: &'a HashMap<I, Members<K>>,
    at: &Q,
) -> impl Iterator<Item = Place> + use<'a, I, K, Q> {
    members(index, at).map(|(_, place)| *place)
}

impl Indexes {
    /// Takes in that the object of a name, at a place, has changed; `None` where there was or is none.
    pub(super) fn change(
        &mut self,
        resource: &Arc<str>,
        here: (&Key, Place),
        old: Option<&Value>,
        new: Option<&Value>,
    ) {
        let differs = |of: fn(&Value) -> &Value| old.map(of) != new.map(of);
        if differs(|o| &o["metadata"]["uid"]) {
            self.each(old, new, |indexes, object, present| indexes.uid(resource, here, object, present));
        }
        if differs(|o| &o["metadata"]["ownerReferences"]) {
            self.each(old, new, |indexes, object, present| indexes.owners(resource, here, object, present));
        }
        match &**resource {
            "pods" if differs(|p| &p["spec"]) => self.each(old, new, |indexes, pod, present| {
                indexes.pod(here, &pod["spec"], present);
            }),
            ATTACHMENTS => self.each(old, new, |indexes, attachment, present| {
                indexes.attachment(here, &attachment["spec"], present);
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

    fn uid(&mut self, resource: &Arc<str>, (key, place): (&Key, Place), object: &Value, present: bool) {
        let Some(uid) = object["metadata"]["uid"].as_text() else { return };
        set(&mut self.by_uid, uid.clone(), ((resource.clone(), key.clone()), place), present);
    }

    fn owners(&mut self, resource: &Arc<str>, (key, place): (&Key, Place), object: &Value, present: bool) {
        let owners = || object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        if ADOPTED.contains(&&**resource) && !owners().any(|o| o["controller"] == true) {
            let keys = self.uncontrolled.entry(resource.clone()).or_default();
            if present {
                keys.insert(key.clone());
            } else {
                keys.remove(key);
            }
        }
        for uid in owners().filter_map(|o| o["uid"].as_text()) {
            set(&mut self.by_owner, uid.clone(), ((resource.clone(), key.clone()), place), present);
        }
    }

    fn pod(&mut self, (key, place): (&Key, Place), spec: &Value, present: bool) {
        if let Some(node) = spec["nodeName"].as_text() {
            set(&mut self.pods_by_node, node.clone(), (key.clone(), place), present);
            if spec["hostPID"] == true {
                set(&mut self.host_pods_by_node, node.clone(), (key.clone(), place), present);
            }
        }
        let volumes = spec["volumes"].as_array().into_iter().flatten();
        for claim in volumes.filter_map(|v| v["persistentVolumeClaim"]["claimName"].as_text()) {
            let claim = Key { namespace: key.namespace.clone(), name: claim.clone() };
            set(&mut self.pods_by_claim, claim, (key.clone(), place), present);
        }
    }

    fn attachment(&mut self, (key, place): (&Key, Place), spec: &Value, present: bool) {
        if let Some(node) = spec["nodeName"].as_text() {
            set(&mut self.attachments_by_node, node.clone(), (key.clone(), place), present);
        }
        if let Some(volume) = spec["source"]["persistentVolumeName"].as_text() {
            set(&mut self.attachments_by_volume, volume.clone(), (key.clone(), place), present);
        }
    }

    pub(super) fn pods_on(&self, node: &str) -> impl Iterator<Item = Place> + use<'_> {
        places(&self.pods_by_node, node)
    }

    pub(super) fn host_pods_on(&self, node: &str) -> impl Iterator<Item = Place> + use<'_> {
        places(&self.host_pods_by_node, node)
    }

    pub(super) fn pods_with(&self, claim: &Key) -> impl Iterator<Item = Place> + use<'_> {
        places(&self.pods_by_claim, claim)
    }

    pub(super) fn attachments_on(&self, node: &str) -> impl Iterator<Item = Place> + use<'_> {
        places(&self.attachments_by_node, node)
    }

    pub(super) fn attachments_of(&self, volume: &str) -> impl Iterator<Item = Place> + use<'_> {
        places(&self.attachments_by_volume, volume)
    }

    pub(super) fn owned_by(&self, uid: &str) -> impl Iterator<Item = &(Named, Place)> + use<'_> {
        members(&self.by_owner, uid)
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

    pub(super) fn with_uid(&self, uid: &str) -> impl Iterator<Item = &(Named, Place)> + use<'_> {
        members(&self.by_uid, uid)
    }
}
