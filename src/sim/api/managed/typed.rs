//! What is applied has to be of its type: nothing that the type doesn't have, nothing twice.

use super::node::{Form, Node, Scalar, item_step};
use super::set::shown;
use crate::sim::json::Value;
use crate::sim::store::Refusal;

/// Judges what is applied.
///
/// # Errors
/// 500, as the API server has it, for fields that the type doesn't have, values of another type, and items that stand twice.
pub(super) fn check(node: Node<'_>, applied: &Value) -> Result<(), Refusal> {
    let mut wrong = Vec::new();
    walk(node, applied, "", &mut wrong);
    if wrong.is_empty() {
        return Ok(());
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (metadata, version) = (&applied["metadata"], text(&applied["apiVersion"]));
    let slash = if version.contains('/') { "" } else { "/" };
    let told = match wrong.as_slice() {
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    let message = format!(
        "failed to create typed patch object ({}/{}; {slash}{version}, Kind={}): {told}",
        text(&metadata["namespace"]),
        text(&metadata["name"]),
        text(&applied["kind"])
    );
    Err(Refusal::new(500, "", message))
}

fn walk(node: Node<'_>, value: &Value, path: &str, wrong: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    if let Some(why) = node.scalar().and_then(|scalar| scalar_wrong(scalar, value)) {
        wrong.push(format!("{path}: {why}"));
        return;
    }
    let form = node.form(Some(value));
    match value {
        Value::Object(fields) if node.is_fields() => {
            for (name, inner) in fields {
                let (below, named) = node.field(name);
                let place = format!("{path}.{name}");
                if !named && node.is_closed() {
                    wrong.push(format!("{place}: field not declared in schema"));
                } else {
                    walk(below, inner, &place, wrong);
                }
            }
        }
        Value::Array(items) => {
            let (Form::Keyed(_, below) | Form::Set(below)) = form else {
                let below = node.items();
                for (index, item) in items.iter().enumerate() {
                    walk(below, item, &format!("{path}[{index}]"), wrong);
                }
                return;
            };
            let steps: Vec<String> = items.iter().map(|item| item_step(form, item)).collect();
            for (index, (item, step)) in items.iter().zip(&steps).enumerate() {
                if steps[..index].contains(step) {
                    wrong.push(format!("{path}: duplicate entries for key {}", shown(step)));
                }
                walk(below, item, &format!("{path}{}", shown(step)), wrong);
            }
        }
        _ => {}
    }
}

fn scalar_wrong(scalar: Scalar, value: &Value) -> Option<String> {
    let kind = match value {
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::Array(_) => "[]interface {}",
        _ => "map[string]interface {}",
    };
    let shown = match value {
        Value::String(_) | Value::Bool(_) | Value::Number(_) => value.to_string(),
        other => format!("{kind}{other}"),
    };
    let go = format!("&value.valueUnstructured{{Value:{shown}}}");
    match scalar {
        Scalar::Text if !value.is_string() => Some(format!("expected string, got {go}")),
        Scalar::Bool if !value.is_boolean() => Some(format!("expected boolean, got {go}")),
        Scalar::Number if !value.is_number() => Some(format!("expected numeric (int or float), got {kind}")),
        _ => None,
    }
}
