//! §5.2: what becomes of VirtualMachines, replica sets and bare instances when a guest ends, and what the actions do.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::{DynamicObject, WatchEvent, WatchParams};

use super::lab::{self, Lab, pass};
use crate::sim::json::{Value, json};
use crate::sim::kubevirt::world::Kind;

async fn printable(lab: &Lab, name: &str) -> Value {
    lab.get(Kind::Vm, name).await["status"]["printableStatus"].clone()
}

/// §5.2: evicted guests that obey and guests that crash, under each run strategy.
#[tokio::test(start_paused = true)]
async fn run_strategies_decide_what_follows_an_eviction() {
    let guests = [("", "obeys"), ("sim.virtroll.dev/guest-shutdown: crash", "crashes")];
    let mut text = String::new();
    for strategy in ["Always", "RerunOnFailure", "Manual", "Once"] {
        for (annotation, suffix) in guests {
            text.push_str(&lab::vm(
                &format!("{}-{suffix}", strategy.to_lowercase()),
                strategy,
                "",
                annotation,
            ));
        }
    }
    let lab = Lab::new(2, &text, 9, "").await;
    for suffix in ["obeys", "crashes"] {
        assert_eq!(lab.act("virtualmachines", &format!("manual-{suffix}"), "start", json!({})).await.0, 202);
    }
    pass(30).await;
    for (name, again, phase) in [
        ("always-obeys", true, "Running"),
        ("always-crashes", true, "Running"),
        ("rerunonfailure-obeys", false, ""),
        ("rerunonfailure-crashes", true, "Running"),
        ("manual-obeys", false, "Succeeded"),
        ("manual-crashes", false, "Failed"),
        ("once-obeys", false, "Succeeded"),
        ("once-crashes", false, "Failed"),
    ] {
        let before = lab.vmi(name).await;
        assert_eq!(before["status"]["phase"], "Running", "{name}");
        assert_eq!(lab.evict_vmi(name).await, (201, String::new()), "{name}");
        pass(60).await;
        let after = lab.vmi(name).await;
        assert_eq!(after["status"]["phase"].as_str().unwrap_or_default(), phase, "{name}");
        let reborn = after["metadata"]["uid"] != before["metadata"]["uid"] && !after.is_null();
        assert_eq!(reborn, again, "{name}");
    }
    let once = lab.vmi("once-obeys").await;
    lab.api(Kind::Instance).delete("once-obeys", &Default::default()).await.expect("deleted");
    pass(60).await;
    let another = lab.vmi("once-obeys").await;
    assert!(another["status"]["phase"] == "Running" && another["metadata"]["uid"] != once["metadata"]["uid"]);
}

/// §5.2: an evicted VM passes through `Stopped` without being stopped, and isn't ready until it runs again.
#[tokio::test(start_paused = true)]
async fn a_passing_stopped_does_not_mean_stopped() {
    let lab = Lab::new(2, &lab::vm("g", "Always", "", ""), 9, "").await;
    assert_eq!(lab.get(Kind::Vm, "g").await["status"]["ready"], true);
    assert_eq!(lab.evict_vmi("g").await.0, 201);
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..400 {
        let status = lab.get(Kind::Vm, "g").await["status"].clone();
        let now = status["printableStatus"].as_str().expect("a status").to_owned();
        if seen.last() != Some(&now) {
            seen.push(now.clone());
        }
        if now != "Running" {
            assert!(status["ready"].is_null(), "{status}");
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(seen, ["Running", "Stopped", "Starting", "Running"]);
}

/// §5.2: a VMI that is deleted behind its VM's back comes back under Always and Once only.
#[tokio::test(start_paused = true)]
async fn deleted_instances_come_back_under_always_and_once() {
    let strategies = ["Always", "Once", "RerunOnFailure", "Manual"];
    let text: String = strategies.iter().map(|s| lab::vm(&s.to_lowercase(), s, "", "")).collect();
    let lab = Lab::new(1, &text, 9, "").await;
    assert_eq!(lab.act("virtualmachines", "manual", "start", json!({})).await.0, 202);
    pass(30).await;
    for (name, again) in [("always", true), ("once", true), ("rerunonfailure", false), ("manual", false)] {
        assert_eq!(lab.vmi(name).await["status"]["phase"], "Running", "{name}");
        lab.delete(Kind::Instance, name).await;
        pass(60).await;
        assert_eq!(!lab.vmi(name).await.is_null(), again, "{name}");
    }
    assert_eq!(printable(&lab, "manual").await, "Stopped");
}

/// §5.2: what `stop`, `start` and `restart` write, and what they refuse.
#[tokio::test(start_paused = true)]
async fn actions_write_what_kubevirt_writes() {
    let plain = lab::vm("plain", "Always", "", "").replace("runStrategy: Always", "running: true");
    let text = [
        plain,
        lab::vm("once", "Once", "", ""),
        lab::vm("rerun", "RerunOnFailure", "", ""),
        lab::vm("halted", "Halted", "", ""),
    ];
    let lab = Lab::new(1, &text.concat(), 9, "").await;
    let act = async |name: &str, action: &str| lab.act("virtualmachines", name, action, json!({})).await;
    let refusal = "RunStategy Halted does not support manual restart requests";
    assert_eq!(act("halted", "restart").await, (409, refusal.to_owned()));
    assert_eq!(act("halted", "stop").await, (409, "VM is not running".to_owned()));
    let before = lab.vmi("rerun").await;
    assert_eq!(act("rerun", "restart").await, (202, String::new()));
    pass(40).await;
    let after = lab.vmi("rerun").await;
    assert!(after["status"]["phase"] == "Running" && after["metadata"]["uid"] != before["metadata"]["uid"]);
    for name in ["plain", "once", "rerun"] {
        assert_eq!(act(name, "stop").await.0, 202, "{name}");
    }
    let requests = lab.get(Kind::Vm, "rerun").await["status"]["stateChangeRequests"].clone();
    assert_eq!(requests, json!([{"action": "Stop", "uid": after["metadata"]["uid"]}]));
    pass(40).await;
    for (name, field, stopped, started) in [
        ("plain", "running", json!(false), json!(true)),
        ("once", "runStrategy", json!("Halted"), json!("Always")),
        ("rerun", "runStrategy", json!("RerunOnFailure"), json!("RerunOnFailure")),
    ] {
        assert_eq!(lab.get(Kind::Vm, name).await["spec"][field], stopped, "{name}");
        assert!(lab.vmi(name).await.is_null(), "{name}");
        assert_eq!(act(name, "stop").await, (409, "VM is not running".to_owned()));
        assert_eq!(act(name, "start").await.0, 202, "{name}");
        pass(30).await;
        assert_eq!(lab.get(Kind::Vm, name).await["spec"][field], started, "{name}");
        assert_eq!(lab.vmi(name).await["status"]["phase"], "Running", "{name}");
    }
    // A VMI that is there is deleted when its VM is halted.
    lab.patch(Kind::Vm, "once", json!({"spec": {"runStrategy": "Halted"}})).await;
    pass(30).await;
    assert!(lab.vmi("once").await.is_null());
}

/// §5.2: what the actions do to run strategies, and what they refuse.
#[tokio::test(start_paused = true)]
async fn actions_change_run_strategies_as_kubevirt_does() {
    let text = [
        lab::vm("halted", "Halted", "", ""),
        lab::vm("once", "Once", "", ""),
        lab::vm("manual", "Manual", "", ""),
        lab::vm("always", "Always", "", ""),
    ];
    let lab = Lab::new(1, &text.concat(), 9, "").await;
    let act = async |name: &str, action: &str| lab.act("virtualmachines", name, action, json!({})).await;
    let strategy = async |name: &str| lab.get(Kind::Vm, name).await["spec"]["runStrategy"].clone();
    let refusal = "RunStategy Once does not support manual restart requests";
    assert_eq!(act("once", "restart").await, (409, refusal.to_owned()));
    assert_eq!(act("manual", "stop").await, (409, "VM is not running".to_owned()));
    assert_eq!(act("halted", "start").await.0, 202);
    assert_eq!(strategy("halted").await, "Always");
    assert_eq!(act("manual", "start").await.0, 202);
    let before = lab.vmi("always").await;
    assert_eq!(act("always", "restart").await.0, 202);
    pass(60).await;
    assert_eq!(lab.vmi("halted").await["status"]["phase"], "Running");
    assert_eq!(lab.vmi("manual").await["status"]["phase"], "Running");
    let after = lab.vmi("always").await;
    assert!(after["metadata"]["uid"] != before["metadata"]["uid"] && after["status"]["phase"] == "Running");
    assert_eq!((strategy("always").await, strategy("manual").await), (json!("Always"), json!("Manual")));
    for name in ["once", "manual"] {
        assert_eq!(act(name, "stop").await.0, 202, "{name}");
    }
    pass(60).await;
    assert_eq!((strategy("once").await, strategy("manual").await), (json!("Halted"), json!("Manual")));
    assert!(lab.vmi("once").await.is_null() && lab.vmi("manual").await.is_null());
}

/// §5.2: grace expired with ACPI is `Failed`, destroyed without ACPI is `Succeeded`.
#[tokio::test(start_paused = true)]
async fn how_a_guest_ends_decides_its_phase() {
    let deaf = "sim.virtroll.dev/guest-shutdown: never";
    let grace = "terminationGracePeriodSeconds: 15,";
    let text = lab::vm("deaf", "Once", grace, deaf)
        + &lab::vm("no-acpi", "Once", grace, deaf)
            .replace("domain: {", "domain: {features: {acpi: {enabled: false}}, ");
    let lab = Lab::new(1, &text, 9, "").await;
    for (name, phase, at_most) in [("deaf", "Failed", 16), ("no-acpi", "Succeeded", 1)] {
        assert_eq!(lab.evict_vmi(name).await.0, 201);
        let took = lab.until(30, async |lab| lab.vmi(name).await["status"]["phase"] != "Running").await;
        assert_eq!(lab.vmi(name).await["status"]["phase"], phase);
        assert!((at_most - 1..=at_most).contains(&took), "{name}: {took} s");
    }
}

/// §5.2: an eviction during boot ends a VMI that never ran, and the next start waits: 10·n² s and up to half of that more.
#[tokio::test(start_paused = true)]
async fn an_eviction_before_the_boot_ends_the_launcher_at_once() {
    let slow = "sim.virtroll.dev/starts-after: 300s";
    let lab = Lab::new(1, &lab::vm("g", "Always", "", slow), 9, "").await;
    let before = lab.vmi("g").await;
    assert_eq!(before["status"]["phase"], "Scheduling");
    for (failures, least, most) in
        [(1, 10, 15), (2, 40, 60), (3, 90, 135), (4, 160, 240), (5, 250, 300), (6, 300, 300)]
    {
        let pod = lab.launcher("g").await;
        assert_eq!(lab.evict(&pod, false).await.0, 201);
        pass(3).await;
        assert!(lab.get(Kind::Pod, &pod).await.is_null());
        let vm = lab.get(Kind::Vm, "g").await["status"].clone();
        assert_eq!(vm["printableStatus"], "CrashLoopBackOff");
        assert_eq!(vm["startFailure"]["consecutiveFailCount"], failures);
        let waited = 3 + lab.until(310, async |lab| !lab.launchers("g").await.is_empty()).await;
        assert!((least..=most + 2).contains(&waited), "{failures}: {waited} s");
    }
}

/// §5.2: a replica set replaces a VMI as soon as its pod is told to stop, and deletes the old one, still shutting down.
#[tokio::test(start_paused = true)]
async fn a_replica_set_does_not_wait_for_the_shutdown() {
    let text = "---\napiVersion: kubevirt.io/v1\nkind: VirtualMachineInstanceReplicaSet\nmetadata: {name: r}\n\
                spec: {replicas: 2, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}, annotations: \
                {sim.virtroll.dev/guest-shutdown: 20s}}, spec: {domain: {memory: {guest: 1Gi}}}}}\n";
    let lab = Lab::new(2, text, 9, "").await;
    let old = lab.list(Kind::Instance).await[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    assert_eq!(lab.evict_vmi(&old).await.0, 201);
    pass(2).await;
    let vmis = lab.list(Kind::Instance).await;
    assert_eq!(vmis.len(), 3, "two, and the one that is going");
    let going = vmis.iter().find(|v| v["metadata"]["name"] == old.as_str()).expect("still there");
    assert!(going["metadata"]["deletionTimestamp"].is_string() && going["status"]["phase"] == "Running");
    assert_eq!(lab.events("SuccessfulDelete").await, [format!("Deleted finished virtual machine {old}")]);
    let set = lab.get(Kind::ReplicaSet, "r").await["status"].clone();
    assert_eq!((&set["replicas"], &set["readyReplicas"]), (&json!(2), &json!(1)));
    pass(30).await;
    assert_eq!(lab.list(Kind::Instance).await.len(), 2);
    // Paused, it leaves things as they are.
    lab.patch(Kind::ReplicaSet, "r", json!({"spec": {"paused": true}})).await;
    let next = lab.list(Kind::Instance).await[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    assert_eq!(lab.evict_vmi(&next).await.0, 201);
    pass(60).await;
    assert_eq!(lab.vmi(&next).await["status"]["phase"], "Succeeded");
}

/// §5.2: a bare VMI stays, final and without finalizers.
#[tokio::test(start_paused = true)]
async fn a_bare_instance_stays_when_it_is_over() {
    let text = "---\napiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\nmetadata: {name: bare}\n\
                spec: {domain: {memory: {guest: 1Gi}}}\n";
    let lab = Lab::new(2, text, 9, "").await;
    let finalizers = json!(["kubevirt.io/foregroundDeleteVirtualMachine"]);
    assert_eq!(lab.vmi("bare").await["metadata"]["finalizers"], finalizers);
    assert_eq!(lab.evict_vmi("bare").await.0, 201);
    pass(60).await;
    let bare = lab.vmi("bare").await;
    assert_eq!(bare["status"]["phase"], "Succeeded");
    assert!(bare["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty));
}

/// A VM that finds no place says so, and is not ready.
#[tokio::test(start_paused = true)]
async fn a_vm_without_a_place_says_so() {
    let lab = Lab::new(1, &lab::vm("g", "Always", "nodeSelector: {nobody: here},", ""), 9, "").await;
    assert_eq!(printable(&lab, "g").await, "ErrorUnschedulable");
    let status = lab.get(Kind::Vm, "g").await["status"].clone();
    assert!(status["ready"].is_null() && status["created"] == true, "{status}");
    lab.patch(Kind::Node, "n1", json!({"metadata": {"labels": {"nobody": "here"}}})).await;
    pass(30).await;
    assert_eq!(printable(&lab, "g").await, "Running");
}

/// What `printableStatus` says of a VM on its way down, away and gone.
#[tokio::test(start_paused = true)]
async fn a_vm_says_what_it_is_doing() {
    let text = lab::vm("moves", "Always", "", "sim.virtroll.dev/migration-takes: 30s")
        + &lab::vm("stops", "Always", "", "sim.virtroll.dev/guest-shutdown: 10s")
        + &lab::vm("goes", "Always", "", "sim.virtroll.dev/guest-shutdown: 10s")
        + &lab::vm("halted", "Halted", "", "");
    let lab = Lab::new(2, &text, 9, "").await;
    lab.migrate("m", "moves").await.expect("admitted");
    assert_eq!(lab.act("virtualmachines", "stops", "stop", json!({})).await.0, 202);
    lab.delete(Kind::Vm, "goes").await;
    pass(8).await;
    for (name, expected) in
        [("moves", "Migrating"), ("stops", "Stopping"), ("goes", "Terminating"), ("halted", "Stopped")]
    {
        assert_eq!(printable(&lab, name).await, expected, "{name}");
    }
    pass(60).await;
    assert_eq!(
        (printable(&lab, "moves").await, printable(&lab, "stops").await),
        (json!("Running"), json!("Stopped"))
    );
    assert!(lab.get(Kind::Vm, "goes").await.is_null());
}

/// A VM has its VMI's conditions, so that one can wait for them at the VM.
#[tokio::test(start_paused = true)]
async fn a_vm_has_the_conditions_of_its_vmi() {
    let lab =
        Lab::new(2, &(lab::vm("runs", "Always", "", "") + &lab::vm("halted", "Halted", "", "")), 9, "").await;
    let conditions = async |name: &str| -> Vec<String> {
        let vm = lab.get(Kind::Vm, name).await;
        let said = |c: &Value| {
            let text = |field: &str| c[field].as_str().unwrap_or_default().to_owned();
            format!("{}={} {} {}", text("type"), text("status"), text("reason"), text("message"))
        };
        vm["status"]["conditions"].as_array().into_iter().flatten().map(said).collect()
    };
    let none = ["Ready=False VMINotExists VMI does not exist"];
    assert_eq!(conditions("halted").await, none);
    assert_eq!(conditions("runs").await, ["Ready=True  ", "LiveMigratable=True  "]);
    // What isn't the VMI's stays.
    let own = json!({"type": "RestartRequired", "status": "True"});
    let both =
        json!([own, {"type": "Ready", "status": "True"}, {"type": "LiveMigratable", "status": "True"}]);
    lab.patch_status(Kind::Vm, "runs", json!({"conditions": both})).await;
    assert_eq!(lab.act("virtualmachines", "runs", "stop", json!({})).await.0, 202);
    pass(60).await;
    assert_eq!(conditions("runs").await, ["RestartRequired=True  ", none[0]]);
}

/// A migration changes a VM's status when it begins and when it is over, and at no other time.
#[tokio::test(start_paused = true)]
async fn a_migration_is_two_writes_of_its_vm() {
    let lab = Lab::new(2, &lab::vm("g", "Always", lab::MOVES, ""), 9, "").await;
    let before = lab.get(Kind::Vm, "g").await["metadata"]["resourceVersion"].clone();
    assert_eq!(lab.evict_vmi("g").await.0, 429);
    pass(30).await;
    assert_eq!(lab.vmi("g").await["status"]["migrationState"]["completed"], true);
    let which = WatchParams::default().fields("metadata.name=g");
    let watch = lab.api(Kind::Vm).watch(&which, before.as_str().expect("a version")).await;
    let told = watch.expect("a watch").take_until(tokio::time::sleep(Duration::from_secs(5)));
    let told: Vec<WatchEvent<DynamicObject>> = told.try_collect().await.expect("events");
    let writes = told.iter().filter(|event| matches!(event, WatchEvent::Modified(_))).count();
    assert_eq!(writes, 2, "{told:#?}");
}

/// A start by hand is a request that the controller takes up, where the run strategy is kept.
#[tokio::test(start_paused = true)]
async fn a_start_is_a_request_under_manual() {
    let lab = Lab::new(1, &lab::vm("g", "Manual", "", ""), 9, "").await;
    lab.cluster.kubevirt().expect("KubeVirt");
    assert_eq!(lab.act("virtualmachines", "g", "start", json!({})).await.0, 202);
    let requests = lab.get(Kind::Vm, "g").await["status"]["stateChangeRequests"].clone();
    assert_eq!(requests, json!([{"action": "Start"}]));
    pass(20).await;
    let vm = lab.get(Kind::Vm, "g").await;
    assert!(vm["status"]["stateChangeRequests"].is_null() && vm["spec"]["runStrategy"] == "Manual", "{vm}");
    assert_eq!(vm["status"]["printableStatus"], "Running");
}

/// A halted VM's guest, however it came there, is stopped, and what is left of it deleted.
#[tokio::test(start_paused = true)]
async fn a_halted_vm_has_no_vmi() {
    let text = lab::vm("obeys", "Always", "", "")
        + &lab::vm("crashes", "Always", "", "sim.virtroll.dev/guest-shutdown: crash");
    let lab = Lab::new(1, &text, 9, "").await;
    for name in ["obeys", "crashes"] {
        lab.patch(Kind::Vm, name, json!({"spec": {"runStrategy": "Halted"}})).await;
    }
    pass(30).await;
    for name in ["obeys", "crashes"] {
        assert!(lab.vmi(name).await.is_null(), "{name}");
        assert_eq!(printable(&lab, name).await, "Stopped");
    }
}

/// A pod that nobody has seen end is a crash.
#[tokio::test(start_paused = true)]
async fn a_pod_that_vanishes_fails_its_guest() {
    let lab = Lab::new(1, &lab::vm("g", "RerunOnFailure", "", ""), 9, "").await;
    let before = lab.vmi("g").await;
    lab.force_delete(&lab.launcher("g").await).await;
    pass(30).await;
    let after = lab.vmi("g").await;
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"], "only a failed guest is run again");
    assert_eq!(after["status"]["phase"], "Running");
}

/// A replica set makes at most 250 at a time.
#[tokio::test(start_paused = true)]
async fn a_replica_set_works_in_passes_of_250() {
    let text = "---\napiVersion: kubevirt.io/v1\nkind: VirtualMachineInstanceReplicaSet\nmetadata: {name: r}\n\
                spec: {replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, \
                spec: {nodeSelector: {nobody: here}, domain: {memory: {guest: 1Gi}}}}}\n";
    let lab = Lab::new(1, text, 9, "").await;
    lab.patch(Kind::ReplicaSet, "r", json!({"spec": {"replicas": 260}})).await;
    let mut seen: Vec<u64> = Vec::new();
    for _ in 0..2000 {
        let now = lab.get(Kind::ReplicaSet, "r").await["status"]["replicas"].as_u64().expect("a number");
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        if now == 260 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(seen, [0, 250, 260]);
}
