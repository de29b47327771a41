//! One of the two API servers: a request in, an answer out, nothing interpreted.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

/// How long a watch is listened to after the events that it should have, for those that it should not.
const QUIET: Duration = Duration::from_millis(250);
/// How long the events may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: String,
    pub path: String,
    pub content_type: String,
    pub body: String,
    /// A watch: how many events it should have.
    pub events: Option<usize>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Answer {
    pub code: u16,
    /// The body as JSON, a text if it isn't that, an array for a watch.
    pub body: Value,
    pub warnings: Vec<String>,
    /// The header that tells when to try again.
    pub retry_after: Option<String>,
}

/// An API server.
pub struct Arm {
    client: kube::Client,
}

impl Arm {
    pub fn new(client: kube::Client) -> Self {
        Self { client }
    }

    /// Asks again and again until the answer has this code. The real server looks every 15 seconds for what it is to forget.
    pub async fn ask_until(&self, ask: &Ask, code: Option<u16>) -> Answer {
        for _ in 0..500 {
            let answer = self.ask(ask).await;
            if code.is_none_or(|code| answer.code == code) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.ask(ask).await
    }

    pub async fn ask(&self, ask: &Ask) -> Answer {
        let mut request = Request::builder().method(ask.method.as_str()).uri(&ask.path);
        if !ask.content_type.is_empty() {
            request = request.header("Content-Type", &ask.content_type);
        }
        let request = request.header("Accept", "application/json").header("User-Agent", "differential/1");
        let request = request.body(Body::from(ask.body.clone().into_bytes())).expect("a request");
        let response = self.client.send(request).await.unwrap_or_else(|e| panic!("{ask:?}: {e}"));
        let code = response.status().as_u16();
        let warnings = response.headers().get_all("warning").iter();
        let mut warnings: Vec<String> =
            warnings.map(|w| w.to_str().unwrap_or("unreadable").to_owned()).collect();
        warnings.sort();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.map(|v| v.to_str().unwrap_or("unreadable").to_owned());
        let body = response.into_body();
        let body = match ask.events {
            Some(count) if code == 200 => events(body, count).await,
            _ => whole(body).await,
        };
        Answer { code, body, warnings, retry_after }
    }
}

async fn whole(body: Body) -> Value {
    let bytes = body.collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)))
}

async fn events(mut body: Body, count: usize) -> Value {
    let (mut text, mut events) = (Vec::new(), Vec::new());
    loop {
        let patience = if events.len() < count { PATIENCE } else { QUIET };
        match tokio::time::timeout(patience, body.frame()).await {
            Ok(Some(Ok(frame))) => text.extend_from_slice(&frame.into_data().unwrap_or_default()),
            _ => break,
        }
        while let Some(end) = text.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            events.push(serde_json::from_slice(&line).unwrap_or(Value::Null));
        }
    }
    Value::Array(events)
}
