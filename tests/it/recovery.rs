//! Campaigns that go on: after failures, stops, other drivers, other campaigns, and standstills.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::watch;
use virtroll::cluster::{self, Claim};
use virtroll::engine::{Error, Stop};
use virtroll::journal::EventKind;
use virtroll::plan::v1alpha1::{CampaignPhase, MaintenanceCampaign};
use virtroll::reconcile::{End, STATE_ANNOTATION};

use crate::scene::{REBOOT, Scene, all_done, plan};

fn never() -> watch::Receiver<Stop> {
    watch::channel(Stop::No).1
}

impl Scene {
    async fn patch_node(&self, name: &str, patch: serde_json::Value) {
        self.nodes().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    }

    async fn carries_state(&self, name: &str) -> bool {
        let node = self.nodes().get(name).await.expect("node");
        node.metadata.annotations.unwrap_or_default().contains_key(STATE_ANNOTATION)
    }
}

/// With the default limit of one, a node that an admin keeps cordoned uses it up: nothing may start, and that is said.
#[tokio::test(start_paused = true)]
async fn a_standstill_is_told_and_ends_a_simulated_campaign() {
    let mut scene = Scene::new(3).await;
    scene.patch_node("w2", json!({"spec": {"unschedulable": true}})).await;
    let outcome = scene.roll("").await;
    let End::Paused { reason } = &outcome.end else { panic!("{outcome:#?}") };
    let words = "allows 1 unavailable at once; unavailable now: w2";
    assert!(
        reason.starts_with("nothing has changed for 2 hours: w1: ") && reason.contains(words),
        "{reason}"
    );
    let told = |k: &EventKind| matches!(k, EventKind::NodeWaits { node, why } if node.is_empty() && why.contains(words));
    assert_eq!(scene.events.iter().filter(|e| told(&e.kind)).count(), 1);
    assert_eq!(outcome.status.nodes.len(), 1, "only the one that is away already was maintained");
    assert!(scene.cordoned("w2").await && !scene.cordoned("w1").await);
    // Uncordoned, it goes on.
    scene.patch_node("w2", json!({"spec": {"unschedulable": null}})).await;
    assert!(all_done(&scene.roll("").await));
}

const FAILS: &str = "  hooks: [{name: gate, at: Maintenance, waitFor: {condition: Gone}, timeout: 5s}]\n";

/// `--new` ends an unfinished campaign: its nodes are taken over, and left as they were before *it*.
#[tokio::test(start_paused = true)]
async fn a_new_campaign_takes_over_what_an_unfinished_one_left() {
    let mut scene = Scene::new(3).await;
    // Without it two nodes may be in work at once.
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(scene.cluster.client(), "shop");
    budgets.delete("web", &DeleteParams::default()).await.expect("deleted");
    scene.patch_node("w1", json!({"spec": {"unschedulable": true}})).await;
    let failed = scene.roll(&format!("  concurrency: {{maxUnavailable: 2}}\n{FAILS}")).await;
    assert!(matches!(failed.end, End::Paused { .. }), "{failed:#?}");
    let mut left = Vec::new();
    for node in ["w1", "w2", "w3"] {
        if scene.carries_state(node).await {
            left.push(node);
        }
    }
    assert_eq!(left.len(), 2, "{left:?}");
    let mended = plan(&format!("  concurrency: {{maxUnavailable: 2}}\n{REBOOT}"));
    let refused = scene.try_apply(&mended, "one", never()).await;
    assert!(
        matches!(&refused, Err(Error::Plan(why)) if why.contains("begin anew with --new")),
        "{refused:?}"
    );
    scene.new = true;
    let outcome = scene.apply(&mended, "one", never()).await;
    assert!(all_done(&outcome), "{outcome:#?}");
    assert_eq!((failed.campaign.as_str(), outcome.campaign.as_str()), ("p-1", "p-2"));
    let old = cluster::campaign(&scene.cluster.client(), "p-1")
        .await
        .expect("there")
        .campaign
        .status
        .expect("a record");
    assert_eq!(old.phase, CampaignPhase::Failed);
    for (node, cordoned) in [("w1", true), ("w2", false), ("w3", false)] {
        assert_eq!(scene.cordoned(node).await, cordoned, "{node} as it was found at the very first");
        assert!(!scene.carries_state(node).await, "{node}");
    }
}

/// After "mend it and run `apply` again" a Job runs anew, though it is the first try again.
#[tokio::test(start_paused = true)]
async fn a_failed_job_is_run_anew() {
    let mut scene = Scene::new(1).await;
    let client = scene.cluster.client();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "kube-system");
    let spoiler = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            for pod in
                pods.list(&ListParams::default().labels("virtroll.dev/hook=prepare")).await.expect("pods")
            {
                let name = pod.metadata.name.expect("a name");
                let patch = json!({"metadata": {"annotations": {"sim.virtroll.dev/exit-code": "1"}}});
                pods.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
            }
        }
    });
    // Its pods have nowhere to go; the hook comes before that.
    let rest = "  onConflict: Proceed\n  drain: {force: true}\n  hooks: [{name: prepare, at: PreDrain, job: {image: tools}}]\n";
    let failed = scene.roll(rest).await;
    let reason = failed.status.nodes[0].reason.clone().expect("a reason");
    assert!(
        reason.starts_with("hook prepare: Job kube-system/p-1-prepare-w1-1-") && reason.contains("exit 1"),
        "{reason}"
    );
    spoiler.abort();
    // The drain itself can't end on one node; the hook is what counts here.
    let rest = rest.replace("force: true", "force: true, timeout: 30s");
    let again = scene.roll(&rest).await;
    let reason = again.status.nodes[0].reason.clone().expect("a reason");
    assert!(reason.starts_with("drain took longer than 30s"), "{reason}");
    let jobs: Api<Job> = Api::namespaced(client, "kube-system");
    let succeeded = |j: &Job| j.status.as_ref().and_then(|s| s.succeeded) == Some(1);
    let jobs = jobs.list(&ListParams::default()).await.expect("jobs").items;
    assert_eq!((jobs.len(), jobs.iter().filter(|j| succeeded(j)).count()), (2, 1));
}

/// A hook of the campaign that failed runs anew after `apply`; one that succeeded doesn't.
#[tokio::test(start_paused = true)]
async fn a_failed_hook_of_the_campaign_is_run_anew() {
    let mut scene = Scene::new(2).await;
    let gate = "  hooks:\n  - {name: note, at: BeforeCampaign, exec: ['true']}\n  \
                - {name: gate, at: BeforeCampaign, waitFor: {kind: Node, name: w2, jsonPath: '$.metadata.labels.go'}, timeout: 5s}\n";
    let failed = scene.roll(gate).await;
    let End::Paused { reason } = &failed.end else { panic!("{failed:#?}") };
    assert_eq!(reason, "hook gate: not done after 5s");
    scene.patch_node("w2", json!({"metadata": {"labels": {"go": "yes"}}})).await;
    assert!(all_done(&scene.roll(gate).await));
    let runs = |name: &str| {
        let started = |k: &EventKind| matches!(k, EventKind::HookStarted { hook, .. } if hook == name);
        scene.events.iter().filter(|e| started(&e.kind)).count()
    };
    assert_eq!((runs("note"), runs("gate")), (1, 2));
}

/// Who was killed gives no sign of life any more and is followed after 30 s; who lives is not pushed aside.
#[tokio::test(start_paused = true)]
async fn a_lease_is_taken_over_from_the_dead_only() {
    let mut scene = Scene::new(2).await;
    let client = scene.cluster.client();
    cluster::ensure_definitions(&client).await.expect("defined");
    let spec = plan(REBOOT).spec;
    let campaign = cluster::begin(&client, "p", &spec, None).await.expect("begun");
    assert_eq!(campaign.metadata.name.as_deref(), Some("p-1"));
    let (holding, clock) = (client.clone(), scene.cluster.clock());
    cluster::hold(&client, "p-1", "other", clock.now(), Claim::Take(None)).await.expect("held");
    let other = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            cluster::hold(&holding, "p-1", "other", clock.now(), Claim::Take(None)).await.expect("renewed");
        }
    });
    let refused = scene.try_apply(&plan(REBOOT), "one", never()).await;
    let words = refused.as_ref().map(|_| String::new()).unwrap_or_else(ToString::to_string);
    assert!(words.contains("campaign p-1 is being driven by other, who gives signs of life"), "{refused:?}");
    other.abort();
    let began = scene.cluster.now();
    let outcome = scene.apply(&plan(REBOOT), "one", never()).await;
    assert!(all_done(&outcome), "{outcome:#?}");
    let waited = outcome.status.started_at.expect("begun").duration_since(began).as_secs();
    assert!((30..40).contains(&waited), "{waited}");
}

/// Two plans over the same nodes: the second waits for the first to end, before it touches anything.
#[tokio::test(start_paused = true)]
async fn two_campaigns_do_not_share_nodes() {
    let mut scene = Scene::new(2).await;
    let client = scene.cluster.client();
    cluster::ensure_definitions(&client).await.expect("defined");
    cluster::begin(&client, "other", &plan(REBOOT).spec, None).await.expect("begun");
    cluster::hold(&client, "other-1", "somebody", scene.cluster.now(), Claim::Take(None))
        .await
        .expect("held");
    let refused = scene.try_apply(&plan(REBOOT), "one", never()).await;
    assert!(
        matches!(&refused, Err(Error::Plan(why)) if why == "campaign other-1, driven by somebody, has nodes of this plan, too: w1, w2; wait until it has ended"),
        "{refused:?}"
    );
    cluster::release(&client, "other-1", "somebody").await;
    assert!(all_done(&scene.roll(REBOOT).await));
}

/// The maintenance changes the label that selects the node; killed in the middle, the campaign still knows it.
#[tokio::test(start_paused = true)]
async fn nodes_whose_labels_change_stay_in_the_campaign() {
    let mut scene = Scene::new(3).await;
    for node in ["w1", "w2"] {
        scene.patch_node(node, json!({"metadata": {"labels": {"kernel": "old"}}})).await;
    }
    let rest =
        format!("  groups: [{{name: old, nodes: {{selector: {{matchLabels: {{kernel: old}}}}}}}}]\n{REBOOT}");
    let plan = plan(&rest);
    let killed = tokio::time::timeout(Duration::from_secs(40), scene.apply(&plan, "one", never())).await;
    assert!(killed.is_err(), "too fast to be killed");
    let first = if scene.cordoned("w1").await { "w1" } else { "w2" };
    assert!(scene.cordoned(first).await);
    let second = if first == "w1" { "w2" } else { "w1" };
    assert!(scene.is_steered(second).await);
    for node in ["w1", "w2"] {
        scene.patch_node(node, json!({"metadata": {"labels": {"kernel": "new"}}})).await;
    }
    let outcome = scene.apply(&plan, "two", never()).await;
    assert!(all_done(&outcome), "{outcome:#?}");
    assert_eq!(outcome.status.nodes.len(), 1, "{second} had not begun, and is none of the plan's any more");
    assert!(!scene.cordoned(first).await && !scene.carries_state(first).await);
    assert!(!scene.is_steered(second).await, "whoever goes on takes the taint off it");
}

/// A laptop sleeps; somebody else takes over, and is through. What wakes up decides nothing any more.
#[tokio::test(start_paused = true)]
async fn a_driver_that_stood_still_does_nothing_more() {
    let mut scene = Scene::new(3).await;
    let (client, plan) = (scene.cluster.client(), plan(REBOOT));
    let nodes = scene.nodes();
    let clock = scene.cluster.clock();
    let refused = {
        let mut driving = std::pin::pin!(scene.try_apply(&plan, "sleeper", never()));
        let begun = tokio::time::timeout(Duration::from_secs(40), &mut driving).await;
        assert!(begun.is_err(), "too fast to fall asleep");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let other = |claim| cluster::hold(&client, "p-1", "other", clock.now(), claim);
        let Err(cluster::Error::Held { renewed, .. }) = other(Claim::Take(None)).await else {
            panic!("the sleeper's lease is not free")
        };
        other(Claim::Take(renewed)).await.expect("taken over");
        cluster::release(&client, "p-1", "other").await;
        driving.await
    };
    assert!(matches!(&refused, Err(Error::Cluster(cluster::Error::Lost { .. }))), "{refused:?}");
    let cordoned = nodes.list(&ListParams::default()).await.expect("nodes").items;
    let cordoned = cordoned.iter().filter(|n| n.spec.as_ref().is_some_and(|s| s.unschedulable == Some(true)));
    assert_eq!(cordoned.count(), 1, "no further node was begun");
    assert!(all_done(&scene.apply(&plan, "one", never()).await));
}

/// The driver was killed while the Job ran; it ended well long before `apply` looks for it.
#[tokio::test(start_paused = true)]
async fn a_job_that_ended_unseen_is_not_run_again() {
    let mut scene = Scene::new(2).await;
    let client = scene.cluster.client();
    let jobs: Api<Job> = Api::namespaced(client, "kube-system");
    let plan =
        plan("  hooks: [{name: upgrade, at: Maintenance, job: {image: tools}, timeout: 1m, retries: 2}]\n");
    let begun = async {
        while jobs.list(&ListParams::default()).await.expect("jobs").items.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! { _ = scene.apply(&plan, "one", never()) => panic!("too fast"), () = begun => {} }
    tokio::time::sleep(Duration::from_secs(600)).await;
    let outcome = scene.apply(&plan, "two", never()).await;
    assert!(all_done(&outcome), "{outcome:#?}");
    assert_eq!(jobs.list(&ListParams::default()).await.expect("jobs").items.len(), 2, "one a node");
}

/// The schema of an older virtroll would drop what this one records.
#[tokio::test(start_paused = true)]
async fn an_older_definition_is_brought_up_to_date() {
    let mut scene = Scene::new(2).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(scene.cluster.client());
    let mut old = serde_json::to_value(MaintenanceCampaign::crd()).expect("JSON");
    let node = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/nodes/items/properties";
    let removed = old.pointer_mut(node).and_then(|p| p.as_object_mut()).and_then(|p| p.remove("drainedAt"));
    assert!(removed.is_some(), "{old}");
    let old: CustomResourceDefinition = serde_json::from_value(old).expect("a definition");
    definitions.create(&PostParams::default(), &old).await.expect("created");
    let outcome = scene.roll("").await;
    assert!(all_done(&outcome), "{outcome:#?}");
    let record = cluster::campaign(&scene.cluster.client(), "p-1").await.expect("there").campaign.status;
    let record = record.expect("a record");
    assert!(record.nodes.iter().all(|n| n.drained_at.is_some()), "{record:#?}");
}
