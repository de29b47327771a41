//! The objects of the embedded cluster: one collection a kind, one counter of revisions, one history for watches.
//!
//! # Why
//! Synchronous and single: every write goes through one place, gets the next revision, and is seen by watches and
//! controllers in that order. Nothing iterates a hash map, names and UIDs come from a counter and the seed, so the same
//! requests give the same bytes.

mod collection;
mod index;
mod key;
mod names;
mod refusal;
mod resource;
mod schema;
mod selected;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::sim::controllers::Facts;
use crate::sim::json::{Value, json};

pub(in crate::sim) use collection::section;
pub use key::Key;
pub(in crate::sim) use names::mix_text;
pub use refusal::Refusal;
pub use resource::{Resource, full_name};
pub(in crate::sim) use schema::{ListType, ScalePaths, Schema};

use super::clock::Clock;
use collection::{Collection, Place};
use index::Indexes;
use names::Names;
use selected::Selected;

/// A stored object. Shared, never changed in place.
pub type Object = Arc<Value>;

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// The object is new.
    Added,
    /// It changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// One write.
#[derive(Debug, Clone)]
pub struct Change {
    /// The revision it made.
    pub revision: u64,
    /// Kind of the object: `pods`, `deployments.apps`.
    pub resource: Arc<str>,
    /// What it did.
    pub kind: ChangeKind,
    /// The object afterwards (for `Deleted`: as it was last, with the revision of its deletion).
    pub object: Object,
    /// The object before.
    pub old: Option<Object>,
}

impl Change {
    /// The object's key.
    pub fn key(&self) -> Key {
        Key::of(&self.object)
    }
}

/// The kind of definitions.
pub(in crate::sim) const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";
/// Holds a definition until its objects are gone.
pub(in crate::sim) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// How an object is deleted.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Grace period, seconds; `None` is the object's own.
    pub grace_seconds: Option<i64>,
    /// Precondition: UID.
    pub uid: Option<String>,
    /// Precondition: resourceVersion.
    pub resource_version: Option<String>,
    /// `Background`, `Foreground`, `Orphan`.
    pub propagation: Option<String>,
    /// A client asked: watchers of a pod then see its mark before its end, as from the real API server.
    pub by_request: bool,
}

/// A pod that its workload couldn't make.
#[derive(Debug, Clone)]
pub(in crate::sim) struct Refused {
    /// The reference to the workload.
    pub owner: Value,
    /// Where.
    pub namespace: Value,
    /// The pod's name, if it isn't a generated one.
    pub name: Value,
    /// The API server's words.
    pub message: String,
}

impl Refused {
    /// Why, whatever the pod's name and however much is used by now.
    pub fn why(&self) -> &str {
        let why = self.message.split_once(" is forbidden: ").map_or(&*self.message, |(_, why)| why);
        why.split_once(", used: ").map_or(why, |(why, _)| why)
    }
}

/// All objects.
pub struct Store {
    clock: Clock,
    seed: u64,
    collections: BTreeMap<String, Collection>,
    /// The kinds of each name, which several groups may have.
    by_kind: BTreeMap<String, Vec<Arc<Resource>>>,
    revision: u64,
    last_work: u64,
    names: Names,
    history_limit: usize,
    changes: Vec<Change>,
    indexes: Indexes,
    selected: Selected,
    notify: Arc<Notify>,
    /// Pods of workloads that weren't let in, until the controller manager takes note.
    refused: Vec<Refused>,
    /// Quotas and limits are enforced: not while a cluster is loaded, which is as it is.
    admits: bool,
}

impl Store {
    /// An empty store with the built-in kinds. `history_limit` is how many changes of a kind a watch can lag behind.
    pub fn new(clock: Clock, seed: u64, history_limit: usize) -> Self {
        let mut store = Self {
            clock,
            seed,
            collections: BTreeMap::new(),
            by_kind: BTreeMap::new(),
            revision: 1,
            last_work: 1,
            names: Names::new(seed),
            history_limit,
            changes: Vec::new(),
            indexes: Indexes::default(),
            selected: Selected::default(),
            notify: Arc::new(Notify::new()),
            refused: Vec::new(),
            admits: false,
        };
        for resource in resource::built_in() {
            store.define(resource);
        }
        store
    }

    fn define(&mut self, resource: Resource) {
        let resource = Arc::new(resource);
        match self.collections.get_mut(&resource.name) {
            Some(collection) => collection.resource = resource,
            None => {
                let name = resource.name.clone();
                self.collections.insert(name, Collection::new(resource, self.revision));
            }
        }
        self.by_kind.clear();
        for Collection { resource, .. } in self.collections.values() {
            self.by_kind.entry(resource.kind.clone()).or_default().push(resource.clone());
        }
    }

    /// The clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether this revision has been there. The real server waits for it for three seconds; here nothing lags behind.
    ///
    /// # Errors
    /// 504 if it hasn't.
    pub(in crate::sim) fn reaches(&self, revision: u64) -> Result<(), Refusal> {
        if revision > self.revision {
            return Err(Refusal::too_large(revision, self.revision));
        }
        Ok(())
    }

    /// The newest revision that was more than a heartbeat: a node's annotations, a Lease, an event.
    pub fn last_work(&self) -> u64 {
        self.last_work
    }

    /// Wakes everybody who waits for changes of a kind; they look for themselves.
    pub fn notify_of(&self, resource: &str) -> Option<Arc<Notify>> {
        self.collections.get(resource).map(|c| c.notify.clone())
    }

    /// Whether quotas and limits are enforced.
    pub(in crate::sim) fn admits(&self) -> bool {
        self.admits
    }

    /// From now on quotas and limits are enforced. Returns what wakes the controllers at any change.
    pub fn begin_admission(&mut self) -> Arc<Notify> {
        self.admits = true;
        self.notify.clone()
    }

    /// All kinds, by name.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.collections.values().map(|c| &c.resource)
    }

    /// The kind of that name (`pods`, `deployments.apps`).
    pub fn resource(&self, name: &str) -> Option<&Arc<Resource>> {
        self.collections.get(name).map(|c| &c.resource)
    }

    /// The kind that `apiVersion` and `kind` name.
    pub fn resource_of(&self, api_version: &str, kind: &str) -> Option<&Arc<Resource>> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        self.by_kind.get(kind)?.iter().find(|r| r.group == group)
    }

    /// One object.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<&Object> {
        self.collections.get(resource)?.get(&(namespace, name))
    }

    /// One object, by key.
    pub fn get_key(&self, resource: &str, key: &Key) -> Option<&Object> {
        self.collections.get(resource)?.get(key)
    }

    /// All objects of a kind in order of their keys.
    pub fn list<'a>(&'a self, resource: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.collections.get(resource).into_iter().flat_map(Collection::objects)
    }

    /// The objects of a kind in a namespace.
    pub fn list_in<'a>(
        &'a self,
        resource: &str,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.collections.get(resource).into_iter().flat_map(move |c| c.in_namespace(namespace))
    }

    /// The objects of a kind after a key, in one namespace or (with an empty one) in all.
    pub fn list_after<'a>(
        &'a self,
        resource: &str,
        namespace: &'a str,
        after: Option<&Key>,
    ) -> Box<dyn Iterator<Item = &'a Object> + 'a> {
        match self.collections.get(resource) {
            Some(collection) => Box::new(collection.section(namespace, after)),
            None => Box::new(std::iter::empty()),
        }
    }

    /// The objects of a kind at places that an index gave.
    fn at<'a, P: Iterator<Item = Place>>(
        &'a self,
        resource: &str,
        places: P,
    ) -> impl Iterator<Item = &'a Object> + use<'a, P> {
        let collection = self.collections.get(resource);
        places.filter_map(move |place| collection?.at(place))
    }

    /// The same of pods, with their facts.
    fn pods_at<P: Iterator<Item = Place>>(
        &self,
        places: P,
    ) -> impl Iterator<Item = (&Object, &Facts)> + use<'_, P> {
        let pods = self.collections.get("pods");
        places.filter_map(move |place| pods?.with_facts(place))
    }

    /// The pods bound to a node.
    pub fn pods_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.at("pods", self.indexes.pods_on(node))
    }

    /// The pods bound to a node that are in its process namespace.
    pub fn host_pods_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.at("pods", self.indexes.host_pods_on(node))
    }

    /// The pods that use a claim.
    pub fn pods_with<'a>(&'a self, claim: &Key) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.at("pods", self.indexes.pods_with(claim))
    }

    /// The volumes attached to a node.
    pub fn attachments_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.at(index::ATTACHMENTS, self.indexes.attachments_on(node))
    }

    /// Where a volume is attached.
    pub fn attachments_of<'a>(&'a self, volume: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.at(index::ATTACHMENTS, self.indexes.attachments_of(volume))
    }

    /// The object of a kind with this UID.
    pub fn with_uid(&self, resource: &str, uid: &str) -> Option<&Object> {
        let ((resource, _), place) = self.indexes.with_uid(uid).find(|((r, _), _)| &**r == resource)?;
        self.collections.get(&**resource)?.at(*place)
    }

    /// The objects of a kind that name this UID as an owner.
    pub fn owned_by<'a>(
        &'a self,
        uid: &str,
        resource: &'a str,
    ) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.at(resource, self.owned_places(uid, resource))
    }

    /// The pods that name this UID as an owner, with their facts.
    pub(in crate::sim) fn pods_owned_by<'a>(
        &'a self,
        uid: &str,
    ) -> impl Iterator<Item = (&'a Object, &'a Facts)> + use<'a> {
        self.pods_at(self.owned_places(uid, "pods"))
    }

    fn owned_places<'a>(&'a self, uid: &str, resource: &'a str) -> impl Iterator<Item = Place> + use<'a> {
        let owned = self.indexes.owned_by(uid).filter(move |((r, _), _)| &**r == resource);
        owned.map(|(_, place)| *place)
    }

    /// The pods or ReplicaSets of a namespace that nobody controls.
    pub fn uncontrolled_in<'a>(
        &'a self,
        resource: &'static str,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Object> + use<'a> {
        let keys = self.indexes.uncontrolled_in(resource, namespace);
        keys.filter_map(move |key| self.get_key(resource, key))
    }

    /// Everything that names this UID as an owner.
    pub fn dependants(&self, uid: &str) -> Vec<(String, Key)> {
        self.indexes.owned_by(uid).map(|((r, k), _)| (r.to_string(), k.clone())).collect()
    }

    /// Whether anything names this UID as an owner.
    pub fn has_dependants(&self, uid: &str) -> bool {
        self.indexes.owned_by(uid).next().is_some()
    }

    /// The changes since the last call, oldest first: for the one controller manager.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Notes that a workload's pod was refused: no object says so. Many for one reason are one.
    pub(in crate::sim) fn note_refused(&mut self, refused: Refused) {
        let is_known = |known: &Refused| known.owner == refused.owner && known.why() == refused.why();
        if !self.refused.iter().any(is_known) {
            self.refused.push(refused);
        }
    }

    /// What was noted since the last call.
    pub(in crate::sim) fn take_refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.refused)
    }

    /// The changes of a kind after a revision.
    ///
    /// # Errors
    /// 410 if the history doesn't reach back so far.
    pub fn changes_since(&self, resource: &str, revision: u64) -> Result<Vec<Change>, Refusal> {
        let Some(collection) = self.collections.get(resource) else {
            return Ok(Vec::new());
        };
        if revision < collection.forgotten {
            let message = format!("too old resource version: {revision} ({})", collection.forgotten);
            return Err(Refusal::expired(message));
        }
        Ok(collection.changes_since(revision))
    }

    /// The objects of a kind as they were at a revision, by key; `None` where that is how they are.
    ///
    /// # Errors
    /// 410 if the history doesn't reach back so far.
    pub(in crate::sim) fn objects_at(
        &self,
        resource: &str,
        revision: u64,
    ) -> Result<Option<BTreeMap<Key, Object>>, Refusal> {
        let expired = |_| Refusal::expired("The resourceVersion for the provided list is too old.");
        let changes = self.changes_since(resource, revision).map_err(expired)?;
        let Some(collection) = self.collections.get(resource).filter(|_| !changes.is_empty()) else {
            return Ok(None);
        };
        let mut objects = collection.by_key();
        for change in changes.into_iter().rev() {
            match change.old {
                Some(old) => objects.insert(Key::of(&old), old),
                None => objects.remove(&Key::of(&change.object)),
            };
        }
        Ok(Some(objects))
    }

    fn collection(&self, resource: &str) -> Result<&Collection, Refusal> {
        let missing = || Refusal::new(404, "NotFound", "the server could not find the requested resource");
        self.collections.get(resource).ok_or_else(missing)
    }

    fn commit_deletion(&mut self, resource: &str, key: Key, last: Value) -> Object {
        // What watchers see of a deleted object is its last state.
        if let Some(collection) = self.collections.get_mut(resource) {
            collection.put(&key, Arc::new(last));
        }
        self.commit(resource, key, None)
    }

    /// The one place where objects change: revision, indexes, history, queue, wake-up.
    fn commit(&mut self, resource: &str, key: Key, object: Option<Value>) -> Object {
        self.revision += 1;
        let revision = self.revision;
        let Some(collection) = self.collections.get_mut(resource) else {
            return Arc::new(Value::Null);
        };
        let name = collection.name.clone();
        let old = collection.get(&key).cloned();
        let (kind, mut value) = match (object, &old) {
            (Some(object), None) => (ChangeKind::Added, object),
            (Some(object), Some(_)) => (ChangeKind::Modified, object),
            (None, Some(old)) => (ChangeKind::Deleted, (**old).clone()),
            (None, None) => return Arc::new(Value::Null),
        };
        value["metadata"]["resourceVersion"] = json!(revision.to_string());
        let object = Arc::new(value);
        let place = match kind {
            ChangeKind::Deleted => collection.remove(&key).unwrap_or_default(),
            _ => collection.put(&key, object.clone()),
        };
        let change =
            Change { revision, resource: name.clone(), kind, object: object.clone(), old: old.clone() };
        if !is_heartbeat(&change) {
            self.last_work = revision;
        }
        collection.remember(change.clone(), self.history_limit);
        collection.notify.notify_waiters();
        self.changes.push(change);
        let new = (kind != ChangeKind::Deleted).then_some(&*object);
        self.indexes.change(&name, (&key, place), old.as_deref(), new);
        self.note_selected(&name, (&key, place), old.as_deref(), new);
        if resource == DEFINITIONS
            && let Some(mut resource) = resource::defined_by(&object)
        {
            if kind == ChangeKind::Deleted {
                resource.served.clear();
            }
            self.define(resource);
        }
        self.notify.notify_waiters();
        object
    }
}

/// A change that comes again and again on a cluster at rest.
fn is_heartbeat(change: &Change) -> bool {
    match &*change.resource {
        "leases.coordination.k8s.io" | "events" | "events.events.k8s.io" => true,
        "nodes" => change.old.as_ref().is_some_and(|old| {
            let new = &change.object;
            old["spec"] == new["spec"]
                && old["status"] == new["status"]
                && old["metadata"]["labels"] == new["metadata"]["labels"]
        }),
        _ => false,
    }
}
