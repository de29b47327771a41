//! Refusals: what the API server answers instead of an object, as a Kubernetes `Status`.

use crate::sim::json::{Value, json};

/// A refusal with everything that its `Status` body says.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// HTTP status code.
    pub code: u16,
    /// `reason`, such as `NotFound`; may be empty.
    pub reason: String,
    /// `message`.
    pub message: String,
    /// `details`, if any.
    pub details: Option<Value>,
    /// `metadata`; mostly empty.
    pub metadata: Value,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// A refusal with a code, a reason and a message.
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { code, reason: reason.to_owned(), message: message.into(), details: None, metadata: json!({}) }
    }

    /// 404 for an object. `resource` is the full name, such as `deployments.apps`.
    pub fn not_found(resource: &str, name: &str) -> Self {
        let (kind, group) = resource.split_once('.').unwrap_or((resource, ""));
        let mut refusal = Self::new(404, "NotFound", format!("{resource} {name:?} not found"));
        refusal.details = Some(details(name, group, kind));
        refusal
    }

    /// 403 because an admission plugin has something against it.
    pub fn forbidden(resource: &str, name: &str, why: &str) -> Self {
        let (kind, group) = resource.split_once('.').unwrap_or((resource, ""));
        let mut refusal = Self::new(403, "Forbidden", format!("{resource} {name:?} is forbidden: {why}"));
        refusal.details = Some(details(name, group, kind));
        refusal
    }

    /// 409 because the name is taken.
    pub fn already_exists(resource: &str, name: &str) -> Self {
        let (kind, group) = resource.split_once('.').unwrap_or((resource, ""));
        let mut refusal = Self::new(409, "AlreadyExists", format!("{resource} {name:?} already exists"));
        refusal.details = Some(details(name, group, kind));
        refusal
    }

    /// 409 because a precondition does not hold.
    pub fn conflict(resource: &str, name: &str, why: &str) -> Self {
        let (kind, group) = resource.split_once('.').unwrap_or((resource, ""));
        let message = format!("Operation cannot be fulfilled on {resource} {name:?}: {why}");
        let mut refusal = Self::new(409, "Conflict", message);
        refusal.details = Some(details(name, group, kind));
        refusal
    }

    /// 409 because a deletion's precondition does not hold: told of the kind, not of the resource.
    pub fn precondition(resource: &str, kind: &str, name: &str, why: &str) -> Self {
        let group = resource.split_once('.').map_or("", |(_, group)| group);
        let title = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let message = format!("Operation cannot be fulfilled on {title} {name:?}: {why}");
        let mut refusal = Self::new(409, "Conflict", message);
        refusal.details = Some(details(name, group, kind));
        refusal
    }

    /// 422 for one field.
    pub fn invalid(group: &str, kind: &str, name: &str, field: &str, why: &str) -> Self {
        let title = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut refusal = Self::new(422, "Invalid", format!("{title} {name:?} is invalid: {field}: {why}"));
        refusal.details = Some(json!({
            "name": name, "group": group, "kind": kind,
            "causes": [{"reason": "FieldValueInvalid", "message": why, "field": field}],
        }));
        refusal
    }

    /// 403: the namespace is being deleted.
    pub fn namespace_terminating(resource: &str, name: &str, namespace: &str) -> Self {
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut refusal = Self::forbidden(resource, name, &why);
        if let Some(details) = &mut refusal.details {
            details["causes"] = json!([{
                "reason": "NamespaceTerminating", "message": format!("namespace {namespace} is being terminated"),
                "field": "metadata.namespace",
            }]);
        }
        refusal
    }

    /// Whether it is because of a namespace that is being deleted.
    pub(in crate::sim) fn is_of_terminating_namespace(&self) -> bool {
        self.details.as_ref().is_some_and(|d| d["causes"][0]["reason"] == "NamespaceTerminating")
    }

    /// 405: the definition of a kind is being deleted.
    pub fn definition_terminating(resource: &str) -> Self {
        let message = "create not allowed while custom resource definition is terminating";
        let (kind, group) = resource.split_once('.').unwrap_or((resource, ""));
        let mut refusal = Self::new(405, "MethodNotAllowed", message);
        refusal.details = Some(json!({"group": group, "kind": kind}));
        refusal
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 404 for a kind or subresource that isn't served.
    pub fn no_such_resource() -> Self {
        let mut refusal = Self::new(404, "NotFound", "the server could not find the requested resource");
        refusal.details = Some(json!({}));
        refusal
    }

    /// 404 for a path of no API group: a text, no `Status`.
    pub fn no_such_page() -> Self {
        Self::new(404, "", "404 page not found\n")
    }

    /// Whether this is told as plain text.
    pub fn is_text(&self) -> bool {
        self.code == 404 && self.reason.is_empty()
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let mut refusal = Self::new(405, "MethodNotAllowed", message);
        refusal.details = Some(json!({}));
        refusal
    }

    /// 410: the resourceVersion is too old to go on from.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 504: nothing has got that far yet.
    pub fn too_large(revision: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {revision}, current: {current}");
        let mut refusal = Self::new(504, "Timeout", message);
        let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        refusal.details = Some(json!({"causes": [cause], "retryAfterSeconds": 1}));
        refusal
    }

    /// 501: the embedded cluster doesn't model this.
    pub fn not_modelled(what: &str) -> Self {
        Self::new(501, "NotImplemented", format!("the embedded cluster does not model {what}"))
    }

    /// The `Status` object.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": self.metadata, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status
    }
}

fn details(name: &str, group: &str, kind: &str) -> Value {
    let mut details = json!({"name": name, "kind": kind});
    if !group.is_empty() {
        details["group"] = json!(group);
    }
    details
}
