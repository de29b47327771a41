//! OpenAPI: what `kubectl explain` shows, and what kubectl asks before it sends objects to be validated.
//!
//! # Why
//! Made at run time: of the built-in kinds from k8s-openapi's schemas, of custom ones from their definitions. Version 3 comes
//! in one document a group version, so a client loads only what it looks at; built-in ones are made once, when first asked
//! for. The documents don't offer strategic merge patches: kubectl then computes those by its own built-in types, which know
//! the merge keys that these schemas leave out.

mod kinds;
mod paths;
mod protobuf;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use super::types::Types;
use crate::sim::json::{Map, Value, json};
use crate::sim::store::{Refusal, Resource, Store};

pub(super) use protobuf::MEDIA as PROTOBUF;

const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// Documents by path and hash, as they were served last.
static SERVED: Mutex<BTreeMap<String, (String, Arc<Value>)>> = Mutex::new(BTreeMap::new());

/// The old document in protobuf; `None` if the request is another. kubectl looks there for what it sends in a list, for kinds
/// that it can't find, and for what it lets be edited.
pub(super) fn in_protobuf(store: &Store, path: &str, accept: &str) -> Option<Vec<u8>> {
    let asked = accept.split(',').any(|media| protobuf::ASKED.contains(&media.trim()));
    let old = path.trim_end_matches('/') == "/openapi/v2";
    (asked && old).then(|| protobuf::document(&version_2(store)))
}

/// Answers a request below `/openapi`; `None` if the path is another.
pub(super) fn answer(store: &Store, path: &str, accept: &str) -> Option<Result<Arc<Value>, Refusal>> {
    let rest = path.trim_end_matches('/').strip_prefix("/openapi/")?;
    if rest == "v2" {
        let json = accept.is_empty() || accept.contains("json") || accept.contains("*/*");
        let message = "the old document is served as JSON and in protobuf; OpenAPI v3 is at /openapi/v3";
        return Some(if json {
            Ok(version_2(store))
        } else {
            Err(Refusal::new(406, "NotAcceptable", message))
        });
    }
    if rest == "v3" {
        return Some(Ok(Arc::new(index(store))));
    }
    let place = rest.strip_prefix("v3/")?;
    let (group, version) = match place.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => (String::new(), (*version).to_owned()),
        ["apis", group, version] => ((*group).to_owned(), (*version).to_owned()),
        _ => return None,
    };
    let kinds = kinds_of(store, &group, &version);
    let missing = || Refusal::new(404, "NotFound", "the server could not find the requested resource");
    Some(if kinds.is_empty() { Err(missing()) } else { Ok(cached(store, place, &group, &version)) })
}

fn kinds_of<'a>(store: &'a Store, group: &str, version: &str) -> Vec<&'a Resource> {
    let here = store.resources().filter(|r| r.group == group && r.served.iter().any(|v| v == version));
    here.map(|r| &**r).collect()
}

/// What there is, with hashes that change when it does.
fn index(store: &Store) -> Value {
    let mut places: BTreeMap<String, (String, String)> = BTreeMap::new();
    for resource in store.resources() {
        for version in &resource.served {
            let place = if resource.group.is_empty() {
                format!("api/{version}")
            } else {
                format!("apis/{}/{version}", resource.group)
            };
            places.entry(place).or_insert_with(|| (resource.group.clone(), version.clone()));
        }
    }
    let paths: Map = places
        .into_iter()
        .map(|(place, (group, version))| {
            let url = format!("/openapi/v3/{place}?hash={}", hash(store, &group, &version));
            (place, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// Of what a document is made from: the kinds, and the revisions of custom ones' definitions.
fn hash(store: &Store, group: &str, version: &str) -> String {
    let mut hasher = DefaultHasher::new();
    for resource in kinds_of(store, group, version) {
        resource.name.hash(&mut hasher);
        if resource.is_custom
            && let Some(definition) = store.get(DEFINITIONS, "", &resource.name)
        {
            // Its status changes, too; that is worth no memory of its own.
            definition["spec"].to_string().hash(&mut hasher);
        }
    }
    format!("{:016X}", hasher.finish())
}

fn cached(store: &Store, place: &str, group: &str, version: &str) -> Arc<Value> {
    served(place, hash(store, group, version), || version_3(store, group, version))
}

/// The document of a place, made anew if it was made of something else.
fn served(place: &str, hash: String, make: impl FnOnce() -> Value) -> Arc<Value> {
    let mut served = SERVED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((made_of, document)) = served.get(place)
        && *made_of == hash
    {
        return document.clone();
    }
    let document = Arc::new(make());
    served.insert(place.to_owned(), (hash, document.clone()));
    document
}

fn version_3(store: &Store, group: &str, version: &str) -> Value {
    let kinds = kinds_of(store, group, version);
    let schemas = schemas(store, &kinds, version, "/components/schemas");
    let mut all = Map::new();
    for resource in &kinds {
        paths::add(&mut all, resource, version, &name_of(resource, version));
    }
    json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.36.3"},
        "paths": all, "components": {"schemas": schemas},
    })
}

/// The old form, all kinds in one document.
fn version_2(store: &Store) -> Arc<Value> {
    let versions: BTreeSet<(&str, &str)> =
        store.resources().flat_map(|r| r.served.iter().map(|v| (r.group.as_str(), v.as_str()))).collect();
    let hashes: String = versions.iter().map(|(group, version)| hash(store, group, version)).collect();
    served("v2", hashes, || {
        let (mut definitions, mut paths) = (Map::new(), Map::new());
        for (group, version) in versions {
            let kinds = kinds_of(store, group, version);
            definitions.extend(schemas(store, &kinds, version, "/definitions"));
            for resource in &kinds {
                paths::add(&mut paths, resource, version, &name_of(resource, version));
            }
        }
        paths.values_mut().for_each(paths::into_version_2);
        json!({
            "swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.36.3"},
            "paths": paths, "definitions": definitions,
        })
    })
}

/// The schemas of kinds and of everything that they refer to.
fn schemas(store: &Store, kinds: &[&Resource], version: &str, place: &str) -> Map {
    let built_in = kinds.iter().filter(|r| !r.is_custom).map(|r| r.name.as_str());
    let mut all = kinds::schemas(built_in, place);
    for (name, schema) in &mut all {
        drop_optional(name, schema);
    }
    for resource in kinds {
        let name = name_of(resource, version);
        if resource.is_custom {
            all.insert(name.clone(), custom(store, resource, version, place));
        }
        let kind = json!({"group": resource.group, "kind": resource.kind, "version": version});
        if let Some(schema) = all.get_mut(&name) {
            // The API server takes an object without, for it fills in the rest.
            if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
                required.retain(|field| field != "metadata");
            }
            schema["x-kubernetes-group-version-kind"] = json!([kind]);
        }
    }
    for schema in all.values_mut() {
        wrap_references(schema);
    }
    all
}

/// What may be left out isn't required: k8s-openapi takes a text with a default for one that is always there.
fn drop_optional(name: &str, schema: &mut Value) {
    let parts: Vec<&str> = name.rsplitn(4, '.').collect();
    let [kind, version, group, _] = parts.as_slice() else { return };
    let Some(structure) = Types::get().named(&format!("{group}/{version}.{kind}")) else { return };
    let Some(fields) = schema.as_object_mut() else { return };
    let Some(required) = fields.get_mut("required").and_then(Value::as_array_mut) else { return };
    let may_lack =
        |field: &Value| structure.field(field.as_str().unwrap_or_default()).is_some_and(|f| f.omit_empty);
    required.retain(|field| !may_lack(field));
    if required.is_empty() {
        fields.remove("required");
    }
}

/// The name of a kind's schema: the Go package for a built-in kind, the group backwards for a custom one.
fn name_of(resource: &Resource, version: &str) -> String {
    if let Some(name) = kinds::name(&resource.name) {
        return name;
    }
    let group: Vec<&str> = resource.group.split('.').rev().collect();
    format!("{}.{version}.{}", group.join("."), resource.kind)
}

/// A custom kind's schema, with the fields that every object has.
fn custom(store: &Store, resource: &Resource, version: &str, place: &str) -> Value {
    let definition = store.get(DEFINITIONS, "", &resource.name);
    let versions = definition.and_then(|d| d["spec"]["versions"].as_array()).into_iter().flatten();
    let found = versions.into_iter().find(|v| v["name"] == version);
    let mut schema = found.map(|v| v["schema"]["openAPIV3Schema"].clone()).unwrap_or_default();
    if !schema.is_object() {
        schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    // As every built-in kind has them.
    let like = kinds::schemas(std::iter::once("configmaps"), place);
    let like = kinds::name("configmaps").and_then(|name| like.get(&name).cloned()).unwrap_or_default();
    for field in ["apiVersion", "kind", "metadata"] {
        schema["properties"][field] = like["properties"][field].clone();
    }
    schema
}

/// A reference with anything beside it belongs into `allOf`, or readers drop what is beside it.
fn wrap_references(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.len() > 1
                && let Some(reference) = fields.get("$ref").filter(|r| r.is_string()).cloned()
            {
                fields.remove("$ref");
                fields.insert("allOf".to_owned(), json!([{"$ref": reference}]));
            }
            fields.values_mut().for_each(wrap_references);
        }
        Value::Array(items) => items.iter_mut().for_each(wrap_references),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
