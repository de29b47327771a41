//! §3: the pod-eviction webhook: its decisions, its words, and what stands still while it is down.

use http_body_util::BodyExt;

use super::lab::{self, Lab, MOVES, SLOW, pass};
use crate::sim::json::{Value, json};
use crate::sim::kubevirt::world::Kind;
use crate::sim::kubevirt::{Model, Settings, Version, webhook_configuration};

/// A client whose API server answers so: code and body by method and kind.
fn scripted(answer: impl Fn(&str, &str) -> (u16, Value) + Send + 'static) -> kube::Client {
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (code, body) = answer(request.method().as_str(), request.uri().path());
        async move {
            let _ = request.into_body().collect().await;
            let body = kube::client::Body::from(body.to_string().into_bytes());
            let response = http::Response::builder().status(code).body(body);
            Ok::<_, std::convert::Infallible>(response.expect("a response"))
        }
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

/// §3: the webhook's decisions in their order, in its words.
#[tokio::test(start_paused = true)]
async fn the_webhook_answers_in_kubevirts_words() {
    let text = [
        lab::vm("moves", "Always", "evictionStrategy: LiveMigrate,", "sim.virtroll.dev/migration-takes: 60s"),
        lab::vm("stuck", "Always", "evictionStrategy: LiveMigrate,", "").replace("masquerade", "bridge"),
        lab::vm("outside", "Always", "evictionStrategy: External,", ""),
    ];
    let lab = Lab::new(2, &text.concat(), 9, "").await;
    let source = lab.launchers("moves").await[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let evacuates = |name: &str| format!("Eviction triggered evacuation of VMI \"default/{name}\"");
    // A dry run answers the same and marks nothing.
    assert_eq!(lab.evict(&source, true).await, (429, evacuates("moves")));
    assert!(lab.vmi("moves").await["status"]["evacuationNodeName"].is_null());
    assert_eq!(lab.evict(&source, false).await, (429, evacuates("moves")));
    assert_eq!(lab.vmi("moves").await["status"]["evacuationNodeName"], "n1");
    assert_eq!(
        lab.evict(&source, false).await,
        (429, format!("Evacuation in progress: {}", evacuates("moves")))
    );
    let stuck = "VMI stuck is configured with an eviction strategy but is not live-migratable";
    assert_eq!(lab.evict_vmi("stuck").await, (429, stuck.to_owned()));
    assert_eq!(lab.evict_vmi("outside").await, (429, evacuates("outside")));
    pass(10).await;
    assert!(
        lab.list(Kind::Migration).await.iter().all(|m| m["spec"]["vmiName"] == "moves"),
        "External is left alone"
    );
    // The mark is on n1; the target pod is another's.
    lab.act("virtualmachineinstances", "moves", "evacuate/cancel", json!({"evacuationNodeName": "n1"})).await;
    let pods = lab.launchers("moves").await;
    let target = pods.iter().find(|p| p["metadata"]["name"] != source.as_str()).expect("a target");
    let target = target["metadata"]["name"].as_str().expect("a name");
    assert_eq!(lab.evict(target, false).await, (429, "Eviction request for target Pod".to_owned()));
    pass(120).await;
    assert_eq!(lab.vmi("moves").await["status"]["nodeName"], "n2");
}

/// §3: what an eviction does under each strategy: to a guest that can move, one that can't, and one that is booting.
#[tokio::test(start_paused = true)]
async fn strategies_answer_evictions() {
    let slow = "sim.virtroll.dev/boots-after: 300s";
    let strategies = ["None", "LiveMigrate", "LiveMigrateIfPossible", "External"];
    let mut text = String::new();
    for strategy in strategies {
        let more = format!("evictionStrategy: {strategy},");
        let name = strategy.to_lowercase();
        text += &lab::vm(&format!("{name}-moves"), "Always", &more, SLOW);
        text += &lab::vm(&format!("{name}-stuck"), "Always", &more, SLOW).replace("masquerade", "bridge");
        text += &lab::vm(&format!("{name}-boots"), "Always", &more, slow);
    }
    let lab = Lab::new(2, &text, 9, "").await;
    for (strategy, codes) in
        strategies.iter().zip([[201, 201, 201], [429, 429, 429], [429, 201, 201], [429, 429, 429]])
    {
        for (state, code) in ["moves", "stuck", "boots"].iter().zip(codes) {
            let name = format!("{}-{state}", strategy.to_lowercase());
            let (got, message) = lab.evict(&lab.launcher(&name).await, true).await;
            assert_eq!(got, code, "{name}: {message}");
            let blocked =
                message.ends_with("is configured with an eviction strategy but is not live-migratable");
            assert_eq!(blocked, *strategy == "LiveMigrate" && *state != "moves", "{name}: {message}");
        }
    }
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

#[tokio::test(start_paused = true)]
async fn with_virt_api_down_launchers_stay_and_others_go() {
    let text = lab::vm("plain", "Always", "", "")
        + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: other}\nspec: {containers: [{name: c, image: c}]}\n";
    let lab = Lab::new(2, &text, 9, "").await;
    let model = lab.cluster.kubevirt().expect("KubeVirt").clone();
    model.set_available(false);
    let (code, message) = lab.evict_vmi("plain").await;
    let words =
        "failed calling webhook \"virt-launcher-eviction-interceptor.kubevirt.io\": failed to call webhook: ";
    assert!(
        code == 500 && message.starts_with(&format!("Internal error occurred: {words}")),
        "{code} {message}"
    );
    assert_eq!(lab.act("virtualmachines", "plain", "restart", json!({})).await.0, 503);
    assert_eq!(lab.evict("other", false).await.0, 201);
    let refused = lab.migrate("m", "plain").await.expect_err("fail-closed");
    assert_eq!(refused.0, 500);
    model.set_available(true);
    assert_eq!(lab.evict_vmi("plain").await.0, 201);
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

/// §3: a dry run that only `deleteOptions` states marks the VMI for real before 1.4; one in the query never does.
#[tokio::test(start_paused = true)]
async fn older_webhooks_miss_a_dry_run_in_the_options() {
    for (version, marks) in [(3, true), (4, false), (9, false)] {
        let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, SLOW), version, "").await;
        let pod = lab.launcher("g").await;
        let marked = async |lab: &Lab| lab.vmi("g").await["status"]["evacuationNodeName"].is_string();
        assert_eq!(lab.evict(&pod, true).await.0, 429);
        assert!(!marked(&lab).await, "1.{version}");
        assert_eq!(lab.evict_with(&pod, json!({"dryRun": ["All"]})).await, 429);
        assert_eq!(marked(&lab).await, marks, "1.{version}");
    }
}

fn hotplug(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": "n1", "containers": []}, "status": {"phase": "Running"},
        "metadata": {
            "name": name, "labels": {"kubevirt.io": "hotplug-disk"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "owner", "uid": "o", "controller": true}],
        },
    })
}

/// Decisions 1, 2, 3 and 5: what isn't a running guest's is let go.
#[tokio::test]
async fn pods_without_a_running_guest_are_let_go() {
    let with = |change: fn(&mut Value)| {
        let mut pod = launcher();
        change(&mut pod);
        (200, pod)
    };
    let gone = || failure(404, "not found");
    let vmi = || {
        (
            200,
            json!({"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "g"}}),
        )
    };
    // The pod that is evicted, the pod that owns it, its VMI; and whether the eviction is let through.
    for (what, pod, owner, vmi, allowed) in [
        ("no such pod", gone(), gone(), vmi(), true),
        (
            "not a launcher",
            with(|p| p["metadata"]["labels"]["kubevirt.io"] = json!("x")),
            gone(),
            vmi(),
            true,
        ),
        ("ended", with(|p| p["status"]["phase"] = json!("Succeeded")), gone(), vmi(), true),
        ("failed", with(|p| p["status"]["phase"] = json!("Failed")), gone(), vmi(), true),
        ("no domain", with(|p| p["metadata"]["annotations"] = json!({})), gone(), vmi(), true),
        ("no strategy", with(|_| ()), gone(), vmi(), true),
        ("no VMI", with(|_| ()), gone(), gone(), false),
        ("attached, owner gone", (200, hotplug("virt-launcher-g")), gone(), vmi(), true),
        (
            "attached, owner no launcher",
            (200, hotplug("virt-launcher-g")),
            with(|p| p["metadata"]["labels"] = json!({})),
            vmi(),
            true,
        ),
        (
            "attached, owner ended",
            (200, hotplug("virt-launcher-g")),
            with(|p| p["status"]["phase"] = json!("Succeeded")),
            vmi(),
            true,
        ),
        ("attached, VMI gone", (200, hotplug("virt-launcher-g")), with(|_| ()), gone(), true),
        ("attached", (200, hotplug("virt-launcher-g")), with(|_| ()), vmi(), false),
    ] {
        let client = scripted(move |_, path| match path {
            p if p.ends_with("/virtualmachineinstances/g") => vmi.clone(),
            p if p.ends_with("/pods/owner") => owner.clone(),
            p if p.contains("/pods/") => pod.clone(),
            _ => no_kubevirts(),
        });
        assert_eq!(eviction(client).await["allowed"], allowed, "{what}");
    }
}

/// Decision 8 comes before 9: of a marked VMI the target pod gets the same answer as the source.
#[tokio::test(start_paused = true)]
async fn a_marked_vmi_answers_for_its_target_too() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, SLOW), 9, "").await;
    assert_eq!(lab.evict_vmi("g").await.0, 429);
    pass(15).await;
    let target =
        lab.launchers_on("g", "n2").await[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let words = "Evacuation in progress: Eviction triggered evacuation of VMI \"default/g\"";
    assert_eq!(lab.evict(&target, false).await, (429, words.to_owned()));
}

/// A webhook's 429 has no reason and no details; that of a budget has both.
#[tokio::test(start_paused = true)]
async fn a_denial_is_told_from_a_budgets_refusal() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, SLOW), 4, "").await;
    let pod = lab.launcher("g").await;
    let denied = lab.refusal(&pod, json!({"name": pod}), false).await.expect("denied");
    let words = "admission webhook \"virt-launcher-eviction-interceptor.kubevirt.io\" denied the request: \
                 Eviction triggered evacuation of VMI \"default/g\"";
    assert_eq!((denied.code, denied.message.as_str(), denied.reason.as_str()), (429, words, ""));
    assert!(denied.details.is_none());
    let refused = lab.refusal(&pod, json!({"name": pod}), false).await.expect("refused");
    assert_eq!((refused.code, refused.reason.as_str()), (429, "TooManyRequests"));
    assert_eq!(refused.details.expect("details").causes[0].reason, "DisruptionBudget");
}

/// Who owns them doesn't matter: while virt-api is down, pods of those two names stay, and no others.
#[tokio::test(start_paused = true)]
async fn names_decide_which_pods_stay_while_virt_api_is_down() {
    let plain = |name: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, image: c}}]}}\n"
        )
    };
    let text = plain("virt-launcher-not")
        + &plain("hp-volume-not")
        + &plain("other")
        + &lab::vm("g", "Halted", "", "");
    // From 1.5 launchers, from 1.7 attachments; before, the webhook is asked about all and nobody waits for its answer.
    for (version, codes) in [(9, [500, 500, 201]), (6, [500, 201, 201]), (4, [201, 201, 201])] {
        let lab = Lab::new(1, &text, version, "").await;
        lab.cluster.kubevirt().expect("KubeVirt").set_available(false);
        for (pod, code) in ["virt-launcher-not", "hp-volume-not", "other"].iter().zip(codes) {
            let refused = lab.refusal(pod, json!({"name": pod}), false).await;
            assert_eq!(refused.as_ref().map_or(201, |r| r.code), code, "1.{version} {pod}");
            let Some(refused) = refused else { continue };
            assert_eq!(refused.reason, "InternalError");
            let cause = refused.message.strip_prefix("Internal error occurred: ").expect("so it begins");
            assert_eq!(refused.details.expect("details").causes[0].message, cause);
        }
    }
}

/// The status passes the webhooks, too.
#[tokio::test(start_paused = true)]
async fn no_status_is_written_while_virt_api_is_down() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, SLOW), 9, "").await;
    lab.migrate("m", "g").await.expect("admitted");
    pass(2).await;
    lab.cluster.kubevirt().expect("KubeVirt").set_available(false);
    for (kind, name) in [(Kind::Vm, "g"), (Kind::Migration, "m")] {
        let patch = kube::api::Patch::Merge(json!({"status": {"x": 1}}));
        let refused = lab.api(kind).patch_status(name, &Default::default(), &patch).await;
        assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 500), "{kind:?}");
    }
    // Nodes and pods are nobody's but Kubernetes' own.
    lab.patch(Kind::Node, "n1", json!({"metadata": {"labels": {"a": "b"}}})).await;
}

/// What a real API server is told of the webhooks.
#[test]
fn a_real_api_server_is_told_of_the_webhooks() {
    let of = |version: u32| Value::from(webhook_configuration("https://h:1", "ca", Version::minor(version)));
    let named = |all: &Value, name: &str| {
        let found = all["webhooks"].as_array().expect("webhooks").iter().find(|w| w["name"] == name);
        found.cloned().unwrap_or_default()
    };
    let (launchers, attachments) =
        ("virt-launcher-eviction-interceptor.kubevirt.io", "hotplug-pod-eviction-interceptor.kubevirt.io");
    for (version, policy, filtered, guards) in [
        (0, "Ignore", false, false),
        (4, "Ignore", false, false),
        (5, "Fail", true, false),
        (6, "Fail", true, false),
        (7, "Fail", true, true),
        (9, "Fail", true, true),
    ] {
        let all = of(version);
        let webhook = named(&all, launchers);
        assert_eq!(webhook["failurePolicy"], policy, "1.{version}");
        assert_eq!(
            (&webhook["timeoutSeconds"], &webhook["sideEffects"]),
            (&json!(10), &json!("NoneOnDryRun"))
        );
        assert_eq!(webhook["clientConfig"]["url"], "https://h:1/pod-eviction-validate");
        let rule = &webhook["rules"][0];
        assert_eq!((&rule["operations"], &rule["resources"]), (&json!(["*"]), &json!(["pods/eviction"])));
        let expression = "object.metadata.name.startsWith(\"virt-launcher\")";
        let filter = &webhook["matchConditions"][0]["expression"];
        assert_eq!(filter.as_str(), filtered.then_some(expression), "1.{version}");
        let guard = named(&all, attachments);
        let expression = "object.metadata.name.startsWith(\"hp-volume-\")";
        assert_eq!(
            guard["matchConditions"][0]["expression"].as_str(),
            guards.then_some(expression),
            "1.{version}"
        );
        for plural in ["virtualmachines", "virtualmachineinstances", "virtualmachineinstancemigrations"] {
            let covers = |operation: &str| {
                all["webhooks"].as_array().expect("webhooks").iter().any(|w| {
                    let rule = &w["rules"][0];
                    let lists =
                        |list: &Value, item: &str| list.as_array().is_some_and(|l| l.contains(&json!(item)));
                    w["failurePolicy"] == "Fail"
                        && lists(&rule["resources"], plural)
                        && lists(&rule["operations"], operation)
                })
            };
            assert!(covers("CREATE") && covers("UPDATE"), "1.{version} {plural}");
        }
    }
}
