//! `http`: one request.

use super::Context;
use crate::plan::v1alpha1::HttpHook;

/// Sends the request. Headers are never logged: they may hold secrets.
pub(super) async fn run(context: &Context, hook: &HttpHook) -> Result<(), String> {
    let method = hook.method.as_deref().unwrap_or("POST");
    let method: reqwest::Method = method.parse().map_err(|_| format!("{method:?} is no HTTP method"))?;
    let url = context.expand(&hook.url);
    // The connection to the cluster has installed it before; on an embedded one nobody has.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut request = reqwest::Client::new().request(method, &url).timeout(context.hook.timeout.0);
    for (name, value) in &hook.headers {
        request = request.header(name, context.expand(value));
    }
    if let Some(body) = &hook.body {
        request = request.body(context.expand(body));
    }
    // Without the URL: it may carry credentials.
    let response = request.send().await.map_err(|e| e.without_url().to_string())?;
    let status = response.status();
    let expected = if hook.expect_status.is_empty() {
        status.is_success()
    } else {
        hook.expect_status.contains(&status.as_u16())
    };
    if expected { Ok(()) } else { Err(format!("answer {status}")) }
}
