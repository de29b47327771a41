//! Writes: create, replace, patch, delete, and the subresources `status`, `scale` and `binding`.

use http::StatusCode;

use super::managed::{self, Writer};
use super::route::Route;
use super::service::Call;
use super::{body, custom, decode, defaults, patch as patches, scale, size, strategy, validate};
use crate::sim::json::{Value, json};
use crate::sim::store::{DeleteOptions, Key, Object, Refusal, Resource, Store};

/// What `managedFields` of a written object shall be.
enum Tracked {
    /// What follows from the change.
    Follow,
    /// This.
    So(Option<Value>),
}

impl Tracked {
    fn entries(
        self,
        call: &Call,
        route: &Route,
        now: &str,
        old: Option<&Value>,
        new: &Value,
    ) -> Option<Value> {
        match self {
            Self::So(entries) => entries,
            Self::Follow => {
                let manager = call.manager();
                let writer = Writer { manager: &manager, route, now };
                managed::after_update(&writer, call.tracks, old, new)
            }
        }
    }
}

fn set_entries(object: &mut Value, entries: Option<Value>) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        match entries {
            Some(entries) => metadata.insert("managedFields".to_owned(), entries),
            None => metadata.remove("managedFields"),
        };
    }
}

fn whole(object: &Object) -> Value {
    (**object).clone()
}

/// POST: a new object, or a pod's binding.
pub(super) fn create(store: &mut Store, call: &Call, route: &Route) -> Result<Value, Refusal> {
    match (&route.name, route.subresource.as_deref()) {
        (Some(name), Some("binding")) if route.resource.name == "pods" => {
            let binding = body::read(call, route, &Value::Null)?;
            return bind(store, call, route, name, &binding);
        }
        (Some(_), None) => return Err(Refusal::method_not_allowed()),
        (Some(_), Some(other)) => {
            return Err(Refusal::not_modelled(&format!("POST to {}/{other}", route.resource.name)));
        }
        (None, _) => {}
    }
    let mut object = body::read(call, route, &Value::Null)?;
    place(store, &mut object, route)?;
    new_object(store, call, route, object, Tracked::Follow)
}

/// Everything between a body that has been read and the stored object: strategy, defaults, admission, validation.
fn new_object(
    store: &mut Store,
    call: &Call,
    route: &Route,
    mut object: Value,
    tracked: Tracked,
) -> Result<Value, Refusal> {
    let resource = route.resource.clone();
    if resource.has_status && resource.name != "nodes" {
        // As in the real one, a status given at creation is dropped, but for nodes, which register with theirs.
        object.as_object_mut().map(|o| o.remove("status"));
        decode::canonical(&mut object, &mut decode::Problems::default());
    }
    if object["metadata"]["resourceVersion"].as_str().is_some_and(|v| !v.is_empty()) {
        return Err(Refusal::new(500, "", "resourceVersion should not be set on objects to be created"));
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "selfLink",
        ] {
            metadata.remove(field);
        }
    }
    let uid = store.new_uid();
    object["metadata"]["uid"] = json!(uid);
    store.name_generated(&resource, &mut object);
    defaults::every_write(&resource.name, &mut object);
    let now = store.clock().now_text();
    let entries = tracked.entries(call, route, &now, None, &object);
    set_entries(&mut object, entries);
    defaults::when_new(store, &resource.name, &mut object);
    strategy::new(store, &resource, &mut object)?;
    for warning in custom::warnings(&resource, None, &object) {
        call.warn(&warning);
    }
    validate::new(&resource, &route.version, &object)?;
    if call.is_dry_run() {
        return store.would_create(&resource.name, object);
    }
    size::check_new(call, &object)?;
    store.create(&resource.name, object).map(|o| whole(&o))
}

/// Puts an object where its path says, and checks that this is a place.
fn place(store: &Store, object: &mut Value, route: &Route) -> Result<(), Refusal> {
    let kind = &route.resource;
    if !kind.namespaced {
        return Ok(());
    }
    check_namespace(object, route)?;
    if store.get("namespaces", "", &route.namespace).is_none() {
        return Err(Refusal::not_found("namespaces", &route.namespace));
    }
    object["metadata"]["namespace"] = json!(route.namespace);
    Ok(())
}

fn check_namespace(object: &Value, route: &Route) -> Result<(), Refusal> {
    let given = object["metadata"]["namespace"].as_str().unwrap_or_default();
    if !given.is_empty() && given != route.namespace {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

fn bind(
    store: &mut Store,
    call: &Call,
    route: &Route,
    name: &str,
    binding: &Value,
) -> Result<Value, Refusal> {
    let key = Key::new(&route.namespace, name);
    let pod = store.get_key("pods", &key).ok_or_else(|| Refusal::not_found("pods", name))?;
    if pod["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty()) {
        return Err(Refusal::conflict(
            "pods/binding",
            name,
            &format!("pod {name} is already assigned to node {}", pod["spec"]["nodeName"]),
        ));
    }
    let node = binding["target"]["name"].clone();
    let now = store.clock().now_text();
    if !call.is_dry_run() {
        store.modify("pods", &key, |pod| {
            pod["spec"]["nodeName"] = node;
            let scheduled = json!({
                "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now,
            });
            let conditions = &mut pod["status"]["conditions"];
            if !conditions.is_array() {
                *conditions = json!([]);
            }
            if let Some(list) = conditions.as_array_mut() {
                list.retain(|c| c["type"] != "PodScheduled");
                list.push(scheduled);
            }
        });
    }
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
}

fn current(store: &Store, route: &Route) -> Result<Object, Refusal> {
    let name = route.name.as_deref().unwrap_or_default();
    let object = store.get(&route.resource.name, &route.namespace, name).cloned();
    object.ok_or_else(|| Refusal::not_found(&route.resource.name, name))
}

/// PUT: the whole object, its status, or its scale.
pub(super) fn replace(store: &mut Store, call: &Call, route: &Route) -> Result<(StatusCode, Value), Refusal> {
    let stored = current(store, route).ok();
    let mut object = body::read(call, route, stored.as_deref().unwrap_or(&Value::Null))?;
    let name = route.name.clone().ok_or_else(Refusal::method_not_allowed)?;
    check_subresource(route)?;
    named(&mut object, &name)?;
    if route.resource.namespaced {
        check_namespace(&object, route)?;
        object["metadata"]["namespace"] = json!(route.namespace);
    }
    let versioned = object["metadata"]["resourceVersion"].as_str().is_some_and(|v| !v.is_empty());
    let current = match current(store, route) {
        Ok(current) => current,
        Err(_) if !versioned && route.subresource.is_none() && creates_on_update(&route.resource) => {
            place(store, &mut object, route)?;
            return new_object(store, call, route, object, Tracked::Follow).map(|o| (StatusCode::CREATED, o));
        }
        Err(refusal) => return Err(refusal),
    };
    if !versioned && route.subresource.as_deref() == Some("scale") {
        object["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"].clone();
    } else if !versioned && !updates_unconditionally(&route.resource) {
        return Err(unversioned(&route.resource, &name));
    }
    store_back(store, call, route, object).map(|o| (StatusCode::OK, o))
}

/// The name in the object has to be the one in the path.
fn named(object: &mut Value, name: &str) -> Result<(), Refusal> {
    match object["metadata"]["name"].as_str().unwrap_or_default() {
        "" => object["metadata"]["name"] = json!(name),
        given if given == name => {}
        given => {
            let message =
                format!("the name of the object ({given}) does not match the name on the URL ({name})");
            return Err(Refusal::bad_request(message));
        }
    }
    Ok(())
}

/// Kinds that a PUT creates when they aren't there.
fn creates_on_update(resource: &Resource) -> bool {
    const CREATED: [&str; 10] = [
        "leases.coordination.k8s.io",
        "events",
        "endpoints",
        "endpointslices.discovery.k8s.io",
        "limitranges",
        "services",
        "roles.rbac.authorization.k8s.io",
        "rolebindings.rbac.authorization.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "clusterrolebindings.rbac.authorization.k8s.io",
    ];
    CREATED.contains(&resource.name.as_str())
}

/// Only subresources that are modelled.
fn check_subresource(route: &Route) -> Result<(), Refusal> {
    match route.subresource.as_deref() {
        None => Ok(()),
        Some("status" | "scale") => Ok(()),
        Some(other) => Err(Refusal::not_modelled(&format!("{}/{other}", route.resource.name))),
    }
}

/// Whether a kind may be replaced without saying which version of it is meant.
fn updates_unconditionally(resource: &Resource) -> bool {
    const STRICT: [&str; 6] = [
        "poddisruptionbudgets.policy",
        "leases.coordination.k8s.io",
        "volumeattachments.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "csidrivers.storage.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
    ];
    !resource.is_custom && !STRICT.contains(&resource.name.as_str())
}

fn unversioned(resource: &Resource, name: &str) -> Refusal {
    let why = "Invalid value: 0: must be specified for an update";
    Refusal::invalid(&resource.group, &resource.plural, name, "metadata.resourceVersion", why)
}

fn updated(
    store: &mut Store,
    call: &Call,
    route: &Route,
    mut object: Value,
    status_only: bool,
    tracked: Tracked,
) -> Result<Value, Refusal> {
    let resource = &route.resource;
    if !status_only {
        defaults::every_write(&resource.name, &mut object);
    }
    if call.method == http::Method::PATCH {
        immutable_uid(store, route, &object)?;
    }
    let now = store.clock().now_text();
    let there = current(store, route)?;
    let entries = tracked.entries(call, route, &now, Some(&there), &object);
    let (old, mut object) = store.prepare_update(&resource.name, object, status_only)?;
    strategy::changed(store, resource, &old, &mut object, status_only);
    set_entries(&mut object, entries);
    for warning in custom::warnings(resource, Some(&old), &object) {
        call.warn(&warning);
    }
    validate::changed(resource, &route.version, &old, &object, route.subresource.as_deref())?;
    if call.is_dry_run() {
        return Ok(object);
    }
    size::check_changed(call, &old, &object)?;
    if old["metadata"]["deletionTimestamp"].is_null() {
        return Ok(whole(&store.commit_update(&resource.name, old, object)));
    }
    let asked = object.clone();
    let stored = whole(&store.commit_update(&resource.name, old, object));
    if store.get_key(&resource.name, &Key::of(&stored)).is_none() {
        // Its last finalizer went: what was to be written is answered, and was never a version of its own.
        return Ok(asked);
    }
    Ok(stored)
}

/// A patch of the UID is a change of a field; only a PUT's UID is a precondition.
fn immutable_uid(store: &Store, route: &Route, object: &Value) -> Result<(), Refusal> {
    let old = current(store, route)?;
    let given = &object["metadata"]["uid"];
    if given.as_str().is_none_or(str::is_empty) || *given == old["metadata"]["uid"] {
        return Ok(());
    }
    let mut causes = validate::Causes::default();
    causes.invalid("metadata.uid", given, "field is immutable");
    validate::refuse(&route.resource, route.name.as_deref().unwrap_or_default(), causes)
}

fn store_back(store: &mut Store, call: &Call, route: &Route, object: Value) -> Result<Value, Refusal> {
    check_subresource(route)?;
    match route.subresource.as_deref() {
        None => updated(store, call, route, object, false, Tracked::Follow),
        Some("status") => updated(store, call, route, object, true, Tracked::Follow),
        _ => {
            let mut scaled = whole(&current(store, route)?);
            let replicas = object["spec"]["replicas"].as_i64().unwrap_or(0);
            if let Some(paths) = route.scale_paths() {
                if replicas == i64::from(i32::MIN) {
                    let why = format!("the spec replicas field {:?} cannot be empty", paths.spec);
                    return Err(Refusal::bad_request(why));
                }
                custom::set(&mut scaled, &paths.spec, json!(replicas));
            } else if replicas < 0 {
                let why = format!("Invalid value: {replicas}: must be greater than or equal to 0");
                let name = route.name.as_deref().unwrap_or_default();
                return Err(Refusal::invalid("autoscaling", "Scale", name, "spec.replicas", &why));
            }
            if !route.resource.is_custom {
                scaled["spec"]["replicas"] = json!(replicas);
            }
            scaled["metadata"]["resourceVersion"] = object["metadata"]["resourceVersion"].clone();
            let tracked = scale_entries(store, call, route, &scaled)?;
            updated(store, call, route, scaled, false, tracked).map(|stored| scale::of(route, &stored))
        }
    }
}

fn scale_entries(store: &Store, call: &Call, route: &Route, scaled: &Value) -> Result<Tracked, Refusal> {
    let old = current(store, route)?;
    let path = route.scale_paths().map_or(".spec.replicas", |p| p.spec.as_str());
    if custom::at(&old, path) == custom::at(scaled, path) {
        return Ok(Tracked::So(old["metadata"].get("managedFields").cloned()));
    }
    let (manager, now) = (call.manager(), store.clock().now_text());
    let writer = Writer { manager: &manager, route, now: &now };
    Ok(Tracked::So(managed::after_scale(&writer, &old, path)))
}

/// PATCH, of all four types.
pub(super) fn patch(store: &mut Store, call: &Call, route: &Route) -> Result<(StatusCode, Value), Refusal> {
    if route.name.is_none() {
        return Err(Refusal::method_not_allowed());
    }
    patches::check_type(&call.content_type, route.resource.is_custom)?;
    if call.content_type.starts_with("application/apply-patch") {
        return apply(store, call, route);
    }
    check_subresource(route)?;
    let old = current(store, route)?;
    let base = if route.subresource.as_deref() == Some("scale") {
        scale::to_patch(route, &old)
    } else {
        route.in_version(whole(&old))
    };
    let mut patched = patches::apply(&call.content_type, &base, &call.body)?;
    patched_form(call, route, &base, &mut patched)?;
    named(&mut patched, route.name.as_deref().unwrap_or_default())?;
    if route.resource.namespaced {
        check_namespace(&patched, route)?;
    }
    // Without a resourceVersion of its own, a patch is applied to whatever is current.
    if patched["metadata"]["resourceVersion"].as_str().is_none_or(str::is_empty) {
        patched["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
    }
    Ok((StatusCode::OK, store_back(store, call, route, patched)?))
}

/// Checks what a patch made of an object, and brings it into its canonical form.
fn patched_form(call: &Call, route: &Route, base: &Value, patched: &mut Value) -> Result<(), Refusal> {
    let (api_version, kind) = body::expected(route);
    let given = |field: &str| patched[field].as_str().unwrap_or_default().to_owned();
    if given("kind") != kind || given("apiVersion") != api_version {
        return Err(patches::unusable(call, &call.content_type, "the patch changed the object's kind"));
    }
    let mut problems = decode::Problems::default();
    decode::canonical_since(patched, base, &mut problems);
    if route.subresource.as_deref() != Some("scale") {
        custom::form(route, patched, &mut problems);
    }
    if let Some(why) = problems.refusal() {
        return Err(patches::unusable(call, &call.content_type, why));
    }
    match body::strictness(call, &problems, &[])? {
        Some(told) => {
            Err(patches::unusable(call, &call.content_type, &format!("strict decoding error: {told}")))
        }
        None => Ok(()),
    }
}

fn apply(store: &mut Store, call: &Call, route: &Route) -> Result<(StatusCode, Value), Refusal> {
    if call.query.get("fieldManager").is_none_or(String::is_empty) {
        let message = "Required value: is required for apply patch";
        return Err(super::options::invalid("PatchOptions", "fieldManager", "FieldValueRequired", message));
    }
    check_subresource(route)?;
    if route.subresource.as_deref() == Some("scale") {
        return Err(Refusal::not_modelled(&format!("server-side apply of {}/scale", route.resource.name)));
    }
    let mut applied: Value = serde_saphyr::from_slice(&call.body)
        .map_err(|e| Refusal::bad_request(format!("error decoding YAML: {e}")))?;
    applied_head(route, &mut applied)?;
    let old = current(store, route).ok();
    if old.is_none() && route.subresource.is_some() {
        return Err(Refusal::not_found(&route.resource.name, route.name.as_deref().unwrap_or_default()));
    }
    let given = applied["metadata"]["resourceVersion"].clone();
    let (manager, now) = (call.manager(), store.clock().now_text());
    let writer = Writer { manager: &manager, route, now: &now };
    let force = call.query.get("force").is_some_and(|f| f == "true");
    let there = old.as_ref().map(|o| route.in_version(whole(o)));
    let (mut merged, entries) = managed::apply(&writer, force, there.as_ref(), &applied)?;
    if route.resource.namespaced {
        merged["metadata"]["namespace"] = json!(route.namespace);
    }
    patched_form(call, route, &Value::Null, &mut merged)?;
    match old {
        Some(old) => {
            if given.is_null() {
                merged["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
            }
            let status_only = route.subresource.is_some();
            Ok((StatusCode::OK, updated(store, call, route, merged, status_only, Tracked::So(entries))?))
        }
        None => {
            place(store, &mut merged, route)?;
            new_object(store, call, route, merged, Tracked::So(entries)).map(|o| (StatusCode::CREATED, o))
        }
    }
}

/// What is applied says what it is, and is what the path says.
fn applied_head(route: &Route, applied: &mut Value) -> Result<(), Refusal> {
    let (api_version, kind) = body::expected(route);
    let text = |field: &str| applied[field].as_str().unwrap_or_default().to_owned();
    if text("apiVersion") != api_version || text("kind") != kind {
        let slash = if text("apiVersion").contains('/') { "" } else { "/" };
        let why = format!("invalid object type: {slash}{}, Kind={}", text("apiVersion"), text("kind"));
        return Err(Refusal::bad_request(why));
    }
    named(applied, route.name.as_deref().unwrap_or_default())?;
    if route.resource.namespaced {
        check_namespace(applied, route)?;
    }
    Ok(())
}

fn delete_options(call: &Call) -> Result<(DeleteOptions, bool), Refusal> {
    let body = body::delete_options(call)?;
    let text = |v: &Value| v.as_str().map(str::to_owned);
    let query = |key: &str| call.query.get(key).cloned();
    // Beside a body, the query isn't looked at.
    let grace = match query("gracePeriodSeconds").filter(|_| !call.has_body()) {
        Some(text) => Some(super::options::whole_number(&text)?),
        None => None,
    };
    let orphans = body["orphanDependents"].as_bool();
    let policy = text(&body["propagationPolicy"]).or_else(|| query("propagationPolicy"));
    super::options::check_propagation(policy.as_deref(), orphans.is_some())?;
    let older = orphans.map(|orphans| if orphans { "Orphan" } else { "Background" }.to_owned());
    let options = DeleteOptions {
        grace_seconds: body["gracePeriodSeconds"].as_i64().or(grace),
        uid: text(&body["preconditions"]["uid"]),
        resource_version: text(&body["preconditions"]["resourceVersion"]),
        propagation: policy.or(older),
        by_request: true,
    };
    let dry_run = call.is_dry_run() || body["dryRun"].as_array().is_some_and(|d| d.contains(&json!("All")));
    Ok((options, dry_run))
}

/// Namespaces that a cluster never is without.
const LASTING: [&str; 3] = ["default", "kube-system", "kube-public"];

/// DELETE of an object, or of a collection with selectors.
pub(super) fn delete(store: &mut Store, call: &Call, route: &Route) -> Result<Value, Refusal> {
    let (mut options, dry_run) = delete_options(call)?;
    let resource = route.resource.name.as_str();
    if let Some(name) = route.name.as_deref().filter(|n| resource == "namespaces" && LASTING.contains(n)) {
        return Err(Refusal::forbidden(resource, name, "this namespace may not be deleted"));
    }
    if options.propagation.is_none() && matches!(resource, "jobs.batch" | "replicationcontrollers") {
        // The oldest kinds leave their pods behind, unless they are told otherwise.
        options.propagation = Some("Orphan".to_owned());
        if resource == "jobs.batch" {
            call.warn(
                "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them \
                 or set propagationPolicy=Orphan to suppress this warning",
            );
        }
    }
    if let Some(other) = &route.subresource {
        return Err(Refusal::not_modelled(&format!("DELETE of {resource}/{other}")));
    }
    if route.name.is_none() {
        return delete_collection(store, call, route, &options, dry_run);
    }
    let old = current(store, route)?;
    let (object, gone) = if dry_run {
        store.would_delete(resource, &Key::of(&old), &options)?
    } else {
        store.delete(resource, &Key::of(&old), &options)?
    };
    if !gone || returns_object(&route.resource) {
        return Ok(whole(&object));
    }
    let mut details =
        json!({"name": route.name, "kind": route.resource.plural, "uid": old["metadata"]["uid"]});
    if !route.resource.group.is_empty() {
        details["group"] = json!(route.resource.group);
    }
    Ok(json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
    }))
}

/// Kinds that answer with the object when it is gone, and not with a `Status`.
fn returns_object(resource: &Resource) -> bool {
    const OBJECT: [&str; 8] = [
        "pods",
        "services",
        "serviceaccounts",
        "persistentvolumes",
        "persistentvolumeclaims",
        "resourcequotas",
        "storageclasses.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
    ];
    OBJECT.contains(&resource.name.as_str())
        || matches!(resource.name.as_str(), "csinodes.storage.k8s.io" | "csidrivers.storage.k8s.io")
}

fn delete_collection(
    store: &mut Store,
    call: &Call,
    route: &Route,
    options: &DeleteOptions,
    dry_run: bool,
) -> Result<Value, Refusal> {
    let text = |key: &str| call.query.get(key).map_or("", String::as_str);
    let selector =
        super::selector::Selector::read(&route.resource, text("labelSelector"), text("fieldSelector"))?;
    let resource = route.resource.name.as_str();
    let here =
        |o: &Object| route.namespace.is_empty() || o["metadata"]["namespace"] == route.namespace.as_str();
    let list = super::list::list(store, call, route)?;
    let keys: Vec<Key> =
        store.list(resource).filter(|o| here(o) && selector.matches(o)).map(|o| Key::of(o)).collect();
    for key in keys.iter().filter(|_| !dry_run) {
        store.delete(resource, key, options)?;
    }
    Ok(list)
}
