//! Metadata, the same for every kind.

use super::{Causes, names};
use crate::sim::json::{Value, json};
use crate::sim::store::Resource;

fn name_rule(resource: &Resource, name: &str) -> Vec<String> {
    match resource.group.as_str() {
        "rbac.authorization.k8s.io" => return names::path_segment(name),
        "" if ["namespaces", "services"].contains(&resource.plural.as_str()) => return names::label(name),
        _ => {}
    }
    names::subdomain(name)
}

/// Names, labels, annotations, owners, finalizers.
pub(super) fn metadata(resource: &Resource, object: &Value, causes: &mut Causes) {
    let metadata = &object["metadata"];
    let text = |field: &str| metadata[field].as_str().unwrap_or_default();
    let prefix = text("generateName");
    if !prefix.is_empty() {
        // What is appended makes a trailing dash good.
        let tried = prefix.strip_suffix('-').map_or_else(|| prefix.to_owned(), |p| format!("{p}a"));
        for why in name_rule(resource, &tried) {
            causes.invalid("metadata.generateName", &metadata["generateName"], &why);
        }
    }
    if text("name").is_empty() {
        causes.required("metadata.name", "name or generateName is required");
    } else {
        for why in name_rule(resource, text("name")) {
            causes.invalid("metadata.name", &metadata["name"], &why);
        }
    }
    if !resource.namespaced && !text("namespace").is_empty() {
        causes.forbidden("metadata.namespace", "not allowed on this type");
    }
    labels(&metadata["labels"], "metadata.labels", causes);
    let mut size = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        size += key.len() + value.as_str().map_or(0, str::len);
        for why in names::qualified(&key.to_lowercase()) {
            causes.invalid("metadata.annotations", &json!(key), &why);
        }
    }
    if size > 256 * 1024 {
        causes.too_long("metadata.annotations", 256 * 1024, "bytes");
    }
    owners(&metadata["ownerReferences"], causes);
    for finalizer in metadata["finalizers"].as_array().into_iter().flatten() {
        let name = finalizer.as_str().unwrap_or_default();
        for why in names::qualified(name) {
            causes.invalid("metadata.finalizers", finalizer, &why);
        }
    }
    let has = |name: &str| metadata["finalizers"].as_array().is_some_and(|f| f.contains(&json!(name)));
    if has("orphan") && has("foregroundDeletion") {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        causes.invalid("metadata.finalizers", &metadata["finalizers"], why);
    }
    if resource.group.is_empty() {
        unqualified(&metadata["finalizers"], causes);
    }
}

/// Finalizers of the core group without a prefix have to be known ones.
fn unqualified(finalizers: &Value, causes: &mut Causes) {
    const KNOWN: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
    for (index, finalizer) in finalizers.as_array().into_iter().flatten().enumerate() {
        let name = finalizer.as_str().unwrap_or_default();
        if !name.contains('/') && !KNOWN.contains(&name) {
            causes.invalid(
                format!("metadata.finalizers[{index}]"),
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            );
        }
    }
}

/// Labels, wherever they stand.
pub(super) fn labels(labels: &Value, field: &str, causes: &mut Causes) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        for why in names::qualified(key) {
            causes.invalid(field, &json!(key), &why);
        }
        for why in names::label_value(value.as_str().unwrap_or_default()) {
            causes.invalid(field, value, &why);
        }
    }
}

fn owners(owners: &Value, causes: &mut Causes) {
    let mut controller: Option<String> = None;
    for owner in owners.as_array().into_iter().flatten() {
        let text = |field: &str| owner[field].as_str().unwrap_or_default();
        let field = "metadata.ownerReferences";
        let version = text("apiVersion");
        if version.rsplit('/').next().is_none_or(str::is_empty) {
            causes.invalid(format!("{field}.apiVersion"), &owner["apiVersion"], "version must not be empty");
        }
        for part in ["kind", "name", "uid"] {
            if text(part).is_empty() {
                causes.invalid(format!("{field}.{part}"), &json!(""), "must not be empty");
            }
        }
        if owner["controller"] == true {
            let this = format!("{}/{}", text("kind"), text("name"));
            if let Some(other) = &controller {
                let why = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {other} and {this}"
                );
                causes.invalid(field, owners, &why);
            }
            controller.get_or_insert(this);
        }
    }
}

/// What may not change.
pub(super) fn changed(old: &Value, object: &Value, causes: &mut Causes) {
    let (old, new) = (&old["metadata"], &object["metadata"]);
    if !old["deletionTimestamp"].is_null() {
        let list = |v: &Value| v["finalizers"].as_array().cloned().unwrap_or_default();
        let before = list(old);
        let mut more: Vec<String> = list(new)
            .iter()
            .filter(|f| !before.contains(f))
            .filter_map(|f| f.as_str())
            .map(|f| format!("{f:?}"))
            .collect();
        more.sort();
        more.dedup();
        if !more.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                more.join(", ")
            );
            causes.forbidden("metadata.finalizers", &why);
        }
    }
    for field in ["name", "namespace", "uid"] {
        if !new[field].is_null() && new[field] != old[field] {
            causes.invalid(format!("metadata.{field}"), &new[field], "field is immutable");
        }
    }
}
