//! Causes: what is wrong with one field, in the words of the API server.

use crate::sim::json::{Value, json};
use crate::sim::store::{Refusal, Resource};

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::sim::api) struct Cause {
    pub reason: &'static str,
    pub field: String,
    pub message: String,
}

/// What is wrong with an object, in the order in which it is told.
#[derive(Debug, Default)]
pub(in crate::sim::api) struct Causes(pub Vec<Cause>);

/// A value as messages show it: texts quoted, the rest as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

impl Causes {
    fn push(&mut self, reason: &'static str, field: impl Into<String>, message: String) {
        self.0.push(Cause { reason, field: field.into(), message });
    }

    /// The value isn't allowed.
    pub(in crate::sim::api) fn invalid(&mut self, field: impl Into<String>, value: &Value, why: &str) {
        self.push("FieldValueInvalid", field, format!("Invalid value: {}: {why}", shown(value)));
    }

    /// The value is of the wrong type.
    pub(in crate::sim::api) fn type_invalid(&mut self, field: impl Into<String>, value: &Value, why: &str) {
        self.push("FieldValueTypeInvalid", field, format!("Invalid value: {}: {why}", shown(value)));
    }

    /// There are too many items.
    pub(in crate::sim::api) fn too_many(&mut self, field: impl Into<String>, count: u64, most: u64) {
        let message = format!("Too many: {count}: must have at most {most} items");
        self.push("FieldValueTooMany", field, message);
    }

    /// The field is missing.
    pub(in crate::sim::api) fn required(&mut self, field: impl Into<String>, why: &str) {
        let message =
            if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        self.push("FieldValueRequired", field, message);
    }

    /// The field may not be set so.
    pub(in crate::sim::api) fn forbidden(&mut self, field: impl Into<String>, why: &str) {
        self.push("FieldValueForbidden", field, format!("Forbidden: {why}"));
    }

    /// The same value stands there twice.
    pub(in crate::sim::api) fn duplicate(&mut self, field: impl Into<String>, value: &Value) {
        self.push("FieldValueDuplicate", field, format!("Duplicate value: {}", shown(value)));
    }

    /// The same, and what has to be unique.
    pub(in crate::sim::api) fn duplicate_because(
        &mut self,
        field: impl Into<String>,
        value: &Value,
        why: &str,
    ) {
        self.push("FieldValueDuplicate", field, format!("Duplicate value: {}: {why}", shown(value)));
    }

    /// Something that it refers to isn't there.
    pub(in crate::sim::api) fn not_found(&mut self, field: impl Into<String>, value: &Value) {
        self.push("FieldValueNotFound", field, format!("Not found: {}", shown(value)));
    }

    /// The value is none of those that there are.
    pub(in crate::sim::api) fn unsupported(
        &mut self,
        field: impl Into<String>,
        value: &Value,
        supported: &[&str],
    ) {
        let names: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        let message = format!("Unsupported value: {}: supported values: {}", shown(value), names.join(", "));
        self.push("FieldValueNotSupported", field, message);
    }

    /// The value is too long.
    pub(in crate::sim::api) fn too_long(&mut self, field: impl Into<String>, limit: usize, unit: &str) {
        self.push("FieldValueTooLong", field, format!("Too long: may not be more than {limit} {unit}"));
    }
}

/// A refusal, if there are causes.
///
/// # Errors
/// 422 with all of them.
pub(in crate::sim::api) fn refuse(resource: &Resource, name: &str, causes: Causes) -> Result<(), Refusal> {
    if causes.0.is_empty() {
        return Ok(());
    }
    let title = if resource.group.is_empty() {
        resource.kind.clone()
    } else {
        format!("{}.{}", resource.kind, resource.group)
    };
    let mut told: Vec<String> = causes.0.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
    told.dedup();
    let message = match told.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    let mut refusal = Refusal::new(422, "Invalid", format!("{title} {name:?} is invalid: {message}"));
    let causes: Vec<Value> = causes
        .0
        .iter()
        .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
        .collect();
    let mut details = json!({"name": name, "kind": resource.kind, "causes": causes});
    if !resource.group.is_empty() {
        details["group"] = json!(resource.group);
    }
    if name.is_empty() {
        details.as_object_mut().map(|d| d.remove("name"));
    }
    refusal.details = Some(details);
    Err(refusal)
}
