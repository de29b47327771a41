//! Custom resources: their objects held against the structural schema of their definition.

mod embedded;
mod formats;
mod lists;
mod prune;
mod rules;
mod scale;
mod validate;
mod walk;

pub(super) use prune::defaults;
pub(super) use scale::{at, set};

use super::decode::Problems;
use super::route::Route;
use super::validate::Causes;
use crate::sim::json::Value;
use crate::sim::store::Resource;

/// What the definition says of a new object, or of one that replaces another.
pub(super) fn judge(
    resource: &Resource,
    version: &str,
    old: Option<&Value>,
    object: &Value,
    subresource: Option<&str>,
    causes: &mut Causes,
) {
    let Some(version) = resource.versions.get(version) else { return };
    let schema = &version.schema;
    let before = causes.0.len();
    if subresource == Some("status") {
        // Of a status, only that is judged.
        if let (Some(status), Some(schema)) = (object.get("status"), schema.properties.get("status")) {
            validate::value(schema, status, old.and_then(|o| o.get("status")), "status", causes);
        }
    } else {
        validate::value(schema, object, old, "", causes);
    }
    if let Some(scale) = &version.scale {
        if subresource != Some("status") {
            scale::spec(scale, object, causes);
        }
        scale::status(scale, object, causes);
    }
    embedded::judge(schema, object, causes);
    lists::judge(schema, old, object, causes);
    let stops = |reason: &str| {
        matches!(
            reason,
            "FieldValueNotSupported"
                | "FieldValueRequired"
                | "FieldValueTooLong"
                | "FieldValueTooMany"
                | "FieldValueTypeInvalid"
        )
    };
    if schema.has_rules && causes.0[before..].iter().any(|c| stops(c.reason)) {
        let why = "some validation rules were not checked because the object was invalid; correct the existing errors to \
                   complete validation";
        causes.invalid("<nil>", &Value::Null, why);
    }
}

/// Brings an object into the form that its version's schema gives it: fields that it doesn't have go (they are noted),
/// defaults come.
pub(super) fn form(route: &Route, object: &mut Value, problems: &mut Problems) {
    let Some(version) = route.resource.versions.get(&route.version) else { return };
    problems.unknown.extend(prune::prune(&version.schema, object));
    prune::defaults(&version.schema, object);
}

/// What a writer of a custom resource or of a definition should know.
pub(super) fn warnings(resource: &Resource, old: Option<&Value>, object: &Value) -> Vec<String> {
    if resource.name == "customresourcedefinitions.apiextensions.k8s.io" {
        let known = old.map(rules::warnings).unwrap_or_default();
        return rules::warnings(object).into_iter().filter(|w| !known.contains(w)).collect();
    }
    if resource.is_custom { finalizer_warnings(old, object) } else { Vec::new() }
}

/// What the API server says of finalizers that anybody might use.
fn finalizer_warnings(old: Option<&Value>, object: &Value) -> Vec<String> {
    let same = |old: &Value| object["metadata"]["finalizers"].is_same(&old["metadata"]["finalizers"]);
    if old.is_some_and(same) {
        return Vec::new();
    }
    let list = |o: &Value| -> Vec<String> {
        let all = o["metadata"]["finalizers"].as_array().into_iter().flatten();
        all.filter_map(|f| f.as_str().map(str::to_owned)).collect()
    };
    let before = old.map(list).unwrap_or_default();
    let mut new: Vec<String> = list(object).into_iter().filter(|f| !before.contains(f)).collect();
    new.sort();
    new.dedup();
    let known = ["orphan", "foregroundDeletion", "kubernetes"];
    new.retain(|f| !f.contains('/') && !known.contains(&f.as_str()));
    let path = |f: &str| if f.contains('.') { " including a path (/)" } else { "" };
    new.iter()
        .map(|f| {
            format!(
                "metadata.finalizers: {f:?}: prefer a domain-qualified finalizer name{} to avoid accidental conflicts with \
                 other finalizer writers",
                path(f)
            )
        })
        .collect()
}
