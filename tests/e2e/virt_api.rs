//! KubeVirt's model on the real control plane: an ordinary client, a webhook, and an aggregated API on loopback.

use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use virtroll::sim::json::Value;
use virtroll::sim::kubevirt::{Model, Settings, Version, crds, default_installation, webhook_configuration};

use crate::control_plane::ControlPlane;

/// Real seconds for each of the model's: where nobody waits for a guest to boot.
pub const BRISK: f64 = 0.2;

/// Installs KubeVirt's kinds, webhook and subresource API, and runs its model at a pace until the runtime ends. The release is the
/// KubeVirt object's to say.
pub async fn install(plane: &ControlPlane, client: kube::Client, pace: f64) {
    for object in crds() {
        plane.create(&object.to_string());
    }
    plane.wait("KubeVirt's kinds", |p| p.kubectl(&["get", "kubevirts,vm,vmi,vmim,vmirs"]).status.success());
    plane.create("apiVersion: v1\nkind: Namespace\nmetadata: {name: kubevirt}\n");
    let installation = default_installation();
    plane.create(&installation.to_string());
    let status = serde_json::json!({"status": installation["status"]}).to_string();
    let patched =
        ["patch", "kubevirt", "kubevirt", "-n", "kubevirt", "--subresource=status", "--type=merge", "-p"];
    let done = plane.kubectl(&[&patched[..], &[status.as_str()]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let settings = Settings::default().scaled(pace);
    let clock = virtroll::sim::Clock::starting_at(jiff::Timestamp::now());
    let model = Model::new(client, clock, settings);
    let (port, certificate) = listen(model.clone()).await;
    plane.create(
        &webhook_configuration(
            &format!("https://127.0.0.1:{port}"),
            &BASE64_STANDARD.encode(certificate),
            Version::minor(9),
        )
        .to_string(),
    );
    plane.create(&format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: virt-api, namespace: kubevirt}}\nspec: {{type: ExternalName, externalName: localhost}}\n---\n\
         apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {{name: v1.subresources.kubevirt.io}}\nspec:\n  group: subresources.kubevirt.io\n  \
         version: v1\n  groupPriorityMinimum: 1000\n  versionPriority: 15\n  insecureSkipTLSVerify: true\n  \
         service: {{name: virt-api, namespace: kubevirt, port: {port}}}\n"
    ));
    tokio::spawn(async move { model.run().await });
    let path = "/apis/subresources.kubevirt.io/v1";
    for _ in 0..240 {
        if plane.kubectl(&["get", "--raw", path]).status.success() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    panic!("the subresource API isn't served: {}", plane.get(&["apiservice", "v1.subresources.kubevirt.io"]));
}

/// Serves on a free port; gives it and the certificate.
async fn listen(model: Model) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
        .expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocols")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, model) = (acceptor.clone(), model.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let answer = service_fn(move |request| answer(model.clone(), request));
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
            });
        }
    });
    (port, made.cert.pem())
}

async fn answer(
    model: Model,
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if parts.uri.path().starts_with("/apis/") {
        return Ok(model.serve(http::Request::from_parts(parts, body)).await.map(Full::new));
    }
    if !model.is_available() {
        // Nobody is there: the connection breaks.
        return Err(std::io::ErrorKind::ConnectionReset.into());
    }
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = model.review(review).await;
    let mut response = http::Response::new(Full::new(Bytes::from(answer.to_string())));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}
