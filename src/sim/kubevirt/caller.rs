//! Requests to the API server: as any client sends them, or, in one process with it, with values in place of texts.

use futures::stream::BoxStream;
use http::{HeaderValue, Method, header};
use http_body_util::BodyExt;
use kube::Client;
use kube::api::{ListParams, Request, WatchParams};
use kube::client::Body;
use kube::core::Status;

use super::world::Kind;
use crate::sim::api::handed::{Event, Events, Handed};
use crate::sim::json::Value;

/// Who asks the API server.
#[derive(Clone)]
pub(super) struct Caller {
    pub client: Client,
    /// The API server is in this process, and takes and gives values.
    pub hands_over: bool,
}

impl Caller {
    /// Sends a request, with an object or without one, and gives what is answered.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        object: Option<Value>,
    ) -> Result<Value, kube::Error> {
        let request = http::Request::builder().method(method).uri(path).body(Vec::new());
        self.ask(request.map_err(kube::Error::HttpError)?, object).await
    }

    /// One object.
    pub(super) async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value, kube::Error> {
        self.send(Method::GET, &kind.path(namespace, name), None).await
    }

    /// A page of a kind's objects, with the list's metadata.
    pub(super) async fn list(
        &self,
        kind: Kind,
        namespace: &str,
        params: &ListParams,
    ) -> Result<Value, kube::Error> {
        let request = Request::new(kind.path(namespace, "")).list(params);
        self.ask(request.map_err(kube::Error::BuildRequest)?, None).await
    }

    async fn ask(
        &self,
        mut request: http::Request<Vec<u8>>,
        object: Option<Value>,
    ) -> Result<Value, kube::Error> {
        if self.hands_over {
            let mut answer = self.hand_over(request, object.unwrap_or_default()).await?;
            if let Some(Handed(value)) = answer.extensions_mut().remove() {
                return Ok(value);
            }
            let text = answer.into_body().collect().await?.to_bytes();
            return serde_json::from_slice(&text).map_err(kube::Error::SerdeError);
        }
        if let Some(object) = object {
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = serde_json::to_vec(&object).map_err(kube::Error::SerdeError)?;
        }
        self.client.request(request).await
    }

    /// The events of a kind after a revision, of a server that hands them over.
    pub(super) async fn events(
        &self,
        kind: Kind,
        params: &WatchParams,
        version: &str,
    ) -> Result<BoxStream<'static, Event>, kube::Error> {
        let request = Request::new(kind.path("", "")).watch(params, version);
        let request = request.map_err(kube::Error::BuildRequest)?;
        let answer = self.hand_over(request, Value::Null).await?;
        let events = answer.extensions().get().and_then(Events::take);
        events.ok_or_else(|| kube::Error::ReadEvents(std::io::Error::other("no events were handed over")))
    }

    async fn hand_over(
        &self,
        mut request: http::Request<Vec<u8>>,
        object: Value,
    ) -> Result<http::Response<Body>, kube::Error> {
        request.extensions_mut().insert(Handed(object));
        let answer = self.client.send(request.map(Body::from)).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let text = answer.into_body().collect().await?.to_bytes();
        let status: Status = serde_json::from_slice(&text).map_err(kube::Error::SerdeError)?;
        Err(kube::Error::Api(status.boxed()))
    }
}
