//! What isn't modelled says so by name.

use super::*;
use crate::sim::json::Value;

async fn refusal(cluster: &EmbeddedCluster, method: &str, path: &str) -> (u16, Value) {
    let request = http::Request::builder().method(method).uri(path).body(kube::client::Body::empty());
    let response = cluster.client().send(request.expect("a request")).await.expect("answered");
    let code = response.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.expect("a body").to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap_or_default())
}

const ONE_OF_EACH: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: w1}
status: {allocatable: {cpu: "4", memory: 8Gi, pods: "110"}}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop}
spec: {nodeName: w1, containers: [{name: c, image: c}]}
---
apiVersion: v1
kind: Service
metadata: {name: s, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: a, namespace: shop}
"#;

#[tokio::test(start_paused = true)]
async fn subresources_and_kinds_that_are_not_modelled_are_refused_by_name() {
    let cluster = after(1, ONE_OF_EACH).await;
    let pod = "/api/v1/namespaces/shop/pods/p";
    let cases: Vec<(&str, String, &str)> = vec![
        ("GET", format!("{pod}/log?follow=true"), "pods/log"),
        ("GET", format!("{pod}/exec?command=ls"), "pods/exec"),
        ("POST", format!("{pod}/exec?command=ls"), "pods/exec"),
        ("GET", format!("{pod}/attach"), "pods/attach"),
        ("POST", format!("{pod}/attach"), "pods/attach"),
        ("GET", format!("{pod}/portforward"), "pods/portforward"),
        ("POST", format!("{pod}/portforward"), "pods/portforward"),
        ("GET", format!("{pod}/proxy"), "pods/proxy"),
        ("GET", format!("{pod}/proxy/metrics/all"), "pods/proxy"),
        ("GET", format!("{pod}/ephemeralcontainers"), "pods/ephemeralcontainers"),
        ("PATCH", format!("{pod}/ephemeralcontainers"), "pods/ephemeralcontainers"),
        ("PATCH", format!("{pod}/resize"), "pods/resize"),
        ("GET", "/api/v1/nodes/w1/proxy/stats/summary".to_owned(), "nodes/proxy"),
        ("POST", "/api/v1/nodes/w1/proxy".to_owned(), "nodes/proxy"),
        ("GET", "/api/v1/namespaces/shop/services/s/proxy/health".to_owned(), "services/proxy"),
        ("DELETE", "/api/v1/namespaces/shop/services/s/proxy".to_owned(), "services/proxy"),
        ("POST", "/api/v1/namespaces/shop/serviceaccounts/a/token".to_owned(), "serviceaccounts/token"),
        ("PUT", "/api/v1/namespaces/shop/finalize".to_owned(), "namespaces/finalize"),
        ("GET", "/api/v1/namespaces/shop/podtemplates".to_owned(), "podtemplates"),
        ("GET", "/api/v1/componentstatuses".to_owned(), "componentstatuses"),
        (
            "GET",
            "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers".to_owned(),
            "horizontalpodautoscalers.autoscaling",
        ),
        ("POST", "/apis/resource.k8s.io/v1/resourceslices".to_owned(), "resourceslices.resource.k8s.io"),
        ("GET", "/apis/node.k8s.io/v1/runtimeclasses/x".to_owned(), "runtimeclasses.node.k8s.io"),
        ("GET", "/apis/networking.k8s.io/v1/ingressclasses".to_owned(), "ingressclasses.networking.k8s.io"),
    ];
    for (method, path, name) in cases {
        let (code, status) = refusal(&cluster, method, &path).await;
        assert_eq!(code, 501, "{method} {path}: {status}");
        assert_eq!(status["kind"], "Status", "{method} {path}");
        assert_eq!(status["reason"], "NotImplemented", "{method} {path}");
        let message = format!("the embedded cluster does not model {name}");
        assert_eq!(status["message"], message.as_str(), "{method} {path}");
    }
    // What isn't there is still not found, and what no API server has isn't either.
    for path in ["/api/v1/namespaces/shop/pods/none/log", "/api/v1/nonsense", "/apis/nonsense.io/v1/things"] {
        assert_eq!(refusal(&cluster, "GET", path).await.0, 404, "{path}");
    }
}
