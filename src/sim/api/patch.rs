//! The four patch types: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge patch, server-side apply.

use super::service::Call;
use super::types::{Patch, Shape, Struct, Types};
use crate::sim::json::{self, Map, Text, Value, json};
use crate::sim::store::Refusal;

fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Whether the content type is one of a patch. A custom resource has no keys to merge by, so that a strategic merge is no
/// patch for it.
///
/// # Errors
/// 415 for another content type.
pub fn check_type(content_type: &str, is_custom: bool) -> Result<(), Refusal> {
    match media_type(content_type) {
        "application/json-patch+json" | "application/merge-patch+json" | "application/apply-patch+yaml" => {
            Ok(())
        }
        "application/strategic-merge-patch+json" if !is_custom => Ok(()),
        "application/strategic-merge-patch+json" => {
            let message = "the body of the request was in an unknown format - accepted media types include: \
                           application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
            Err(Refusal::new(415, "UnsupportedMediaType", message))
        }
        _ => Err(unsupported("415: Unsupported Media Type")),
    }
}

fn unsupported(message: &str) -> Refusal {
    let mut refusal = Refusal::new(415, "UnsupportedMediaType", message);
    refusal.details = Some(json!({}));
    refusal
}

/// What a patch gets whose result can't be read.
pub(super) fn unusable(call: &Call, content_type: &str, why: &str) -> Refusal {
    let shown = match media_type(content_type) {
        "application/strategic-merge-patch+json" => {
            serde_json::from_slice::<Value>(&call.body).map(|v| go_map(&v)).unwrap_or_default()
        }
        _ => String::from_utf8_lossy(&call.body).into_owned(),
    };
    // A strategic merge is decoded by another way, which names the type alone.
    let other = why.split_once(" of type ").filter(|_| media_type(content_type).contains("strategic"));
    let why = other.map_or_else(|| why.to_owned(), |(_, go_type)| format!("unrecognized type: {go_type}"));
    let message = format!("Invalid value: {shown:?}: {why}");
    let mut refusal = Refusal::new(422, "Invalid", format!(" \"\" is invalid: patch: {message}"));
    let cause = json!({"reason": "FieldValueInvalid", "message": message, "field": "patch"});
    refusal.details = Some(json!({"causes": [cause]}));
    refusal
}

/// A value as Go prints it in the middle of a text.
fn go_map(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let parts: Vec<String> = fields.iter().map(|(k, v)| format!("{k}:{}", go_map(v))).collect();
            format!("map[{}]", parts.join(" "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(go_map).collect::<Vec<_>>().join(" ")),
        Value::String(text) => text.to_string(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

/// Applies a patch by its content type. Gives the patched object.
///
/// # Errors
/// 400 for a body that can't be read, 422 for a JSON patch that can't be applied.
pub fn apply(content_type: &str, object: &Value, body: &[u8]) -> Result<Value, Refusal> {
    let mut patched = object.clone();
    let unreadable = |error: serde_json::Error| super::body::patch_syntax(&error, body);
    match media_type(content_type) {
        "application/json-patch+json" => {
            let value: Value = serde_json::from_slice(body).map_err(unreadable)?;
            if !value.is_array() {
                return Err(not_a("[]handlers.jsonPatchOp", &value));
            }
            json_patches(&mut patched, &value).map_err(|()| {
                let message = "the server rejected our request due to an error in our request";
                let mut refusal = Refusal::new(422, "Invalid", message);
                refusal.details = Some(json!({}));
                refusal
            })?;
        }
        "application/merge-patch+json" => {
            let patch: Value = serde_json::from_slice(body).map_err(unreadable)?;
            if patch.is_null() {
                return Err(Refusal::bad_request("Invalid JSON Patch"));
            }
            if !patch.is_object() {
                return Err(not_a("map[string]interface {}", &patch));
            }
            merge(&mut patched, &patch);
        }
        _ => {
            let patch: Value = serde_json::from_slice(body).map_err(unreadable)?;
            let types = Types::get();
            let text = |field: &str| object[field].as_str().unwrap_or_default();
            let structure = types.kind(text("apiVersion"), text("kind"));
            let structure = structure.map(|i| types.structure(i));
            if let Some(why) = structure.and_then(|s| keyless(object, &patch, s)) {
                return Err(Refusal::new(500, "", why));
            }
            // Nothing is a change of nothing.
            if !patch.is_null() {
                strategic(&mut patched, &patch, structure);
            }
        }
    }
    Ok(patched)
}

fn not_a(go_type: &str, value: &Value) -> Refusal {
    let what = match value {
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        _ => "number",
    };
    Refusal::bad_request(format!(
        "error decoding patch: json: cannot unmarshal {what} into Go value of type {go_type}"
    ))
}

/// A merge patch: null removes, an object is merged, anything else replaces.
fn merge(target: &mut Value, patch: &Value) {
    let Some(changes) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(fields) = target.as_object_mut() else { return };
    if changes.values().any(Value::is_null) {
        fields.retain(|name, _| !changes.get(name).is_some_and(Value::is_null));
    }
    // New ones all at once: each by itself would be a copy of the whole object.
    let mut added = Vec::new();
    for (name, change) in changes.iter().filter(|(_, change)| !change.is_null()) {
        if let Some(known) = fields.get_mut(name) {
            merge(known, change);
        } else {
            let mut value = Value::Null;
            merge(&mut value, change);
            added.push((name.clone(), value));
        }
    }
    if !added.is_empty() {
        fields.extend(added);
    }
}

/// One operation after another. A replacement of what isn't there adds it, as the API server has it.
fn json_patches(object: &mut Value, patch: &Value) -> Result<(), ()> {
    let operations: json_patch::Patch = json::from_value(patch).map_err(|_| ())?;
    let mut patched = serde_json::Value::from(&*object);
    for operation in operations.0 {
        let operation = match operation {
            json_patch::PatchOperation::Replace(replace) if replace.path.resolve(&patched).is_err() => {
                let (path, value) = (replace.path, replace.value);
                json_patch::PatchOperation::Add(json_patch::AddOperation { path, value })
            }
            other => other,
        };
        json_patch::patch(&mut patched, &json_patch::Patch(vec![operation])).map_err(|_| ())?;
    }
    *object = patched.into();
    Ok(())
}

/// Why a strategic patch can't be merged: an item that goes into a list by its key, and has none.
fn keyless(target: &Value, patch: &Value, structure: &Struct) -> Option<String> {
    let fields = patch.as_object().into_iter().flatten();
    fields.filter(|(name, _)| !name.starts_with('$')).find_map(|(name, change)| {
        let field = structure.field(name)?;
        let there = target.get(name.as_str())?;
        match (&field.shape, &field.patch) {
            (Shape::Struct(index), _) => keyless(there, change, Types::get().structure(*index)),
            (Shape::List(element), Patch::Key(key)) => {
                let Shape::Struct(index) = **element else { return None };
                let items = change.as_array()?.iter().filter(|i| i.is_object() && i["$patch"] != "replace");
                items.into_iter().find_map(|item| {
                    let Some(own) = item.get(key) else {
                        return Some(format!(
                            "map: {} does not contain declared merge key: {key}",
                            go_map(item)
                        ));
                    };
                    let same = there.as_array()?.iter().find(|t| t.get(key) == Some(own))?;
                    keyless(same, item, Types::get().structure(index))
                })
            }
            _ => None,
        }
    })
}

/// Merges by key where the type says so; `$patch: delete|replace`, `$retainKeys`, `$deleteFromPrimitiveList/…` and
/// `$setElementOrder/…` are understood as the API server does.
fn strategic(target: &mut Value, patch: &Value, structure: Option<&Struct>) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if fields.get("$patch") == Some(&json!("replace")) {
        *target = Value::Object(fields.iter().filter(|(k, _)| *k != "$patch").map(clone_pair).collect());
        return;
    }
    if fields.get("$patch") == Some(&json!("delete")) {
        *target = json!({});
        return;
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(object) = target.as_object_mut() else {
        return;
    };
    if let Some(kept) = fields.get("$retainKeys").and_then(Value::as_array) {
        object.retain(|name, _| kept.contains(&json!(name)));
    }
    for (field, value) in fields {
        if let Some(list) = field.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(have), Some(gone)) =
                (object.get_mut(list).and_then(Value::as_array_mut), value.as_array())
            {
                have.retain(|v| !gone.contains(v));
            }
        } else if !field.starts_with('$') {
            // Directives about this level were handled above; element orders come after the merge.
            strategic_field(object, field, value, structure);
        }
    }
    for (field, order) in fields {
        if let (Some(list), Some(order)) = (field.strip_prefix("$setElementOrder/"), order.as_array()) {
            let key = structure.and_then(|s| s.field(list)).and_then(|f| match f.patch {
                Patch::Key(key) => Some(key),
                _ => None,
            });
            if let Some(items) = object.get_mut(list).and_then(Value::as_array_mut) {
                let place = |item: &Value| {
                    let same = |o: &Value| key.map_or(o == item, |k| o[k] == item[k]);
                    order.iter().position(same).unwrap_or(usize::MAX)
                };
                items.sort_by_key(place);
            }
        }
    }
}

fn strategic_field(object: &mut Map, field: &str, value: &Value, structure: Option<&Struct>) {
    let known = structure.and_then(|s| s.field(field));
    let inner = known.and_then(|f| match &f.shape {
        Shape::Struct(index) => Some(Types::get().structure(*index)),
        Shape::List(element) => match **element {
            Shape::Struct(index) => Some(Types::get().structure(index)),
            _ => None,
        },
        _ => None,
    });
    if value.is_null() {
        object.remove(field);
        return;
    }
    match (known.map_or(Patch::Replace, |f| f.patch), value.as_array()) {
        (Patch::Key(key), Some(items)) if items.iter().all(Value::is_object) => {
            let entry = object.entry(field.to_owned()).or_insert_with(|| json!([]));
            merge_list(entry, items, key, inner);
        }
        (Patch::Set, Some(items)) => {
            let entry = object.entry(field.to_owned()).or_insert_with(|| json!([]));
            if let Some(have) = entry.as_array_mut() {
                let before = have.clone();
                let new: Vec<_> = items.iter().filter(|v| !have.contains(v)).cloned().collect();
                have.extend(new);
                in_patch_order(have, &before, items, Value::clone);
            }
        }
        _ if value.is_object() => {
            strategic(object.entry(field.to_owned()).or_insert(Value::Null), value, inner);
        }
        _ => {
            object.insert(field.to_owned(), value.clone());
        }
    }
}

/// The order of a merged list: what the patch names comes in the patch's order, the rest in its old one; something new stands
/// before the rest that is left.
fn in_patch_order(list: &mut Vec<Value>, before: &[Value], named: &[Value], name: impl Fn(&Value) -> Value) {
    let (mut left, mut right): (Vec<Value>, Vec<Value>) =
        std::mem::take(list).into_iter().partition(|item| named.contains(&name(item)));
    left.sort_by_key(|item| named.iter().position(|n| *n == name(item)));
    left.reverse();
    right.reverse();
    let old = |item: &Value| before.iter().position(|b| *b == name(item));
    while let (Some(ours), Some(theirs)) = (left.last(), right.last()) {
        let first = match (old(ours), old(theirs)) {
            (Some(ours), Some(theirs)) => ours < theirs,
            _ => true,
        };
        let next = if first { left.pop() } else { right.pop() };
        list.extend(next);
    }
    list.extend(left.into_iter().rev());
    list.extend(right.into_iter().rev());
}

fn clone_pair((key, value): (&Text, &Value)) -> (Text, Value) {
    (key.clone(), value.clone())
}

fn merge_list(target: &mut Value, items: &[Value], key: &str, structure: Option<&Struct>) {
    if !target.is_array() {
        *target = json!([]);
    }
    let Some(list) = target.as_array_mut() else { return };
    if items.iter().any(|i| i["$patch"] == "replace") {
        *list = items.iter().filter(|i| i.get("$patch").is_none()).cloned().collect();
        return;
    }
    let before: Vec<Value> = list.iter().map(|have| have[key].clone()).collect();
    for item in items {
        let position = list.iter().position(|have| have[key] == item[key]);
        match (position, item["$patch"] == "delete") {
            (Some(at), true) => {
                list.remove(at);
            }
            (None, true) => {}
            (Some(at), false) => strategic(&mut list[at], item, structure),
            (None, false) => list.push(item.clone()),
        }
    }
    let named: Vec<Value> = items.iter().map(|item| item[key].clone()).collect();
    in_patch_order(list, &before, &named, |item| item[key].clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Object, patch and result; those of RFC 7386's appendix among them.
    #[test]
    fn a_merge_patch_adds_replaces_and_removes() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
            (
                json!({"m": 1, "x": 1}),
                json!({"z": 2, "a": 2, "m": null, "n": 2}),
                json!({"a": 2, "n": 2, "x": 1, "z": 2}),
            ),
        ];
        for (mut object, patch, expected) in cases {
            let before = object.clone();
            merge(&mut object, &patch);
            assert_eq!(object, expected, "{before} with {patch}");
        }
    }
}
