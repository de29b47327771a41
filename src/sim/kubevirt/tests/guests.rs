//! VirtualMachines, replica sets and bare instances: what becomes of them when a guest ends, and what the actions do.

use serde_json::{Value, json};

use super::lab::{self, Lab, pass};
use crate::sim::kubevirt::world::Kind;

async fn printable(lab: &Lab, name: &str) -> Value {
    lab.get(Kind::Vm, name).await["status"]["printableStatus"].clone()
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

/// §5.1: a VMI whose pod is told to stop is not ready, and says why.
#[tokio::test(start_paused = true)]
async fn a_terminating_pod_shows_in_the_condition() {
    let slow = "sim.virtroll.dev/guest-shutdown: 20s";
    let lab = Lab::new(1, &lab::vm("g", "Once", "", slow), 9, "").await;
    assert_eq!(lab.evict_vmi("g").await.0, 201);
    let ready = async |lab: &Lab| {
        let conditions = lab.vmi("g").await["status"]["conditions"].clone();
        let found = conditions.as_array().expect("conditions").iter().find(|c| c["type"] == "Ready").cloned();
        let found = found.expect("Ready");
        (found["status"].clone(), found["reason"].clone())
    };
    pass(1).await;
    assert_eq!(ready(&lab).await, (json!("False"), json!("PodTerminating")));
    pass(30).await;
    assert_eq!(ready(&lab).await, (json!("False"), json!("PodNotExists")));
}
