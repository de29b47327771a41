//! Paths of the API: which kind, namespace, name and subresource a request is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sim::store::{Refusal, Resource, Store, full_name};

/// What a request is about.
#[derive(Debug, Clone)]
pub struct Route {
    /// The kind.
    pub resource: Arc<Resource>,
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
        let (group, rest) = match parts.as_slice() {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return Err(missing()),
        };
        let kind = |plural: &str| store.resource(&full_name(plural, group)).cloned().ok_or_else(missing);
        let (namespace, rest) = match rest {
            // The namespace itself, and its status, are cluster-scoped objects.
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] if group.is_empty() => ("", rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        match rest {
            [plural] => Ok(Self {
                resource: kind(plural)?,
                namespace: namespace.into(),
                name: None,
                subresource: None,
            }),
            [plural, name] => {
                let name = Some((*name).to_owned());
                Ok(Self { resource: kind(plural)?, namespace: namespace.into(), name, subresource: None })
            }
            [plural, name, subresource] => Ok(Self {
                resource: kind(plural)?,
                namespace: namespace.into(),
                name: Some((*name).to_owned()),
                subresource: Some((*subresource).to_owned()),
            }),
            _ => Err(missing()),
        }
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
