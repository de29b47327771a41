//! Paths of the API: which kind, namespace, name and subresource a request is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sim::json::{Value, json};
use crate::sim::store::{Refusal, Resource, ScalePaths, Store, full_name};

/// Subresources other than `status` and `scale`, modelled or not.
const SUBRESOURCES: [(&str, &[&str]); 5] = [
    ("namespaces", &["finalize"]),
    ("nodes", &["proxy"]),
    (
        "pods",
        &[
            "attach",
            "binding",
            "ephemeralcontainers",
            "eviction",
            "exec",
            "log",
            "portforward",
            "proxy",
            "resize",
        ],
    ),
    ("serviceaccounts", &["token"]),
    ("services", &["proxy"]),
];

/// Kinds that a real API server has and this one doesn't.
const UNMODELLED: [&str; 31] = [
    "apiservices.apiregistration.k8s.io",
    "bindings",
    "certificatesigningrequests.certificates.k8s.io",
    "clustertrustbundles.certificates.k8s.io",
    "componentstatuses",
    "csistoragecapacities.storage.k8s.io",
    "deviceclasses.resource.k8s.io",
    "flowschemas.flowcontrol.apiserver.k8s.io",
    "horizontalpodautoscalers.autoscaling",
    "ingressclasses.networking.k8s.io",
    "ipaddresses.networking.k8s.io",
    "leasecandidates.coordination.k8s.io",
    "localsubjectaccessreviews.authorization.k8s.io",
    "mutatingadmissionpolicies.admissionregistration.k8s.io",
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "podcertificaterequests.certificates.k8s.io",
    "podtemplates",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
    "resourceclaims.resource.k8s.io",
    "resourceclaimtemplates.resource.k8s.io",
    "resourceslices.resource.k8s.io",
    "runtimeclasses.node.k8s.io",
    "servicecidrs.networking.k8s.io",
    "storageversionmigrations.storagemigration.k8s.io",
    "storageversions.internal.apiserver.k8s.io",
    "subjectaccessreviews.authorization.k8s.io",
    "tokenreviews.authentication.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "volumeattributesclasses.storage.k8s.io",
];

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
        let missing = Refusal::no_such_resource;
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
            // A path on the other side.
            [plural, name, "proxy", ..] => (*plural, Some(*name), Some("proxy")),
            _ => return Err(missing()),
        };
        let full = full_name(plural, group);
        let resource = store.resource(&full);
        if resource.is_none() && UNMODELLED.contains(&full.as_str()) {
            return Err(Refusal::not_modelled(&full));
        }
        if resource.is_none() && !store.resources().any(|r| r.group == group) {
            return Err(Refusal::no_such_page());
        }
        let resource = resource.filter(|r| r.served.iter().any(|v| v == version));
        Ok(Self {
            resource: resource.cloned().ok_or_else(missing)?,
            version: version.to_owned(),
            namespace: namespace.to_owned(),
            name: name.map(str::to_owned),
            subresource: subresource.map(str::to_owned),
        })
    }

    /// Whether the kind has the subresource that is asked for in a real cluster.
    pub fn has_subresource(&self) -> bool {
        let Some(asked) = self.subresource.as_deref() else { return true };
        match asked {
            "status" => self.resource.has_status,
            "scale" => self.resource.has_scale,
            _ => SUBRESOURCES.iter().any(|(kind, all)| *kind == self.resource.name && all.contains(&asked)),
        }
    }

    /// 404 for a subresource that the kind doesn't have.
    pub(super) fn no_subresource(&self) -> Refusal {
        if self.resource.is_custom {
            return Refusal::not_found(&self.resource.name, self.name.as_deref().unwrap_or_default());
        }
        Refusal::no_such_resource()
    }

    /// Where a custom kind's `/scale` finds its numbers.
    pub(super) fn scale_paths(&self) -> Option<&ScalePaths> {
        self.resource.versions.get(&self.version)?.scale.as_ref()
    }

    /// Puts an object, or a list with its items, into the version that is asked for. Other answers stay as they are.
    pub fn in_version(&self, mut value: Value) -> Value {
        if !self.resource.is_custom {
            return value;
        }
        let version = json!(self.resource.api_version_of(&self.version));
        let list = format!("{}List", self.resource.kind);
        // Indexing would put in what is asked for, and clients take an object with items for a list.
        for item in value.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
            item["apiVersion"] = version.clone();
        }
        if value["kind"] == self.resource.kind.as_str() || value["kind"] == list.as_str() {
            value["apiVersion"] = version;
        }
        value
    }
}

/// Path and query of a request. The old way to watch, `/watch/` in the path, is brought into the usual one.
pub fn place(path: &str, text: &str) -> (String, BTreeMap<String, String>) {
    let (path, mut query) = (decode(path, false), query(text));
    if !path.contains("/watch") {
        return (path, query);
    }
    let depth = if path.starts_with("/apis/") { 4 } else { 3 };
    let mut parts: Vec<&str> = path.split('/').collect();
    if parts.get(depth) != Some(&"watch") {
        return (path, query);
    }
    parts.remove(depth);
    query.insert("watch".to_owned(), "1".to_owned());
    // One object: KIND/NAME, or namespaces/NAMESPACE/KIND/NAME.
    if matches!(parts.len() - depth, 2 | 4)
        && let Some(name) = parts.pop()
    {
        query.insert("fieldSelector".to_owned(), format!("metadata.name={name}"));
    }
    (parts.join("/"), query)
}

/// The parameters of a query, decoded.
fn query(text: &str) -> BTreeMap<String, String> {
    text.split('&')
        .filter(|p| !p.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        })
        .collect()
}

/// What is percent-encoded; in a query a plus sign is a space.
fn decode(text: &str, in_query: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' if in_query => bytes.push(b' '),
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
