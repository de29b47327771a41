//! One connection: requests from the wire to the API server, and answers back.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use kube::client::Body;
use tokio::net::TcpStream;
use tower::Service;

use crate::sim::api::{ApiServer, ResponseBody, size};
use crate::sim::store::Refusal;

/// Serves a connection in a task of its own.
pub(super) fn open(stream: TcpStream, server: ApiServer, graceful: &GracefulShutdown) {
    // Small writes are watch events: they must not wait for more.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request| answer(server.clone(), request));
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection broke");
        }
    });
}

async fn answer(
    mut server: ApiServer,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    if !is_local(&request) {
        let message =
            "the request names a host that is not this machine; connect to 127.0.0.1, [::1] or localhost";
        return Ok(refuse(&Refusal::new(403, "Forbidden", message)));
    }
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, size::MOST_OF_A_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return Ok(refuse(&size::body_too_large()));
        }
        Err(_) => return Ok(refuse(&Refusal::bad_request("the request's body broke off"))),
    };
    server.call(Request::from_parts(parts, Body::from(body))).await
}

/// Whether a request was made to a name of this machine. A browser sends the name that its page was loaded from.
fn is_local(request: &Request<Incoming>) -> bool {
    let named = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = named.or_else(|| request.uri().authority().map(|a| a.as_str())) else { return true };
    names_this_machine(host)
}

fn names_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn refuse(refusal: &Refusal) -> Response<ResponseBody> {
    let bytes = Bytes::from(refusal.status().to_string());
    let mut response = Response::new(Full::new(bytes).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::names_this_machine;

    #[test]
    fn a_page_from_elsewhere_is_told_by_its_host() {
        for host in ["127.0.0.1:8001", "localhost:8001", "LocalHost", "[::1]:8001", "127.0.0.1"] {
            assert!(names_this_machine(host), "{host}");
        }
        for host in ["example.org:8001", "127.0.0.1.example.org", "10.0.0.1:8001", ""] {
            assert!(!names_this_machine(host), "{host}");
        }
    }
}
