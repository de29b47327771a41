//! What a watch brings, and where it goes on from.

use std::convert::Infallible;

use http::{Request as HttpRequest, Response};
use http_body_util::Full;
use kube::client::Body;

use super::*;

/// A watch from version 1 on that is answered so: the version to go on from, and the nodes with their versions.
async fn followed(lines: &'static str) -> (Option<String>, Vec<String>) {
    let answer = move |request: HttpRequest<Body>| async move {
        assert_eq!(request.headers()[ACCEPT_ENCODING], "identity");
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(lines.as_bytes()))))
    };
    let client = Client::new(tower::service_fn(answer), "default");
    let (sender, mut seen) = mpsc::channel(16);
    let (requests, selectors) = (Request::new("/api/v1/nodes"), Selectors { fields: None, labels: None });
    let next = follow(&client, &requests, Kind::Node, &selectors, "1".to_owned(), &sender).await;
    let mut inventory = Inventory::new();
    let brought = std::iter::from_fn(|| seen.try_recv().ok()).collect();
    Observed(brought).apply(&mut inventory).expect("taken in");
    let nodes = inventory.nodes().values().map(|n| format!("{} {}", n.name, n.resource_version)).collect();
    (next.expect("followed"), nodes)
}

const ADDED: &str = r#"{"type":"ADDED","object":{"metadata":{"name":"w1","resourceVersion":"5"}}}"#;
const OTHERWISE: &str =
    r#"{ "object": {"metadata":{"name":"w2","resourceVersion":"6"}}, "type": "MODIFIED" }"#;
const DELETED: &str = r#"{"type":"DELETED","object":{"metadata":{"name":"w1","resourceVersion":"7"}}}"#;
const BOOKMARK: &str =
    r#"{"type":"BOOKMARK","object":{"kind":"Node","apiVersion":"v1","metadata":{"resourceVersion":"9"}}}"#;
const GONE: &str = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old","status":"Failure"}}"#;
const BUSY: &str = r#"{"type":"ERROR","object":{"kind":"Status","code":500,"reason":"InternalError","message":"busy","status":"Failure"}}"#;

/// The same text for as long as the tests run.
fn lines(lines: &[&str]) -> &'static str {
    Box::leak((lines.join("\n") + "\n").into_boxed_str())
}

#[tokio::test]
async fn a_watch_goes_on_from_the_last_event_that_came_whole() {
    let none = Vec::<String>::new();
    let some = |version: &str| Some(version.to_owned());
    assert_eq!(followed("").await, (some("1"), none.clone()));
    assert_eq!(followed(lines(&[ADDED])).await, (some("5"), vec!["w1 5".to_owned()]));
    assert_eq!(followed(lines(&[ADDED, OTHERWISE, DELETED])).await, (some("7"), vec!["w2 6".to_owned()]));
    assert_eq!(followed(lines(&[ADDED, OTHERWISE])).await.0, some("6"));
    assert_eq!(followed(lines(&[ADDED, BOOKMARK])).await, (some("9"), vec!["w1 5".to_owned()]));
    assert_eq!(followed(lines(&[BOOKMARK, DELETED])).await.0, some("7"));
    // The last line has broken off.
    let broken = lines(&[ADDED, DELETED]).trim_end().trim_end_matches('}');
    assert_eq!(followed(broken).await, (some("5"), vec!["w1 5".to_owned()]));
    // After trouble it goes on; what is too old is listed anew.
    assert_eq!(followed(lines(&[ADDED, BUSY, DELETED])).await, (some("5"), vec!["w1 5".to_owned()]));
    assert_eq!(followed(lines(&[ADDED, GONE])).await, (None, vec!["w1 5".to_owned()]));
}
