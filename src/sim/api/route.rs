//! Paths of the API: which kind, namespace, name and subresource a request is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::sim::store::{Refusal, Resource, Store, full_name};

/// What a request is about.
#[derive(Debug, Clone)]
pub struct Route {
    /// The kind.
    pub resource: Arc<Resource>,
    /// The version that is asked for.
    pub version: String,
    /// The namespace; empty for cluster-scoped kinds, and for lists over all namespaces.
    pub namespace: String,
    /// The object's name; `None` for a collection.
    pub name: Option<String>,
    /// `status`, `scale`, `eviction`, `binding`, …
    pub subresource: Option<String>,
}

impl Route {
    /// Reads a path below `/api/v1` or `/apis/GROUP/VERSION`.
    ///
    /// # Errors
    /// 404 for a path or kind that isn't served.
    pub fn parse(store: &Store, path: &str) -> Result<Self, Refusal> {
        let missing = || Refusal::new(404, "NotFound", "the server could not find the requested resource");
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", "v1", rest @ ..] => ("", "v1", rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(missing()),
        };
        let (namespace, rest) = match rest {
            // The namespace itself, and its status, are cluster-scoped objects.
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] if group.is_empty() => ("", rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, None, None),
            [plural, name] => (*plural, Some(*name), None),
            [plural, name, subresource] => (*plural, Some(*name), Some(*subresource)),
            _ => return Err(missing()),
        };
        let resource =
            store.resource(&full_name(plural, group)).filter(|r| r.served.iter().any(|v| v == version));
        Ok(Self {
            resource: resource.cloned().ok_or_else(missing)?,
            version: version.to_owned(),
            namespace: namespace.to_owned(),
            name: name.map(str::to_owned),
            subresource: subresource.map(str::to_owned),
        })
    }

    /// Puts an object, or a list with its items, into the version that is asked for. Other answers stay as they are.
    pub fn in_version(&self, mut value: Value) -> Value {
        if !self.resource.is_custom {
            return value;
        }
        let version = json!(self.resource.api_version_of(&self.version));
        let list = format!("{}List", self.resource.kind);
        for item in value.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
            item["apiVersion"] = version.clone();
        }
        if value["kind"] == self.resource.kind.as_str() || value["kind"] == list.as_str() {
            value["apiVersion"] = version;
        }
        value
    }
}

/// The parameters of a query, decoded.
pub fn query(text: &str) -> BTreeMap<String, String> {
    text.split('&')
        .filter(|p| !p.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = std::str::from_utf8(&digits).ok().and_then(|d| u8::from_str_radix(d, 16).ok());
                bytes.push(hex.unwrap_or(b'%'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
