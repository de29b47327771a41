//! Writes: create, update, delete, each also as a question that stores nothing.

use jiff::SignedDuration;

use super::{CLEANUP, DEFINITIONS, DeleteOptions, Key, Object, Refusal, Resource, Store};
use crate::sim::api::limits;
use crate::sim::clock::{parse_time, seconds_text};
use crate::sim::controllers::quota;
use crate::sim::json::{Map, Text, Value, json};
use crate::sim::scheduler::set_condition;

impl Store {
    /// Creates an object. Metadata that a dump brings along (`uid`, `creationTimestamp`) is kept.
    ///
    /// # Errors
    /// Those of [`Store::would_create`].
    pub fn create(&mut self, resource: &str, object: Value) -> Result<Object, Refusal> {
        let object = self.would_create(resource, object)?;
        if self.admits {
            quota::charge(self, resource, &object);
        }
        Ok(self.commit(resource, Key::of(&object), Some(object)))
    }

    /// Fills in what the API server fills in, and stores nothing.
    ///
    /// # Errors
    /// 409 if the name is taken, 422 without a name, 404 for an unknown kind, 403 in a namespace on its way out.
    pub fn would_create(&mut self, resource: &str, mut object: Value) -> Result<Value, Refusal> {
        let kind = self.collection(resource)?.resource.clone();
        self.check_place(&kind, &object)?;
        self.name_generated(&kind, &mut object);
        if object["metadata"]["name"].as_str().is_none_or(str::is_empty) {
            let why = "Required value: name or generateName is required";
            return Err(Refusal::invalid(&kind.group, &kind.kind, "", "metadata.name", why));
        }
        let key = Key::of(&object);
        if self.admits {
            let refusal = limits::refusal(self, resource, &object);
            if let Some(refusal) = refusal.or_else(|| quota::refusal(self, resource, &object)) {
                return Err(refusal);
            }
        }
        if let Some(there) = self.collection(resource)?.get(&key) {
            let mut refusal = Refusal::already_exists(resource, &key.name);
            if !there["metadata"]["deletionTimestamp"].is_null() {
                refusal.message.insert_str(0, "object is being deleted: ");
            }
            return Err(refusal);
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
        if kind.has_generation() {
            object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap_or(1));
        }
        Ok(object)
    }

    /// Nothing new in a namespace, or of a definition, that is being deleted.
    fn check_place(&self, kind: &Resource, object: &Value) -> Result<(), Refusal> {
        let key = Key::of(object);
        if kind.namespaced && self.is_terminating(&key.namespace) {
            return Err(Refusal::namespace_terminating(&kind.name, &key.name, &key.namespace));
        }
        if kind.is_custom && self.get(DEFINITIONS, "", &kind.name).is_some_and(|d| is_deleting(d)) {
            return Err(Refusal::definition_terminating(&kind.name));
        }
        Ok(())
    }

    /// Whether a namespace is being deleted.
    pub fn is_terminating(&self, namespace: &str) -> bool {
        self.get("namespaces", "", namespace).is_some_and(|n| is_deleting(n))
    }

    /// Replaces an object; with `status_only` just its status, otherwise everything but its status where that is a
    /// subresource. An object whose last finalizer goes while it is being deleted is gone.
    ///
    /// # Errors
    /// 404; 409 if the given resourceVersion (or UID) isn't the current one.
    pub fn update(&mut self, resource: &str, object: Value, status_only: bool) -> Result<Object, Refusal> {
        let (old, object) = self.replaced(resource, object, status_only)?;
        Ok(self.commit_update(resource, old, object))
    }

    /// The object that an update is about, and what it makes of it; stores nothing.
    ///
    /// # Errors
    /// Those of [`Store::update`].
    pub(in crate::sim) fn prepare_update(
        &self,
        resource: &str,
        object: Value,
        status_only: bool,
    ) -> Result<(Object, Value), Refusal> {
        self.replaced(resource, object, status_only)
    }

    /// Stores what [`Store::prepare_update`] gave, if it is a change.
    pub(in crate::sim) fn commit_update(&mut self, resource: &str, old: Object, mut object: Value) -> Object {
        if object.adopt(&old) {
            return old;
        }
        self.store_changed(resource, &Key::of(&old), object)
    }

    /// A UID for a new object.
    pub(in crate::sim) fn new_uid(&mut self) -> String {
        self.names.uid()
    }

    /// Gives a new object a name, if it asks for one.
    pub(in crate::sim) fn name_generated(&mut self, kind: &Resource, object: &mut Value) {
        if object["metadata"]["name"].as_str().is_some_and(|n| !n.is_empty()) {
            return;
        }
        let Some(prefix) = object["metadata"]["generateName"].as_str().filter(|p| !p.is_empty()) else {
            return;
        };
        let prefix = prefix.to_owned();
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let mut name = format!("{prefix}{}", self.names.suffix());
        while self.get(&kind.name, &namespace, &name).is_some() {
            name = format!("{prefix}{}", self.names.suffix());
        }
        object["metadata"]["name"] = json!(name);
    }

    /// What an update would make of an object; stores nothing.
    ///
    /// # Errors
    /// Those of [`Store::update`].
    pub fn would_update(&self, resource: &str, object: Value, status_only: bool) -> Result<Value, Refusal> {
        self.replaced(resource, object, status_only).map(|(_, object)| object)
    }

    fn replaced(
        &self,
        resource: &str,
        mut object: Value,
        status_only: bool,
    ) -> Result<(Object, Value), Refusal> {
        let kind = self.collection(resource)?.resource.clone();
        let key = Key::of(&object);
        let old =
            self.get_key(resource, &key).cloned().ok_or_else(|| Refusal::not_found(resource, &key.name))?;
        check_version(resource, &key, &old, &object)?;
        if status_only {
            let given = object;
            object = (*old).clone();
            match given.get("status") {
                Some(status) => object["status"] = status.clone(),
                None if kind.is_custom => {
                    object.as_object_mut().map(|o| o.remove("status"));
                }
                None => {}
            }
            if let Some(fields) = object["metadata"].as_object_mut().filter(|_| !kind.is_custom) {
                // Some kinds take metadata along; the spec never.
                for field in ["labels", "annotations", "finalizers", "ownerReferences", "managedFields"] {
                    match given["metadata"].get(field) {
                        Some(value) => fields.insert(field.to_owned(), value.clone()),
                        None => fields.remove(field),
                    };
                }
            }
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
        if resource == "namespaces" {
            // Its finalizers have a subresource of their own.
            object["spec"] = old["spec"].clone();
        }
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.kind);
        count_generation(&kind, &old, &mut object, true);
        object["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        Ok((old, object))
    }

    /// Changes an object in place (controllers): reads, changes, writes whole, status and all.
    pub fn modify(&mut self, resource: &str, key: &Key, change: impl FnOnce(&mut Value)) -> Option<Object> {
        let old = self.get_key(resource, key)?.clone();
        let mut object = (*old).clone();
        change(&mut object);
        if object.adopt(&old) {
            return Some(old);
        }
        let kind = self.resource(resource)?.clone();
        // The Deployment controller writes its annotations together with the status: that counts as no change.
        count_generation(&kind, &old, &mut object, false);
        Some(self.store_changed(resource, key, object))
    }

    /// Stores a changed object. One that is being deleted is gone with its last finalizer, unless it still has time to stop.
    fn store_changed(&mut self, resource: &str, key: &Key, object: Value) -> Object {
        let grace = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        if is_deleting(&object) && !has_finalizers(&object) && grace == 0 {
            // What watchers see of it is what was stored last, not what the last write would have made of it.
            return self.commit(resource, key.clone(), None);
        }
        self.commit(resource, key.clone(), Some(object))
    }

    /// What a deletion would answer; deletes nothing.
    ///
    /// # Errors
    /// 404; 409 if a precondition doesn't hold.
    pub fn would_delete(
        &self,
        resource: &str,
        key: &Key,
        options: &DeleteOptions,
    ) -> Result<(Object, bool), Refusal> {
        let old = self.to_delete(resource, key, options)?;
        if is_deleting(&old) {
            return Ok((old, false));
        }
        let (object, gone) = self.marked(resource, &old, options);
        Ok((Object::new(object), gone))
    }

    fn to_delete(&self, resource: &str, key: &Key, options: &DeleteOptions) -> Result<Object, Refusal> {
        self.collection(resource)?;
        let old =
            self.get_key(resource, key).cloned().ok_or_else(|| Refusal::not_found(resource, &key.name))?;
        check_preconditions(resource, key, &old, options)?;
        Ok(old)
    }

    /// An object as a deletion leaves it, and whether that is the end of it.
    fn marked(&self, resource: &str, old: &Value, options: &DeleteOptions) -> (Value, bool) {
        let mut object = old.clone();
        propagate(&mut object, options.propagation.as_deref());
        if resource == DEFINITIONS {
            begin_clean_up(&mut object, &self.clock.now_text());
        }
        let grace = if resource == "pods" { pod_grace(&object, options.grace_seconds) } else { 0 };
        if grace == 0 && !has_finalizers(&object) {
            if resource == "pods" {
                object["metadata"]["deletionTimestamp"] = json!(self.clock.now_text());
                object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
                let generation = old["metadata"]["generation"].as_i64().unwrap_or(1);
                object["metadata"]["generation"] = json!(generation + 1);
            }
            return (object, true);
        }
        let at = self.clock.now() + SignedDuration::from_secs(grace);
        object["metadata"]["deletionTimestamp"] = json!(seconds_text(at));
        if resource != "namespaces" {
            object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        }
        if let Some(generation) = old["metadata"]["generation"].as_i64().filter(|g| *g > 0) {
            object["metadata"]["generation"] = json!(generation + 1);
        }
        if resource == "namespaces" {
            object["status"]["phase"] = json!("Terminating");
        }
        (object, false)
    }

    /// Deletes an object as the API server does: pods gracefully, objects with finalizers only in name.
    /// The answer tells whether it is gone already.
    ///
    /// # Errors
    /// Those of [`Store::would_delete`].
    pub fn delete(
        &mut self,
        resource: &str,
        key: &Key,
        options: &DeleteOptions,
    ) -> Result<(Object, bool), Refusal> {
        let old = self.to_delete(resource, key, options)?;
        if is_deleting(&old) {
            let mut object = (*old).clone();
            propagate(&mut object, options.propagation.as_deref());
            let grace = if resource == "pods" { pod_grace(&object, options.grace_seconds) } else { 0 };
            let grace = options.grace_seconds.map(|_| grace);
            return Ok(self.delete_again(resource, key, &old, object, grace, options.by_request));
        }
        let (object, gone) = self.marked(resource, &old, options);
        if gone {
            return Ok((self.end(resource, key, object, options.by_request), true));
        }
        Ok((self.commit(resource, key.clone(), Some(object)), false))
    }

    /// Takes an object away; `last` is what is seen of it.
    fn end(&mut self, resource: &str, key: &Key, last: Value, by_request: bool) -> Object {
        if by_request && resource == "pods" {
            self.commit(resource, key.clone(), Some(last));
            return self.commit(resource, key.clone(), None);
        }
        self.commit_deletion(resource, key.clone(), last)
    }

    /// A deletion of what is being deleted already: only a shorter grace (or a propagation's finalizer) changes anything.
    fn delete_again(
        &mut self,
        resource: &str,
        key: &Key,
        old: &Object,
        mut object: Value,
        grace: Option<i64>,
        by_request: bool,
    ) -> (Object, bool) {
        let current = old["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        if let Some(grace) = grace.filter(|grace| *grace < current) {
            let due = old["metadata"]["deletionTimestamp"].as_str().and_then(parse_time);
            let asked = due.unwrap_or_else(|| self.clock.now()) - SignedDuration::from_secs(current);
            object["metadata"]["deletionTimestamp"] =
                json!(seconds_text(asked + SignedDuration::from_secs(grace)));
            object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        }
        if object == **old {
            return (old.clone(), false);
        }
        let gone = !has_finalizers(&object) && object["metadata"]["deletionGracePeriodSeconds"] == 0;
        if gone {
            return (self.end(resource, key, object, by_request), true);
        }
        (self.store_changed(resource, key, object), false)
    }
}

fn spec_differs(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return false };
    if new.get("kind").is_some_and(|k| k == "Pod") {
        return pod_spec_differs(&old["spec"], &new["spec"]);
    }
    differs_but_in(old, new, &["metadata", "status", "apiVersion", "kind"])
}

/// Being bound to a node is no change of what is wanted.
fn pod_spec_differs(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return old != new };
    old != new && differs_but_in(old, new, &["nodeName"])
}

fn differs_but_in(old: &Map, new: &Map, ignored: &[&str]) -> bool {
    let counts = |name: &Text| !ignored.contains(&name.as_str());
    old.iter().any(|(name, value)| counts(name) && new.get(name) != Some(value))
        || new.keys().any(|name| counts(name) && !old.contains_key(name))
}

fn count_generation(kind: &Resource, old: &Value, object: &mut Value, with_annotations: bool) {
    let Some(generation) = old["metadata"]["generation"].as_i64() else { return };
    let counted = with_annotations
        && object["kind"] == "Deployment"
        && old["metadata"].get("annotations") != object["metadata"].get("annotations");
    // Without a subresource of its own, a status is a field like any other.
    let counted =
        counted || (kind.is_custom && !kind.has_status && old.get("status") != object.get("status"));
    if counted || spec_differs(old, object) {
        object["metadata"]["generation"] = json!(generation + 1);
    }
}

/// A definition stays until its objects are gone.
fn begin_clean_up(definition: &mut Value, now: &str) {
    add_finalizer(definition, CLEANUP);
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set_condition(&mut definition["status"], "Terminating", "True", "InstanceDeletionPending", message, now);
}

/// Whether an object is on its way out.
pub(super) fn is_deleting(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// A namespace has its own in its spec: what empties it.
fn has_finalizers(object: &Value) -> bool {
    let any = |list: &Value| list.as_array().is_some_and(|f| !f.is_empty());
    any(&object["metadata"]["finalizers"])
        || (object["kind"] == "Namespace" && any(&object["spec"]["finalizers"]))
}

/// The finalizers by which the garbage collector knows what shall become of dependants.
fn propagate(object: &mut Value, policy: Option<&str>) {
    let mut drop = |name: &str| {
        if let Some(list) = object["metadata"].get_mut("finalizers").and_then(Value::as_array_mut) {
            list.retain(|f| f != name);
        }
    };
    match policy {
        Some("Foreground") => {
            drop("orphan");
            add_finalizer(object, "foregroundDeletion");
        }
        Some("Orphan") => {
            drop("foregroundDeletion");
            add_finalizer(object, "orphan");
        }
        Some("Background") => {
            drop("foregroundDeletion");
            drop("orphan");
        }
        _ => {}
    }
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
    let grace = asked.or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30);
    // Times end in the year 9999.
    grace.clamp(0, i32::MAX.into())
}

/// Namespaces are deleted by a way of their own, which has words of its own.
fn check_namespace_preconditions(
    key: &Key,
    uid: &str,
    version: &str,
    options: &DeleteOptions,
) -> Result<(), Refusal> {
    let differs = |field: &str, given: &str, is: &str| {
        let why =
            format!("Precondition failed: {field} in precondition: {given}, {field} in object meta: {is}");
        Err(Refusal::conflict("namespaces", &key.name, &why))
    };
    match (options.uid.as_deref(), options.resource_version.as_deref()) {
        (Some(given), _) if given != uid => differs("UID", given, uid),
        (_, Some(given)) if given != version => differs("ResourceVersion", given, version),
        _ => Ok(()),
    }
}

/// The version and the UID that an update names must be the current ones.
fn check_version(resource: &str, key: &Key, old: &Value, object: &Value) -> Result<(), Refusal> {
    let given = object["metadata"]["resourceVersion"].as_str();
    if given.is_some_and(|v| !v.is_empty() && Some(v) != old["metadata"]["resourceVersion"].as_str()) {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Refusal::conflict(resource, &key.name, why));
    }
    if object["metadata"]["uid"].as_str().is_some_and(|uid| Some(uid) != old["metadata"]["uid"].as_str()) {
        let plural = resource.split('.').next().unwrap_or(resource);
        let place = if key.namespace.is_empty() { String::new() } else { format!("{}/", key.namespace) };
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{plural}/{place}{}, ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: UID in precondition: {}, UID in object meta: {}",
            key.name,
            object["metadata"]["uid"].as_str().unwrap_or_default(),
            old["metadata"]["uid"].as_str().unwrap_or_default()
        );
        return Err(Refusal::conflict(resource, &key.name, &why));
    }
    Ok(())
}

fn check_preconditions(
    resource: &str,
    key: &Key,
    old: &Value,
    options: &DeleteOptions,
) -> Result<(), Refusal> {
    let metadata = |field: &str| old["metadata"][field].as_str().unwrap_or_default();
    let text = |field: &str| old[field].as_str().unwrap_or_default().to_owned();
    if resource == "namespaces" {
        return check_namespace_preconditions(key, metadata("uid"), metadata("resourceVersion"), options);
    }
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != metadata("uid")) {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted \
             and then recreated",
            metadata("uid")
        );
        return Err(Refusal::precondition(resource, &text("kind"), &key.name, &why));
    }
    if let Some(version) = options.resource_version.as_deref().filter(|v| *v != metadata("resourceVersion")) {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The \
             object might have been modified",
            metadata("resourceVersion")
        );
        return Err(Refusal::precondition(resource, &text("kind"), &key.name, &why));
    }
    Ok(())
}
