//! An API server that refuses, or behind a line that breaks off: what becomes of a request, each test decides.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use kube::Client;
use kube::client::Body;
use virtroll::sim::api::{ApiServer, ResponseBody};

/// What becomes of a request.
#[derive(Clone, Copy)]
pub enum Fate {
    /// It is answered.
    Answered,
    /// It is refused with this code and message.
    Refused(u16, &'static str),
    /// The connection breaks off before it is carried out.
    Lost,
    /// The connection breaks off after it was carried out.
    AnswerLost,
}

/// Decides what becomes of each request.
pub trait Decides: Fn(&Request<Body>) -> Fate + Send + Sync + 'static {}

impl<F: Fn(&Request<Body>) -> Fate + Send + Sync + 'static> Decides for F {}

#[derive(Clone)]
struct Troubled {
    server: ApiServer,
    fate: Arc<dyn Decides>,
}

/// A client whose requests meet their fate on the way.
pub fn client(server: ApiServer, fate: impl Decides) -> Client {
    Client::new(Troubled { server, fate: Arc::new(fate) }, "default")
}

impl tower::Service<Request<Body>> for Troubled {
    type Response = Response<ResponseBody>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let fate = (self.fate)(&request);
        let mut server = self.server.clone();
        Box::pin(async move {
            match fate {
                Fate::Lost => return Err(reset()),
                Fate::Refused(code, message) => return Ok(refused(code, message)),
                Fate::Answered | Fate::AnswerLost => {}
            }
            let answer = server.call(request).await.unwrap_or_else(|never| match never {});
            if matches!(fate, Fate::AnswerLost) { Err(reset()) } else { Ok(answer) }
        })
    }
}

fn reset() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, "connection reset by peer")
}

fn refused(code: u16, message: &str) -> Response<ResponseBody> {
    let status = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message});
    let body = Full::new(status.to_string().into()).map_err(|never| match never {}).boxed_unsync();
    let response = Response::builder().status(code).header("content-type", "application/json");
    response.body(body).expect("a response")
}
