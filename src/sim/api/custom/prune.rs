//! Fields that the schema doesn't have go, nulls that it doesn't take go, and what isn't there gets its default.

use crate::sim::json::Value;
use crate::sim::store::Schema;

const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Prunes an object and gives the fields that went, sorted.
pub(in crate::sim::api) fn prune(schema: &Schema, object: &mut Value) -> Vec<String> {
    let mut gone = Vec::new();
    // Most objects are as they should be: they are left alone, and go on sharing with what is stored.
    if !is_right(Some(schema), true, object) {
        walk(Some(schema), true, object, "", &mut gone);
        gone.sort();
        nulls(schema, object);
    }
    gone
}

/// Whether neither [`walk`] nor [`nulls`] has anything to take away. Of a head that isn't the schema's business it may say no.
fn is_right(schema: Option<&Schema>, whole: bool, value: &Value) -> bool {
    if schema.is_some_and(|s| s.is_open) {
        return true;
    }
    let preserves = schema.is_some_and(|s| s.preserves);
    match value {
        Value::Object(fields) => fields.iter().all(|(name, value)| {
            match schema.and_then(|s| s.field(name)) {
                Some(inner) if value.is_null() => inner.nullable || inner.default.is_some(),
                // Whatever is in the head, only nulls of fields that are described would go.
                Some(inner) if whole && META.contains(&name.as_str()) => !is_described(inner),
                Some(inner) => is_right(Some(inner), inner.embedded, value),
                None => preserves || (whole && META.contains(&name.as_str())),
            }
        }),
        Value::Array(items) => {
            let inner = schema.and_then(|s| s.items.as_deref());
            let whole = inner.is_some_and(|s| s.embedded);
            (preserves && inner.is_none()) || items.iter().all(|item| is_right(inner, whole, item))
        }
        _ => true,
    }
}

/// Whether anything is said of what is in a value.
fn is_described(schema: &Schema) -> bool {
    !schema.properties.is_empty() || schema.additional.is_some() || schema.items.is_some()
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// `whole`: an object with metadata, whose head isn't the schema's business.
fn walk(schema: Option<&Schema>, whole: bool, value: &mut Value, path: &str, gone: &mut Vec<String>) {
    if schema.is_some_and(|s| s.is_open) {
        return;
    }
    let preserves = schema.is_some_and(|s| s.preserves);
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            if whole && META.contains(&name.as_str()) {
                return true;
            }
            match schema.and_then(|s| s.properties.get(name.as_str()).or(s.additional.as_deref())) {
                Some(inner) => {
                    // Scalars have nothing to prune; their path is never needed.
                    if value.is_object() || value.is_array() {
                        walk(Some(inner), inner.embedded, value, &join(path, name), gone);
                    }
                    true
                }
                None if preserves => true,
                None => {
                    if !META.contains(&name.as_str()) || !path.is_empty() {
                        gone.push(join(path, name));
                    }
                    false
                }
            }
        }),
        Value::Array(items) => {
            let inner = schema.and_then(|s| s.items.as_deref());
            if preserves && inner.is_none() {
                return;
            }
            let whole = inner.is_some_and(|s| s.embedded);
            for (index, item) in items.iter_mut().enumerate() {
                walk(inner, whole, item, &format!("{path}[{index}]"), gone);
            }
        }
        _ => {}
    }
}

fn nulls(schema: &Schema, value: &mut Value) {
    if schema.is_open {
        return;
    }
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let Some(inner) = schema.field(name) else { return true };
            if value.is_null() && !inner.nullable && inner.default.is_none() {
                return false;
            }
            nulls(inner, value);
            true
        }),
        Value::Array(items) => {
            if let Some(inner) = &schema.items {
                for item in items {
                    nulls(inner, item);
                }
            }
        }
        _ => {}
    }
}

fn missing(value: &Value, schema: &Schema) -> bool {
    value.is_null() && !schema.nullable
}

/// Whether a default would be filled in.
fn lacks(schema: &Schema, value: &Value) -> bool {
    if !schema.has_defaults {
        return false;
    }
    let item = |schema: &Schema, value: &Value| {
        (schema.default.is_some() && missing(value, schema)) || lacks(schema, value)
    };
    match value {
        Value::Object(fields) => {
            let mut known = schema.properties.iter().filter(|(_, inner)| inner.default.is_some());
            known.any(|(name, _)| !fields.contains_key(name))
                || fields.iter().any(|(name, value)| schema.field(name).is_some_and(|s| item(s, value)))
        }
        Value::Array(items) => schema.items.as_deref().is_some_and(|s| items.iter().any(|v| item(s, v))),
        _ => false,
    }
}

/// Fills in defaults.
pub(in crate::sim::api) fn defaults(schema: &Schema, value: &mut Value) {
    // What lacks none is left alone, and goes on sharing with what is stored.
    if lacks(schema, value) {
        fill(schema, value);
    }
}

fn fill(schema: &Schema, value: &mut Value) {
    if !schema.has_defaults {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, inner) in &schema.properties {
                let Some(default) = &inner.default else { continue };
                if fields.get(name).is_none_or(|v| missing(v, inner)) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                let Some(inner) = schema.field(name) else { continue };
                if missing(value, inner)
                    && let Some(default) = &inner.default
                {
                    *value = default.clone();
                }
                fill(inner, value);
            }
        }
        Value::Array(items) => {
            let Some(inner) = &schema.items else { return };
            for item in items {
                if missing(item, inner)
                    && let Some(default) = &inner.default
                {
                    *item = default.clone();
                }
                fill(inner, item);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::json::json;

    fn schema() -> Schema {
        let item = json!({"type": "object", "properties": {"k": {"type": "string"}}});
        Schema::read(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "a": {"type": "string"}, "n": {"type": "integer", "nullable": true},
                "d": {"type": "integer", "default": 3}, "l": {"type": "array", "items": item},
            }},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }}))
    }

    fn formed(mut object: Value) -> (Value, Vec<String>) {
        let gone = prune(&schema(), &mut object);
        defaults(&schema(), &mut object);
        (object, gone)
    }

    #[test]
    fn unknown_fields_and_nulls_go_and_defaults_come() {
        let object = json!({
            "kind": "K", "metadata": {"anything": 1}, "status": {},
            "spec": {"a": null, "b": 1, "d": null, "n": null, "l": [{"k": "v", "z": 1}, {"k": null}]},
            "free": {"x": null},
        });
        let (object, gone) = formed(object);
        let left = json!({
            "kind": "K", "metadata": {"anything": 1},
            "spec": {"d": 3, "n": null, "l": [{"k": "v"}, {}]}, "free": {"x": null},
        });
        assert_eq!(object, left);
        assert_eq!(gone, ["spec.b", "spec.l[0].z", "status"]);
        assert_eq!(formed(json!({"spec": {"a": "1"}})).0, json!({"spec": {"a": "1", "d": 3}}));
    }

    #[test]
    fn what_is_as_it_should_be_stays_shared() {
        let stored = json!({"kind": "K", "spec": {"a": "1", "d": 1, "l": [{"k": "v"}]}, "free": {"x": [1]}});
        let (object, gone) = formed(stored.clone());
        assert!(object.is_same(&stored) && gone.is_empty());
    }
}
