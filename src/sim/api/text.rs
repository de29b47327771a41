//! Values as JSON texts: to the byte what `serde_json` writes, at less than its cost, as most of what the server does for clients
//! is to write.

use std::io::Write;

use crate::sim::json::Value;

/// Appends a value to a text.
pub(super) fn write(value: &Value, to: &mut Vec<u8>) {
    match value {
        Value::Null => to.extend_from_slice(b"null"),
        Value::Bool(true) => to.extend_from_slice(b"true"),
        Value::Bool(false) => to.extend_from_slice(b"false"),
        // Writing to memory doesn't fail.
        Value::Number(number) => drop(write!(to, "{number}")),
        Value::String(text) => quote(text, to),
        Value::Array(items) => {
            to.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    to.push(b',');
                }
                write(item, to);
            }
            to.push(b']');
        }
        Value::Object(fields) => {
            to.push(b'{');
            for (index, (name, value)) in fields.iter().enumerate() {
                if index > 0 {
                    to.push(b',');
                }
                quote(name, to);
                to.push(b':');
                write(value, to);
            }
            to.push(b'}');
        }
    }
}

fn quote(text: &str, to: &mut Vec<u8>) {
    if text.bytes().all(|b| b >= 0x20 && !matches!(b, b'"' | b'\\')) {
        to.reserve(text.len() + 2);
        to.push(b'"');
        to.extend_from_slice(text.as_bytes());
        to.push(b'"');
    } else {
        drop(serde_json::to_writer(to, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::json::json;

    #[test]
    fn texts_are_written_as_json() {
        let value = json!({
            "a": [], "b": {}, "c": [1, -2, 1.5, 18_446_744_073_709_551_615_u64], "d": null, "e": [true, false],
            "q\"": "a\"b\\c\n\u{1}\u{7f}", "t": "\t", "é": "日本 \u{2028}",
        });
        let mut text = Vec::new();
        write(&value, &mut text);
        let expected = "{\"a\":[],\"b\":{},\"c\":[1,-2,1.5,18446744073709551615],\"d\":null,\"e\":[true,false],\
                        \"q\\\"\":\"a\\\"b\\\\c\\n\\u0001\u{7f}\",\"t\":\"\\t\",\"é\":\"日本 \u{2028}\"}";
        assert_eq!(String::from_utf8_lossy(&text), expected);
        assert_eq!(text, serde_json::to_vec(&value).expect("JSON"));
    }
}
