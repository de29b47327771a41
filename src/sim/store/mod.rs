//! The objects of the embedded cluster: one map a kind, one counter of revisions, one history for watches.
//!
//! # Why
//! Synchronous and single: every write goes through one place, gets the next revision, and is seen by watches and
//! controllers in that order. Nothing iterates a hash map, names and UIDs come from a counter and the seed, so the same
//! requests give the same bytes.

mod names;
mod refusal;
mod resource;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

pub(in crate::sim) use names::mix_text;
pub use refusal::Refusal;
pub use resource::{Resource, full_name};

use super::clock::Clock;
use names::Names;

/// A stored object. Shared, never changed in place.
pub type Object = Arc<Value>;

/// Namespace (empty for cluster-scoped kinds) and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// Of a namespace and a name.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Of an object.
    pub fn of(object: &Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        Self::new(text("namespace"), text("name"))
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
}

/// All objects.
pub struct Store {
    clock: Clock,
    seed: u64,
    collections: BTreeMap<String, Collection>,
    revision: u64,
    last_work: u64,
    names: Names,
    history_limit: usize,
    changes: Vec<Change>,
    pods_by_node: BTreeMap<String, BTreeSet<Key>>,
    by_owner: BTreeMap<String, BTreeSet<(Arc<str>, Key)>>,
    notify: Arc<Notify>,
}

/// UIDs of all owners of an object.
fn owners(object: &Value) -> impl Iterator<Item = &str> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten().filter_map(|o| o["uid"].as_str())
}

impl Store {
    /// An empty store with the built-in kinds. `history_limit` is how many changes of a kind a watch can lag behind.
    pub fn new(clock: Clock, seed: u64, history_limit: usize) -> Self {
        let mut store = Self {
            clock,
            seed,
            collections: BTreeMap::new(),
            revision: 1,
            last_work: 1,
            names: Names::new(seed),
            history_limit,
            changes: Vec::new(),
            pods_by_node: BTreeMap::new(),
            by_owner: BTreeMap::new(),
            notify: Arc::new(Notify::new()),
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
                let collection = Collection { resource, name: name.clone(), objects, history, forgotten: 0 };
                self.collections.insert(name.to_string(), collection);
            }
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

    /// The newest revision that was more than a heartbeat: a node's annotations, a Lease, an event.
    pub fn last_work(&self) -> u64 {
        self.last_work
    }

    /// Wakes everybody who waits for changes; they look for themselves.
    pub fn notify(&self) -> Arc<Notify> {
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
        self.resources().find(|r| r.kind == kind && r.group == group)
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

    /// The pods bound to a node.
    pub fn pods_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        let keys = self.pods_by_node.get(node).into_iter().flatten();
        keys.filter_map(|key| self.get_key("pods", key))
    }

    /// The objects of a kind that name this UID as an owner.
    pub fn owned_by<'a>(
        &'a self,
        uid: &str,
        resource: &'a str,
    ) -> impl Iterator<Item = &'a Object> + use<'a> {
        let owned = self.by_owner.get(uid).into_iter().flatten().filter(move |(r, _)| &**r == resource);
        owned.filter_map(|(resource, key)| self.get_key(resource, key))
    }

    /// Everything that names this UID as an owner.
    pub fn dependants(&self, uid: &str) -> Vec<(String, Key)> {
        self.by_owner.get(uid).into_iter().flatten().map(|(r, k)| (r.to_string(), k.clone())).collect()
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
        let start = collection.history.partition_point(|c| c.revision <= revision);
        Ok(collection.history.range(start..).cloned().collect())
    }

    fn collection(&self, resource: &str) -> Result<&Collection, Refusal> {
        let missing = || Refusal::new(404, "NotFound", "the server could not find the requested resource");
        self.collections.get(resource).ok_or_else(missing)
    }

    /// Fills in what the API server fills in, and creates the object. Metadata that a dump brings along (`uid`,
    /// `creationTimestamp`) is kept.
    ///
    /// # Errors
    /// 409 if the name is taken, 422 without a name, 404 for an unknown kind.
    pub fn create(&mut self, resource: &str, mut object: Value) -> Result<Object, Refusal> {
        let kind = self.collection(resource)?.resource.clone();
        if object["metadata"]["name"].as_str().is_none_or(str::is_empty) {
            let Some(prefix) = object["metadata"]["generateName"].as_str().filter(|p| !p.is_empty()) else {
                let why = "Required value: name or generateName is required";
                return Err(Refusal::invalid(&kind.group, &kind.kind, "", "metadata.name", why));
            };
            let prefix = prefix.to_owned();
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
            let mut name = format!("{prefix}{}", self.names.suffix());
            while self.get(resource, &namespace, &name).is_some() {
                name = format!("{prefix}{}", self.names.suffix());
            }
            object["metadata"]["name"] = json!(name);
        }
        let key = Key::of(&object);
        if self.collection(resource)?.objects.contains_key(&key) {
            return Err(Refusal::already_exists(resource, &key.name));
        }
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.kind);
        match object["metadata"]["uid"].as_str() {
            None => object["metadata"]["uid"] = json!(self.names.uid()),
            Some(given) => self.names.take(given),
        }
        if object["metadata"]["creationTimestamp"].is_null() {
            object["metadata"]["creationTimestamp"] = json!(self.clock.now_text());
        }
        if kind.has_status || object["metadata"]["generation"].is_null() {
            object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap_or(1));
        }
        Ok(self.commit(resource, key, Some(object)))
    }

    /// Replaces an object; with `status_only` just its status, otherwise everything but its status where that is a
    /// subresource. An object whose last finalizer goes while it is being deleted is gone.
    ///
    /// # Errors
    /// 404; 409 if the given resourceVersion (or UID) isn't the current one.
    pub fn update(
        &mut self,
        resource: &str,
        mut object: Value,
        status_only: bool,
    ) -> Result<Object, Refusal> {
        let kind = self.collection(resource)?.resource.clone();
        let key = Key::of(&object);
        let old =
            self.get_key(resource, &key).cloned().ok_or_else(|| Refusal::not_found(resource, &key.name))?;
        let given = object["metadata"]["resourceVersion"].as_str();
        if given.is_some_and(|v| !v.is_empty() && Some(v) != old["metadata"]["resourceVersion"].as_str()) {
            let why =
                "the object has been modified; please apply your changes to the latest version and try again";
            return Err(Refusal::conflict(resource, &key.name, why));
        }
        if object["metadata"]["uid"].as_str().is_some_and(|uid| Some(uid) != old["metadata"]["uid"].as_str())
        {
            let why = "Precondition failed: UID in precondition differs from the UID in object meta";
            return Err(Refusal::conflict(resource, &key.name, why));
        }
        if status_only {
            let status = object["status"].take();
            object = (*old).clone();
            object["status"] = status;
        } else if kind.has_status {
            match old.get("status") {
                Some(status) => object["status"] = status.clone(),
                None => {
                    object.as_object_mut().map(|o| o.remove("status"));
                }
            }
        }
        for field in
            ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"]
        {
            match old["metadata"].get(field) {
                Some(value) => object["metadata"][field] = value.clone(),
                None => {
                    object["metadata"].as_object_mut().map(|m| m.remove(field));
                }
            }
        }
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.kind);
        if spec_differs(&old, &object) {
            object["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or(1) + 1);
        }
        object["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        if object == *old {
            return Ok(old);
        }
        if !object["metadata"]["deletionTimestamp"].is_null()
            && !has_finalizers(&object)
            && kind.name != "pods"
        {
            return Ok(self.commit_deletion(resource, key, object));
        }
        Ok(self.commit(resource, key, Some(object)))
    }

    /// Changes an object in place (controllers): reads, changes, writes whole, status and all.
    pub fn modify(&mut self, resource: &str, key: &Key, change: impl FnOnce(&mut Value)) -> Option<Object> {
        let old = self.get_key(resource, key)?.clone();
        let mut object = (*old).clone();
        change(&mut object);
        if object == *old {
            return Some(old);
        }
        if spec_differs(&old, &object) {
            object["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or(1) + 1);
        }
        let deleting = !object["metadata"]["deletionTimestamp"].is_null();
        if deleting && !has_finalizers(&object) && resource != "pods" {
            return Some(self.commit_deletion(resource, key.clone(), object));
        }
        Some(self.commit(resource, key.clone(), Some(object)))
    }

    /// Deletes an object as the API server does: pods gracefully, objects with finalizers only in name.
    /// The answer tells whether it is gone already.
    ///
    /// # Errors
    /// 404; 409 if a precondition doesn't hold.
    pub fn delete(
        &mut self,
        resource: &str,
        key: &Key,
        options: &DeleteOptions,
    ) -> Result<(Object, bool), Refusal> {
        self.collection(resource)?;
        let old =
            self.get_key(resource, key).cloned().ok_or_else(|| Refusal::not_found(resource, &key.name))?;
        check_preconditions(resource, key, &old, options)?;
        let mut object = (*old).clone();
        match options.propagation.as_deref() {
            Some("Foreground") => add_finalizer(&mut object, "foregroundDeletion"),
            Some("Orphan") => add_finalizer(&mut object, "orphan"),
            _ => {}
        }
        let grace = if resource == "pods" { pod_grace(&object, options.grace_seconds) } else { 0 };
        let deleting = !object["metadata"]["deletionTimestamp"].is_null();
        if deleting {
            let current = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
            if grace > 0 && grace >= current {
                return Ok((old, false));
            }
        }
        if grace > 0 || has_finalizers(&object) {
            let at = self.clock.now() + jiff::SignedDuration::from_secs(grace);
            object["metadata"]["deletionTimestamp"] = json!(super::clock::seconds_text(at));
            object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(1);
            object["metadata"]["generation"] = json!(generation + i64::from(!deleting));
            return Ok((self.commit(resource, key.clone(), Some(object)), false));
        }
        Ok((self.commit_deletion(resource, key.clone(), object), true))
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
        collection.history.push_back(change.clone());
        if collection.history.len() > self.history_limit
            && let Some(dropped) = collection.history.pop_front()
        {
            collection.forgotten = dropped.revision;
        }
        self.changes.push(change);
        self.reindex(&name, &key, old.as_deref(), (kind != ChangeKind::Deleted).then_some(&object));
        if resource == "customresourcedefinitions.apiextensions.k8s.io" {
            for resource in resource::defined_by(&object) {
                self.define(resource);
            }
        }
        self.notify.notify_waiters();
        object
    }

    fn reindex(&mut self, resource: &Arc<str>, key: &Key, old: Option<&Value>, new: Option<&Object>) {
        for uid in old.into_iter().flat_map(owners) {
            if let Some(set) = self.by_owner.get_mut(uid) {
                set.remove(&(resource.clone(), key.clone()));
            }
        }
        for uid in new.into_iter().flat_map(|o| owners(o)) {
            self.by_owner.entry(uid.to_owned()).or_default().insert((resource.clone(), key.clone()));
        }
        if &**resource != "pods" {
            return;
        }
        if let Some(node) = old.and_then(|o| o["spec"]["nodeName"].as_str())
            && let Some(set) = self.pods_by_node.get_mut(node)
        {
            set.remove(key);
        }
        if let Some(node) = new.and_then(|o| o["spec"]["nodeName"].as_str()) {
            self.pods_by_node.entry(node.to_owned()).or_default().insert(key.clone());
        }
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

fn spec_differs(old: &Value, new: &Value) -> bool {
    let fields = |v: &Value| -> BTreeMap<String, Value> {
        let object = v.as_object().into_iter().flatten();
        let counted =
            object.filter(|(k, _)| !matches!(k.as_str(), "metadata" | "status" | "apiVersion" | "kind"));
        counted.map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    fields(old) != fields(new)
}

fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty())
}

fn add_finalizer(object: &mut Value, finalizer: &str) {
    let list = &mut object["metadata"]["finalizers"];
    if !list.is_array() {
        *list = json!([]);
    }
    if let Some(list) = list.as_array_mut().filter(|l| !l.contains(&json!(finalizer))) {
        list.push(json!(finalizer));
    }
}

/// Grace of a pod's deletion: none where nothing runs (not bound yet, or ended).
fn pod_grace(pod: &Value, asked: Option<i64>) -> i64 {
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty) || ended {
        return 0;
    }
    asked.or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30).max(0)
}

fn check_preconditions(
    resource: &str,
    key: &Key,
    old: &Value,
    options: &DeleteOptions,
) -> Result<(), Refusal> {
    let metadata = |field: &str| old["metadata"][field].as_str().unwrap_or_default();
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != metadata("uid")) {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            metadata("uid")
        );
        return Err(Refusal::conflict(resource, &key.name, &why));
    }
    if let Some(version) = options.resource_version.as_deref().filter(|v| *v != metadata("resourceVersion")) {
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {}",
            metadata("resourceVersion")
        );
        return Err(Refusal::conflict(resource, &key.name, &why));
    }
    Ok(())
}
