//! Going through an object along its schema.

use crate::sim::json::Value;
use crate::sim::store::Schema;

/// Shows every object and list of `object` that its schema knows, each before what is in it, with its path. What the schema
/// leaves open isn't gone into, and nothing of whose schema `concerns` isn't true.
pub(super) fn walk(
    schema: &Schema,
    concerns: fn(&Schema) -> bool,
    object: &Value,
    visit: &mut dyn FnMut(&Schema, &Value, &str),
) {
    step(schema, concerns, object, "", visit);
}

fn step(
    schema: &Schema,
    concerns: fn(&Schema) -> bool,
    value: &Value,
    path: &str,
    visit: &mut dyn FnMut(&Schema, &Value, &str),
) {
    if schema.is_open || !concerns(schema) {
        return;
    }
    visit(schema, value, path);
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(_, v)| v.is_object() || v.is_array()) {
                if let Some(inner) = schema.properties.get(name.as_str()) {
                    let dot = if path.is_empty() { "" } else { "." };
                    step(inner, concerns, value, &format!("{path}{dot}{name}"), visit);
                } else if let Some(inner) = &schema.additional {
                    step(inner, concerns, value, &format!("{path}[{name}]"), visit);
                }
            }
        }
        Value::Array(items) => {
            if let Some(inner) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    step(inner, concerns, item, &format!("{path}[{index}]"), visit);
                }
            }
        }
        _ => {}
    }
}
