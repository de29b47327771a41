//! Request bodies: read as JSON, checked to be the kind that the path is about, and brought into their canonical form.

use std::collections::BTreeSet;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::custom;
use super::decode::{self, Problems};
use super::route::Route;
use super::service::Call;
use super::types::Types;
use super::validate::{self, Causes};
use crate::sim::json::{Text, Value, json};
use crate::sim::store::{Refusal, Resource};

/// Where a value stands: as a text it is needed only of what is wrong.
enum At<'a> {
    Root,
    Field(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

impl std::fmt::Display for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(at, name) => write!(f, "{at}.{name}"),
            Self::Item(at, index) => write!(f, "{at}[{index}]"),
        }
    }
}

/// Reads a value and notes fields that stand twice (the last one counts).
struct Reading<'a> {
    at: &'a At<'a>,
    twice: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(json!(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(json!(v))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(json!(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items: Vec<Value> = Vec::new();
        loop {
            let at = At::Item(self.at, items.len());
            match seq.next_element_seed(Reading { at: &at, twice: &mut *self.twice })? {
                Some(item) => items.push(item),
                None => return Ok(items.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields: Vec<(Text, Value)> = Vec::new();
        // The names so far, once they don't come in order any more: where they do, none stands twice.
        let mut known: Option<BTreeSet<Text>> = None;
        while let Some(name) = map.next_key::<Text>()? {
            let at = At::Field(self.at, &name);
            if known.is_none() && fields.last().is_some_and(|(last, _)| *last >= name) {
                known = Some(fields.iter().map(|(name, _)| name.clone()).collect());
            }
            if let Some(known) = &mut known
                && !known.insert(name.clone())
            {
                self.twice.push(at.to_string());
            }
            let value = map.next_value_seed(Reading { at: &at, twice: &mut *self.twice })?;
            fields.push((name, value));
        }
        Ok(Value::Object(fields.into_iter().collect()))
    }
}

/// A body that has been read.
pub(super) struct Read {
    pub value: Value,
    /// Fields that stand twice.
    pub twice: Vec<String>,
}

impl Read {
    /// Reads JSON.
    pub(super) fn of(body: &[u8]) -> Result<Self, serde_json::Error> {
        let mut twice = Vec::new();
        let mut reader = serde_json::Deserializer::from_slice(body);
        let value = Reading { at: &At::Root, twice: &mut twice }.deserialize(&mut reader)?;
        reader.end()?;
        Ok(Self { value, twice })
    }
}

/// The group, version and kind that a path takes.
pub(super) fn expected(route: &Route) -> (String, String) {
    let own = |version: &str, kind: &str| (version.to_owned(), kind.to_owned());
    match route.subresource.as_deref() {
        Some("scale") => own("autoscaling/v1", "Scale"),
        Some("eviction") => own("policy/v1", "Eviction"),
        Some("binding") => own("v1", "Binding"),
        _ => (route.resource.api_version_of(&route.version), route.resource.kind.clone()),
    }
}

/// How Go's JSON reader names what it met.
fn syntax(error: &serde_json::Error, body: &[u8]) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    let line = error.line().saturating_sub(1);
    let start: usize = body.split(|b| *b == b'\n').take(line).map(|l| l.len() + 1).sum();
    let at = (start + error.column()).saturating_sub(1).min(body.len().saturating_sub(1));
    let character = body.get(at).map_or('?', |b| *b as char);
    let text = error.to_string();
    if text.starts_with("expected ident") {
        let literal = body[..=at].iter().rposition(|b| matches!(b, b'n' | b't' | b'f')).unwrap_or(0);
        let word = match body.get(literal) {
            Some(b'n') => "null",
            Some(b't') => "true",
            _ => "false",
        };
        let wrong = (1..word.len()).find(|i| body.get(literal + i) != word.as_bytes().get(*i)).unwrap_or(1);
        let character = body.get(literal + wrong).map_or('?', |b| *b as char);
        let expected = &word[wrong..=wrong];
        return format!("invalid character '{character}' in literal {word} (expecting '{expected}')");
    }
    let place = if text.starts_with("key must be a string") {
        "looking for beginning of object key string"
    } else if text.starts_with("trailing characters") {
        "after top-level value"
    } else if text.starts_with("expected `,` or `}`") {
        "after object key:value pair"
    } else if text.starts_with("expected `:`") {
        "after object key"
    } else {
        "looking for beginning of value"
    };
    format!("invalid character '{character}' {place}")
}

/// What a body that isn't JSON gets from a patch.
pub(super) fn patch_syntax(error: &serde_json::Error, body: &[u8]) -> Refusal {
    Refusal::bad_request(format!("error decoding patch: {}", syntax(error, body)))
}

fn unrecognised(call: &Call, kind: &str, why: &str) -> Refusal {
    let why = format!("couldn't get version/kind; json parse error: {why}");
    unknown(call, kind, &why)
}

/// So much of a body that isn't text is shown, as the API server shows it.
const SHOWN_BYTES: usize = 30;

fn unknown(call: &Call, kind: &str, why: &str) -> Refusal {
    let shown = if call.body.is_empty() {
        "<empty>".to_owned()
    } else if call.body.first() == Some(&b'{') {
        let text = String::from_utf8_lossy(&call.body);
        if text.len() > 30 {
            format!("{} ...", text.chars().take(30).collect::<String>())
        } else {
            text.into_owned()
        }
    } else {
        use std::fmt::Write;
        let mut text = call.body.iter().take(SHOWN_BYTES).fold(String::new(), |mut text, b| {
            let _ = write!(text, "{b:02x}");
            text
        });
        if call.body.len() > SHOWN_BYTES {
            text.push_str(" ...");
        }
        text
    };
    let message = format!("the object provided is unrecognized (must be of type {kind}): {why} ({shown})");
    Refusal::bad_request(message)
}

/// Reads the object of a POST or PUT, which may share with what is stored.
///
/// # Errors
/// 400 for what isn't JSON, isn't the kind of the path, or has fields of the wrong type; with strict field validation also
/// for unknown fields and fields that stand twice.
pub(super) fn read(call: &Call, route: &Route, stored: &Value) -> Result<Value, Refusal> {
    let (api_version, kind) = expected(route);
    let read = call.read().map_err(|e| unrecognised(call, &kind, &syntax(&e, &call.body)))?;
    let Read { value: mut object, twice } = read;
    if route.subresource.as_deref() != Some("scale") {
        // What is shared from here on needs no second look.
        object.adopt(stored);
    }
    if let Some(why) = not_an_object(&object) {
        return Err(unrecognised(call, &kind, &why));
    }
    if route.subresource.as_deref() == Some("eviction")
        && object["kind"] == kind.as_str()
        && object["apiVersion"] == "policy/v1beta1"
    {
        // The older version of it is still read.
        object["apiVersion"] = json!(api_version);
    }
    let untyped = route.resource.is_custom && route.subresource.as_deref() != Some("scale");
    for (field, value) in [("kind", &kind), ("apiVersion", &api_version)].into_iter().filter(|_| !untyped) {
        if object[field].as_str().is_none_or(str::is_empty) {
            object[field] = json!(value);
        }
    }
    // An object without a type of its own to be read into has to name its kind.
    if untyped && object["kind"].as_str().is_none_or(str::is_empty) {
        let body = String::from_utf8_lossy(&call.body);
        return Err(unknown(call, &kind, &format!("Object 'Kind' is missing in '{body}'")));
    }
    if object["kind"] != kind.as_str() || object["apiVersion"] != api_version.as_str() {
        return Err(another_kind(&object, &kind, route));
    }
    formed(call, route, stored, &mut object, twice)?;
    Ok(object)
}

/// Why a value has no kind, in the words of Go's JSON reader.
fn not_an_object(value: &Value) -> Option<String> {
    let what = match value {
        Value::Object(_) => return None,
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Null => "null",
        Value::Number(_) => "number",
    };
    Some(format!(
        "json: cannot unmarshal {what} into Go value of type struct {{ APIVersion string \
         \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
    ))
}

/// Reads the options of a deletion, which are its body; null if there is none.
///
/// # Errors
/// 400 for what isn't JSON, is of another kind, or has a grace period that isn't a number.
pub(super) fn delete_options(call: &Call) -> Result<Value, Refusal> {
    if !call.has_body() {
        return Ok(Value::Null);
    }
    let bad =
        |why: String| Refusal::bad_request(format!("couldn't get version/kind; json parse error: {why}"));
    let options = call.read().map_err(|e| bad(syntax(&e, &call.body)))?.value;
    if options.is_null() {
        return Ok(options);
    }
    if let Some(why) = not_an_object(&options) {
        return Err(bad(why));
    }
    let text = |field: &str| options[field].as_str().unwrap_or_default();
    if !matches!(text("kind"), "" | "DeleteOptions") {
        let version = if text("apiVersion").is_empty() { "v1" } else { text("apiVersion") };
        let why = format!(
            "no kind {:?} is registered for version {version:?} in scheme \"pkg/runtime/scheme.go:111\"",
            text("kind")
        );
        return Err(Refusal::bad_request(why));
    }
    let what = match &options["gracePeriodSeconds"] {
        Value::Null => return Ok(options),
        Value::Number(n) if n.as_i64().is_some() => return Ok(options),
        Value::Number(n) => format!("number {n}"),
        Value::String(_) => "string".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    };
    Err(Refusal::bad_request(format!(
        "json: cannot unmarshal {what} into Go struct field DeleteOptions.gracePeriodSeconds of type int64"
    )))
}

/// The Go package of a group's internal types.
fn package(group: &str) -> &str {
    match group {
        "" => "core",
        group => group.split('.').next().unwrap_or(group),
    }
}

fn another_kind(object: &Value, kind: &str, route: &Route) -> Refusal {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let (given, api_version) = (text("kind"), text("apiVersion"));
    let version = api_version.rsplit('/').next().unwrap_or_default();
    if route.resource.is_custom && route.subresource.as_deref() != Some("scale") {
        let expected = expected(route).0;
        if given != kind {
            let mut causes = Causes::default();
            causes.invalid("kind", &object["kind"], &format!("must be {kind}"));
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let told = Resource { kind: given.to_owned(), ..(*route.resource).clone() };
            if let Err(refusal) = validate::refuse(&told, name, causes) {
                return refusal;
            }
        }
        return Refusal::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({expected})"
        ));
    }
    const OLDER: [&str; 7] = [
        "apps/v1beta1",
        "apps/v1beta2",
        "extensions/v1beta1",
        "policy/v1beta1",
        "batch/v1beta1",
        "storage.k8s.io/v1beta1",
        "coordination.k8s.io/v1beta1",
    ];
    if given == kind && OLDER.contains(&api_version) {
        let expected = expected(route).0;
        let message = format!(
            "the API version in the data ({api_version}) does not match the expected API version ({expected})"
        );
        return Refusal::bad_request(message);
    }
    let why = if Types::get().kind(api_version, given).is_some() {
        let own = package(&route.resource.group);
        format!("converting (v1.{given}) to ({own}.{kind}): unknown conversion")
    } else {
        format!(
            "no kind {given:?} is registered for version {api_version:?} in scheme \"pkg/runtime/scheme.go:111\""
        )
    };
    Refusal::bad_request(format!("{given} in version {version:?} cannot be handled as a {kind}: {why}"))
}

/// Brings an object into its canonical form; unknown and doubled fields are refused, told of, or neither, as the request
/// asks.
///
/// # Errors
/// 400 for fields of the wrong type, and for the above.
fn formed(
    call: &Call,
    route: &Route,
    stored: &Value,
    object: &mut Value,
    twice: Vec<String>,
) -> Result<(), Refusal> {
    let mut problems = Problems::default();
    decode::canonical_since(object, stored, &mut problems);
    if route.subresource.as_deref() != Some("scale") {
        custom::form(route, object, &mut problems);
    }
    let (api_version, kind) = expected(route);
    let version = api_version.rsplit('/').next().unwrap_or_default();
    let refused = |why: &str| {
        Refusal::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    };
    if let Some(why) = problems.refusal() {
        return Err(refused(why));
    }
    let told = strictness(call, &problems, &twice)?;
    if let Some(told) = told {
        return Err(refused(&format!("strict decoding error: {told}")));
    }
    Ok(())
}

/// What field validation makes of unknown and doubled fields: words to refuse with, or warnings.
///
/// # Errors
/// 422 for a validation that doesn't exist.
pub(super) fn strictness(
    call: &Call,
    problems: &Problems,
    twice: &[String],
) -> Result<Option<String>, Refusal> {
    let mut told: Vec<String> = problems.unknown.iter().map(|f| format!("unknown field {f:?}")).collect();
    told.extend(twice.iter().map(|f| format!("duplicate field {f:?}")));
    match call.query.get("fieldValidation").map_or("", String::as_str) {
        "Ignore" => Ok(None),
        "" | "Warn" => {
            for warning in &told {
                call.warn(warning);
            }
            Ok(None)
        }
        _ if told.is_empty() => Ok(None),
        _ => Ok(Some(told.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_stand_twice_are_told_in_whatever_order_they_come() {
        for (text, twice) in [
            (r#"{"a": 1, "b": 2}"#, &[][..]),
            (r#"{"b": 1, "a": 2, "c": 3}"#, &[]),
            (r#"{"a": 1, "a": 2}"#, &["a"]),
            (r#"{"m": {}, "d": {}, "m": {}}"#, &["m"]),
            (
                r#"{"k": [{"y": 1, "x": 1, "y": 2, "z": 0, "z": 0}], "a": 1, "k": 3}"#,
                &["k[0].y", "k[0].z", "k"],
            ),
        ] {
            let read = Read::of(text.as_bytes()).expect("JSON");
            assert_eq!(read.twice, twice, "{text}");
        }
        let last = Read::of(br#"{"m": 1, "d": 2, "m": 3}"#).expect("JSON").value;
        assert_eq!(last, json!({"d": 2, "m": 3}), "the last one counts");
    }
}
