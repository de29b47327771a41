//! The model as others hold it: run it, ask its webhooks, call its subresources.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Client;

use super::caller::Caller;
use super::settings::{Settings, Version};
use super::signs::Signs;
use super::world::World;
use super::{review, run, subresource};
use crate::sim::clock::Clock;
use crate::sim::extension::{Extension, Webhook};
use crate::sim::json::Value;

/// KubeVirt on a cluster. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Model {
    caller: Caller,
    clock: Clock,
    settings: Settings,
    signs: Arc<Signs>,
}

impl Model {
    /// A model over a client. Nothing runs before [`Model::run`].
    pub fn new(client: Client, clock: Clock, settings: Settings) -> Self {
        let signs = Arc::new(Signs::new(settings.version.unwrap_or(Version::minor(9))));
        Self { caller: Caller { client, hands_over: false }, clock, settings, signs }
    }

    /// The client is the embedded cluster's.
    pub(in crate::sim) fn in_process(mut self) -> Self {
        self.caller.hands_over = true;
        self
    }

    /// The release that the cluster is known to have, before the model has seen its KubeVirt object.
    pub fn observe(&self, version: Version) {
        self.signs.observe(version);
    }

    /// Runs the controllers and guests until dropped.
    pub async fn run(&self) {
        let world = World::new(self.caller.clone(), self.clock, self.settings.clone());
        run::run(world, self.signs.clone()).await;
    }

    /// Takes virt-api down, or up again: webhooks and subresources fail, and nothing of KubeVirt moves.
    pub fn set_available(&self, available: bool) {
        self.signs.set_available(available);
    }

    /// Whether virt-api serves: nothing answers while it doesn't.
    pub fn is_available(&self) -> bool {
        self.signs.is_available()
    }

    /// Answers an AdmissionReview (`admission.k8s.io/v1`) with one.
    pub async fn review(&self, review: Value) -> Value {
        review::review(&self.caller, self.settings.version, review).await
    }

    /// Serves a request below `/apis/subresources.kubevirt.io`; 503 while virt-api is down.
    pub async fn serve(&self, request: http::Request<Bytes>) -> http::Response<Bytes> {
        if !self.is_available() {
            return subresource::unavailable();
        }
        subresource::serve(self.caller.clone(), self.settings.version, request).await
    }
}

impl Extension for Model {
    fn webhooks(&self, resource: &str) -> Vec<Webhook> {
        review::webhooks(self.settings.version.unwrap_or(self.signs.version()), resource)
    }

    fn admit(&self, review: Value) -> BoxFuture<'static, Result<Value, String>> {
        let model = self.clone();
        async move {
            if !model.is_available() {
                return Err("Post \"https://virt-api.kubevirt.svc:443\": connection refused".to_owned());
            }
            Ok(model.review(review).await)
        }
        .boxed()
    }

    fn serve(
        &self,
        parts: &http::request::Parts,
        body: &Bytes,
    ) -> Option<BoxFuture<'static, http::Response<Bytes>>> {
        if !subresource::is_ours(parts.uri.path()) {
            return None;
        }
        let (model, request) = (self.clone(), http::Request::from_parts(parts.clone(), body.clone()));
        Some(async move { Model::serve(&model, request).await }.boxed())
    }
}
