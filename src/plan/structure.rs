//! Checking a document's structure against the schema: every unknown field, wrong type, missing field, wrong choice.
//!
//! The schema that editors get is the one that is checked by, so the two can't disagree.

use serde_json::Value;

use super::diagnostic::Diagnostics;
use super::tree::{Located, Tree};
use super::v1alpha1::{parse_duration, parse_int_or_percent};

/// Walks document and schema side by side.
pub(super) fn check(schema: &Value, node: &Located, path: &str, found: &mut Diagnostics) {
    let schema = unwrap_option(schema);
    if let Some(choices) = choices(schema) {
        return check_choice(&choices, node, path, found);
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return check_scalar(node, path, found, |v| parse_int_or_percent(v).map(drop));
    }
    if schema["format"] == "duration" {
        return check_scalar(node, path, found, |v| parse_duration(v).map(drop));
    }
    match &node.tree {
        Tree::Map(_) if is(schema, "object") => check_map(schema, node, path, found),
        Tree::List(items) if is(schema, "array") => {
            for (index, item) in items.iter().enumerate() {
                check(&schema["items"], item, &format!("{path}[{index}]"), found);
            }
        }
        Tree::Scalar(value) if fits(schema, value) => {}
        _ if schema.get("type").is_none() => {}
        _ => {
            let expected = words(schema);
            let path = if path.is_empty() { "the plan" } else { path };
            found.error(
                Some(node.span.clone()),
                format!("{path} must be {expected}"),
                format!("this is {}", kind(node)),
            );
        }
    }
}

/// `anyOf: [X, null]` is an optional X.
fn unwrap_option(schema: &Value) -> &Value {
    let alternatives =
        schema["anyOf"].as_array().map(|a| a.iter().filter(|s| s["type"] != "null").collect::<Vec<_>>());
    match alternatives.as_deref() {
        Some([one]) => one,
        _ => schema,
    }
}

/// The words that a choice allows.
fn choices(schema: &Value) -> Option<Vec<String>> {
    let text = |v: &Value| v.as_str().map(str::to_owned);
    if let Some(list) = schema["enum"].as_array() {
        return Some(list.iter().filter_map(text).collect());
    }
    let list = schema["oneOf"].as_array()?;
    let words: Vec<Vec<String>> = list
        .iter()
        .map(|s| {
            s["enum"].as_array().map_or_else(
                || text(&s["const"]).into_iter().collect(),
                |e| e.iter().filter_map(text).collect(),
            )
        })
        .collect();
    words.iter().all(|w| !w.is_empty()).then(|| words.concat())
}

fn check_choice(choices: &[String], node: &Located, path: &str, found: &mut Diagnostics) {
    let given = match &node.tree {
        Tree::Scalar(Value::String(text)) => text.clone(),
        _ => kind(node).to_owned(),
    };
    if !choices.contains(&given) {
        let hint = match nearest(&given, choices.iter().map(String::as_str)) {
            _ if is_guest_among_workloads(&given, choices) => {
                "a budget is not what keeps a VM: the plan's virtualMachines says what may happen to it"
                    .to_owned()
            }
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("want one of {}", choices.join(", ")),
        };
        found.error(
            Some(node.span.clone()),
            format!("{path}: `{given}` is none of {}", choices.join(", ")),
            hint,
        );
    }
}

/// A VM where a workload's kind is asked for: none of the choices is meant.
fn is_guest_among_workloads(given: &str, choices: &[String]) -> bool {
    given.starts_with("VirtualMachine") && choices.iter().any(|c| c == "Deployment")
}

fn check_scalar(
    node: &Located,
    path: &str,
    found: &mut Diagnostics,
    read: impl Fn(&str) -> Result<(), String>,
) {
    let text = match &node.tree {
        Tree::Scalar(Value::String(text)) => text.clone(),
        Tree::Scalar(value) if value.is_number() => value.to_string(),
        _ => kind(node).to_owned(),
    };
    if let Err(why) = read(&text) {
        found.error(Some(node.span.clone()), format!("{path}: {why}"), "");
    }
}

fn check_map(schema: &Value, node: &Located, path: &str, found: &mut Diagnostics) {
    let Tree::Map(entries) = &node.tree else { return };
    let properties = schema["properties"].as_object();
    for (key, value) in entries {
        let inner = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
        match properties.and_then(|p| p.get(&key.name)) {
            Some(schema) => {
                if !matches!(&value.tree, Tree::Scalar(Value::Null)) || !optional(schema) {
                    check(schema, value, &inner, found);
                }
            }
            None if schema["additionalProperties"].is_object() => {
                check(&schema["additionalProperties"], value, &inner, found);
            }
            None if properties.is_none_or(serde_json::Map::is_empty) => {}
            None => unknown(key, path, properties, found),
        }
    }
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !entries.iter().any(|(key, _)| key.name == required) {
            let place = if path.is_empty() { "the plan".to_owned() } else { path.to_owned() };
            found.error(
                Some(first_line(node)),
                format!("{place} has no `{required}`"),
                format!("add `{required}`"),
            );
        }
    }
}

fn optional(schema: &Value) -> bool {
    let null = Value::from("null");
    schema["anyOf"].is_array()
        || schema["type"].as_array().is_some_and(|t| t.contains(&null))
        || schema.get("default").is_some()
}

fn unknown(
    key: &super::tree::LocatedKey,
    path: &str,
    properties: Option<&serde_json::Map<String, Value>>,
    found: &mut Diagnostics,
) {
    let known: Vec<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let place = if path.is_empty() { String::new() } else { format!("in {path}; ") };
    let hint = match nearest(&key.name, known.iter().copied()) {
        Some(near) => format!("{place}did you mean `{near}`?"),
        None => format!("{place}known here: {}", known.join(", ")),
    };
    found.error(Some(key.span.clone()), format!("unknown field `{}`", key.name), hint);
}

/// The nearest name, if one is near enough to be meant.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let score = |k: &str| strsim::damerau_levenshtein(&k.to_lowercase(), &name.to_lowercase());
    known.min_by_key(|k| score(k)).filter(|k| score(k) <= (name.len() / 3).max(1))
}

fn first_line(node: &Located) -> std::ops::Range<usize> {
    node.span.start..node.span.start + usize::from(node.span.end > node.span.start)
}

fn is(schema: &Value, kind: &str) -> bool {
    schema["type"] == kind || schema["type"].as_array().is_some_and(|t| t.iter().any(|t| t == kind))
}

fn fits(schema: &Value, value: &Value) -> bool {
    match value {
        Value::String(_) => is(schema, "string"),
        Value::Bool(_) => is(schema, "boolean"),
        Value::Number(n) => {
            let whole = n.is_i64() || n.is_u64();
            let low = schema["minimum"].as_f64().is_none_or(|m| n.as_f64().is_some_and(|v| v >= m));
            low && ((whole && is(schema, "integer")) || is(schema, "number"))
        }
        Value::Null => is(schema, "null"),
        _ => false,
    }
}

fn words(schema: &Value) -> String {
    for (kind, words) in [
        ("object", "a map"),
        ("array", "a list"),
        ("string", "text"),
        ("boolean", "true or false"),
        ("integer", if schema["minimum"] == 0 { "a whole number, 0 or more" } else { "a whole number" }),
    ] {
        if is(schema, kind) {
            return words.to_owned();
        }
    }
    "something else".to_owned()
}

fn kind(node: &Located) -> &'static str {
    match &node.tree {
        Tree::Map(_) => "a map",
        Tree::List(_) => "a list",
        Tree::Scalar(Value::String(_)) => "text",
        Tree::Scalar(Value::Bool(_)) => "true or false",
        Tree::Scalar(Value::Number(_)) => "a number",
        Tree::Scalar(_) => "nothing",
    }
}
