//! Objects inside of objects: they have a kind of their own, too.

use super::walk::walk;
use crate::sim::api::validate::{Causes, names};
use crate::sim::json::Value;
use crate::sim::store::Schema;

/// Judges all embedded objects.
pub(super) fn judge(schema: &Schema, object: &Value, causes: &mut Causes) {
    walk(schema, |s| s.has_embedded, object, &mut |schema, value, path| {
        if schema.embedded && value.is_object() {
            head(value, path, causes);
        }
    });
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
