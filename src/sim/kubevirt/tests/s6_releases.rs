//! §6: what differs between releases.

use super::lab::{self, Lab, MOVES, attachments, condition, pass};
use crate::sim::json::json;
use crate::sim::kubevirt::world::Kind;
use crate::sim::kubevirt::{Settings as KubeVirtSettings, Version};

/// What a model answers follows from the KubeVirt object where no version is pinned.
#[tokio::test(start_paused = true)]
async fn the_version_is_read_from_the_installation() {
    let text = "apiVersion: kubevirt.io/v1\nkind: KubeVirt\nmetadata: {name: kubevirt, namespace: kubevirt}\n\
                status: {phase: Deployed, observedKubeVirtVersion: v1.6.2}\n---\napiVersion: v1\nkind: Node\n\
                metadata: {name: n1}\n";
    let cluster = crate::sim::EmbeddedCluster::from_manifests("t", text, crate::sim::Settings::default())
        .expect("loads");
    cluster.start().await;
    let model = super::super::Model::new(cluster.client(), cluster.clock(), KubeVirtSettings::default());
    let path = "/apis/subresources.kubevirt.io/v1";
    let request = http::Request::get(path).body(bytes::Bytes::new()).expect("a request");
    let listed = String::from_utf8(model.serve(request).await.body().to_vec()).expect("text");
    assert!(listed.contains("virtualmachines/migrate") && !listed.contains("evacuate/cancel"), "{listed}");
    assert!(!Version::parse("v1.6.2").cancels_evacuations());
}

/// §6: what older releases do instead.
#[tokio::test(start_paused = true)]
async fn older_releases_guard_guests_by_budgets() {
    let slow = "sim.virtroll.dev/migration-takes: 60s";
    let text = lab::vm("g", "Always", "evictionStrategy: LiveMigrate,", slow);
    let refused = "Cannot evict pod as it would violate the pod's disruption budget.";
    for (version, first, later) in
        [(0, refused, refused), (4, "Eviction triggered evacuation of VMI \"default/g\"", refused)]
    {
        let lab = Lab::new(2, &text, version, "").await;
        let budget = async || lab.list(Kind::Budget).await.first().map(|b| b["spec"]["minAvailable"].clone());
        assert_eq!(budget().await, Some(json!(1)), "1.{version}");
        assert_eq!(lab.evict_vmi("g").await, (429, first.to_owned()), "1.{version}");
        assert_eq!(lab.evict_vmi("g").await, (429, later.to_owned()), "1.{version}");
        pass(20).await;
        assert_eq!(budget().await, Some(json!(2)), "raised while it migrates");
        pass(90).await;
        assert_eq!(
            (budget().await, lab.vmi("g").await["status"]["nodeName"].clone()),
            (Some(json!(1)), json!("n2"))
        );
    }
    let newer = Lab::new(2, &text, 6, "").await;
    assert!(newer.list(Kind::Budget).await.is_empty());
}

/// §6: from 1.6 on budgets of older releases are deleted.
#[tokio::test(start_paused = true)]
async fn budgets_of_older_releases_are_cleared_away() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, ""), 6, "").await;
    let vmi = lab.vmi("g").await;
    let owner = json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": "g", "uid": vmi["metadata"]["uid"],
        "controller": true,
    });
    for name in ["kubevirt-disruption-budget-x", "own"] {
        let budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": name, "namespace": "default", "ownerReferences": [owner]}, "spec": {"minAvailable": 1},
        });
        let budget = serde_json::from_value(budget.into()).expect("an object");
        lab.api(Kind::Budget).create(&Default::default(), &budget).await.expect("created");
    }
    pass(2).await;
    let left = lab.list(Kind::Budget).await;
    assert_eq!((left.len(), &left[0]["metadata"]["name"]), (1, &json!("own")));
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

/// §6: in 1.7 and 1.8 the gate brings priorities and takes the creation cap away; from 1.9 on nobody asks for it.
#[tokio::test(start_paused = true)]
async fn priorities_come_with_their_gate() {
    let slow = "sim.virtroll.dev/migration-takes: 60s";
    let text: String = (1..=4).map(|n| lab::vm(&format!("g{n}"), "Always", MOVES, slow)).collect();
    let gate = "developerConfiguration: {featureGates: [MigrationPriorityQueue]}";
    for (version, configuration, created, priority) in [
        (6, gate, 2, json!(null)),
        (8, "", 2, json!(null)),
        (8, gate, 4, json!("system-critical")),
        (9, "", 4, json!("system-critical")),
    ] {
        let lab = Lab::new(2, &text, version, configuration).await;
        for n in 1..=4 {
            assert_eq!(lab.evict_vmi(&format!("g{n}")).await.0, 429);
        }
        pass(10).await;
        let migrations = lab.list(Kind::Migration).await;
        assert_eq!(migrations.len(), created, "1.{version} {configuration}");
        assert_eq!(migrations[0]["spec"]["priority"], priority, "1.{version} {configuration}");
    }
}

/// §6: before 1.9 no more migrations are created than can run; those left over are looked at again every few seconds, and
/// don't wait for the node's next heartbeat.
#[tokio::test(start_paused = true)]
async fn a_capped_evacuation_goes_on_without_a_heartbeat() {
    let quick = "sim.virtroll.dev/migration-takes: 2s";
    let text: String = (1..=6).map(|n| lab::vm(&format!("g{n}"), "Always", MOVES, quick)).collect();
    let lab = Lab::new(2, &text, 8, "").await;
    for n in 1..=6 {
        assert_eq!(lab.evict_vmi(&format!("g{n}")).await.0, 429);
    }
    pass(1).await;
    assert_eq!(lab.list(Kind::Migration).await.len(), 2, "two from a node");
    // Three batches of about 6 s, each found at most 5 s late.
    let took = lab.until(60, async |lab| {
        lab.list(Kind::Instance).await.iter().all(|v| v["status"]["nodeName"] == "n2")
    });
    assert!((15..=33).contains(&took.await));
}

/// 1.0 to 1.5: a budget for each VMI that an eviction must not stop, owned by it, over its pods, raised while it migrates.
#[tokio::test(start_paused = true)]
async fn budgets_belong_to_their_vmis_up_to_1_5() {
    let text = lab::vm("g", "Always", MOVES, "sim.virtroll.dev/migration-takes: 20s")
        + &lab::vm("plain", "Always", "", "");
    for version in [0, 1, 2, 3, 4, 5, 6, 9] {
        let lab = Lab::new(2, &text, version, "").await;
        let budgets = lab.list(Kind::Budget).await;
        if version > 5 {
            assert!(budgets.is_empty(), "1.{version}");
            continue;
        }
        let vmi = lab.vmi("g").await;
        assert_eq!(budgets.len(), 1, "1.{version}");
        let name = budgets[0]["metadata"]["name"].as_str().expect("a name");
        assert!(name.starts_with("kubevirt-disruption-budget-"), "{name}");
        assert_eq!(budgets[0]["metadata"]["ownerReferences"][0]["uid"], vmi["metadata"]["uid"]);
        let selector = json!({"matchLabels": {"kubevirt.io/created-by": vmi["metadata"]["uid"]}});
        assert_eq!(budgets[0]["spec"], json!({"minAvailable": 1, "selector": selector}));
        lab.migrate("m", "g").await.expect("admitted");
        pass(10).await;
        let raised = lab.get(Kind::Budget, name).await;
        assert_eq!(raised["spec"]["minAvailable"], 2);
        assert_eq!(raised["metadata"]["labels"]["kubevirt.io/migrationName"], "m");
        pass(30).await;
        let lowered = lab.get(Kind::Budget, name).await;
        assert_eq!(lowered["spec"]["minAvailable"], 1);
        assert!(lowered["metadata"]["labels"]["kubevirt.io/migrationName"].is_null());
    }
}

/// What the first and the second eviction of a VMI are told, and one of its target: budgets, then words, then words alone.
#[tokio::test(start_paused = true)]
async fn each_release_has_its_words() {
    let budget = "Cannot evict pod as it would violate the pod's disruption budget.";
    let first = "Eviction triggered evacuation of VMI \"default/g\"";
    let later = format!("Evacuation in progress: {first}");
    let target_words = "Eviction request for target Pod";
    for (version, words) in [
        (0, [budget, budget, budget]),
        (2, [budget, budget, budget]),
        (3, [first, budget, budget]),
        (4, [first, budget, budget]),
        (5, [first, &later, target_words]),
        (6, [first, &later, target_words]),
        (9, [first, &later, target_words]),
    ] {
        let lab =
            Lab::new(2, &lab::vm("g", "Always", MOVES, "sim.virtroll.dev/migration-takes: 60s"), version, "")
                .await;
        for expected in &words[..2] {
            assert_eq!(lab.evict_vmi("g").await, (429, (*expected).to_owned()), "1.{version}");
        }
        assert_eq!(
            lab.vmi("g").await["status"]["evacuationNodeName"],
            "n1",
            "1.{version}: marked all the same"
        );
        pass(15).await;
        // The mark is taken off, so that its target is asked for as such.
        let patch =
            serde_json::from_value(json!([{"op": "remove", "path": "/status/evacuationNodeName"}]).into());
        let patch = kube::api::Patch::Json::<()>(patch.expect("a patch"));
        lab.api(Kind::Instance).patch("g", &Default::default(), &patch).await.expect("patched");
        let target =
            lab.launchers_on("g", "n2").await[0]["metadata"]["name"].as_str().expect("a name").to_owned();
        assert_eq!(lab.evict(&target, false).await, (429, words[2].to_owned()), "1.{version}");
    }
}

/// 1.7: attachment pods are guarded, and the mark shows as a condition and on the pod.
#[tokio::test(start_paused = true)]
async fn marks_show_and_attachments_are_guarded_from_1_7_on() {
    let claim = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: d}\n\
                 spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}\n";
    let disk = "evictionStrategy: External, volumes: [{name: d, persistentVolumeClaim: {claimName: d, hotpluggable: true}}],";
    for (version, guards) in [(6, false), (7, true)] {
        let lab = Lab::new(1, &(claim.to_owned() + &lab::vm("g", "Always", disk, "")), version, "").await;
        let pod = lab.launcher("g").await;
        assert_eq!(lab.evict(&pod, false).await.0, 429);
        pass(1).await;
        assert_eq!(condition(&lab.vmi("g").await, "EvictionRequested") == "True", guards, "1.{version}");
        let annotation = "descheduler.alpha.kubernetes.io/eviction-in-progress";
        assert_eq!(lab.get(Kind::Pod, &pod).await["metadata"]["annotations"][annotation] == "true", guards);
        let attached = attachments(&lab).await[0]["metadata"]["name"].as_str().expect("a name").to_owned();
        assert_eq!(lab.evict(&attached, false).await.0, if guards { 429 } else { 201 }, "1.{version}");
    }
}

/// Up to 1.3 a migration has 800 s for each 10⁹ bytes, then 150.
#[tokio::test(start_paused = true)]
async fn migrations_have_less_time_from_1_4_on() {
    for (version, seconds) in [(0, 800), (3, 800), (4, 150), (9, 150)] {
        let lab =
            Lab::new(2, &lab::vm("g", "Always", "", "sim.virtroll.dev/migration-takes: 60s"), version, "")
                .await;
        lab.migrate("m", "g").await.expect("admitted");
        pass(15).await;
        let state = lab.vmi("g").await["status"]["migrationState"].clone();
        assert_eq!(state["migrationConfiguration"]["completionTimeoutPerGiB"], seconds, "1.{version}");
    }
}

/// Where the cluster names no strategy an eviction shuts the guest down, in each release.
#[tokio::test(start_paused = true)]
async fn no_strategy_is_none() {
    for version in [0, 1, 2, 4, 6, 9] {
        let lab = Lab::new(1, &lab::vm("g", "Manual", "", ""), version, "").await;
        assert_eq!(lab.act("virtualmachines", "g", "start", json!({})).await.0, 202);
        pass(20).await;
        assert_eq!(lab.evict_vmi("g").await.0, 201, "1.{version}");
        pass(20).await;
        assert_eq!(lab.vmi("g").await["status"]["phase"], "Succeeded", "1.{version}");
    }
}

/// The release is the KubeVirt object's to say, also while the cluster runs: budgets go and words change with an upgrade.
#[tokio::test(start_paused = true)]
async fn an_upgrade_changes_the_answers() {
    let settings = KubeVirtSettings { version: None, ..KubeVirtSettings::default() };
    let lab = Lab::with(2, &lab::vm("g", "Always", "evictionStrategy: External,", ""), settings, "").await;
    let release = async |version: &str| {
        lab.patch_status(Kind::KubeVirt, "kubevirt", json!({"observedKubeVirtVersion": version})).await;
        pass(2).await;
    };
    release("v1.4.1").await;
    lab.annotate(Kind::Instance, "g", "seen", "again").await;
    pass(2).await;
    assert_eq!(lab.list(Kind::Budget).await.len(), 1);
    assert_eq!(lab.evict_vmi("g").await.0, 429);
    let words = "Cannot evict pod as it would violate the pod's disruption budget.";
    assert_eq!(lab.evict_vmi("g").await, (429, words.to_owned()));
    release("v1.9.0").await;
    let words = "Evacuation in progress: Eviction triggered evacuation of VMI \"default/g\"";
    assert_eq!(lab.evict_vmi("g").await, (429, words.to_owned()));
    lab.annotate(Kind::Instance, "g", "seen", "and again").await;
    pass(2).await;
    assert!(lab.list(Kind::Budget).await.is_empty());
}
