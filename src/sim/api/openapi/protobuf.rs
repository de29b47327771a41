//! The old document in protobuf, the only form in which kubectl reads it: gnostic's `openapi.v2.Document`.

use crate::sim::json::{Map, Value};

/// The media types under which it is asked for. Clients say the first, the API server answers with the second.
pub(super) const ASKED: [&str; 2] = ["application/com.github.proto-openapi.spec.v2@v1.0+protobuf", MEDIA];
/// The media type of the answer.
pub(in crate::sim::api) const MEDIA: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A message that is being written. What is empty isn't.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number > 0x7f {
            // The lowest seven bits, and that more will come.
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }

    fn text(&mut self, field: u64, value: &Value) {
        if let Some(text) = value.as_str().filter(|t| !t.is_empty()) {
            self.bytes(field, text.as_bytes());
        }
    }

    fn texts(&mut self, field: u64, values: &Value) {
        for value in values.as_array().into_iter().flatten() {
            self.text(field, value);
        }
    }

    fn flag(&mut self, field: u64, value: &Value) {
        if *value == true {
            self.varint(field << 3);
            self.varint(1);
        }
    }

    /// Any value, which stands there as YAML; JSON is that.
    fn any(&mut self, field: u64, value: &Value) {
        if !value.is_null() {
            let mut any = Self::default();
            any.bytes(2, value.to_string().as_bytes());
            self.message(field, &any);
        }
    }

    /// An entry of a map: its name, its value.
    fn named(&mut self, field: u64, name: &str, value: &Self) {
        let mut named = Self::default();
        named.bytes(1, name.as_bytes());
        named.message(2, value);
        self.message(field, &named);
    }

    fn extensions(&mut self, field: u64, of: &Value) {
        for (name, value) in entries(of).filter(|(name, _)| name.starts_with("x-")) {
            let mut named = Self::default();
            named.bytes(1, name.as_bytes());
            named.any(2, value);
            self.message(field, &named);
        }
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter).map(|(name, value)| (name.as_ref(), value))
}

/// Writes a document.
pub(super) fn document(json: &Value) -> Vec<u8> {
    let mut info = Message::default();
    info.text(1, &json["info"]["title"]);
    info.text(2, &json["info"]["version"]);
    let mut paths = Message::default();
    for (path, item) in entries(&json["paths"]) {
        paths.named(2, path, &path_item(item));
    }
    let mut definitions = Message::default();
    for (name, definition) in entries(&json["definitions"]) {
        definitions.named(1, name, &schema(definition));
    }
    let mut document = Message::default();
    document.text(1, &json["swagger"]);
    document.message(2, &info);
    document.message(8, &paths);
    document.message(9, &definitions);
    document.0
}

fn path_item(item: &Value) -> Message {
    let mut message = Message::default();
    for (field, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if item[method].is_object() {
            message.message(field, &operation(&item[method]));
        }
    }
    parameters(&mut message, 9, &item["parameters"]);
    message
}

fn operation(operation: &Value) -> Message {
    let mut message = Message::default();
    message.texts(7, &operation["consumes"]);
    parameters(&mut message, 8, &operation["parameters"]);
    let mut responses = Message::default();
    for (code, response) in entries(&operation["responses"]) {
        let mut of_schema = Message::default();
        of_schema.message(1, &schema(&response["schema"]));
        let mut told = Message::default();
        told.text(1, &response["description"]);
        told.message(2, &of_schema);
        let mut value = Message::default();
        value.message(1, &told);
        responses.named(1, code, &value);
    }
    if !responses.0.is_empty() {
        message.message(9, &responses);
    }
    message.extensions(13, operation);
    message
}

/// Parameters: in the body, the path, or the query.
fn parameters(message: &mut Message, field: u64, all: &Value) {
    for given in all.as_array().into_iter().flatten() {
        let mut own = Message::default();
        let mut parameter = Message::default();
        match given["in"].as_str() {
            Some("body") => {
                own.text(2, &given["name"]);
                own.text(3, &given["in"]);
                own.flag(4, &given["required"]);
                own.message(5, &schema(&given["schema"]));
                parameter.message(1, &own);
            }
            place => {
                // In the path nothing may be empty: that flag is the query's alone, and shifts what follows.
                let (kind, of_type, unique) = if place == Some("path") { (4, 5, 18) } else { (3, 6, 20) };
                own.flag(1, &given["required"]);
                own.text(2, &given["in"]);
                own.text(4, &given["name"]);
                own.text(of_type, &given["type"]);
                own.flag(unique, &given["uniqueItems"]);
                let mut other = Message::default();
                other.message(kind, &own);
                parameter.message(2, &other);
            }
        }
        let mut item = Message::default();
        item.message(1, &parameter);
        message.message(field, &item);
    }
}

fn schema(schema: &Value) -> Message {
    let mut message = Message::default();
    message.text(4, &schema["description"]);
    message.any(5, &schema["default"]);
    message.extensions(31, schema);
    if let Some(reference) = reference(schema) {
        message.text(1, reference);
        return message;
    }
    if is_open(schema) {
        return message;
    }
    message.text(2, &schema["format"]);
    message.text(13, &schema["pattern"]);
    message.texts(19, &schema["required"]);
    for value in schema["enum"].as_array().into_iter().flatten() {
        message.any(20, value);
    }
    within(&mut message, schema);
    message
}

/// The type, and what is inside of it.
fn within(message: &mut Message, of: &Value) {
    let mut more = Message::default();
    match &of["additionalProperties"] {
        Value::Bool(_) => more.flag(2, &of["additionalProperties"]),
        Value::Object(_) => more.message(1, &schema(&of["additionalProperties"])),
        _ => {}
    }
    if !more.0.is_empty() {
        message.message(21, &more);
    }
    let mut kind = Message::default();
    kind.text(1, &of["type"]);
    if !kind.0.is_empty() {
        message.message(22, &kind);
    }
    if of["items"].is_object() {
        let mut items = Message::default();
        items.message(1, &schema(&of["items"]));
        message.message(23, &items);
    }
    let mut properties = Message::default();
    for (name, property) in entries(&of["properties"]) {
        properties.named(1, name, &schema(property));
    }
    if !properties.0.is_empty() {
        message.message(25, &properties);
    }
}

/// The schema that one stands for; version 3 puts it into `allOf` where there is anything beside it.
fn reference(schema: &Value) -> Option<&Value> {
    let wrapped = schema["allOf"].as_array().filter(|all| all.len() == 1).map(|all| &all[0]["$ref"]);
    [Some(&schema["$ref"]), wrapped].into_iter().flatten().find(|r| r.is_string())
}

/// What version 2 has no words for takes anything: more than one type, null, fields beside those that it names, lists of
/// whatever there is.
fn is_open(schema: &Value) -> bool {
    schema["type"].is_array()
        || schema["type"] == "array" && !schema["items"].is_object()
        || ["nullable", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"]
            .iter()
            .any(|flag| schema[*flag] == true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::json::json;

    #[test]
    fn a_small_document_has_these_bytes() {
        let written = document(&json!({
            "swagger": "2.0", "info": {"title": "K", "version": "1"},
            "paths": {"/p": {"patch": {"x-k": 1, "parameters": [{"name": "f", "in": "query", "type": "string"}]}}},
            "definitions": {"D": {"type": "object", "properties": {"a": {"allOf": [{"$ref": "#/d"}]}}}},
        }));
        let expected = [
            &b"\x0a\x032.0\x12\x06\x0a\x01K\x12\x011"[..],
            b"\x42\x30\x12\x2e\x0a\x02/p\x12\x28\x42\x26",
            b"\x42\x18\x0a\x16\x12\x14\x1a\x12\x12\x05query\x22\x01f\x32\x06string",
            b"\x6a\x0a\x0a\x03x-k\x12\x03\x12\x011",
            b"\x4a\x21\x0a\x1f\x0a\x01D\x12\x1a\xb2\x01\x08\x0a\x06object",
            b"\xca\x01\x0c\x0a\x0a\x0a\x01a\x12\x05\x0a\x03#/d",
        ];
        assert_eq!(written, expected.concat());
    }

    #[test]
    fn what_version_2_has_no_words_for_takes_anything() {
        let open = [
            json!({"type": "array"}),
            json!({"type": ["string", "null"]}),
            json!({"type": "object", "nullable": true, "properties": {"a": {"type": "string"}}}),
            json!({"type": "object", "properties": {}}),
        ];
        let written: Vec<Vec<u8>> = open.iter().map(|s| schema(s).0).collect();
        assert_eq!(written, [&b""[..], b"", b"", b"\xb2\x01\x08\x0a\x06object"]);
        let long = json!({"description": "d".repeat(200)});
        assert_eq!(schema(&long).0[..3], *b"\x22\xc8\x01", "a length above 127 takes two bytes");
    }
}
