//! The API server's answers that an ordinary, well-behaved client seldom meets.

use super::*;
use crate::sim::json::{Value, json};

/// Code and body of an answer.
pub(super) async fn ask(cluster: &EmbeddedCluster, method: &str, path: &str, body: Value) -> (u16, Value) {
    let content_type = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    send(cluster, method, path, content_type, body).await
}

pub(super) async fn send(
    cluster: &EmbeddedCluster,
    method: &str,
    path: &str,
    content_type: &str,
    body: Value,
) -> (u16, Value) {
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).expect("JSON") };
    let request = http::Request::builder().method(method).uri(path).header("content-type", content_type);
    let request = request.body(kube::client::Body::from(body)).expect("a request");
    let response = cluster.client().send(request).await.expect("answered");
    let code = response.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.expect("a body").to_bytes();
    (code, serde_json::from_slice(&bytes).expect("JSON"))
}

pub(super) const WIDGETS: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: w1}
status: {allocatable: {cpu: "4", memory: 8Gi, pods: "110"}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
  - {name: v1alpha1, served: false, storage: false, schema: {}}
  - {name: v1, served: true, storage: true, schema: {}}
  - {name: v1beta1, served: true, storage: false, schema: {}}
---
apiVersion: example.com/v1beta1
kind: Widget
metadata: {name: w, namespace: default}
spec: {size: 1}
"#;

#[tokio::test(start_paused = true)]
async fn all_served_versions_answer_and_one_is_stored() {
    let cluster = after(1, WIDGETS).await;
    assert_eq!(stored(&cluster, "widgets.example.com", "default", "w")["apiVersion"], "example.com/v1");
    for version in ["v1", "v1beta1"] {
        let base = format!("/apis/example.com/{version}/namespaces/default/widgets");
        let (code, list) = ask(&cluster, "GET", &base, Value::Null).await;
        let expected = json!(format!("example.com/{version}"));
        assert_eq!((code, &list["apiVersion"], &list["items"][0]["apiVersion"]), (200, &expected, &expected));
        let patch = json!({"metadata": {"labels": {"by": version}}});
        let (code, patched) = ask(&cluster, "PATCH", &format!("{base}/w"), patch).await;
        assert_eq!((code, &patched["apiVersion"]), (200, &expected));
        let (code, listed) = ask(&cluster, "GET", &format!("/apis/example.com/{version}"), Value::Null).await;
        assert_eq!((code, &listed["resources"][0]["name"]), (200, &json!("widgets")));
    }
    assert_eq!(stored(&cluster, "widgets.example.com", "default", "w")["apiVersion"], "example.com/v1");
    for path in ["/apis/example.com/v1alpha1/namespaces/default/widgets", "/apis/example.com/v1alpha1"] {
        assert_eq!(ask(&cluster, "GET", path, Value::Null).await.0, 404, "{path}");
    }
    let (_, groups) = ask(&cluster, "GET", "/apis", Value::Null).await;
    let group = groups["groups"].as_array().expect("groups").iter().find(|g| g["name"] == "example.com");
    let group = group.expect("the group");
    assert_eq!(group["preferredVersion"]["version"], "v1");
    assert_eq!(group["versions"].as_array().expect("versions").len(), 2);
    let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
    assert_eq!(ask(&cluster, "DELETE", definition, Value::Null).await.0, 200);
    // When its objects are gone.
    seconds(1).await;
    assert_eq!(ask(&cluster, "GET", "/apis/example.com/v1/widgets", Value::Null).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn custom_resources_are_stricter() {
    let cluster = after(1, WIDGETS).await;
    let path = "/apis/example.com/v1/namespaces/default/widgets/w";
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 2}});
    let (code, status) = ask(&cluster, "PUT", path, widget).await;
    let message = "widgets.example.com \"w\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for \
                   an update";
    assert_eq!(
        (code, &status["reason"], status["message"].as_str()),
        (422, &json!("Invalid"), Some(message))
    );
    let strategic = "application/strategic-merge-patch+json";
    let (code, status) = send(&cluster, "PATCH", path, strategic, json!({"spec": {"size": 2}})).await;
    assert_eq!((code, &status["reason"]), (415, &json!("UnsupportedMediaType")));
    assert_eq!(stored(&cluster, "widgets.example.com", "default", "w")["spec"]["size"], 1);
}

#[tokio::test(start_paused = true)]
async fn names_in_paths_are_decoded_and_lasting_namespaces_stay() {
    let cluster = after(1, TWO_NODES).await;
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    let (code, _) = ask(&cluster, "POST", roles, json!({"metadata": {"name": "a+b: c"}, "rules": []})).await;
    assert_eq!(code, 201);
    let (code, role) = ask(&cluster, "GET", &format!("{roles}/a+b%3a%20c"), Value::Null).await;
    assert_eq!((code, &role["metadata"]["name"]), (200, &json!("a+b: c")));
    for name in ["default", "kube-system", "kube-public"] {
        let (code, status) =
            ask(&cluster, "DELETE", &format!("/api/v1/namespaces/{name}"), Value::Null).await;
        let message = format!("namespaces {name:?} is forbidden: this namespace may not be deleted");
        assert_eq!((code, &status["message"]), (403, &json!(message)));
    }
}

/// kubectl sorts by them, and leaves out pods that have ended.
#[tokio::test(start_paused = true)]
async fn the_objects_in_a_lists_table_say_what_they_are() {
    let cluster = after(1, TWO_NODES).await;
    let request = http::Request::get("/apis/apps/v1/deployments?includeObject=Object");
    let request = request.header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let request = request.body(kube::client::Body::empty()).expect("a request");
    let response = cluster.client().send(request).await.expect("answered");
    let body = http_body_util::BodyExt::collect(response.into_body()).await.expect("read").to_bytes();
    let table: Value = serde_json::from_slice(&body).expect("JSON");
    let object = &table["rows"][0]["object"];
    assert_eq!(
        (&object["kind"], &object["apiVersion"]),
        (&json!("Deployment"), &json!("apps/v1")),
        "{table}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_old_way_to_watch_one_object_gives_its_events() {
    let cluster = after(1, TWO_NODES).await;
    for (path, name) in [("nodes/w2", "w2"), ("namespaces/default", "default")] {
        let path = format!("/api/v1/watch/{path}?timeoutSeconds=1");
        let request = http::Request::get(path).body(kube::client::Body::empty()).expect("a request");
        let response = cluster.client().send(request).await.expect("answered");
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = http_body_util::BodyExt::collect(response.into_body()).await.expect("read").to_bytes();
        let events: Vec<Value> =
            body.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let told: Vec<_> = events.iter().map(|e| (&e["type"], &e["object"]["metadata"]["name"])).collect();
        assert_eq!(told, [(&json!("ADDED"), &json!(name))]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_strategic_merge_replaces_taints_whole() {
    let cluster = after(1, TWO_NODES).await;
    for key in ["one", "two"] {
        let patch = json!({"spec": {"taints": [{"key": key, "effect": "PreferNoSchedule"}]}});
        send(&cluster, "PATCH", "/api/v1/nodes/w1", "application/strategic-merge-patch+json", patch).await;
    }
    let taints = stored(&cluster, "nodes", "", "w1")["spec"]["taints"].clone();
    assert_eq!(taints, json!([{"key": "two", "effect": "PreferNoSchedule"}]));
}

#[tokio::test(start_paused = true)]
async fn dry_runs_check_and_change_nothing() {
    let cluster = running(TWO_NODES).await;
    let before = cluster.dump();
    let web = "/apis/apps/v1/namespaces/shop/deployments/web";
    let scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "web"}, "spec": {"replicas": 9}});
    let (code, scaled) = ask(&cluster, "PUT", &format!("{web}/scale?dryRun=All"), scale).await;
    assert_eq!((code, &scaled["spec"]["replicas"]), (200, &json!(9)));
    let named = |name: &str, version: &str| json!({"metadata": {"name": name, "resourceVersion": version}, "spec": {"replicas": 9}});
    let template =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "c"}]}});
    let whole = |name: &str| json!({"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    let stale = json!({"metadata": {"resourceVersion": "1"}});
    let gone = "/apis/apps/v1/namespaces/shop/deployments/gone";
    let all = "/apis/apps/v1/namespaces/shop/deployments";
    let wrong = json!({"preconditions": {"uid": "another"}});
    for (method, path, body, expected) in [
        ("PUT", gone, named("gone", ""), 404),
        ("PATCH", gone, json!({}), 404),
        ("PUT", web, named("web", "1"), 409),
        ("PATCH", web, stale, 409),
        ("POST", all, whole("web"), 409),
        ("POST", all, whole("new"), 201),
        ("POST", all, named("new", ""), 422),
        ("DELETE", web, wrong, 409),
        ("DELETE", web, Value::Null, 200),
    ] {
        let answer = ask(&cluster, method, &format!("{path}?dryRun=All"), body).await;
        assert_eq!(answer.0, expected, "{method} {path}: {}", answer.1);
    }
    let pending = json!({
        "metadata": {"name": "pending"}, "spec": {"schedulerName": "other", "containers": [{"name": "c", "image": "c"}]},
    });
    assert_eq!(ask(&cluster, "POST", "/api/v1/namespaces/shop/pods", pending).await.0, 201);
    let binding = json!({"metadata": {"name": "pending"}, "target": {"kind": "Node", "name": "w1"}});
    let path = "/api/v1/namespaces/shop/pods/pending/binding?dryRun=All";
    assert_eq!(ask(&cluster, "POST", path, binding).await.0, 201);
    assert_eq!(stored(&cluster, "pods", "shop", "pending")["spec"]["nodeName"], Value::Null);
    assert_eq!(cluster.dump().len(), before.len() + 1);
    assert_eq!(stored(&cluster, "deployments.apps", "shop", "web")["spec"]["replicas"], 3);
}

#[tokio::test(start_paused = true)]
async fn evictions_name_their_pod_and_one_budget() {
    let second = "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: again, namespace: shop}\n\
                  spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}\n";
    let cluster = running(&format!("{TWO_NODES}{second}")).await;
    let name = all(&cluster, "pods", "shop")[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let path = format!("/api/v1/namespaces/shop/pods/{name}/eviction");
    for metadata in [json!({}), json!({"name": "other"})] {
        let (code, status) = ask(&cluster, "POST", &path, json!({"metadata": metadata})).await;
        assert_eq!(
            (code, &status["message"]),
            (400, &json!("name in URL does not match name in Eviction object"))
        );
    }
    let (code, status) = ask(&cluster, "POST", &path, json!({"metadata": {"name": name}})).await;
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 500,
        "message": "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
    });
    assert_eq!((code, status), (500, expected));
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_cannot_be_counted_says_so() {
    let text = "---\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: agent, namespace: shop}\nspec:\n  \
                selector: {matchLabels: {app: agent}}\n  \
                template: {metadata: {labels: {app: agent}}, spec: {containers: [{name: c, image: c}]}}\n---\n\
                apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: agent, namespace: shop}\n\
                spec: {maxUnavailable: 1, selector: {matchLabels: {app: agent}}}\nstatus: {observedGeneration: 1}\n";
    let cluster = running(&format!("{TWO_NODES}{text}")).await;
    let pods = all(&cluster, "pods", "shop");
    let agent = pods.iter().find(|p| p["metadata"]["labels"]["app"] == "agent").expect("one");
    let name = agent["metadata"]["name"].as_str().expect("a name");
    let path = format!("/api/v1/namespaces/shop/pods/{name}/eviction");
    let (code, status) = ask(&cluster, "POST", &path, json!({"metadata": {"name": name}})).await;
    let message = "The disruption budget agent does not allow evicting pods currently because it failed sync: \
                   daemonsets.apps does not implement the scale subresource";
    assert_eq!((code, &status["details"]["causes"][0]["message"]), (429, &json!(message)));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_ends_after_its_contents() {
    let cluster = running(TWO_NODES).await;
    let name = all(&cluster, "pods", "shop")[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let (code, namespace) = ask(&cluster, "DELETE", "/api/v1/namespaces/shop", Value::Null).await;
    assert_eq!((code, &namespace["status"]["phase"]), (200, &json!("Terminating")));
    assert!(namespace["metadata"]["deletionTimestamp"].is_string());
    let map = json!({"metadata": {"name": "m"}});
    let eviction = json!({"metadata": {"name": name}});
    let cases = [
        ("/api/v1/namespaces/shop/configmaps".to_owned(), map, "configmaps \"m\"".to_owned()),
        (format!("/api/v1/namespaces/shop/pods/{name}/eviction"), eviction, format!("pods {name:?}")),
    ];
    for (path, body, what) in cases {
        let (code, status) = ask(&cluster, "POST", &path, body).await;
        let message = format!(
            "{what} is forbidden: unable to create new content in namespace shop because it is being terminated"
        );
        assert_eq!((code, status["message"].as_str()), (403, Some(message.as_str())));
        let cause = json!({
            "reason": "NamespaceTerminating", "message": "namespace shop is being terminated", "field": "metadata.namespace",
        });
        assert_eq!(status["details"]["causes"][0], cause);
    }
    seconds(60).await;
    let left: Vec<serde_json::Value> =
        cluster.dump().into_iter().filter(|o| o["metadata"]["namespace"] == "shop").collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(ask(&cluster, "GET", "/api/v1/namespaces/shop", Value::Null).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_second_deletion_changes_nothing() {
    let cluster = after(1, TWO_NODES).await;
    let held = json!({"metadata": {"name": "m", "finalizers": ["example.com/held"]}});
    assert_eq!(ask(&cluster, "POST", "/api/v1/namespaces/default/configmaps", held).await.0, 201);
    let path = "/api/v1/namespaces/default/configmaps/m";
    ask(&cluster, "DELETE", path, Value::Null).await;
    let once = stored(&cluster, "configmaps", "default", "m");
    seconds(10).await;
    let (code, _) = ask(&cluster, "DELETE", path, Value::Null).await;
    assert_eq!((code, stored(&cluster, "configmaps", "default", "m")), (200, once));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_never_ran_goes_with_its_last_finalizer() {
    let cluster = after(1, TWO_NODES).await;
    let pod = json!({
        "metadata": {"name": "held", "finalizers": ["example.com/held"]},
        "spec": {"nodeSelector": {"no": "where"}, "containers": [{"name": "c", "image": "c"}]},
    });
    assert_eq!(ask(&cluster, "POST", "/api/v1/namespaces/default/pods", pod).await.0, 201);
    let path = "/api/v1/namespaces/default/pods/held";
    ask(&cluster, "DELETE", path, Value::Null).await;
    seconds(10).await;
    assert!(stored(&cluster, "pods", "default", "held")["metadata"]["deletionTimestamp"].is_string());
    ask(&cluster, "PATCH", path, json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(ask(&cluster, "GET", path, Value::Null).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn an_apply_conflicts_with_the_image_that_somebody_set() {
    let cluster = running(TWO_NODES).await;
    let path = "/apis/apps/v1/namespaces/shop/deployments/applied";
    let apply = format!("{path}?fieldManager=kubectl");
    let applied = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "applied"},
        "spec": {
            "selector": {"matchLabels": {"app": "applied"}},
            "template": {
                "metadata": {"labels": {"app": "applied"}}, "spec": {"containers": [{"name": "c", "image": "c:1"}]},
            },
        },
    });
    let type_of_apply = "application/apply-patch+yaml";
    assert_eq!(send(&cluster, "PATCH", &apply, type_of_apply, applied.clone()).await.0, 201);
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "c:2"}]}}}});
    let set = format!("{path}?fieldManager=kubectl-set");
    let merge = "application/strategic-merge-patch+json";
    assert_eq!(send(&cluster, "PATCH", &set, merge, image).await.0, 200);
    let (code, status) = send(&cluster, "PATCH", &apply, type_of_apply, applied.clone()).await;
    let field = ".spec.template.spec.containers[name=\"c\"].image";
    let message =
        format!("Apply failed with 1 conflict: conflict with \"kubectl-set\" using apps/v1: {field}");
    let cause = json!({
        "reason": "FieldManagerConflict", "message": "conflict with \"kubectl-set\" using apps/v1", "field": field,
    });
    assert_eq!((code, &status["message"]), (409, &json!(message)));
    assert_eq!(status["details"]["causes"], json!([cause]));
    let forced = format!("{apply}&force=true");
    assert_eq!(send(&cluster, "PATCH", &forced, type_of_apply, applied).await.0, 200);
    let stored = stored(&cluster, "deployments.apps", "shop", "applied");
    assert_eq!(stored["spec"]["template"]["spec"]["containers"][0]["image"], "c:1");
    // What nobody applied isn't tracked.
    let web = self::stored(&cluster, "deployments.apps", "shop", "web");
    assert_eq!(web["metadata"]["managedFields"], Value::Null);
}

/// The limits of the API server and of etcd, by every kind of write; a file that is loaded isn't a request.
#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_refused_as_etcd_and_the_api_server_do() {
    let pad = |size: usize| "x".repeat(size);
    let loaded = WIDGETS.replace("size: 1", &format!("size: {}", pad(1_600_000)));
    let cluster = after(1, &loaded).await;
    let base = "/apis/example.com/v1/namespaces/default/widgets";
    let (large, small) = (format!("{base}/w"), format!("{base}/small"));
    let widget = |size: usize| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "small"}, "spec": {"size": pad(size)}});
    let spec = |size: usize| json!({"spec": {"more": pad(size)}});
    let etcd = (500, "etcdserver: request is too large");
    let line = (500, "rpc error: code = ResourceExhausted desc = trying to send message larger than max (");
    let body = (413, "Request entity too large: limit is 3145728");
    let fits = (0, "");
    for (method, path, asked, (code, words)) in [
        ("POST", base, widget(3_145_728), body),
        ("POST", base, widget(2_500_000), line),
        ("POST", base, widget(1_600_000), etcd),
        ("POST", base, widget(1_000), fits),
        ("PATCH", &small, spec(3_145_728), body),
        ("PATCH", &small, spec(1_600_000), etcd),
        ("PATCH", &small, spec(1_500_000), fits),
        // Small additions to what is large already.
        ("PATCH", &small, json!({"spec": {"third": pad(100_000)}}), etcd),
        ("PATCH", &small, json!({"spec": {"third": pad(50_000)}}), fits),
        ("PATCH", &large, json!({"spec": {"third": "x"}}), etcd),
        // What changes nothing isn't written.
        ("PATCH", &large, json!({"metadata": {"labels": null}}), fits),
        ("PATCH", &large, json!({"spec": null}), fits),
    ] {
        let (given, answer) = ask(&cluster, method, path, asked).await;
        if code == 0 {
            assert!(given < 300, "{method} {path}: {given} {}", answer["message"]);
        } else {
            let message = answer["message"].as_str().unwrap_or_default();
            assert!(given == code && message.starts_with(words), "{method} {path}: {given} {message}");
        }
    }
}
