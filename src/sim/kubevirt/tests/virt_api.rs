//! virt-api: what it answers when things go wrong, and what stands still while it is down (§3, §4.11).

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::lab::{self, Lab, pass};
use crate::sim::kubevirt::{Model, Settings, world::Kind};

const MOVES: &str = "evictionStrategy: LiveMigrate,";

/// A client whose API server answers so: code and body by method and kind.
fn scripted(answer: fn(&str, &str) -> (u16, Value)) -> kube::Client {
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| async move {
        let path = request.uri().path().to_owned();
        let (code, body) = answer(request.method().as_str(), &path);
        let _ = request.into_body().collect().await;
        let body = kube::client::Body::from(body.to_string().into_bytes());
        Ok::<_, std::convert::Infallible>(
            http::Response::builder().status(code).body(body).expect("a response"),
        )
    });
    kube::Client::new(service, "default")
}

async fn eviction(client: kube::Client) -> Value {
    let model =
        Model::new(client, crate::sim::Clock::starting_at(jiff::Timestamp::UNIX_EPOCH), Settings::default());
    let request = json!({
        "uid": "u", "operation": "CREATE", "namespace": "default", "name": "virt-launcher-g", "object": {},
        "resource": {"resource": "pods"},
    });
    model.review(json!({"request": request})).await["response"].clone()
}

fn launcher() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": "n1", "containers": []}, "status": {"phase": "Running"},
        "metadata": {
            "name": "virt-launcher-g", "labels": {"kubevirt.io": "virt-launcher"},
            "annotations": {"kubevirt.io/domain": "g"},
        },
    })
}

fn no_kubevirts() -> (u16, Value) {
    (200, json!({"kind": "KubeVirtList", "apiVersion": "kubevirt.io/v1", "metadata": {}, "items": []}))
}

fn failure(code: u16, message: &str) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}),
    )
}

/// M6 and M7: the VMI can't be read, or not be marked. Neither has a reason or details.
#[tokio::test]
async fn trouble_with_the_vmi_is_said() {
    let unread = scripted(|_, path| match path {
        p if p.ends_with("/virtualmachineinstances/g") => {
            failure(404, "virtualmachineinstances.kubevirt.io \"g\" not found")
        }
        p if p.contains("/pods/") => (200, launcher()),
        _ => no_kubevirts(),
    });
    let words = "kubevirt failed getting the vmi: virtualmachineinstances.kubevirt.io \"g\" not found";
    assert_eq!(eviction(unread).await["status"], json!({"code": 429, "message": words}));
    let unmarked = scripted(|method, path| match path {
        p if p.ends_with("/virtualmachineinstances/g") && method == "PATCH" => failure(500, "etcd is away"),
        p if p.ends_with("/virtualmachineinstances/g") => (
            200,
            json!({
                "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "g", "namespace": "default"},
                "spec": {"evictionStrategy": "LiveMigrate"},
                "status": {"nodeName": "n1", "conditions": [{"type": "LiveMigratable", "status": "True"}]},
            }),
        ),
        p if p.contains("/pods/") => (200, launcher()),
        _ => no_kubevirts(),
    });
    let words = "kubevirt failed marking the vmi for eviction: etcd is away";
    assert_eq!(eviction(unmarked).await["status"], json!({"code": 429, "message": words}));
}

/// §3: fail-closed everywhere: migrations and shutdowns stand still, and go on when virt-api is back.
#[tokio::test(start_paused = true)]
async fn nothing_moves_while_virt_api_is_down() {
    let text = lab::vm("moves", "Always", MOVES, "sim.virtroll.dev/migration-takes: 5s")
        + &lab::vm("stops", "Always", "", "");
    let lab = Lab::new(2, &text, 9, "").await;
    let before = lab.vmi("stops").await["metadata"]["uid"].clone();
    assert_eq!(lab.evict_vmi("moves").await.0, 429);
    assert_eq!(lab.evict_vmi("stops").await.0, 201);
    let runs = |m: &Value| m["status"]["phase"] == "Running";
    lab.until(20, async |lab| lab.list(Kind::Migration).await.first().is_some_and(runs)).await;
    let api: kube::Api<kube::api::DynamicObject> =
        kube::Api::namespaced_with(lab.client.clone(), "kubevirt", &Kind::KubeVirt.resource());
    let say = async |value: Value| {
        let patch = kube::api::Patch::Merge(
            json!({"metadata": {"annotations": {"sim.virtroll.dev/virt-api": value}}}),
        );
        api.patch("kubevirt", &Default::default(), &patch).await.expect("patched");
        pass(1).await;
    };
    say(json!("down")).await;
    let (code, message) = lab.evict_vmi("moves").await;
    let webhook = "virt-launcher-eviction-interceptor.kubevirt.io";
    let words =
        format!("Internal error occurred: failed calling webhook {webhook:?}: failed to call webhook: Post ");
    assert!(code == 500 && message.starts_with(&words), "{message}");
    assert_eq!(lab.act("virtualmachines", "moves", "evacuate/cancel", json!({})).await.0, 503);
    let patch = kube::api::Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let refused = lab.api(Kind::Instance).patch("moves", &Default::default(), &patch).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 500));
    pass(40).await;
    assert_eq!(lab.list(Kind::Migration).await[0]["status"]["phase"], "Running");
    assert_eq!(lab.vmi("stops").await["metadata"]["uid"], before);
    say(Value::Null).await;
    pass(30).await;
    assert_eq!(lab.vmi("moves").await["status"]["nodeName"], "n2");
    let after = lab.vmi("stops").await;
    assert!(after["status"]["phase"] == "Running" && after["metadata"]["uid"] != before, "{after}");
}

/// §6: up to 1.4 the webhook fails open: its budget alone guards a VM, which nobody marks.
#[tokio::test(start_paused = true)]
async fn older_webhooks_fail_open() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, ""), 4, "").await;
    lab.cluster.kubevirt().expect("KubeVirt").set_available(false);
    let words = "Cannot evict pod as it would violate the pod's disruption budget.";
    assert_eq!(lab.evict_vmi("g").await, (429, words.to_owned()));
    assert!(lab.vmi("g").await["status"]["evacuationNodeName"].is_null());
}

/// §4.11: the answers of `evacuate/cancel`.
#[tokio::test(start_paused = true)]
async fn cancelling_an_evacuation_has_its_answers() {
    let slow = "sim.virtroll.dev/migration-takes: 60s";
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, slow), 9, "").await;
    let cancel = async |body: Value| lab.act("virtualmachines", "g", "evacuate/cancel", body).await;
    assert_eq!(cancel(json!({"evacuationNodeName": "n1"})).await, (200, String::new()), "unmarked");
    assert_eq!(cancel(Value::Null).await.0, 200);
    assert_eq!(lab.act("virtualmachines", "g", "evacuate-cancel", json!({})).await.0, 404);
    assert_eq!(lab.evict_vmi("g").await.0, 429);
    let refused = "Internal error occurred: the server rejected our request due to an error in our request";
    for body in [Value::Null, json!({}), json!({"evacuationNodeName": "n2"})] {
        assert_eq!(cancel(body).await, (500, refused.to_owned()));
    }
    assert_eq!(lab.vmi("g").await["status"]["evacuationNodeName"], "n1");
    assert_eq!(cancel(json!({"evacuationNodeName": "n1"})).await.0, 200);
    assert!(lab.vmi("g").await["status"]["evacuationNodeName"].is_null());
}
