//! A value held against its schema, in the words of the API server.

use std::fmt;

use super::formats;
use crate::sim::api::validate::Causes;
use crate::sim::json::{Value, json};
use crate::sim::store::{ListType, Schema};

/// The way to a value: as a text it is needed only of what is wrong.
#[derive(Clone, Copy)]
enum Path<'a> {
    Empty,
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => Ok(()),
            Self::Field(Self::Empty, name) => f.write_str(name),
            Self::Field(path, name) => write!(f, "{path}.{name}"),
            Self::Item(path, index) => write!(f, "{path}[{index}]"),
        }
    }
}

/// As the text's.
impl fmt::Debug for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

/// Where a value stands: what its path is told to begin with, and the path from there on.
#[derive(Clone, Copy)]
struct Place<'a> {
    base: &'a str,
    path: Path<'a>,
}

impl Place<'_> {
    fn field(&self) -> String {
        let path = self.path.to_string();
        let path = path.strip_prefix('.').unwrap_or(&path);
        match (self.base.is_empty(), path.is_empty()) {
            (true, true) => "<nil>".to_owned(),
            (true, false) => path.to_owned(),
            (false, true) => self.base.to_owned(),
            (false, false) => format!("{}.{path}", self.base),
        }
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Judges a value. `base`: what its path is told to begin with.
pub(super) fn value(schema: &Schema, value: &Value, old: Option<&Value>, base: &str, causes: &mut Causes) {
    step(schema, value, old, Place { base, path: Path::Empty }, causes);
}

/// What an unchanged value has done wrong all along is let pass.
fn step(schema: &Schema, value: &Value, old: Option<&Value>, at: Place<'_>, causes: &mut Causes) {
    if old.is_some_and(|old| value.is_same(old)) {
        return;
    }
    let before = causes.0.len();
    judge(schema, value, old, at, causes);
    if causes.0.len() > before && old == Some(value) {
        causes.0.truncate(before);
    }
}

fn judge(schema: &Schema, value: &Value, old: Option<&Value>, at: Place<'_>, causes: &mut Causes) {
    of_type(schema, value, at, causes);
    if schema.is_open {
        return;
    }
    if !value.is_null() {
        combined(schema, value, at, causes);
    }
    match value {
        Value::String(text) => string(schema, text, at, causes),
        Value::Number(_) => number(schema, value, at, causes),
        Value::Array(items) => list(schema, items, old, at, causes),
        _ => {}
    }
    if !schema.values.is_empty() && !schema.values.iter().any(|v| same(v, value)) {
        let supported: Vec<String> =
            schema.values.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect();
        let supported: Vec<&str> = supported.iter().map(String::as_str).collect();
        causes.unsupported(at.field(), value, &supported);
    }
    if value.is_object() {
        object(schema, value, old, at, causes);
    }
}

fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && b.is_number() && a.as_f64() == b.as_f64())
}

fn of_type(schema: &Schema, value: &Value, at: Place<'_>, causes: &mut Causes) {
    let is = type_of(value);
    let takes = |name: &str| schema.types.iter().any(|t| t == name);
    if schema.types.is_empty() || takes(is) || (value.is_null() && schema.nullable) {
        return;
    }
    let whole = value.as_f64().is_some_and(|n| n.fract() == 0.0);
    if (is == "integer" && takes("number")) || (is == "number" && whole && takes("integer")) {
        return;
    }
    // A wrong type beside a format is told by the format's name.
    let expected = schema.types.join(",");
    type_invalid(at, &expected, is, causes);
}

fn type_invalid(at: Place<'_>, expected: &str, is: &str, causes: &mut Causes) {
    let why = format!("{} in body must be of type {expected}: {is:?}", at.path);
    causes.type_invalid(at.field(), &json!(is), &why);
}

fn string(schema: &Schema, text: &str, at: Place<'_>, causes: &mut Causes) {
    let length = text.chars().count() as u64;
    let shown = json!(text);
    if let Some(most) = schema.length.most.filter(|most| length > *most) {
        causes.too_long(at.field(), usize::try_from(most).unwrap_or(usize::MAX), "bytes");
    } else if let Some(least) = schema.length.least.filter(|least| length < *least) {
        let why = format!("{} in body should be at least {least} chars long", at.path);
        causes.invalid(at.field(), &shown, &why);
    } else if let Some((pattern, compiled)) = &schema.pattern
        && compiled.as_ref().is_some_and(|r| !r.is_match(text))
    {
        let why = format!("{} in body should match '{pattern}'", at.path);
        causes.invalid(at.field(), &shown, &why);
    }
    if !formats::fits(&schema.format, text) {
        type_invalid(at, &schema.format, text, causes);
    }
}

fn number(schema: &Schema, value: &Value, at: Place<'_>, causes: &mut Causes) {
    let path = at.path;
    let number = value.as_f64().unwrap_or(0.0);
    if schema.format == "int32" && value.as_i64().is_some_and(|n| i32::try_from(n).is_err()) {
        let nowhere = Place { base: at.base, path: Path::Empty };
        let why = format!("Checked value must be of type integer with format int32 in {path}");
        causes.invalid(nowhere.field(), &json!(""), &why);
    }
    if schema.types.iter().any(|t| t == "integer") && schema.types.len() == 1 && number.fract() != 0.0 {
        let nowhere = Place { base: at.base, path: Path::Empty };
        let why = format!("Checked value must be of type integer (default format) in {path}");
        causes.invalid(nowhere.field(), &json!(""), &why);
    }
    // Of a whole number, the factor is taken as one, too.
    if !value.is_f64() && schema.multiple_of.is_some_and(|f| f > 0.0 && f < 1.0) {
        let why = format!("factor MultipleOf declared for {path} must be positive: 0");
        causes.invalid(at.field(), &json!(0), &why);
    } else if let Some(factor) = schema.multiple_of.filter(|f| *f > 0.0 && (number / f).fract() != 0.0) {
        causes.invalid(at.field(), value, &format!("{path} in body should be a multiple of {factor}"));
    }
    if let Some((most, exclusive)) = schema.maximum
        && (number > most || (exclusive && number >= most))
    {
        let or = if exclusive { "" } else { " or equal to" };
        causes.invalid(at.field(), value, &format!("{path} in body should be less than{or} {most}"));
    }
    if let Some((least, exclusive)) = schema.minimum
        && (number < least || (exclusive && number <= least))
    {
        let or = if exclusive { "" } else { " or equal to" };
        causes.invalid(at.field(), value, &format!("{path} in body should be greater than{or} {least}"));
    }
}

fn list(schema: &Schema, items: &[Value], old: Option<&Value>, at: Place<'_>, causes: &mut Causes) {
    if let Some(inner) = &schema.items {
        let before = old.and_then(Value::as_array);
        for (index, item) in items.iter().enumerate() {
            // Only items that are known by a key are the same as before.
            let then = match &schema.list {
                ListType::Map(keys) => {
                    before.and_then(|b| b.iter().find(|o| keys.iter().all(|k| o.get(k) == item.get(k))))
                }
                _ => None,
            };
            step(inner, item, then, Place { base: at.base, path: Path::Item(&at.path, index) }, causes);
        }
    }
    let count = items.len() as u64;
    if let Some(least) = schema.count.least.filter(|least| count < *least) {
        let why = format!("{} in body should have at least {least} items", at.path);
        causes.invalid(at.field(), &json!(count), &why);
    }
    if let Some(most) = schema.count.most.filter(|most| count > *most) {
        causes.too_many(at.field(), count, most);
    }
}

fn object(schema: &Schema, object: &Value, old: Option<&Value>, at: Place<'_>, causes: &mut Causes) {
    let Some(fields) = object.as_object() else { return };
    let count = fields.len() as u64;
    if let Some(least) = schema.fields.least.filter(|least| count < *least) {
        let why = format!("{} in body should have at least {least} properties", at.path);
        causes.invalid(at.field(), &json!(count), &why);
    }
    if let Some(most) = schema.fields.most.filter(|most| count > *most) {
        causes.too_many(at.field(), count, most);
    }
    let then = |name: &str| old.filter(|_| !schema.atomic_map).and_then(|o| o.get(name));
    let mut part = |inner: &Schema, name: &str, field: &Value| {
        let at = Place { base: at.base, path: Path::Field(&at.path, name) };
        step(inner, field, then(name), at, causes);
    };
    for (name, field) in fields.iter().filter(|(name, _)| !schema.properties.contains_key(name.as_str())) {
        if let Some(inner) = schema.additional.as_deref().filter(|s| !s.is_open) {
            part(inner, name, field);
        }
    }
    for (name, inner) in &schema.properties {
        if let Some(field) = fields.get(name) {
            part(inner, name, field);
        }
    }
    for name in schema.required.iter().filter(|name| !fields.contains_key(name.as_str())) {
        causes.required(Place { base: at.base, path: Path::Field(&at.path, name) }.field(), "");
    }
}

fn holds(schema: &Schema, value: &Value, at: Place<'_>) -> Causes {
    let mut causes = Causes::default();
    judge(schema, value, None, at, &mut causes);
    causes
}

/// `allOf`, `anyOf`, `oneOf`, `not`: of alternatives that fail, the first one's causes are told.
fn combined(schema: &Schema, value: &Value, at: Place<'_>, causes: &mut Causes) {
    let nowhere = Place { base: at.base, path: Path::Empty };
    let mut tell = |what: String| causes.invalid(nowhere.field(), &json!(""), &what);
    let path = at.path;
    let mut more = Vec::new();
    if !schema.any_of.is_empty() {
        let tried: Vec<Causes> = schema.any_of.iter().map(|s| holds(s, value, at)).collect();
        if tried.iter().all(|c| !c.0.is_empty()) {
            tell(format!("{path:?} must validate at least one schema (anyOf)"));
            more.extend(tried.into_iter().next().unwrap_or_default().0);
        }
    }
    if !schema.one_of.is_empty() {
        let tried: Vec<Causes> = schema.one_of.iter().map(|s| holds(s, value, at)).collect();
        let count = tried.iter().filter(|c| c.0.is_empty()).count();
        let told = if count == 0 {
            "Found none valid".to_owned()
        } else {
            format!("Found {count} valid alternatives")
        };
        if count != 1 {
            tell(format!("{path:?} must validate one and only one schema (oneOf). {told}"));
        }
        if count == 0 {
            more.extend(tried.into_iter().next().unwrap_or_default().0);
        }
    }
    if !schema.all_of.is_empty() {
        let tried: Vec<Causes> = schema.all_of.iter().map(|s| holds(s, value, at)).collect();
        let fine = tried.iter().filter(|c| c.0.is_empty()).count();
        let none = if fine == 0 { ". None validated" } else { "" };
        if fine < tried.len() {
            tell(format!("{path:?} must validate all the schemas (allOf){none}"));
        }
        more.extend(tried.into_iter().flat_map(|c| c.0));
    }
    if schema.not.as_deref().is_some_and(|not| holds(not, value, at).0.is_empty()) {
        tell(format!("{path:?} must not validate the schema (not)"));
    }
    causes.0.extend(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(value: &Value, old: Option<&Value>, base: &str) -> Vec<(String, String)> {
        let schema = json!({"type": "object", "required": ["r"], "properties": {
            "r": {"type": "string"},
            "l": {"type": "array", "items": {"type": "object", "required": ["k"], "properties": {
                "k": {"type": "string", "pattern": "^v"}, "n": {"anyOf": [{"type": "integer"}]},
            }}},
        }});
        let mut causes = Causes::default();
        super::value(&Schema::read(&schema), value, old, base, &mut causes);
        causes.0.into_iter().map(|c| (c.field, c.message)).collect()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_path() {
        let wrong = json!({"l": [{"k": "v"}, {"k": "w"}, {}, {"k": "v", "n": "x"}]});
        let expected = [
            ("l[1].k", "Invalid value: \"w\": l[1].k in body should match '^v'"),
            ("l[2].k", "Required value"),
            ("<nil>", "Invalid value: \"\": \"l[3].n\" must validate at least one schema (anyOf)"),
            ("l[3].n", "Invalid value: \"string\": l[3].n in body must be of type integer: \"string\""),
            ("r", "Required value"),
        ];
        let expected = expected.map(|(field, message)| (field.to_owned(), message.to_owned()));
        assert_eq!(told(&wrong, None, ""), expected);
        assert_eq!(told(&json!({"l": [{}]}), None, "status").remove(0).0, "status.l[0].k");
    }

    #[test]
    fn what_was_wrong_all_along_is_let_pass() {
        let wrong = json!({"l": [{}], "r": "x"});
        assert!(told(&wrong, Some(&wrong.clone()), "").is_empty(), "the same memory");
        assert!(told(&wrong, Some(&json!({"l": [{}], "r": "x"})), "").is_empty(), "an equal value");
        assert!(told(&json!({"l": [{}], "r": "y"}), Some(&wrong), "").is_empty(), "an equal part");
        assert_eq!(told(&json!({"l": [{}, {}], "r": "x"}), Some(&wrong), "").len(), 2);
    }
}
