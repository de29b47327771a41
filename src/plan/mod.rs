//! The plan language: its types, reading it with places, checking it, label selectors, its schema.
//!
//! # Why
//! A plan is written by hand for production machines, so every mistake is reported at once, at its place, with what was
//! expected. serde stops at the first, and forgets places: the text is therefore read into a tree that remembers them, the
//! tree is checked against the schema (the one that editors get), and only then becomes typed.

mod cycle;
mod diagnostic;
pub mod json_path;
mod load;
pub mod selector;
mod semantics;
mod structure;
mod tree;
pub mod v1alpha1;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use load::{Loaded, load};

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// The JSON schema of a plan file, for editors. Unknown fields are refused.
pub fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let generator = settings.into_generator();
    let spec = generator.into_root_schema_for::<v1alpha1::MaintenancePlanSpec>();
    let mut spec = serde_json::to_value(spec).unwrap_or_default();
    close(&mut spec);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "MaintenancePlan",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "virtroll.dev/v1alpha1"},
            "kind": {"type": "string", "description": "MaintenancePlan"},
            "metadata": {"type": "object", "description": "name, labels, annotations"},
            "spec": spec,
        },
        "additionalProperties": false,
    })
}

/// Refuses unknown fields wherever fields are listed.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
