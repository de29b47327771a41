//! The columns of tables: the API server's for its own kinds, those of the definition for custom ones.

mod cells;
mod core;
mod custom;
mod pod;
mod workloads;

use jiff::Timestamp;
use serde_json_path::JsonPath;

use crate::sim::json::{Value, json};
use crate::sim::store::{Resource, Store};

/// Where a cell's value comes from.
#[derive(Debug, Clone)]
enum Source {
    /// A text at a JSON pointer, or this instead.
    Text(&'static str, &'static str),
    /// A number at a JSON pointer, 0 if there is none.
    Number(&'static str),
    /// A truth value at a JSON pointer, or this instead.
    Bool(&'static str, bool),
    /// Time since the one at a JSON pointer.
    Since(&'static str),
    /// What a function makes of the object.
    Of(fn(&Value) -> String),
    /// The same, with the time.
    At(fn(&Value, Timestamp) -> String),
    /// How many entries a list or a map has.
    Count(&'static str),
    /// What a definition's path finds.
    Path(Box<JsonPath>),
    /// A definition's path that can't be read.
    Nothing,
}

/// A column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    /// 0: always shown; more: with `-o wide`.
    priority: i64,
    source: Source,
}

impl Column {
    fn new(name: &str, kind: &str, source: Source) -> Self {
        let format = if name == "Name" { "name" } else { "" };
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: format.to_owned(),
            description: String::new(),
            priority: 0,
            source,
        }
    }

    fn text(name: &str, at: &'static str) -> Self {
        Self::new(name, "string", Source::Text(at, ""))
    }

    fn text_or(name: &str, at: &'static str, otherwise: &'static str) -> Self {
        Self::new(name, "string", Source::Text(at, otherwise))
    }

    fn number(name: &str, at: &'static str) -> Self {
        Self::new(name, "integer", Source::Number(at))
    }

    fn of(name: &str, cell: fn(&Value) -> String) -> Self {
        Self::new(name, "string", Source::Of(cell))
    }

    fn name() -> Self {
        Self::text("Name", "/metadata/name")
    }

    fn age() -> Self {
        Self::new("Age", "string", Source::Since("/metadata/creationTimestamp"))
    }

    fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    /// As `columnDefinitions` has it.
    pub fn header(&self) -> Value {
        json!({
            "name": self.name, "type": self.kind, "format": self.format, "description": self.description,
            "priority": self.priority,
        })
    }

    /// What it says of an object.
    pub fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let at = |pointer: &str| object.pointer(pointer).unwrap_or(&Value::Null);
        match &self.source {
            Source::Text(pointer, otherwise) => match at(pointer) {
                Value::Null => json!(otherwise),
                Value::String(text) if text.is_empty() => json!(otherwise),
                Value::String(text) => json!(text),
                other => json!(other.to_string()),
            },
            Source::Number(pointer) => json!(at(pointer).as_i64().unwrap_or(0)),
            Source::Bool(pointer, otherwise) => json!(at(pointer).as_bool().unwrap_or(*otherwise)),
            Source::Since(pointer) => json!(cells::since(at(pointer), now)),
            Source::Of(cell) => json!(cell(object)),
            Source::At(cell) => json!(cell(object, now)),
            Source::Count(pointer) => json!(cells::count(at(pointer))),
            Source::Path(path) => custom::cell(path, &self.kind, object, now),
            Source::Nothing => Value::Null,
        }
    }
}

/// The columns of a `Scale`.
pub(super) fn of_scale() -> Vec<Column> {
    vec![
        Column::name(),
        Column::number("Desired", "/spec/replicas"),
        Column::number("Available", "/status/replicas"),
        Column::age(),
    ]
}

/// The columns of a kind in one of its versions.
pub(super) fn of_kind(store: &Store, resource: &Resource, version: &str) -> Vec<Column> {
    if resource.is_custom {
        return custom::columns(store, resource, version);
    }
    let name = resource.name.as_str();
    let own = core::columns(name).or_else(|| workloads::columns(name));
    own.unwrap_or_else(|| {
        vec![
            Column::name(),
            Column::new("Created At", "date", Source::Text("/metadata/creationTimestamp", "")),
        ]
    })
}
