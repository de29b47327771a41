//! Where another part of the embedded cluster joins the API server: validating webhooks and aggregated APIs.

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::sim::json::Value;

/// A validating webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Name, which the API server puts into the refusal.
    pub name: String,
    /// What it is asked about: `pods/eviction`, or a kind as the store names it.
    pub resource: String,
    /// `CREATE`, `UPDATE`.
    pub operations: Vec<&'static str>,
    /// Only objects whose name starts so are asked for (the CEL filter of the configuration); empty: all.
    pub name_prefix: String,
    /// `failurePolicy: Fail`: the request is refused when the webhook is down.
    pub fail_closed: bool,
}

impl Webhook {
    /// Whether this is asked about a request.
    pub(in crate::sim) fn concerns(&self, resource: &str, operation: &str, name: &str) -> bool {
        self.resource == resource
            && self.operations.contains(&operation)
            && name.starts_with(&self.name_prefix)
    }
}

/// A part that is asked by the API server.
pub trait Extension: Send + Sync {
    /// Its webhooks that are asked about a resource, as [`Webhook::resource`] names it.
    fn webhooks(&self, resource: &str) -> Vec<Webhook>;

    /// Answers an AdmissionReview (`admission.k8s.io/v1`) with one.
    ///
    /// # Errors
    /// Words, if the webhook can't be reached.
    fn admit(&self, review: Value) -> BoxFuture<'static, Result<Value, String>>;

    /// Serves a request below its aggregated API; `None` if the path isn't its own.
    fn serve(
        &self,
        parts: &http::request::Parts,
        body: &Bytes,
    ) -> Option<BoxFuture<'static, http::Response<Bytes>>>;
}
