//! Writes: create, replace, patch, delete, and the subresources `status`, `scale` and `binding`.

use http::StatusCode;
use serde_json::{Value, json};

use super::route::Route;
use super::service::Call;
use super::{defaults, patch as patches};
use crate::sim::store::{DeleteOptions, Key, Object, Refusal, Resource, Store};

fn whole(object: &Object) -> Value {
    (**object).clone()
}

/// POST: a new object, or a pod's binding.
pub(super) fn create(store: &mut Store, call: &Call, route: &Route) -> Result<Value, Refusal> {
    let mut object = call.json()?;
    if let (Some(name), Some("binding")) = (&route.name, route.subresource.as_deref()) {
        return bind(store, call, route, name, &object);
    }
    if let Some(name) = &route.name {
        let what = route.subresource.clone().unwrap_or_else(|| name.clone());
        return Err(Refusal::not_modelled(&format!("POST to {}/{what}", route.resource.name)));
    }
    place(store, &mut object, route)?;
    if route.resource.has_status && !matches!(route.resource.name.as_str(), "namespaces" | "nodes") {
        // As in the real one, a status given at creation is dropped, but for nodes, which register with theirs.
        object.as_object_mut().map(|o| o.remove("status"));
    }
    for field in ["uid", "creationTimestamp", "resourceVersion", "deletionTimestamp", "generation"] {
        object["metadata"].as_object_mut().map(|m| m.remove(field));
    }
    defaults::fill(store, &route.resource.name, &mut object);
    created(store, call, route, object)
}

fn created(store: &mut Store, call: &Call, route: &Route, object: Value) -> Result<Value, Refusal> {
    if call.is_dry_run() {
        return store.would_create(&route.resource.name, object);
    }
    store.create(&route.resource.name, object).map(|o| whole(&o))
}

/// Puts an object where its path says, and checks that this is a place.
fn place(store: &Store, object: &mut Value, route: &Route) -> Result<(), Refusal> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let kind = &route.resource;
    if object["kind"].as_str().is_some_and(|k| k != kind.kind) {
        let message = format!(
            "{} in the request's body does not match the kind {} of the path",
            object["kind"], kind.kind
        );
        return Err(Refusal::bad_request(message));
    }
    if !kind.namespaced {
        return Ok(());
    }
    let given = object["metadata"]["namespace"].as_str().unwrap_or_default();
    if !given.is_empty() && given != route.namespace {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if store.get("namespaces", "", &route.namespace).is_none() {
        return Err(Refusal::not_found("namespaces", &route.namespace));
    }
    object["metadata"]["namespace"] = json!(route.namespace);
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
            &format!("pod {name} is already assigned to a node"),
        ));
    }
    let node = binding["target"]["name"].clone();
    if !call.is_dry_run() {
        store.modify("pods", &key, |pod| pod["spec"]["nodeName"] = node);
    }
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
}

fn current(store: &Store, route: &Route) -> Result<Object, Refusal> {
    let name = route.name.as_deref().unwrap_or_default();
    let object = store.get(&route.resource.name, &route.namespace, name).cloned();
    object.ok_or_else(|| Refusal::not_found(&route.resource.name, name))
}

/// What `/scale` shows of an object.
pub(super) fn scale_of(object: &Value) -> Value {
    let selector = object["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
    let selector: Vec<String> =
        selector.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": object["metadata"]["name"], "namespace": object["metadata"]["namespace"],
            "uid": object["metadata"]["uid"], "resourceVersion": object["metadata"]["resourceVersion"],
        },
        "spec": {"replicas": object["spec"]["replicas"].as_i64().unwrap_or(0)},
        "status": {"replicas": object["status"]["replicas"].as_i64().unwrap_or(0), "selector": selector.join(",")},
    })
}

/// PUT: the whole object, its status, or its scale.
pub(super) fn replace(store: &mut Store, call: &Call, route: &Route) -> Result<Value, Refusal> {
    let mut object = call.json()?;
    if !object["metadata"].is_object() {
        return Err(Refusal::bad_request("the object has no metadata"));
    }
    let name = route.name.clone().unwrap_or_default();
    object["metadata"]["name"] = json!(name);
    if route.resource.namespaced {
        object["metadata"]["namespace"] = json!(route.namespace);
    }
    let versioned = object["metadata"]["resourceVersion"].as_str().is_some_and(|v| !v.is_empty());
    let current = current(store, route)?;
    if !versioned && route.subresource.as_deref() == Some("scale") {
        object["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"].clone();
    } else if !versioned && !updates_unconditionally(&route.resource) {
        return Err(unversioned(&route.resource, &name));
    }
    store_back(store, call, route, object)
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
    object: Value,
    status_only: bool,
) -> Result<Value, Refusal> {
    if call.is_dry_run() {
        return store.would_update(&route.resource.name, object, status_only);
    }
    store.update(&route.resource.name, object, status_only).map(|o| whole(&o))
}

fn store_back(store: &mut Store, call: &Call, route: &Route, object: Value) -> Result<Value, Refusal> {
    let resource = &route.resource;
    match route.subresource.as_deref() {
        None => updated(store, call, route, object, false),
        Some("status") if resource.has_status => updated(store, call, route, object, true),
        Some("scale") if resource.has_scale => {
            let mut scaled = whole(&current(store, route)?);
            // Go clients leave a zero out.
            scaled["spec"]["replicas"] = json!(object["spec"]["replicas"].as_i64().unwrap_or(0));
            scaled["metadata"]["resourceVersion"] = object["metadata"]["resourceVersion"].clone();
            updated(store, call, route, scaled, false).map(|stored| scale_of(&stored))
        }
        Some(other) => Err(Refusal::not_modelled(&format!("{}/{other}", resource.name))),
    }
}

/// PATCH, of all four types.
pub(super) fn patch(store: &mut Store, call: &Call, route: &Route) -> Result<(StatusCode, Value), Refusal> {
    if call.content_type.starts_with("application/apply-patch") {
        return apply(store, call, route);
    }
    let old = current(store, route)?;
    let base = if route.subresource.as_deref() == Some("scale") { scale_of(&old) } else { whole(&old) };
    let mut patched = patches::apply(&call.content_type, route.resource.is_custom, &base, &call.body)?;
    if patched["metadata"]["name"] != base["metadata"]["name"] {
        return Err(Refusal::bad_request("the name of the object can't be patched"));
    }
    // Without a resourceVersion of its own, a patch is applied to whatever is current.
    if patched["metadata"]["resourceVersion"].is_null() {
        patched["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
    }
    Ok((StatusCode::OK, store_back(store, call, route, patched)?))
}

fn apply(store: &mut Store, call: &Call, route: &Route) -> Result<(StatusCode, Value), Refusal> {
    let Some(manager) = call.query.get("fieldManager").filter(|m| !m.is_empty()) else {
        return Err(Refusal::bad_request(
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ));
    };
    let applied: Value = serde_saphyr::from_slice(&call.body)
        .map_err(|e| Refusal::bad_request(format!("error decoding YAML: {e}")))?;
    let force = call.query.get("force").is_some_and(|f| f == "true");
    let now = store.clock().now_text();
    let old = current(store, route).ok();
    let mut merged = patches::server_side_apply(old.as_deref(), &applied, manager, force, &now)?;
    match old {
        Some(old) => {
            merged["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
            Ok((StatusCode::OK, store_back(store, call, route, merged)?))
        }
        None => {
            merged["metadata"]["name"] = json!(route.name);
            place(store, &mut merged, route)?;
            defaults::fill(store, &route.resource.name, &mut merged);
            created(store, call, route, merged).map(|o| (StatusCode::CREATED, o))
        }
    }
}

fn delete_options(call: &Call) -> Result<(DeleteOptions, bool), Refusal> {
    let body = if call.body.is_empty() { Value::Null } else { call.json()? };
    let text = |v: &Value| v.as_str().map(str::to_owned);
    let query = |key: &str| call.query.get(key).cloned();
    let options = DeleteOptions {
        grace_seconds: body["gracePeriodSeconds"]
            .as_i64()
            .or_else(|| query("gracePeriodSeconds").and_then(|g| g.parse().ok())),
        uid: text(&body["preconditions"]["uid"]),
        resource_version: text(&body["preconditions"]["resourceVersion"]),
        propagation: text(&body["propagationPolicy"]).or_else(|| query("propagationPolicy")),
    };
    let dry_run = call.is_dry_run() || body["dryRun"].as_array().is_some_and(|d| d.contains(&json!("All")));
    Ok((options, dry_run))
}

/// DELETE of an object, or of a collection with selectors.
pub(super) fn delete(store: &mut Store, call: &Call, route: &Route) -> Result<Value, Refusal> {
    let (options, dry_run) = delete_options(call)?;
    let resource = route.resource.name.as_str();
    if route.name.is_none() {
        return delete_collection(store, call, route, &options, dry_run);
    }
    let old = current(store, route)?;
    if dry_run {
        return store.would_delete(resource, &Key::of(&old), &options).map(|o| whole(&o));
    }
    let (object, gone) = store.delete(resource, &Key::of(&old), &options)?;
    if !gone || resource == "pods" {
        return Ok(whole(&object));
    }
    let (kind, group) = (route.resource.plural.as_str(), route.resource.group.as_str());
    Ok(json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": route.name, "group": group, "kind": kind, "uid": old["metadata"]["uid"]},
    }))
}

fn delete_collection(
    store: &mut Store,
    call: &Call,
    route: &Route,
    options: &DeleteOptions,
    dry_run: bool,
) -> Result<Value, Refusal> {
    let text = |key: &str| call.query.get(key).map_or("", String::as_str);
    let selector = super::selector::Selector::parse(text("labelSelector"), text("fieldSelector"))?;
    let resource = route.resource.name.as_str();
    let here =
        |o: &Object| route.namespace.is_empty() || o["metadata"]["namespace"] == route.namespace.as_str();
    let keys: Vec<Key> =
        store.list(resource).filter(|o| here(o) && selector.matches(o)).map(|o| Key::of(o)).collect();
    for key in keys.iter().filter(|_| !dry_run) {
        store.delete(resource, key, options)?;
    }
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))
}
