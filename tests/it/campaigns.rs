//! Campaigns on the embedded cluster, with people meddling.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::sync::watch;
use virtroll::engine::{Clock, Error, Outcome, Run, Stop, run_campaign};
use virtroll::journal::{Event, EventKind};
use virtroll::reconcile::End;

use crate::scene::{REBOOT, Scene, all_done, cluster, plan};

#[tokio::test(start_paused = true)]
async fn a_group_waits_for_those_it_depends_on_and_for_their_soak() {
    let groups = "  groups:\n  - {name: rest, nodes: {names: [w2, w3]}, dependsOn: [canary]}\n  - {name: canary, nodes: {names: [w1]}, soak: 30m}\n";
    let outcome = Scene::new(3).await.roll(groups).await;
    assert!(all_done(&outcome));
    let node = |name: &str| outcome.status.nodes.iter().find(|n| n.name == name).expect("node");
    let waited = node("w2")
        .started_at
        .expect("begun")
        .duration_since(node("w1").finished_at.expect("ended"))
        .as_secs();
    assert!((1800..1860).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_never_allows_is_found_before_the_cordon_and_mending_it_goes_on() {
    let mut scene = Scene::new(3).await;
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(scene.cluster.client(), "shop");
    let strict = json!({"spec": {"maxUnavailable": 0}});
    budgets.patch("web", &PatchParams::default(), &Patch::Merge(strict)).await.expect("patched");
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Nothing is begun, not even on record.
    let (_sender, stop) = watch::channel(Stop::No);
    let refused = scene.try_apply(&plan(""), "one", stop).await;
    let Err(Error::NoSchedule(found)) = refused else { panic!("{refused:?}") };
    assert!(found.conflict.why.contains("budget shop/web (maxUnavailable 0)"), "{found:?}");
    assert!(scene.cluster.objects("maintenancecampaigns.virtroll.dev").is_empty());
    // Where the plan says so, it begins all the same, and each node fails at its turn.
    let outcome = scene.roll("  onConflict: Proceed\n").await;
    let End::Paused { .. } = &outcome.end else { panic!("{:?}", outcome.end) };
    let reason = outcome.status.nodes[0].reason.clone().expect("a reason");
    assert!(
        reason.starts_with("not begun:")
            && reason.contains("budget shop/web")
            && reason.contains("waiting will not help"),
        "{reason}"
    );
    // Said of every node that carries such a pod, before anything is touched.
    let told = |k: &EventKind| matches!(k, EventKind::NodeObstructed { why, .. } if why.contains("waiting will not help"));
    let begun = scene.events.iter().position(|e| matches!(e.kind, EventKind::NodePhaseChanged { .. }));
    let told = scene.events.iter().rposition(|e| told(&e.kind));
    assert!(told.is_some() && told < begun, "{:#?}", scene.events);
    for node in ["w1", "w2", "w3"] {
        assert!(!scene.cordoned(node).await, "{node}");
    }
    budgets.delete("web", &DeleteParams::default()).await.expect("deleted");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let again = scene.roll("  onConflict: Proceed\n").await;
    assert!(all_done(&again), "{again:?}");
    assert_eq!(again.campaign, outcome.campaign);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_campaign_goes_on_with_another_driver_and_a_finished_one_is_left_alone() {
    let mut scene = Scene::new(4).await;
    let plan = plan(REBOOT);
    let (sender, stop) = watch::channel(Stop::No);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(130)).await;
        sender.send(Stop::Gently).expect("somebody listens");
        // Kept open until the run has ended.
        sender.closed().await;
    });
    let outcome = scene.apply(&plan, "one", stop).await;
    assert_eq!(outcome.end, End::Stopped);
    assert!(
        outcome.status.nodes.iter().any(|n| n.phase == "Done") && outcome.status.nodes.len() < 4,
        "{outcome:?}"
    );
    let (_sender, stop) = watch::channel(Stop::No);
    let resumed = scene.apply(&plan, "two", stop.clone()).await;
    assert!(all_done(&resumed) && resumed.status.nodes.len() == 4, "{resumed:?}");
    assert_eq!(resumed.campaign, outcome.campaign);
    // The reboot of a node that was done is not run again.
    let reboots = |name: &str| {
        let scope = format!("node {name}");
        scene
            .events
            .iter()
            .filter(|e| matches!(&e.kind, EventKind::HookEnded { scope: s, error: None, .. } if *s == scope))
            .count()
    };
    assert_eq!(reboots("w1"), 1);
    let evictions = scene.events.len();
    let idle = scene.apply(&plan, "three", stop).await;
    assert!(idle.was_finished && scene.events.len() == evictions);
}

/// A campaign over 200 nodes that is asked to stop after so long, and when it began.
async fn stopped_after(after: Duration) -> (Scene, Timestamp, Outcome) {
    let mut scene = Scene::new(200).await;
    let began = scene.cluster.now();
    let (sender, stop) = watch::channel(Stop::No);
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        sender.send(Stop::Gently).expect("somebody listens");
        sender.closed().await;
    });
    let outcome = scene.apply(&plan("  concurrency: {maxUnavailable: 3}\n"), "one", stop).await;
    assert_eq!(outcome.end, End::Stopped);
    (scene, began, outcome)
}

/// A decision takes 0.75 ms a node: with 200 nodes there is time to ask for a stop while one is made.
#[tokio::test(start_paused = true)]
async fn what_is_decided_while_a_stop_is_asked_for_is_not_done() {
    let (_, began, outcome) = stopped_after(Duration::from_secs(10)).await;
    let decided_at = outcome.status.nodes.iter().filter_map(|n| n.started_at).min().expect("a node began");
    let until_then = Duration::try_from(decided_at.duration_since(began)).expect("later");

    let (scene, began_again, outcome) = stopped_after(until_then + Duration::from_millis(75)).await;
    assert_eq!((began_again, outcome.status.nodes.len()), (began, 0));
    for node in scene.nodes().list(&ListParams::default()).await.expect("nodes") {
        assert_ne!(node.spec.and_then(|s| s.unschedulable), Some(true), "{:?}", node.metadata.name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_below_a_pods_own_grace_period_is_warned_of() {
    let mut scene = Scene::new(3).await;
    let outcome = scene.roll("  drain: {timeout: 20s}\n").await;
    assert!(all_done(&outcome), "{outcome:?}");
    let warned = |e: &Event| matches!(&e.kind, EventKind::Warning { text } if text.contains("may take up to 30 s to end") && text.ends_with("1 more"));
    assert_eq!(scene.events.iter().filter(|e| warned(e)).count(), 1);
}

/// What the plan expects of its hooks is what a simulated campaign takes.
#[tokio::test(start_paused = true)]
async fn hooks_take_as_long_as_the_plan_expects() {
    let mut scene = Scene::new(1).await;
    // Its pods have nowhere to go; the hooks come before that.
    let hooks = "  onConflict: Proceed\n  hooks:\n  - {name: command, at: PreDrain, exec: [make], expected: 3m}\n  \
                 - {name: firmware, at: PreDrain, job: {image: tools}, timeout: 20m, expected: 8m}\n  \
                 - {name: reboot, at: PreDrain, reboot: {}, timeout: 20m, expected: 5m}\n  \
                 - {name: stop, at: PreDrain, waitFor: {condition: Gone}, timeout: 1s}\n";
    scene.roll(hooks).await;
    let ended = |name: &str| {
        let is = |k: &EventKind| matches!(k, EventKind::HookEnded { hook, error, .. } if hook == name && (name == "stop" || error.is_none()));
        scene.events.iter().find(|e| is(&e.kind)).expect("ended").at
    };
    let began =
        scene.events.iter().find(|e| matches!(e.kind, EventKind::HookStarted { .. })).expect("begun").at;
    for (name, since, minutes) in
        [("command", began, 3), ("firmware", ended("command"), 8), ("reboot", ended("firmware"), 5)]
    {
        let took = ended(name).duration_since(since).as_secs();
        assert!((minutes * 60..minutes * 60 + 30).contains(&took), "{name}: {took} s");
    }
}

/// All nine points, in their order; a node that fails sees its own, and those of its end don't come.
#[tokio::test(start_paused = true)]
async fn hooks_run_at_their_nine_points() {
    let mut scene = Scene::new(2).await;
    let points = [
        "BeforeCampaign",
        "BeforeGroup",
        "PreDrain",
        "Maintenance",
        "PreUncordon",
        "PostUncordon",
        "AfterGroup",
        "AfterCampaign",
        "OnFailure",
    ];
    let hook = |at: &str| format!("  - {{name: {}, at: {at}, exec: ['true']}}\n", at.to_lowercase());
    let hooks: String = points.iter().map(|at| hook(at)).collect();
    let rest = format!(
        "  failure: {{maxFailedNodes: 1}}\n  groups:\n  - {{name: good, nodes: {{names: [w1]}}}}\n  \
         - {{name: bad, nodes: {{names: [w2]}}, dependsOn: [good]}}\n  hooks:\n{hooks}  \
         - {{name: breaks, at: Maintenance, groups: [bad], waitFor: {{condition: Gone}}, timeout: 1s}}\n"
    );
    let outcome = scene.roll(&rest).await;
    assert_eq!(outcome.end, End::Succeeded, "{outcome:#?}");
    let ended = scene.events.iter().filter_map(|e| match &e.kind {
        EventKind::HookEnded { hook, scope, error, .. } => {
            Some(format!("{hook} for {scope}{}", if error.is_some() { " failed" } else { "" }))
        }
        _ => None,
    });
    let expected = [
        "beforecampaign for the campaign",
        "beforegroup for group good",
        "predrain for node w1",
        "maintenance for node w1",
        "preuncordon for node w1",
        "postuncordon for node w1",
        "aftergroup for group good",
        "beforegroup for group bad",
        "predrain for node w2",
        "maintenance for node w2",
        "breaks for node w2 failed",
        "onfailure for node w2",
        "aftergroup for group bad",
        "aftercampaign for the campaign",
    ];
    assert_eq!(ended.collect::<Vec<_>>(), expected);
}

/// Runs a plan on one node with real hooks, in real time; gives the node's reason.
async fn for_real(rest: &str) -> Option<String> {
    let cluster = cluster(1);
    cluster.start().await;
    cluster.settle(Duration::from_secs(3), Duration::from_secs(30)).await;
    let (_sender, stop) = watch::channel(Stop::No);
    // The only node's pods have nowhere to go.
    let plan = plan(&format!("  onConflict: Proceed\n{rest}"));
    let run = Run {
        client: cluster.client(),
        clock: Clock::starting_at(cluster.now()),
        plan: &plan,
        new: false,
        play_hooks: false,
        driver: "one".to_owned(),
        effort: virtroll::schedule::search::Effort::of(crate::scene::EFFORT),
        stop,
        patience: None,
    };
    let running = tokio::time::timeout(Duration::from_secs(60), run_campaign(run, &mut |_| {})).await;
    let outcome = running.expect("ends").expect("runs");
    outcome.status.nodes[0].reason.clone()
}

/// A try that is given up takes its children with it: the next one must not run beside them.
#[tokio::test]
async fn a_command_that_runs_out_of_time_is_killed_with_its_children() {
    let file = std::env::temp_dir().join(format!("virtroll-children-{}", std::process::id()));
    let script = format!("(sleep 4; echo late > {}) & wait", file.display());
    let hooks = format!("  hooks: [{{name: slow, at: PreDrain, exec: [sh, -c, '{script}'], timeout: 1s}}]\n");
    let reason = for_real(&format!("  drain: {{force: true}}\n{hooks}")).await;
    assert_eq!(reason.as_deref(), Some("hook slow: not done after 1s"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!file.exists(), "a child went on");
}

/// A command that ends well and leaves something behind that keeps its pipes open has ended well: the next one comes.
#[tokio::test]
async fn a_command_that_leaves_a_process_behind_has_ended() {
    let hooks = "  hooks:\n  - {name: service, at: PreDrain, exec: [sh, -c, 'sleep 20 & true'], timeout: 15s}\n  \
                 - {name: next, at: PreDrain, exec: ['false']}\n";
    let reason = for_real(&format!("  drain: {{force: true}}\n{hooks}")).await;
    assert_eq!(reason.as_deref(), Some("hook next: exit 1"));
}

/// One request is answered with `200`; its text is given back.
async fn answer_once(listener: tokio::net::TcpListener) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut stream, _) = listener.accept().await.expect("a caller");
    let mut text = vec![0; 4096];
    let read = stream.read(&mut text).await.expect("a request");
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .await
        .expect("answered");
    String::from_utf8_lossy(&text[..read]).into_owned()
}

/// Real processes and sockets need real time: the embedded cluster runs by the machine's clock here.
#[tokio::test]
async fn exec_and_http_hooks_run_for_real_with_their_variables() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let asked = tokio::spawn(answer_once(listener));
    let file = std::env::temp_dir().join(format!("virtroll-hook-{}", std::process::id()));
    let script = "echo $VIRTROLL_NODE $VIRTROLL_CAMPAIGN $VIRTROLL_GROUP $VIRTROLL_HOOK $VIRTROLL_ATTEMPT > $0; echo broken >&2; exit 3";
    let rest = format!(
        "  drain: {{force: true}}\n  hooks:\n  - {{name: call, at: BeforeCampaign, http: {{url: 'http://127.0.0.1:{port}/x', body: 'now ${{CAMPAIGN}}'}}}}\n  \
         - {{name: run, at: PreDrain, exec: [sh, -c, '{script}', {}], timeout: 20s}}\n",
        file.display()
    );
    let reason = for_real(&rest).await;
    let request = asked.await.expect("asked");
    assert!(request.starts_with("POST /x ") && request.ends_with("now p-1"), "{request}");
    assert_eq!(std::fs::read_to_string(&file).expect("written").trim(), "w1 p-1 all run 1");
    std::fs::remove_file(&file).expect("removed");
    assert_eq!(reason.as_deref(), Some("hook run: exit 3: broken"));
}
