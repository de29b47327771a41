//! What differs between releases, and what virt-api refuses.

use serde_json::json;

use super::super::{Settings as KubeVirtSettings, Version};
use super::lab::{self, Lab, pass};
use crate::sim::kubevirt::world::Kind;

const SLOW: &str = "sim.virtroll.dev/migration-takes: 60s";
const MOVES: &str = "evictionStrategy: LiveMigrate,";

/// §1: the end of an evacuation can be asked for from 1.7 on.
#[tokio::test(start_paused = true)]
async fn evacuations_are_cancelled_from_1_7_on() {
    for (version, code) in [(6, 404), (7, 200)] {
        let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, SLOW), version, "").await;
        assert_eq!(lab.evict_vmi("g").await.0, 429);
        for kind in ["virtualmachines", "virtualmachineinstances"] {
            let body = json!({"evacuationNodeName": "n1"});
            assert_eq!(lab.act(kind, "g", "evacuate/cancel", body).await.0, code, "1.{version} {kind}");
        }
        assert_eq!(lab.vmi("g").await["status"]["evacuationNodeName"].is_string(), code == 404);
    }
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

/// §4.3: a user may not set a priority.
#[tokio::test(start_paused = true)]
async fn priorities_are_kubevirts_own_to_set() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, SLOW), 9, "").await;
    let migration = json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration",
        "metadata": {"name": "m", "namespace": "default"}, "spec": {"vmiName": "g", "priority": "system-critical"},
    });
    let object = serde_json::from_value(migration.clone()).expect("an object");
    match lab.api(Kind::Migration).create(&Default::default(), &object).await {
        Err(kube::Error::Api(status)) => assert_eq!((status.code, status.reason.as_str()), (422, "Invalid")),
        other => panic!("{other:?}"),
    }
    let model = lab.cluster.kubevirt().expect("KubeVirt");
    let request = json!({
        "uid": "u", "operation": "CREATE", "namespace": "default", "object": migration,
        "resource": {"resource": "virtualmachineinstancemigrations"},
    });
    let answer = model.review(json!({"request": request})).await;
    assert_eq!(answer["response"]["status"]["details"]["causes"][0]["field"], "spec.migrationPriority");
    // Its own carry one.
    assert_eq!(lab.evict_vmi("g").await.0, 429);
    pass(2).await;
    assert_eq!(lab.list(Kind::Migration).await[0]["spec"]["priority"], "system-critical");
}

/// §5.4: an unfinished migration is found whether virt-controller has labelled it yet or not; finished ones don't count.
#[tokio::test(start_paused = true)]
async fn one_migration_at_a_time() {
    let text = lab::vm("g", "Always", MOVES, "") + &lab::vm("h", "Always", MOVES, "");
    let lab = Lab::new(2, &text, 9, "").await;
    lab.migrate("first", "g").await.expect("admitted");
    lab.migrate("others", "h").await.expect("another VMI's");
    let words = "in-flight migration detected. Active migration job (first) is currently already in progress for VMI g.";
    for waits in [0, 3] {
        pass(waits).await;
        let (code, message) = lab.migrate("second", "g").await.expect_err("one is unfinished");
        assert!(code == 400 && message.ends_with(words), "{message}");
        assert_eq!(lab.act("virtualmachines", "g", "migrate", json!({})).await.0, 500);
    }
    pass(30).await;
    lab.migrate("second", "g").await.expect("the first is over");
    let (code, message) = lab.migrate("x", "nobody").await.expect_err("no such VMI");
    assert!(code == 400 && message.ends_with("the VMI \"default/nobody\" does not exist"), "{message}");
}

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
        let budget = serde_json::from_value(budget).expect("an object");
        lab.api(Kind::Budget).create(&Default::default(), &budget).await.expect("created");
    }
    pass(2).await;
    let left = lab.list(Kind::Budget).await;
    assert_eq!((left.len(), &left[0]["metadata"]["name"]), (1, &json!("own")));
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

/// §1: `migrate` is answered 202 and makes a migration by its own name.
#[tokio::test(start_paused = true)]
async fn migrate_makes_a_migration() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, SLOW), 9, "").await;
    assert_eq!(lab.act("virtualmachines", "g", "migrate", json!({})).await, (202, String::new()));
    let name = lab.list(Kind::Migration).await[0]["metadata"]["name"].clone();
    assert!(name.as_str().is_some_and(|n| n.starts_with("kubevirt-migrate-vm-")), "{name}");
}
