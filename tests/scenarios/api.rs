//! The API itself: the same requests, and the same answers expected, on both clusters.

use futures::TryStreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{
    Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions, WatchEvent,
    WatchParams,
};
use kube::core::response::StatusCause;
use serde_json::{Value, json};

use super::Stage;

fn maps(stage: &Stage) -> Api<ConfigMap> {
    Api::namespaced(stage.client.clone(), &stage.name)
}

fn map(name: &str, tier: &str) -> ConfigMap {
    serde_json::from_value(
        json!({"metadata": {"name": name, "labels": {"tier": tier}}, "data": {"a": "1", "b": "2"}}),
    )
    .expect("a map")
}

/// Code and reason of a refusal.
fn refusal<T: std::fmt::Debug>(answer: Result<T, kube::Error>) -> (u16, String) {
    match answer {
        Err(kube::Error::Api(status)) => (status.code, status.reason.clone()),
        other => panic!("not refused: {other:?}"),
    }
}

fn said(code: u16, reason: &str) -> (u16, String) {
    (code, reason.to_owned())
}

/// Reading and writing: pages, selectors, conflicts, preconditions, dry runs, names.
pub async fn verbs_answer_as_the_api_server_does(stage: &mut Stage) {
    stage.create("apiVersion: v1\nkind: Namespace\nmetadata: {name: NAME}\n").await;
    let api = maps(stage);
    let create = PostParams::default();
    for (n, tier) in [(1, "front"), (2, "back"), (3, "front"), (4, "back"), (5, "front")] {
        api.create(&create, &map(&format!("m{n}"), tier)).await.expect("created");
    }
    let names = |list: &[ConfigMap]| -> Vec<String> {
        list.iter().filter_map(|m| m.metadata.name.clone()).filter(|n| n.starts_with('m')).collect()
    };
    let labelled = ListParams::default().labels("tier");
    let page = api.list(&labelled.clone().limit(2)).await.expect("a page");
    assert_eq!(names(&page.items), ["m1", "m2"]);
    let token = page.metadata.continue_.expect("there is more");
    let rest = api.list(&labelled.clone().limit(2).continue_token(&token)).await.expect("the next page");
    assert_eq!(names(&rest.items), ["m3", "m4"]);
    for (selector, expected) in [
        ("tier=front", vec!["m1", "m3", "m5"]),
        ("tier in (back)", vec!["m2", "m4"]),
        ("tier,tier!=back", vec!["m1", "m3", "m5"]),
    ] {
        let list = api.list(&ListParams::default().labels(selector)).await.expect("listed");
        assert_eq!(names(&list.items), expected, "{selector}");
    }
    let by_field = api.list(&ListParams::default().fields("metadata.name=m4")).await.expect("listed");
    assert_eq!(names(&by_field.items), ["m4"]);

    assert_eq!(refusal(api.create(&create, &map("m1", "x")).await), said(409, "AlreadyExists"));
    assert_eq!(refusal(api.get("m9").await), said(404, "NotFound"));
    assert_eq!(refusal(api.create(&create, &map("", "x")).await), said(422, "Invalid"));
    let mut stale = api.get("m1").await.expect("there");
    let mut fresh = stale.clone();
    fresh.data.get_or_insert_default().insert("a".into(), "9".into());
    api.replace("m1", &create, &fresh).await.expect("replaced");
    stale.data.get_or_insert_default().insert("a".into(), "8".into());
    assert_eq!(refusal(api.replace("m1", &create, &stale).await), said(409, "Conflict"));
    let precondition = |uid: &str| DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.into()), resource_version: None }),
        ..DeleteParams::default()
    };
    assert_eq!(refusal(api.delete("m1", &precondition("another")).await), said(409, "Conflict"));
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    api.create(&dry, &map("m7", "front")).await.expect("would be created");
    assert_eq!(refusal(api.get("m7").await), said(404, "NotFound"));
    let generated: ConfigMap =
        serde_json::from_value(json!({"metadata": {"generateName": "made-"}})).expect("a map");
    let made = api.create(&create, &generated).await.expect("created").metadata.name.expect("a name");
    assert!(made.starts_with("made-") && made.len() == "made-".len() + 5, "{made}");
}

/// The four patch types, and finalizers.
pub async fn patches_answer_as_the_api_server_does(stage: &mut Stage) {
    stage.create("apiVersion: v1\nkind: Namespace\nmetadata: {name: NAME}\n").await;
    let api = maps(stage);
    let plain = PatchParams::default();
    api.create(&PostParams::default(), &map("m", "front")).await.expect("created");
    let data = |m: &ConfigMap| serde_json::to_value(&m.data).expect("JSON");
    let merged =
        api.patch("m", &plain, &Patch::Merge(json!({"data": {"a": null, "c": "3"}}))).await.expect("merged");
    assert_eq!(data(&merged), json!({"b": "2", "c": "3"}));
    let patch: json_patch::Patch = serde_json::from_value(json!([
        {"op": "test", "path": "/data/b", "value": "2"}, {"op": "replace", "path": "/data/b", "value": "5"},
    ]))
    .expect("a patch");
    let patched = api.patch("m", &plain, &Patch::<Value>::Json(patch.clone())).await.expect("patched");
    assert_eq!(data(&patched), json!({"b": "5", "c": "3"}));
    assert_eq!(
        refusal(api.patch("m", &plain, &Patch::<Value>::Json(patch)).await).0,
        422,
        "the test fails now"
    );

    let deployments: Api<Deployment> = Api::namespaced(stage.client.clone(), &stage.name);
    let container = |name: &str, image: &str| json!({"name": name, "image": image});
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "d"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "d"}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [container("a", "a:1"), container("b", "b:1")]}},
        },
    }))
    .expect("a Deployment");
    deployments.create(&PostParams::default(), &deployment).await.expect("created");
    let strategic = json!({"spec": {"template": {"spec": {"containers": [container("b", "b:2"), container("c", "c:1")]}}}});
    let patched = deployments.patch("d", &plain, &Patch::Strategic(strategic)).await.expect("patched");
    let value = serde_json::to_value(&patched).expect("JSON");
    let containers = value["spec"]["template"]["spec"]["containers"].as_array().expect("containers");
    let mut images: Vec<&str> = containers.iter().filter_map(|c| c["image"].as_str()).collect();
    images.sort_unstable();
    assert_eq!(images, ["a:1", "b:2", "c:1"], "containers merge by name");
    assert_eq!(value["metadata"]["generation"], 2);

    let apply = |manager: &str| PatchParams::apply(manager);
    let wanted = |value: &str| {
        Patch::Apply(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}, "data": {"k": value}}),
        )
    };
    api.patch("s", &apply("one"), &wanted("1")).await.expect("applied");
    assert_eq!(refusal(api.patch("s", &apply("two"), &wanted("2")).await), said(409, "Conflict"));
    let forced = api.patch("s", &apply("two").force(), &wanted("2")).await.expect("forced");
    assert_eq!(data(&forced), json!({"k": "2"}));

    let held = json!({"metadata": {"finalizers": ["example.com/held"]}});
    api.patch("m", &plain, &Patch::Merge(held)).await.expect("patched");
    api.delete("m", &DeleteParams::default()).await.expect("deleted in name");
    assert!(api.get("m").await.expect("still there").metadata.deletion_timestamp.is_some());
    api.patch("m", &plain, &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await.expect("released");
    assert_eq!(refusal(api.get("m").await), said(404, "NotFound"));
}

/// What is refused beyond the everyday: evictions with a wrong name or under two budgets, writes that custom resources don't
/// take, dry runs that would fail, content for a namespace on its way out.
pub async fn refusals_answer_as_the_api_server_does(stage: &mut Stage) {
    stage.nodes(1).await;
    stage.web(2, "minAvailable: 1").await;
    refused_evictions(stage).await;
    refused_custom_resources(stage).await;
    refused_dry_runs(stage).await;
    refused_content(stage).await;
}

async fn refused_evictions(stage: &Stage) {
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), &stage.name);
    let web = pods.list(&ListParams::default().labels("app=web")).await.expect("listed");
    let name = web.items[0].metadata.name.clone().expect("a name");
    let evict = async |named: &str| {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": named}});
        pods.create_subresource::<Value, Value>("eviction", &name, &PostParams::default(), &eviction).await
    };
    assert_eq!(refusal(evict("another").await), said(400, "BadRequest"));
    stage
        .create(
            "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: again}\n\
             spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}\n",
        )
        .await;
    let answer = evict(&name).await;
    let Err(kube::Error::Api(status)) = &answer else { panic!("not refused: {answer:?}") };
    assert!(status.message.starts_with("This pod has more than one PodDisruptionBudget"), "{status:?}");
    assert_eq!(refusal(answer), said(500, ""));
}

async fn refused_custom_resources(stage: &Stage) {
    let kind = "VirtualMachineInstanceReplicaSet";
    stage
        .create(
            "apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstanceReplicaSet\nmetadata: {name: none}\nspec: {replicas: 0, \
             selector: {matchLabels: {set: none}}, template: {metadata: {labels: {set: none}}, spec: {domain: {devices: {}}}}}\n",
        )
        .await;
    let api = stage.api("kubevirt.io/v1", kind);
    let mut set = api.get("none").await.expect("there");
    set.metadata.resource_version = None;
    assert_eq!(refusal(api.replace("none", &PostParams::default(), &set).await), said(422, "Invalid"));
    let strategic = Patch::Strategic(json!({"metadata": {"labels": {"merged": "true"}}}));
    let merged = api.patch("none", &PatchParams::default(), &strategic).await;
    assert_eq!(refusal(merged), said(415, "UnsupportedMediaType"));
}

async fn refused_dry_runs(stage: &Stage) {
    let api = maps(stage);
    api.create(&PostParams::default(), &map("m", "front")).await.expect("created");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    assert_eq!(refusal(api.create(&dry, &map("m", "front")).await), said(409, "AlreadyExists"));
    assert_eq!(refusal(api.replace("gone", &dry, &map("gone", "front")).await), said(404, "NotFound"));
    let mut stale = api.get("m").await.expect("there");
    let relabel = Patch::Merge(json!({"metadata": {"labels": {"tier": "back"}}}));
    api.patch("m", &PatchParams::default(), &relabel).await.expect("patched");
    stale.metadata.labels = None;
    assert_eq!(refusal(api.replace("m", &dry, &stale).await), said(409, "Conflict"));
    let another = DeleteParams {
        dry_run: true,
        preconditions: Some(Preconditions { uid: Some("another".into()), resource_version: None }),
        ..DeleteParams::default()
    };
    assert_eq!(refusal(api.delete("m", &another).await), said(409, "Conflict"));
    let deployments: Api<Deployment> = Api::namespaced(stage.client.clone(), &stage.name);
    let nine = Patch::Merge(json!({"spec": {"replicas": 9}}));
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    deployments.patch_scale("web", &params, &nine).await.expect("would be scaled");
    let web = deployments.get("web").await.expect("there");
    assert_eq!(web.spec.and_then(|s| s.replicas), Some(2));
}

async fn refused_content(stage: &Stage) {
    let name = format!("{}-b", stage.name);
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    let namespace = Namespace {
        metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    namespaces.create(&PostParams::default(), &namespace).await.expect("created");
    let api: Api<ConfigMap> = Api::namespaced(stage.client.clone(), &name);
    let mut held = map("held", "front");
    held.metadata.finalizers = Some(vec!["example.com/held".into()]);
    api.create(&PostParams::default(), &held).await.expect("created");
    namespaces.delete(&name, &DeleteParams::default()).await.expect("deleted");
    let answer = api.create(&PostParams::default(), &map("late", "front")).await;
    let Err(kube::Error::Api(status)) = &answer else { panic!("not refused: {answer:?}") };
    let causes = status.details.as_ref().map(|d| d.causes.clone()).unwrap_or_default();
    let expected = StatusCause {
        reason: "NamespaceTerminating".into(),
        message: format!("namespace {name} is being terminated"),
        field: "metadata.namespace".into(),
    };
    assert_eq!(causes, [expected]);
    assert_eq!(refusal(answer), said(403, "Forbidden"));
    let released = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("held", &PatchParams::default(), &released).await.expect("released");
}

/// A watch from a revision on sees what follows, in order, and what enters or leaves its selector.
pub async fn watches_tell_what_the_api_server_tells(stage: &mut Stage) {
    stage.create("apiVersion: v1\nkind: Namespace\nmetadata: {name: NAME}\n").await;
    let api = maps(stage);
    let from = api
        .list(&ListParams::default())
        .await
        .expect("listed")
        .metadata
        .resource_version
        .expect("a revision");
    let relabel = |tier: &str| Patch::Merge(json!({"metadata": {"labels": {"tier": tier}}}));
    api.create(&PostParams::default(), &map("x", "front")).await.expect("created");
    api.create(&PostParams::default(), &map("y", "back")).await.expect("created");
    api.patch("x", &PatchParams::default(), &relabel("back")).await.expect("patched");
    api.patch("y", &PatchParams::default(), &relabel("front")).await.expect("patched");
    api.delete("y", &DeleteParams::default()).await.expect("deleted");
    let params = WatchParams::default().labels("tier=front").timeout(5);
    let stream = api.watch(&params, &from).await.expect("watched");
    let events: Vec<WatchEvent<ConfigMap>> = stream.try_collect().await.expect("events");
    let told: Vec<String> = events
        .iter()
        .filter_map(|event| {
            let (what, map) = match event {
                WatchEvent::Added(map) => ("added", map),
                WatchEvent::Modified(map) => ("modified", map),
                WatchEvent::Deleted(map) => ("deleted", map),
                WatchEvent::Bookmark(_) | WatchEvent::Error(_) => return None,
            };
            Some(format!("{what} {}", map.metadata.name.as_deref().unwrap_or_default()))
        })
        .collect();
    assert_eq!(told, ["added x", "deleted x", "added y", "deleted y"]);
}
