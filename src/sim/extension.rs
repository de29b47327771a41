//! Where another part of the embedded cluster joins the API server: eviction webhooks and aggregated APIs.

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::Value;

/// A validating webhook on `pods/eviction`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvictionWebhook {
    /// Name, which the API server puts into the refusal.
    pub name: String,
    /// Only pods whose name starts so are asked for (the CEL filter of the configuration); empty: all.
    pub name_prefix: String,
    /// `failurePolicy: Fail`: an eviction is refused when the webhook is down.
    pub fail_closed: bool,
}

/// A part that is asked by the API server.
pub trait Extension: Send + Sync {
    /// Its webhooks.
    fn eviction_webhooks(&self) -> Vec<EvictionWebhook>;

    /// Answers an AdmissionReview (`admission.k8s.io/v1`) with one.
    ///
    /// # Errors
    /// Words, if the webhook can't be reached.
    fn admit_eviction(&self, review: Value) -> BoxFuture<'static, Result<Value, String>>;

    /// Serves a request below its aggregated API; `None` if the path isn't its own.
    fn serve(&self, request: http::Request<Bytes>) -> Option<BoxFuture<'static, http::Response<Bytes>>>;
}
