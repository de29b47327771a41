//! The API server's answers that an ordinary, well-behaved client seldom meets.

use super::*;
use crate::sim::json::{Value, json};

/// Code and body of an answer.
async fn ask(cluster: &EmbeddedCluster, method: &str, path: &str, body: Value) -> (u16, Value) {
    let content_type = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    send(cluster, method, path, content_type, body).await
}

async fn send(
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

const WIDGETS: &str = r#"
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

#[tokio::test(start_paused = true)]
async fn a_deletion_that_cannot_be_read_deletes_nothing() {
    let cluster = after(1, WIDGETS).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let (code, _) = ask(&cluster, "POST", maps, json!({"metadata": {"name": "a"}})).await;
    assert_eq!(code, 201);
    let scheme = "in scheme \"pkg/runtime/scheme.go:111\"";
    for (query, body, why) in [
        ("?gracePeriodSeconds=x", Value::Null, "strconv.ParseInt: parsing \"x\": invalid syntax".to_owned()),
        (
            "?gracePeriodSeconds=99999999999999999999",
            Value::Null,
            "strconv.ParseInt: parsing \"99999999999999999999\": value out of range".to_owned(),
        ),
        (
            "",
            json!({"kind": "Pod", "apiVersion": "v1"}),
            format!("no kind \"Pod\" is registered for version \"v1\" {scheme}"),
        ),
        (
            "",
            json!({"gracePeriodSeconds": "x"}),
            "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64"
                .to_owned(),
        ),
    ] {
        for path in [format!("{maps}/a{query}"), format!("{maps}{query}")] {
            let (code, answer) = ask(&cluster, "DELETE", &path, body.clone()).await;
            assert_eq!((code, &answer["message"]), (400, &json!(why)), "{path}");
        }
    }
    for path in ["/api/v1/configmaps", "/apis/apps/v1/deployments", "/api/v1/namespaces"] {
        assert_eq!(ask(&cluster, "DELETE", path, Value::Null).await.0, 405, "{path}");
    }
    assert_eq!(ask(&cluster, "GET", &format!("{maps}/a"), Value::Null).await.0, 200);
    // The group of the options doesn't matter.
    let options = json!({"kind": "DeleteOptions", "apiVersion": "apps/v1"});
    assert_eq!(ask(&cluster, "DELETE", &format!("{maps}/a?gracePeriodSeconds=x"), options).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_path_takes_its_own_methods() {
    let cluster = after(1, WIDGETS).await;
    let map = json!({"metadata": {"name": "m", "namespace": "default"}});
    for (method, path, code) in [
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("POST", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/namespaces/default/nodes/w1", 404),
        ("GET", "/api/v1/configmaps/m", 404),
        ("POST", "/api/v1/configmaps", 405),
        ("PUT", "/api/v1/namespaces/default/configmaps", 405),
        ("PUT", "/api/v1/nodes", 405),
        ("PUT", "/apis/example.com/v1/namespaces/default/widgets", 400),
        ("POST", "/version", 405),
        ("POST", "/api/v1", 405),
        ("POST", "/apis/apps", 200),
        ("GET", "/api/v1/namespaces/default/pods/p/eviction", 405),
        ("POST", "/api/v1/namespaces/default/pods/p/status", 405),
        ("DELETE", "/apis/apps/v1/namespaces/default/deployments/d/scale", 405),
        ("GET", "/api/v1/configmaps", 200),
        ("GET", "/api/v1/namespaces/default", 200),
    ] {
        let (answered, answer) = ask(&cluster, method, path, map.clone()).await;
        assert_eq!(answered, code, "{method} {path}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn forms_and_options_that_are_not_spoken_are_refused() {
    let cluster = after(1, WIDGETS).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = json!({"metadata": {"name": "a"}});
    let (code, answer) = send(&cluster, "POST", maps, "text/plain", map.clone()).await;
    assert_eq!((code, &answer["reason"]), (415, &json!("UnsupportedMediaType")), "{answer}");
    // JSON is YAML, too.
    assert_eq!(send(&cluster, "POST", maps, "application/yaml", map).await.0, 201);
    let (code, answer) = ask(&cluster, "GET", &format!("{maps}?timeout=zz"), Value::Null).await;
    let why = "invalid timeout specified in the request URL - time: invalid duration \"zz\"";
    assert_eq!((code, &answer["message"]), (400, &json!(why)));
    let (code, answer) = ask(&cluster, "PATCH", &format!("{maps}/a?force=true"), json!({})).await;
    assert_eq!((code, &answer["details"]["causes"][0]["field"]), (422, &json!("force")), "{answer}");
    let request = http::Request::get(maps).header("accept", "text/html");
    let request = request.body(kube::client::Body::empty()).expect("a request");
    assert_eq!(cluster.client().send(request).await.expect("answered").status(), 406);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused_in_words() {
    let cluster = after(1, WIDGETS).await;
    let template = json!({
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    let mut once = template.clone();
    once["spec"]["restartPolicy"] = json!("Never");
    let cron = |name: &str, field: &str, value: &str| {
        let mut spec = json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": once}}});
        spec[field] = json!(value);
        json!({"metadata": {"name": name}, "spec": spec})
    };
    let mut daemon = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    daemon["updateStrategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}});
    let (batch, core) = ("/apis/batch/v1/namespaces/default", "/api/v1/namespaces/default");
    let named = |spec: Value| json!({"metadata": {"name": "a"}, "spec": spec});
    let big = |text: String| json!({"metadata": {"name": "a"}, "data": {"k": text}});
    for (path, body, field, start) in [
        (
            format!("{batch}/cronjobs"),
            cron("a", "concurrencyPolicy", "Maybe"),
            "spec.concurrencyPolicy",
            "Unsupported value: \"Maybe\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
        ),
        (
            format!("{batch}/cronjobs"),
            cron("a", "timeZone", "Mars/Base"),
            "spec.timeZone",
            "Invalid value: \"Mars/Base\": unknown time zone Mars/Base",
        ),
        (
            format!("{batch}/cronjobs"),
            cron(&"a".repeat(53), "timeZone", "Etc/UTC"),
            "metadata.name",
            "Invalid value: \"aaaaa",
        ),
        (
            format!("{batch}/jobs"),
            named(json!({"completionMode": "Nope", "template": once})),
            "spec.completionMode",
            "Unsupported value: \"Nope\": supported values: \"NonIndexed\", \"Indexed\"",
        ),
        (
            "/apis/apps/v1/namespaces/default/daemonsets".to_owned(),
            named(daemon),
            "spec.updateStrategy.rollingUpdate.maxSurge",
            "Invalid value: 1: may not be set when maxUnavailable is non-zero",
        ),
        (
            format!("{core}/resourcequotas"),
            named(json!({"hard": {"nonsense": "1", "a.b/c": "1", "pods": "1"}})),
            "spec.hard[nonsense]",
            "Invalid value: \"nonsense\": must be a standard resource type or fully qualified",
        ),
        (
            format!("{core}/configmaps"),
            big("x".repeat(1_048_577)),
            "[]",
            "Too long: may not be more than 1048576 bytes",
        ),
        // Four characters stand for three bytes.
        (
            format!("{core}/secrets"),
            big("AAAA".repeat(349_526)),
            "data",
            "Too long: may not be more than 1048576 bytes",
        ),
    ] {
        let (code, answer) = ask(&cluster, "POST", &path, body).await;
        let cause = &answer["details"]["causes"][0];
        assert_eq!((code, &cause["field"]), (422, &json!(field)), "{path}");
        assert!(cause["message"].as_str().is_some_and(|m| m.starts_with(start)), "{cause}");
    }
    for (path, body) in [("configmaps", big("x".repeat(1_048_576))), ("secrets", big("AAAA".repeat(349_525)))]
    {
        assert_eq!(ask(&cluster, "POST", &format!("{core}/{path}"), body).await.0, 201, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_set_once_stays() {
    let cluster = after(1, WIDGETS).await;
    let (node, given) = ("/api/v1/nodes/w1", |id: &str| json!({"spec": {"providerID": id}}));
    assert_eq!(ask(&cluster, "PATCH", node, given("a://b")).await.0, 200);
    let (code, answer) = ask(&cluster, "PATCH", node, given("a://c")).await;
    let why = "Forbidden: node updates may not change providerID except from \"\" to valid";
    assert_eq!((code, &answer["details"]["causes"][0]["message"]), (422, &json!(why)));
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let class = |name: &str| json!({"metadata": {"name": name}, "value": 5, "globalDefault": true});
    assert_eq!(ask(&cluster, "POST", classes, class("g1")).await.0, 201);
    let (code, answer) = ask(&cluster, "POST", classes, class("g2")).await;
    let why = "priorityclasses.scheduling.k8s.io \"g2\" is forbidden: PriorityClass g1 is already marked as default. \
               Only one default can exist";
    assert_eq!((code, &answer["message"]), (403, &json!(why)));
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    let pod = json!({"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"});
    let spec = json!({"completionMode": "Indexed", "completions": 2, "template": {"spec": pod}});
    assert_eq!(ask(&cluster, "POST", jobs, json!({"metadata": {"name": "j"}, "spec": spec})).await.0, 201);
    let other = json!({"spec": {"completionMode": "NonIndexed"}});
    let (code, answer) = ask(&cluster, "PATCH", &format!("{jobs}/j"), other).await;
    assert_eq!((code, &answer["details"]["causes"][0]["field"]), (422, &json!("spec.completionMode")));
}

#[tokio::test(start_paused = true)]
async fn events_are_selected_by_the_fields_of_their_group() {
    let cluster = after(1, WIDGETS).await;
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    let event = |name: &str, pod: &str| {
        json!({
            "metadata": {"name": name}, "eventTime": "2026-01-01T00:00:00.000000Z", "action": "A", "reason": "R",
            "type": "Normal", "reportingController": "c/d", "reportingInstance": "i",
            "regarding": {"kind": "Pod", "name": pod, "namespace": "default"},
        })
    };
    for (name, pod) in [("a", "p"), ("b", "q")] {
        assert_eq!(ask(&cluster, "POST", events, event(name, pod)).await.0, 201);
    }
    for (selector, found) in [
        ("regarding.name=p", 1),
        ("reason=R,type=Normal", 2),
        ("reportingController=c/d,regarding.name!=p", 1),
        ("type=Warning", 0),
    ] {
        let path = format!("{events}?fieldSelector={selector}");
        let (code, list) = ask(&cluster, "GET", &path, Value::Null).await;
        assert_eq!((code, list["items"].as_array().map(Vec::len)), (200, Some(found)), "{selector}: {list}");
    }
    let path = format!("{events}?fieldSelector=involvedObject.name=p");
    let (code, answer) = ask(&cluster, "GET", &path, Value::Null).await;
    assert_eq!((code, &answer["message"]), (400, &json!("field label not supported: involvedObject.name")));
}

#[tokio::test(start_paused = true)]
async fn an_older_eviction_and_the_table_of_a_scale() {
    let cluster = after(1, WIDGETS).await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    assert_eq!(ask(&cluster, "POST", pods, pod.clone()).await.0, 201);
    let eviction = json!({"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}});
    assert_eq!(ask(&cluster, "POST", &format!("{pods}/p/eviction"), eviction).await.0, 201);
    let sets = "/apis/apps/v1/namespaces/default/replicasets";
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod["spec"]});
    let spec = json!({"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template});
    assert_eq!(ask(&cluster, "POST", sets, json!({"metadata": {"name": "r"}, "spec": spec})).await.0, 201);
    let request = http::Request::get(format!("{sets}/r/scale"))
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(kube::client::Body::empty())
        .expect("a request");
    let response = cluster.client().send(request).await.expect("answered");
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.expect("a body").to_bytes();
    let table: Value = serde_json::from_slice(&bytes).expect("JSON");
    let names: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .expect("columns")
        .iter()
        .filter_map(|c| c["name"].as_str())
        .collect();
    assert_eq!(names, ["Name", "Desired", "Available", "Age"]);
    assert_eq!(table["rows"][0]["cells"][0], "r");
}

#[tokio::test(start_paused = true)]
async fn patches_of_nothing_and_without_a_key() {
    let cluster = after(1, WIDGETS).await;
    let pods = "/api/v1/namespaces/default/pods";
    let container = json!({"name": "c", "image": "i", "ports": [{"containerPort": 80}]});
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [container]}});
    assert_eq!(ask(&cluster, "POST", pods, pod).await.0, 201);
    let request = |content_type: &str, body: &'static str| {
        http::Request::patch(format!("{pods}/p"))
            .header("content-type", content_type)
            .body(kube::client::Body::from(body.as_bytes().to_vec()))
            .expect("a request")
    };
    let merge = "application/merge-patch+json";
    let strategic = "application/strategic-merge-patch+json";
    for (content_type, body, code, message) in [
        (merge, "null", 400, "Invalid JSON Patch"),
        (strategic, "null", 200, ""),
        (
            strategic,
            r#"{"spec": {"containers": [{"image": "noname"}]}}"#,
            500,
            "map: map[image:noname] does not contain declared merge key: name",
        ),
        (
            strategic,
            r#"{"spec": {"containers": [{"name": "c", "ports": [{"hostPort": 1}]}]}}"#,
            500,
            "map: map[hostPort:1] does not contain declared merge key: containerPort",
        ),
    ] {
        let response = cluster.client().send(request(content_type, body)).await.expect("answered");
        let answered = response.status().as_u16();
        let bytes = http_body_util::BodyExt::collect(response.into_body()).await.expect("a body").to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(answered, code, "{body}: {answer}");
        assert!(answer["message"].as_str().unwrap_or_default().starts_with(message), "{answer}");
    }
}
