//! KubeVirt's own behaviour, without virtroll: guests that end, migrations that wait, fail and are stopped, and what is refused.

use serde_json::{Value, json};

use super::Stage;
use super::stage::condition;
use super::vms_hands::{
    act, delete, denied, evacuates, evict, in_phase, launcher, launchers, migrate, migration, migrations,
    state, touch,
};

const MOVES: &str = "evictionStrategy: LiveMigrate";
const SLOW: &str = "sim.virtroll.dev/migration-takes: 30s";

/// Two nodes, of which the second is cordoned while guests start.
async fn two_nodes(stage: &Stage) {
    stage.nodes(2).await;
    stage.cordon(&stage.node_name(2), true).await;
}

async fn open(stage: &Stage, running: usize) {
    stage.running(running).await;
    stage.cordon(&stage.node_name(2), false).await;
}

/// A guest's phases in their order, its node and its VM's words.
pub async fn a_guest_goes_through_its_phases(stage: &mut Stage) {
    stage.nodes(1).await;
    stage.vm("g", "Always", "", "").await;
    stage.running(1).await;
    stage
        .until("the VM is ready", async |s: &Stage| {
            s.get("kubevirt.io/v1", "VirtualMachine", "g").await["status"]["ready"] == true
        })
        .await;
    let vmi = stage.vmi("g").await;
    let stamps = vmi["status"]["phaseTransitionTimestamps"].as_array().expect("times");
    let phases: Vec<&Value> = stamps.iter().map(|s| &s["phase"]).collect();
    assert_eq!(phases, ["Pending", "Scheduling", "Scheduled", "Running"]);
    assert_eq!(vmi["metadata"]["labels"]["kubevirt.io/nodeName"], stage.node_name(1));
    let status = stage.get("kubevirt.io/v1", "VirtualMachine", "g").await["status"].clone();
    assert_eq!((&status["printableStatus"], &status["created"]), (&json!("Running"), &json!(true)));
    let pod = launchers(stage, "g").await.remove(0);
    assert_eq!(pod["metadata"]["labels"]["kubevirt.io/created-by"], vmi["metadata"]["uid"]);
    assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 60);
}

/// What each run strategy makes of a guest that obeys its eviction and of one that crashes.
pub async fn run_strategies_follow_the_end_of_a_guest(stage: &mut Stage) {
    stage.nodes(2).await;
    let crash = "sim.virtroll.dev/guest-shutdown: crash";
    let mut before = Vec::new();
    let strategies = ["Always", "RerunOnFailure", "Manual", "Once"];
    for strategy in strategies {
        for (suffix, annotation) in [("obeys", ""), ("crashes", crash)] {
            let name = format!("{}-{suffix}", strategy.to_lowercase());
            stage.vm(&name, strategy, "", annotation).await;
            if strategy == "Manual" {
                let known = async |s: &Stage| {
                    s.get("kubevirt.io/v1", "VirtualMachine", &name).await["status"]["runStrategy"]
                        == "Manual"
                };
                stage.until("the VM is known", known).await;
                assert_eq!(act(stage, "virtualmachines", &name, "start", &json!({})).await.0, 202);
            }
            before.push(name);
        }
    }
    stage.running(8).await;
    let mut uids = Vec::new();
    for name in &before {
        uids.push(stage.vmi(name).await["metadata"]["uid"].clone());
        let pod = launcher(stage, name).await;
        assert_eq!(evict(stage, &pod, false).await.0, 201, "{name}");
    }
    // Phase of the VMI in the end (empty: none), and whether it is another one.
    let expected = [
        ("Running", true),
        ("Running", true),
        ("", true),
        ("Running", true),
        ("Succeeded", false),
        ("Failed", false),
        ("Succeeded", false),
        ("Failed", false),
    ];
    for ((name, uid), (phase, another)) in before.iter().zip(&uids).zip(expected) {
        let what = format!("{name} is {phase:?}");
        stage
            .until(&what, async |s: &Stage| {
                let vmi = s.vmi(name).await;
                vmi["status"]["phase"].as_str().unwrap_or_default() == phase
                    && (vmi["metadata"]["uid"] != *uid) == another
            })
            .await;
    }
    // One that is final is deleted by hand: Once starts another, and a halted VM has none.
    delete(stage, "VirtualMachineInstance", "once-obeys").await;
    stage
        .until("Once starts another", async |s: &Stage| {
            let vmi = s.vmi("once-obeys").await;
            vmi["status"]["phase"] == "Running" && vmi["metadata"]["uid"] != uids[6]
        })
        .await;
    let halt = json!({"spec": {"runStrategy": "Halted"}});
    for name in ["always-obeys", "once-crashes"] {
        stage.patch("kubevirt.io/v1", "VirtualMachine", name, halt.clone()).await;
        stage.until("a halted VM has no VMI", async |s: &Stage| s.vmi(name).await.is_null()).await;
    }
}

/// The webhook's words, through the API server that asks it.
pub async fn evictions_are_answered_in_kubevirts_words(stage: &mut Stage) {
    two_nodes(stage).await;
    stage.vm("moves", "Always", MOVES, SLOW).await;
    stage.vm("outside", "Always", "evictionStrategy: External", "").await;
    stage.create(&super::stage::vm("stuck", "Always", MOVES, "").replace("masquerade", "bridge")).await;
    open(stage, 3).await;
    let words = evacuates(stage, "moves");
    let source = launcher(stage, "moves").await;
    assert_eq!(evict(stage, &source, true).await, denied(&words));
    assert!(stage.vmi("moves").await["status"]["evacuationNodeName"].is_null(), "a dry run marks nothing");
    assert_eq!(evict(stage, &source, false).await, denied(&words));
    assert_eq!(evict(stage, &source, false).await, denied(&format!("Evacuation in progress: {words}")));
    let stuck = launcher(stage, "stuck").await;
    let blocked = "VMI stuck is configured with an eviction strategy but is not live-migratable";
    assert_eq!(evict(stage, &stuck, false).await, denied(blocked));
    let outside = launcher(stage, "outside").await;
    assert_eq!(evict(stage, &outside, false).await, denied(&evacuates(stage, "outside")));
    stage.until("the target is there", async |s: &Stage| launchers(s, "moves").await.len() == 2).await;
    let body = json!({"evacuationNodeName": stage.node_name(1)});
    assert_eq!(act(stage, "virtualmachines", "moves", "evacuate/cancel", &body).await.0, 200);
    let pods = launchers(stage, "moves").await;
    let target = pods.iter().find(|p| p["metadata"]["name"] != source.as_str()).expect("a target");
    let target = target["metadata"]["name"].as_str().expect("a name");
    assert_eq!(evict(stage, target, false).await, denied("Eviction request for target Pod"));
}

/// Why a guest can't migrate, and that its migration isn't admitted then.
pub async fn reasons_stand_against_a_migration(stage: &mut Stage) {
    stage.nodes(1).await;
    let vm = |name: &str, more: &str| super::stage::vm(name, "Always", more, "");
    stage.create(&vm("bridge", "").replace("masquerade", "bridge")).await;
    stage.create(&vm("disk", "volumes: [{name: h, hostDisk: {path: /d, type: Disk}}]")).await;
    stage.create(&vm("sev", "").replace("domain: {", "domain: {launchSecurity: {sev: {}}, ")).await;
    stage.running(3).await;
    for (name, reason) in [
        ("bridge", "InterfaceNotLiveMigratable"),
        ("disk", "DisksNotLiveMigratable"),
        ("sev", "SEVNotLiveMigratable"),
    ] {
        let vmi = stage.vmi(name).await;
        let said = condition(&vmi, "LiveMigratable").expect("seen");
        assert_eq!((&said["status"], &said["reason"]), (&json!("False"), &json!(reason)), "{name}");
        let (code, message, why) = migrate(stage, name, name, json!({})).await;
        let words = format!("denied the request: Cannot migrate VMI, Reason: {reason}, Message: ");
        assert!(code == 400 && message.contains(&words) && why.is_empty(), "{code} {message} {why}");
    }
    let (code, message, _) = migrate(stage, "nobodys", "nobody", json!({})).await;
    let words = format!("the VMI \"{}/nobody\" does not exist", stage.name);
    assert!(code == 400 && message.ends_with(&words), "{code} {message}");
    let ranked = migrate(stage, "ranked", "sev", json!({"priority": "system-critical"})).await;
    assert_eq!(ranked.0, 422, "a priority is KubeVirt's own to set: {ranked:?}");
}

/// At most two leave a node at a time, evacuations overtake a user's older migration, and all arrive.
pub async fn migrations_wait_for_their_turn(stage: &mut Stage) {
    two_nodes(stage).await;
    let takes = "sim.virtroll.dev/migration-takes: 15s";
    for n in 1..=5 {
        stage.vm(&format!("g{n}"), "Always", MOVES, takes).await;
    }
    open(stage, 5).await;
    for n in 1..=3 {
        assert_eq!(migrate(stage, &format!("user-{n}"), &format!("g{n}"), json!({})).await.0, 201);
    }
    stage.until("two are under way", async |s: &Stage| under_way(s).await == 2).await;
    for n in 4..=5 {
        let pod = launcher(stage, &format!("g{n}")).await;
        assert_eq!(evict(stage, &pod, false).await.0, 429);
    }
    let mut ended: Vec<String> = Vec::new();
    let mut most = 0;
    for _ in 0..800 {
        most = most.max(under_way(stage).await);
        for done in migrations(stage).await.iter().filter(|m| m["status"]["phase"] == "Succeeded") {
            let vmi = done["spec"]["vmiName"].as_str().expect("a name").to_owned();
            if !ended.contains(&vmi) {
                ended.push(vmi);
            }
        }
        if ended.len() == 5 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    assert_eq!((most, ended.len()), (2, 5), "{ended:?}");
    assert_eq!(ended.last().map(String::as_str), Some("g3"), "the evacuations overtook it: {ended:?}");
}

async fn under_way(stage: &Stage) -> usize {
    let waits = |m: &&Value| {
        !matches!(m["status"]["phase"].as_str(), None | Some("Succeeded" | "Failed" | "Pending"))
    };
    migrations(stage).await.iter().filter(waits).count()
}

/// One fails, one runs out of time, one is aborted; each guest runs on where it was.
pub async fn migrations_fail_time_out_and_are_aborted(stage: &mut Stage) {
    two_nodes(stage).await;
    stage
        .create(
            "apiVersion: migrations.kubevirt.io/v1alpha1\nkind: MigrationPolicy\nmetadata: {name: NAME}\n\
             spec: {completionTimeoutPerGiB: 2, selectors: {virtualMachineInstanceSelector: {policy: NAME}}}\n",
        )
        .await;
    stage
        .vm(
            "fails",
            "Always",
            "",
            "sim.virtroll.dev/migration-fails: always, sim.virtroll.dev/migration-takes: 4s",
        )
        .await;
    let labels = "metadata: {labels: {policy: NAME}, annotations:";
    stage
        .create(&super::stage::vm("late", "Always", "", SLOW).replace("metadata: {annotations:", labels))
        .await;
    stage.vm("stopped", "Always", "", "sim.virtroll.dev/migration-takes: 300s").await;
    open(stage, 3).await;
    let mut lives = Vec::new();
    for name in ["fails", "late", "stopped"] {
        lives.push(stage.vmi(name).await["metadata"]["uid"].clone());
    }
    for (name, reason) in [
        ("fails", "the connection between source and target broke"),
        // 2 s for each of the 1.07·10⁹ bytes of a 1Gi guest, rounded up to two.
        ("late", "not completed after 4 seconds, aborted"),
    ] {
        assert_eq!(migrate(stage, name, name, json!({})).await.0, 201);
        in_phase(stage, name, "Failed").await;
        let state = state(stage, name).await;
        assert_eq!((&state["failed"], &state["completed"]), (&json!(true), &json!(true)), "{name}");
        assert_eq!(state["failureReason"], reason);
    }
    assert_eq!(migrate(stage, "stopped", "stopped", json!({})).await.0, 201);
    in_phase(stage, "stopped", "Running").await;
    assert_eq!(
        act(stage, "virtualmachines", "stopped", "migrate", &json!({})).await.0,
        500,
        "one is unfinished"
    );
    delete(stage, "VirtualMachineInstanceMigration", "stopped").await;
    stage.until("the aborted one is gone", async |s: &Stage| migration(s, "stopped").await.is_null()).await;
    let aborted = state(stage, "stopped").await;
    assert_eq!((&aborted["abortStatus"], &aborted["failed"]), (&json!("Succeeded"), &json!(true)));
    for (name, uid) in ["fails", "late", "stopped"].iter().zip(lives) {
        let vmi = stage.vmi(name).await;
        assert_eq!((&vmi["metadata"]["uid"], &vmi["status"]["phase"]), (&uid, &json!("Running")), "{name}");
        assert_eq!(vmi["status"]["nodeName"], stage.node_name(1));
        stage.until("its target has ended", async |s: &Stage| launchers(s, name).await.len() == 1).await;
    }
}

/// A failed evacuation is tried again after its backoff, says so, and keeps its mark meanwhile.
pub async fn a_failed_evacuation_backs_off(stage: &mut Stage) {
    two_nodes(stage).await;
    stage
        .vm(
            "g",
            "Always",
            MOVES,
            "sim.virtroll.dev/migration-fails: '1', sim.virtroll.dev/migration-takes: 2s",
        )
        .await;
    open(stage, 1).await;
    let pod = launcher(stage, "g").await;
    assert_eq!(evict(stage, &pod, false).await.0, 429);
    let failed = async |s: &Stage| migrations(s).await.iter().any(|m| m["status"]["phase"] == "Failed");
    stage.until("the first has failed", failed).await;
    stage.until("its target has ended", async |s: &Stage| launchers(s, "g").await.len() == 1).await;
    assert_eq!(stage.vmi("g").await["status"]["evacuationNodeName"], stage.node_name(1));
    // The controller looks when something changes.
    touch(stage, &stage.node_name(1), "once").await;
    stage.until("the second is there", async |s: &Stage| migrations(s).await.len() == 2).await;
    let events =
        async |s: &Stage| s.list("v1", "Event").await.iter().any(|e| e["reason"] == "MigrationBackoff");
    stage.until("it says that it waits", events).await;
    let node = json!(stage.node_name(2));
    stage
        .until("the guest has moved", async |s: &Stage| s.vmi("g").await["status"]["nodeName"] == node)
        .await;
    assert!(stage.vmi("g").await["status"]["evacuationNodeName"].is_null());
}

/// A migration may say where to.
pub async fn a_targeted_migration_goes_where_it_is_told(stage: &mut Stage) {
    stage.nodes(4).await;
    for n in [2, 3, 4] {
        stage.cordon(&stage.node_name(n), true).await;
    }
    stage.vm("g", "Always", "", "sim.virtroll.dev/migration-takes: 2s").await;
    stage.running(1).await;
    for n in [2, 3, 4] {
        stage.cordon(&stage.node_name(n), false).await;
    }
    let there = stage.node_name(3);
    let spec = json!({"addedNodeSelector": {"kubernetes.io/hostname": there}});
    assert_eq!(migrate(stage, "m", "g", spec).await.0, 201);
    in_phase(stage, "m", "Succeeded").await;
    assert_eq!(stage.vmi("g").await["status"]["nodeName"], there);
    let done = state(stage, "g").await;
    assert_eq!((&done["completed"], &done["targetNode"]), (&json!(true), &json!(there)));
    stage.until("the source has ended", async |s: &Stage| launchers(s, "g").await.len() == 1).await;
}

/// The answers of `evacuate/cancel`; after it and the migration's deletion the guest stays.
pub async fn an_evacuation_is_cancelled(stage: &mut Stage) {
    two_nodes(stage).await;
    stage.vm("g", "Always", MOVES, SLOW).await;
    open(stage, 1).await;
    let cancel =
        async |s: &Stage, body: Value| act(s, "virtualmachineinstances", "g", "evacuate/cancel", &body).await;
    let here = json!({"evacuationNodeName": stage.node_name(1)});
    assert_eq!(cancel(stage, here.clone()).await.0, 200, "unmarked");
    assert_eq!(
        act(stage, "virtualmachines", "g", "evacuate-cancel", &here).await.0,
        404,
        "virtctl's spelling is no path"
    );
    let pod = launcher(stage, "g").await;
    assert_eq!(evict(stage, &pod, false).await.0, 429);
    let refused = "Internal error occurred: the server rejected our request due to an error in our request";
    for body in [json!({}), json!({"evacuationNodeName": "elsewhere"})] {
        assert_eq!(cancel(stage, body).await, (500, refused.to_owned()));
    }
    stage.until("its migration is there", async |s: &Stage| migrations(s).await.len() == 1).await;
    assert_eq!(cancel(stage, here).await.0, 200);
    let name = migrations(stage).await[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    delete(stage, "VirtualMachineInstanceMigration", &name).await;
    stage.until("the migration is gone", async |s: &Stage| migrations(s).await.is_empty()).await;
    touch(stage, &stage.node_name(1), "again").await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(migrations(stage).await.is_empty(), "none follows");
    let vmi = stage.vmi("g").await;
    assert_eq!(
        (&vmi["status"]["nodeName"], &vmi["status"]["phase"]),
        (&json!(stage.node_name(1)), &json!("Running"))
    );
}
