//! Where a definition says that `/scale` finds its numbers.

use crate::sim::api::validate::Causes;
use crate::sim::json::{Map, Value, json};
use crate::sim::store::ScalePaths;

fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('.').unwrap_or(path).split('.')
}

/// The value at a path.
pub(in crate::sim::api) fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    steps(path).try_fold(object, |value, step| value.get(step))
}

/// Puts a value there, and what is missing on the way.
pub(in crate::sim::api) fn set(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for step in steps(path) {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[step];
    }
    *place = value;
}

/// The value at a path, or the place on the way where it can't be looked for.
fn look<'a>(object: &'a Value, path: &str) -> Result<Option<&'a Value>, (String, &'a Value)> {
    let (mut value, mut so_far) = (object, String::new());
    for step in steps(path) {
        so_far = format!("{so_far}.{step}");
        match value {
            Value::Object(fields) => match fields.get(step) {
                Some(next) => value = next,
                None => return Ok(None),
            },
            other => return Err((so_far, other)),
        }
    }
    Ok(Some(value))
}

fn number(path: &str, object: &Value, causes: &mut Causes) {
    match look(object, path) {
        Ok(None) => {}
        Ok(Some(value)) => match value.as_i64() {
            Some(n) if n < 0 => causes.invalid(path, value, "should be a non-negative integer"),
            Some(n) if n > i64::from(i32::MAX) => {
                causes.invalid(path, value, "should be less than or equal to 2147483647");
            }
            Some(_) => {}
            None => causes.invalid(path, &json!(0), &wrong(path, value, "int64")),
        },
        Err((place, value)) => {
            causes.invalid(path, &json!(0), &wrong(&place, value, "map[string]interface{}"));
        }
    }
}

fn wrong(place: &str, value: &Value, expected: &str) -> String {
    let (text, is) = match value {
        Value::String(text) => (text.to_string(), "string"),
        Value::Bool(b) => (b.to_string(), "bool"),
        Value::Null => ("<nil>".to_owned(), "<nil>"),
        Value::Number(n) if n.is_f64() => (n.to_string(), "float64"),
        Value::Number(n) => (n.to_string(), "int64"),
        other => (other.to_string(), "map[string]interface {}"),
    };
    format!("{place} accessor error: {text} is of the type {is}, expected {expected}")
}

/// Judges the wanted replicas.
pub(super) fn spec(scale: &ScalePaths, object: &Value, causes: &mut Causes) {
    number(&scale.spec, object, causes);
}

/// Judges the replicas that there are, and the selector.
pub(super) fn status(scale: &ScalePaths, object: &Value, causes: &mut Causes) {
    number(&scale.status, object, causes);
    if scale.selector.is_empty() {
        return;
    }
    let why = match look(object, &scale.selector) {
        Ok(Some(value)) if !value.is_string() => wrong(&scale.selector, value, "string"),
        Err((place, value)) => wrong(&place, value, "map[string]interface{}"),
        Ok(_) => return,
    };
    causes.invalid(scale.selector.as_str(), &json!(""), &why);
}
