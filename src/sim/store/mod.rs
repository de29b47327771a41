//! The objects of the embedded cluster: one map a kind, one counter of revisions, one history for watches.
//!
//! # Why
//! Synchronous and single: every write goes through one place, gets the next revision, and is seen by watches and
//! controllers in that order. Nothing iterates a hash map, names and UIDs come from a counter and the seed, so the same
//! requests give the same bytes.

mod index;
mod names;
mod refusal;
mod resource;
mod schema;
mod selected;
mod write;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::sim::json::{Text, Value, json};

pub(in crate::sim) use names::mix_text;
pub use refusal::Refusal;
pub use resource::{Resource, full_name};
pub(in crate::sim) use schema::{ListType, ScalePaths, Schema};

use super::clock::Clock;
use index::Indexes;
use names::Names;
use selected::Selected;

/// A stored object. Shared, never changed in place.
pub type Object = Arc<Value>;

/// Namespace (empty for cluster-scoped kinds) and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key {
    /// Namespace.
    pub namespace: Text,
    /// Name.
    pub name: Text,
}

impl Key {
    /// Of a namespace and a name.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Of an object.
    pub fn of(object: &Value) -> Self {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_text().cloned().unwrap_or_default();
        Self { namespace: text("namespace"), name: text("name") }
    }
}

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

struct Collection {
    resource: Arc<Resource>,
    name: Arc<str>,
    objects: BTreeMap<Key, Object>,
    history: VecDeque<Change>,
    /// Revision of the newest change that the history has dropped.
    forgotten: u64,
    /// Wakes those who watch the kind.
    notify: Arc<Notify>,
}

impl Collection {
    /// Where there are more objects than the limit, as many changes are kept: whoever lags behind so far would have to list them
    /// all, over and over in a large cluster. Versions share what they have in common, so a change takes little.
    fn remember(&mut self, change: Change, limit: usize) {
        self.history.push_back(change);
        while self.history.len() > limit.max(self.objects.len()) {
            let Some(dropped) = self.history.pop_front() else { return };
            self.forgotten = dropped.revision;
        }
    }
}

/// The objects after a key, in one namespace or (with an empty one) in all.
pub(in crate::sim) fn section<'a>(
    objects: &'a BTreeMap<Key, Object>,
    namespace: &'a str,
    after: Option<&Key>,
) -> impl Iterator<Item = &'a Object> + use<'a> {
    let start = match after {
        Some(after) => Bound::Excluded(after.clone()),
        None => Bound::Included(Key::new(namespace, "")),
    };
    let run = objects.range((start, Bound::Unbounded));
    let run = run.take_while(move |(key, _)| namespace.is_empty() || key.namespace == namespace);
    run.map(|(_, object)| object)
}

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
            admits: false,
        };
        for resource in resource::built_in() {
            store.define(resource);
        }
        store
    }

    fn define(&mut self, resource: Resource) {
        let name: Arc<str> = Arc::from(resource.name.as_str());
        let resource = Arc::new(resource);
        match self.collections.get_mut(&*name) {
            Some(collection) => collection.resource = resource,
            None => {
                let (objects, history) = (BTreeMap::new(), VecDeque::new());
                let collection = Collection {
                    resource,
                    name: name.clone(),
                    objects,
                    history,
                    // Of what was before the kind nothing can be told.
                    forgotten: self.revision,
                    notify: Arc::default(),
                };
                self.collections.insert(name.to_string(), collection);
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
        self.collections.get(resource)?.objects.get(&Key::new(namespace, name))
    }

    /// One object, by key.
    pub fn get_key(&self, resource: &str, key: &Key) -> Option<&Object> {
        self.collections.get(resource)?.objects.get(key)
    }

    /// All objects of a kind in order of their keys.
    pub fn list<'a>(&'a self, resource: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.collections.get(resource).into_iter().flat_map(|c| c.objects.values())
    }

    /// The objects of a kind in a namespace.
    pub fn list_in<'a>(
        &'a self,
        resource: &str,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Object> + use<'a> {
        let collection = self.collections.get(resource);
        collection.into_iter().flat_map(move |c| {
            let range = c.objects.range(Key::new(namespace, "")..);
            range.take_while(move |(key, _)| key.namespace == namespace).map(|(_, object)| object)
        })
    }

    /// The objects of a kind after a key, in one namespace or (with an empty one) in all.
    pub fn list_after<'a>(
        &'a self,
        resource: &str,
        namespace: &'a str,
        after: Option<&Key>,
    ) -> Box<dyn Iterator<Item = &'a Object> + 'a> {
        match self.collections.get(resource) {
            Some(collection) => Box::new(section(&collection.objects, namespace, after)),
            None => Box::new(std::iter::empty()),
        }
    }

    /// The pods bound to a node.
    pub fn pods_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.indexes.pods_on(node).filter_map(|key| self.get_key("pods", key))
    }

    /// The pods bound to a node that are in its process namespace.
    pub fn host_pods_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.indexes.host_pods_on(node).filter_map(|key| self.get_key("pods", key))
    }

    /// The pods that use a claim.
    pub fn pods_with<'a>(&'a self, claim: &Key) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.indexes.pods_with(claim).filter_map(|key| self.get_key("pods", key))
    }

    /// The volumes attached to a node.
    pub fn attachments_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.indexes.attachments_on(node).filter_map(|key| self.get_key(index::ATTACHMENTS, key))
    }

    /// Where a volume is attached.
    pub fn attachments_of<'a>(&'a self, volume: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.indexes.attachments_of(volume).filter_map(|key| self.get_key(index::ATTACHMENTS, key))
    }

    /// The object of a kind with this UID.
    pub fn with_uid(&self, resource: &str, uid: &str) -> Option<&Object> {
        let (resource, key) = self.indexes.with_uid(uid).find(|(r, _)| &**r == resource)?;
        self.get_key(resource, key)
    }

    /// The objects of a kind that name this UID as an owner.
    pub fn owned_by<'a>(
        &'a self,
        uid: &str,
        resource: &'a str,
    ) -> impl Iterator<Item = &'a Object> + use<'a> {
        let owned = self.indexes.owned_by(uid).filter(move |(r, _)| &**r == resource);
        owned.filter_map(|(resource, key)| self.get_key(resource, key))
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
        self.indexes.owned_by(uid).map(|(r, k)| (r.to_string(), k.clone())).collect()
    }

    /// Whether anything names this UID as an owner.
    pub fn has_dependants(&self, uid: &str) -> bool {
        self.indexes.owned_by(uid).next().is_some()
    }

    /// The changes since the last call, oldest first: for the one controller manager.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
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
        // Most who ask have seen all but the last few.
        let unseen = collection.history.iter().rev().take_while(|c| c.revision > revision).count();
        let start = collection.history.len() - unseen;
        Ok(collection.history.range(start..).cloned().collect())
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
        let mut objects = collection.objects.clone();
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
            collection.objects.insert(key.clone(), Arc::new(last));
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
        let old = collection.objects.get(&key).cloned();
        let (kind, mut value) = match (object, &old) {
            (Some(object), None) => (ChangeKind::Added, object),
            (Some(object), Some(_)) => (ChangeKind::Modified, object),
            (None, Some(old)) => (ChangeKind::Deleted, (**old).clone()),
            (None, None) => return Arc::new(Value::Null),
        };
        value["metadata"]["resourceVersion"] = json!(revision.to_string());
        let object = Arc::new(value);
        if kind == ChangeKind::Deleted {
            collection.objects.remove(&key);
        } else {
            collection.objects.insert(key.clone(), object.clone());
        }
        let change =
            Change { revision, resource: name.clone(), kind, object: object.clone(), old: old.clone() };
        if !is_heartbeat(&change) {
            self.last_work = revision;
        }
        collection.remember(change.clone(), self.history_limit);
        collection.notify.notify_waiters();
        self.changes.push(change);
        let new = (kind != ChangeKind::Deleted).then_some(&*object);
        self.indexes.change(&name, &key, old.as_deref(), new);
        self.note_selected(&name, &key, old.as_deref(), new);
        if resource == "customresourcedefinitions.apiextensions.k8s.io"
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
