//! Bodies as the API server takes them: checked against the built-in types, unknown fields noted and dropped, and brought
//! into the form in which the API server gives objects back (empty fields left out, or there, as the type says).

use super::quantity;
use super::types::{Field, Shape, Struct, Types};
use crate::sim::json::{Map, Value, json};

/// What is wrong with an object's form.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// The first value of a wrong type, in the words of the API server.
    pub wrong: Option<String>,
    /// A value that its own type refuses (a time, a quantity), which is told before others.
    pub malformed: Option<String>,
    /// Fields that the type doesn't have, by path.
    pub unknown: Vec<String>,
}

impl Problems {
    /// Why the object can't be read, if it can't.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.malformed.as_deref().or(self.wrong.as_deref())
    }
}

/// Where a value stands. A chain, written out only when there is something to tell.
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
    /// The struct that has the field.
    owner: &'a str,
}

enum Step<'a> {
    Root,
    Field(&'a str),
    /// An entry of a map; it isn't a field to Go.
    Entry(&'a str),
    Index(usize),
}

impl Place<'_> {
    const ROOT: Place<'static> = Place { parent: None, step: Step::Root, owner: "" };

    /// The path; with indexes and entries (for unknown fields), or of fields alone (for wrong types).
    fn path(&self, whole: bool) -> String {
        let before = self.parent.map(|p| p.path(whole)).unwrap_or_default();
        match self.step {
            Step::Root => before,
            Step::Field(name) => join(&before, name),
            Step::Entry(name) if whole => join(&before, name),
            Step::Index(index) if whole => format!("{before}[{index}]"),
            _ => before,
        }
    }
}

/// Brings an object of a built-in kind, or just the metadata of any other, into its canonical form.
pub(super) fn canonical(object: &mut Value, problems: &mut Problems) {
    canonical_since(object, &Value::Null, problems);
}

/// The same; what the object still shares with an earlier version is as it was.
pub(super) fn canonical_since(object: &mut Value, old: &Value, problems: &mut Problems) {
    let types = Types::get();
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    match types.kind(text("apiVersion"), text("kind")) {
        Some(index) => {
            let structure = types.structure(index);
            if let Some(fields) = object.as_object_mut() {
                let head = ["apiVersion", "kind"].map(|k| fields.remove(k).map(|v| (k, v)));
                of_struct(fields, old, structure, &Place::ROOT, problems);
                fields.extend(head.into_iter().flatten());
            }
        }
        None => metadata(object, old, problems),
    }
}

fn metadata(object: &mut Value, old: &Value, problems: &mut Problems) {
    let types = Types::get();
    let place = Place { parent: Some(&Place::ROOT), step: Step::Field("metadata"), owner: "" };
    if object["metadata"].is_same(&old["metadata"]) {
        return;
    }
    if let Some(fields) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        of_struct(fields, &old["metadata"], types.structure(types.metadata()), &place, problems);
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn of_struct(fields: &mut Map, old: &Value, structure: &Struct, at: &Place<'_>, problems: &mut Problems) {
    fields.retain(|name, value| {
        let Some(field) = structure.field(name) else {
            problems.unknown.push(join(&at.path(true), name));
            return false;
        };
        if value.is_null() {
            return false;
        }
        let owner = structure.name.rsplit('.').next().unwrap_or_default();
        let place = Place { parent: Some(at), step: Step::Field(name), owner };
        of_shape(value, &old[name.as_str()], &field.shape, &place, problems);
        !(field.omit_empty && !field.pointer && is_zero(value, &field.shape))
    });
    for field in structure.always() {
        if !fields.contains_key(field.name) {
            fields.insert(field.name, when_absent(field, problems));
        }
    }
}

/// What is written for a field that isn't set, but always written.
fn when_absent(field: &Field, problems: &mut Problems) -> Value {
    if field.pointer {
        return Value::Null;
    }
    match &field.shape {
        Shape::Struct(index) => {
            let mut value = Map::new();
            of_struct(&mut value, &Value::Null, Types::get().structure(*index), &Place::ROOT, problems);
            Value::Object(value)
        }
        Shape::Quantity => json!("0"),
        Shape::Text(_) => json!(""),
        Shape::IntOrString | Shape::Integer(..) | Shape::Float => json!(0),
        Shape::Bool => json!(false),
        Shape::Time | Shape::MicroTime | Shape::Raw | Shape::Bytes | Shape::List(_) | Shape::Map(_) => {
            Value::Null
        }
    }
}

fn is_zero(value: &Value, shape: &Shape) -> bool {
    if matches!(shape, Shape::Struct(_) | Shape::Raw | Shape::Quantity | Shape::IntOrString) {
        return false;
    }
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
    }
}

fn of_shape(value: &mut Value, old: &Value, shape: &Shape, at: &Place<'_>, problems: &mut Problems) {
    if value.is_same(old) {
        return;
    }
    match (shape, &mut *value) {
        (Shape::Struct(index), Value::Object(fields)) => {
            of_struct(fields, old, Types::get().structure(*index), at, problems);
        }
        (Shape::List(element), Value::Array(items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                let place = Place { parent: Some(at), step: Step::Index(index), owner: at.owner };
                if item.is_null() && matches!(**element, Shape::Struct(_)) {
                    *item = json!({});
                }
                of_shape(item, &old[index], element, &place, problems);
            }
        }
        (Shape::Map(element), Value::Object(entries)) => {
            for (name, item) in entries.iter_mut() {
                let place = Place { parent: Some(at), step: Step::Entry(name), owner: at.owner };
                of_shape(item, &old[name.as_str()], element, &place, problems);
            }
        }
        (Shape::Quantity, Value::String(_) | Value::Number(_)) => of_quantity(value, problems),
        (Shape::Time | Shape::MicroTime, Value::String(text)) => {
            if text.parse::<jiff::Timestamp>().is_err() {
                malformed(problems, bad_time(text, *shape == Shape::MicroTime));
            }
        }
        (Shape::Integer(bits, _), Value::Number(n)) => {
            let fits = match n.as_i64() {
                Some(n) => *bits == 64 || i32::try_from(n).is_ok(),
                None => false,
            };
            if !fits {
                let what = format!("number {n}");
                wrong(problems, &what, shape, at);
            }
        }
        (Shape::Bytes, Value::String(text)) => {
            let fine = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\n' | b'\r');
            let wrong = text.as_bytes().iter().position(|b| !fine(b));
            let short = (text.len() % 4 != 0).then(|| text.len() / 4 * 4);
            if let Some(at) = wrong.or(short) {
                malformed(problems, format!("illegal base64 data at input byte {at}"));
            }
        }
        (Shape::Text(_), Value::String(_))
        | (Shape::Bool, Value::Bool(_))
        | (Shape::Float, Value::Number(_))
        | (Shape::IntOrString, Value::String(_) | Value::Number(_))
        | (Shape::Raw, _) => {}
        // A null in a list or map of scalars is their zero.
        (Shape::Text(_), Value::Null) => *value = json!(""),
        (Shape::Quantity, Value::Null) => *value = json!("0"),
        (_, Value::Null) => {}
        (_, other) => {
            let what = match other {
                Value::String(_) => "string",
                Value::Number(_) => "number",
                Value::Bool(_) => "bool",
                Value::Array(_) => "array",
                _ => "object",
            };
            wrong(problems, what, shape, at);
        }
    }
}

fn malformed(problems: &mut Problems, why: String) {
    problems.malformed.get_or_insert(why);
}

fn wrong(problems: &mut Problems, what: &str, shape: &Shape, at: &Place<'_>) {
    let why = match shape {
        Shape::Time | Shape::MicroTime => {
            format!("json: cannot unmarshal {what} into Go value of type string")
        }
        Shape::Quantity => quantity::PATTERN_MESSAGE.to_owned(),
        _ => format!(
            "json: cannot unmarshal {what} into Go struct field {}.{} of type {}",
            at.owner,
            at.path(false),
            go_type(shape)
        ),
    };
    problems.wrong.get_or_insert(why);
}

fn go_type(shape: &Shape) -> String {
    match shape {
        Shape::Text(name) | Shape::Integer(_, name) => name.clone(),
        Shape::Bool => "bool".to_owned(),
        Shape::Float => "float64".to_owned(),
        Shape::Bytes => "[]uint8".to_owned(),
        Shape::List(element) => format!("[]{}", go_type(element)),
        Shape::Map(element) => format!("map[string]{}", go_type(element)),
        Shape::Struct(index) => Types::get().structure(*index).name.clone(),
        Shape::Quantity => "resource.Quantity".to_owned(),
        Shape::Time => "v1.Time".to_owned(),
        Shape::MicroTime => "v1.MicroTime".to_owned(),
        Shape::IntOrString => "int32".to_owned(),
        Shape::Raw => "interface {}".to_owned(),
    }
}

fn of_quantity(value: &mut Value, problems: &mut Problems) {
    let text = match &*value {
        Value::String(text) => text.to_string(),
        other => other.to_string(),
    };
    match quantity::canonical(&text) {
        Some(canonical) => {
            if value.as_str() != Some(canonical.as_str()) {
                *value = json!(canonical);
            }
        }
        None => malformed(problems, quantity::PATTERN_MESSAGE.to_owned()),
    }
}

fn bad_time(text: &str, micro: bool) -> String {
    let layout = if micro { "2006-01-02T15:04:05.000000Z07:00" } else { "2006-01-02T15:04:05Z07:00" };
    format!("parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\"")
}
