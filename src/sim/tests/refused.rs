//! What the API server can't read, or can't take: paths, forms, options, and bodies.

use super::api::{WIDGETS, ask, send};
use super::*;
use crate::sim::json::{Value, json};

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
