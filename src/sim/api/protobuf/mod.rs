//! Request bodies in Kubernetes' protobuf form, read into JSON.
//!
//! # Why
//! Typed Go clients, kubectl's `create` and `auth` among them, send their objects so and don't fall back to JSON. Answers are
//! JSON all the same: every client takes that. What is on the wire is data (`fields.txt`, made from the struct tags of
//! k8s.io/api), so this is a table and a walk.

mod wire;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use wire::{Wire, fields};

use crate::sim::json::{Map, Value, json};

/// The media type.
pub(super) const MEDIA: &str = "application/vnd.kubernetes.protobuf";

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// One field of a message.
struct Field {
    json: &'static str,
    /// `s`, `b`, `i`, `d`, `x`, or a message's name.
    kind: &'static str,
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Left out of the JSON when it is zero.
    Plain,
    /// Shown though zero.
    Kept,
    List,
    Map,
    /// Its fields are its parent's.
    Inline,
}

struct Table {
    /// `apiVersion kind` → message.
    kinds: BTreeMap<(&'static str, &'static str), &'static str>,
    messages: BTreeMap<&'static str, BTreeMap<u64, Field>>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let text = include_str!("fields.txt");
        let (roots, messages) = text.split_once("\n\n").unwrap_or((text, ""));
        let roots = roots.lines().filter(|l| !l.starts_with('#')).filter_map(|line| {
            let mut parts = line.split(' ');
            Some(((parts.next()?, parts.next()?), parts.next()?))
        });
        let messages = messages.lines().map(|line| {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            (name, rest.split(' ').filter_map(field).collect())
        });
        Table { kinds: roots.collect(), messages: messages.collect() }
    })
}

fn field(text: &'static str) -> Option<(u64, Field)> {
    let mut parts = text.split(':');
    let (json, number, kind) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
    let (shape, kind) = match kind.as_bytes().first()? {
        b'!' => (Shape::Kept, &kind[1..]),
        b'[' => (Shape::List, &kind[1..]),
        b'{' => (Shape::Map, &kind[1..]),
        b'^' => (Shape::Inline, &kind[1..]),
        _ => (Shape::Plain, kind),
    };
    Some((number, Field { json, kind, shape }))
}

/// Reads a body. `Ok(None)` if its kind isn't in the table.
///
/// # Errors
/// Words, if it isn't what it says it is.
pub(super) fn read(body: &[u8]) -> Result<Option<Value>, String> {
    let envelope = body.strip_prefix(MAGIC).ok_or("the body does not begin with the protobuf marker")?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for (number, value) in fields(envelope)? {
        match (number, value) {
            (1, Wire::Bytes(meta)) => {
                for (number, value) in fields(meta)? {
                    match (number, value) {
                        (1, Wire::Bytes(text)) => api_version = utf8(text)?,
                        (2, Wire::Bytes(text)) => kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let table = table();
    let message = if kind == "DeleteOptions" {
        Some("meta.v1.DeleteOptions")
    } else {
        table.kinds.get(&(api_version.as_str(), kind.as_str())).copied()
    };
    let Some(message) = message else { return Ok(None) };
    let mut object = self::message(table, message, raw)?;
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind);
    Ok(Some(object))
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a text is not UTF-8".to_owned())
}

/// A message as JSON.
fn message(table: &Table, name: &str, bytes: &[u8]) -> Result<Value, String> {
    if let Some(value) = special(name, bytes)? {
        return Ok(value);
    }
    let known = table.messages.get(name).ok_or_else(|| format!("unknown message {name}"))?;
    let mut object = Map::new();
    for (number, wire) in fields(bytes)? {
        // A field that a newer client knows is passed over, as the API server does.
        let Some(field) = known.get(&number) else { continue };
        match field.shape {
            Shape::Inline => {
                if let Value::Object(fields) = value(table, field.kind, wire)? {
                    object.extend(fields);
                }
            }
            Shape::List => {
                let list = object.entry(field.json).or_insert_with(|| json!([]));
                let item = value(table, field.kind, wire)?;
                list.as_array_mut().into_iter().for_each(|list| list.push(item.clone()));
            }
            Shape::Map => {
                let (key, item) = entry(table, field.kind, wire)?;
                object.entry(field.json).or_insert_with(|| json!({}))[key] = item;
            }
            Shape::Kept | Shape::Plain => {
                let value = value(table, field.kind, wire)?;
                let zero = value.is_null() || value == "" || value == 0 || value == false || value == 0.0;
                if field.shape == Shape::Kept || !zero {
                    object.insert(field.json.to_owned(), value);
                }
            }
        }
    }
    // A named list is a message with its items in a field of no name of its own.
    if let Some(items) = object.remove("=") {
        return Ok(items);
    }
    Ok(Value::Object(object))
}

fn entry(table: &Table, kind: &str, wire: Wire<'_>) -> Result<(String, Value), String> {
    let Wire::Bytes(bytes) = wire else { return Err("an entry of a map is no message".to_owned()) };
    let (mut key, mut item) = (String::new(), None);
    for (number, wire) in fields(bytes)? {
        match (number, wire) {
            (1, Wire::Bytes(text)) => key = utf8(text)?,
            (2, wire) => item = Some(value(table, kind, wire)?),
            _ => {}
        }
    }
    Ok((key, item.unwrap_or_else(|| if matches!(kind, "s" | "x") { json!("") } else { Value::Null })))
}

fn value(table: &Table, kind: &str, wire: Wire<'_>) -> Result<Value, String> {
    Ok(match (kind, wire) {
        ("s", Wire::Bytes(bytes)) => json!(utf8(bytes)?),
        ("x", Wire::Bytes(bytes)) => json!(BASE64.encode(bytes)),
        ("b", Wire::Number(number)) => json!(number != 0),
        // int32 and int64 are both written as 64 bits, two's complement.
        ("i", Wire::Number(number)) => json!(number.cast_signed()),
        ("d", Wire::Number(number)) => json!(f64::from_bits(number)),
        (name, Wire::Bytes(bytes)) => message(table, name, bytes)?,
        _ => return Err(format!("a value of {kind} has another wire type")),
    })
}

/// Messages that have a form of their own in JSON. Null where there is nothing in them.
fn special(name: &str, bytes: &[u8]) -> Result<Option<Value>, String> {
    let number = |wanted: u64| -> Result<i64, String> {
        let found = fields(bytes)?.into_iter().rev().find(|(n, _)| *n == wanted);
        Ok(match found {
            Some((_, Wire::Number(number))) => number.cast_signed(),
            _ => 0,
        })
    };
    let part = |wanted: u64| -> Result<&[u8], String> {
        let found = fields(bytes)?.into_iter().rev().find(|(n, _)| *n == wanted);
        Ok(match found {
            Some((_, Wire::Bytes(bytes))) => bytes,
            _ => &[],
        })
    };
    Ok(Some(match name {
        "Time" | "MicroTime" => {
            if bytes.is_empty() {
                return Ok(Some(Value::Null));
            }
            let time = jiff::Timestamp::new(number(1)?, number(2)? as i32).map_err(|e| e.to_string())?;
            let form = if name == "Time" { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S.%6fZ" };
            json!(time.strftime(form).to_string())
        }
        "Quantity" => json!(utf8(part(1)?)?),
        "IntOrString" if number(1)? == 1 => json!(utf8(part(3)?)?),
        "IntOrString" => json!(number(2)?),
        "Duration" => json!(format!("{}s", number(1)? as f64 / 1e9)),
        "FieldsV1" | "RawExtension" => serde_json::from_slice(part(1)?).unwrap_or(Value::Null),
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests;
