//! Objects inside of objects: they have a kind of their own, too.

use serde_json::Value;

use crate::sim::api::validate::{Causes, names};
use crate::sim::store::Schema;

/// Judges all embedded objects.
pub(super) fn judge(schema: &Schema, object: &Value, causes: &mut Causes) {
    walk(schema, object, "", causes);
}

fn walk(schema: &Schema, value: &Value, path: &str, causes: &mut Causes) {
    if schema.is_open {
        return;
    }
    match value {
        Value::Object(fields) => {
            if schema.embedded {
                head(value, path, causes);
            }
            for (name, value) in fields.iter().filter(|(_, v)| v.is_object() || v.is_array()) {
                if let Some(inner) = schema.properties.get(name) {
                    let dot = if path.is_empty() { "" } else { "." };
                    walk(inner, value, &format!("{path}{dot}{name}"), causes);
                } else if let Some(inner) = &schema.additional {
                    walk(inner, value, &format!("{path}[{name}]"), causes);
                }
            }
        }
        Value::Array(items) => {
            if let Some(inner) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    walk(inner, item, &format!("{path}[{index}]"), causes);
                }
            }
        }
        _ => {}
    }
}

fn head(object: &Value, path: &str, causes: &mut Causes) {
    for field in ["apiVersion", "kind"] {
        let place = format!("{path}.{field}");
        match object.get(field) {
            None => causes.required(place, ""),
            Some(Value::String(text)) if text.is_empty() => {
                causes.invalid(place, &object[field], "must not be empty");
            }
            Some(Value::String(text)) if field == "kind" => {
                let wrong = names::label_1035(&text.to_lowercase());
                if !wrong.is_empty() {
                    let why = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
                    causes.invalid(place, &object[field], &why);
                }
            }
            Some(Value::String(text)) if text.matches('/').count() > 1 => {
                causes.invalid(place, &object[field], &format!("unexpected GroupVersion string: {text}"));
            }
            Some(Value::String(_)) => {}
            Some(other) => causes.invalid(place, other, "must be a string"),
        }
    }
}
