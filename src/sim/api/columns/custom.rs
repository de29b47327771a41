//! Columns of custom kinds: `additionalPrinterColumns` of their definition.

use jiff::Timestamp;
use serde_json_path::JsonPath;

use super::cells::{list, scalar, since, text};
use super::{Column, Source};
use crate::sim::json::{Value, json};
use crate::sim::store::{Resource, Store};

const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

pub(super) fn columns(store: &Store, resource: &Resource, version: &str) -> Vec<Column> {
    let definition = store.get(DEFINITIONS, "", &resource.name);
    let versions = definition.map(|d| list(&d["spec"]["versions"])).into_iter().flatten();
    let mut columns = vec![Column::name()];
    let defined: Vec<Column> = versions
        .filter(|v| v["name"] == version)
        .flat_map(|v| list(&v["additionalPrinterColumns"]))
        .map(column)
        .collect();
    if defined.is_empty() {
        columns.push(Column::new("Age", "date", Source::Since("/metadata/creationTimestamp")));
    }
    columns.extend(defined);
    columns
}

fn column(given: &Value) -> Column {
    let source = path(text(&given["jsonPath"])).map_or(Source::Nothing, |path| Source::Path(Box::new(path)));
    let mut column = Column::new(text(&given["name"]), text(&given["type"]), source);
    text(&given["format"]).clone_into(&mut column.format);
    text(&given["description"]).clone_into(&mut column.description);
    column.priority = given["priority"].as_i64().unwrap_or(0);
    column
}

/// The API's dialect of JSONPath, as far as it is that of RFC 9535 without the `$`; a key's dots are escaped there.
fn path(given: &str) -> Option<JsonPath> {
    let mut path = String::from("$");
    let mut rest = given;
    while let Some(at) = rest.find("\\.") {
        // The key around the escaped dot goes into brackets.
        let start = rest[..at].rfind('.').unwrap_or(0);
        let mut end = at + 2;
        while let Some(next) = rest[end..].find(['.', '[']) {
            if rest[..end + next].ends_with('\\') {
                end += next + 1;
            } else {
                end += next;
                break;
            }
        }
        if !rest[end..].starts_with(['.', '[']) {
            end = rest.len();
        }
        path.push_str(&rest[..start]);
        path.push_str(&format!("['{}']", rest[start..end].trim_start_matches('.').replace("\\.", ".")));
        rest = &rest[end..];
    }
    path.push_str(rest);
    JsonPath::parse(&path).ok()
}

/// The first that a path finds, as the column's type wants it; null if it isn't of that type.
pub(super) fn cell(path: &JsonPath, kind: &str, object: &Value, now: Timestamp) -> Value {
    let object = serde_json::Value::from(object);
    let Some(found) = path.query(&object).first() else { return Value::Null };
    let found = &Value::from(found.clone());
    match (kind, found) {
        (_, Value::Null) => Value::Null,
        ("string", found) => json!(scalar(found)),
        ("date", Value::String(_)) => json!(since(found, now)),
        ("integer", Value::Number(number)) => number.as_f64().map_or(Value::Null, |n| json!(n as i64)),
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => found.clone(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_definitions_find_their_values() {
        let object = json!({
            "metadata": {"annotations": {"example.org/team": "red"}, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"size": 3, "on": true, "parts": ["a", "b"]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        let now: Timestamp = "2026-01-01T00:00:30Z".parse().expect("a time");
        for (given, kind, shown) in [
            (".spec.size", "integer", json!(3)),
            (".spec.size", "string", json!("3")),
            (".spec.on", "boolean", json!(true)),
            (".spec.on", "integer", Value::Null),
            (".spec.parts", "string", json!("[\"a\",\"b\"]")),
            (".status.conditions[?(@.type=='Ready')].status", "string", json!("True")),
            (".status.conditions[?(@.type==\"Gone\")].status", "string", Value::Null),
            (".metadata.annotations.example\\.org/team", "string", json!("red")),
            (".metadata.creationTimestamp", "date", json!("30s")),
        ] {
            let path = path(given).unwrap_or_else(|| panic!("{given}"));
            assert_eq!(cell(&path, kind, &object, now), shown, "{given}");
        }
    }
}
