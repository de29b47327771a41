//! Records of campaigns: one that is larger than an object may be, and one that the API server refuses.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::json;
use tokio::sync::watch;
use virtroll::cluster;
use virtroll::engine::{Clock, Error, Outcome, Run, Stop, run_campaign};
use virtroll::journal::{Event, EventKind};
use virtroll::plan::v1alpha1::{
    CampaignNode, CampaignPhase, MaintenanceCampaign, MaintenanceCampaignStatus, MaintenancePlan,
};
use virtroll::sim::{EmbeddedCluster, Settings};

use crate::scene::{REBOOT, Scene, all_done, plan};
use crate::troubled::{self, Fate};

/// So many nodes with a group of this name are more than 1.5 MiB: the name stands in each of their records.
const MANY: usize = 1200;
const LONG_NAME: usize = 1150;
/// Where nothing goes on any more, that is found soon.
const SOON: Duration = Duration::from_secs(60);

async fn many_nodes() -> EmbeddedCluster {
    let node = |n: usize| {
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("w{n}")},
            "status": {
                "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
                "nodeInfo": {"bootID": format!("b{n}"), "kernelVersion": "6.9"},
            },
        })
    };
    let nodes = (1..=MANY).map(node).collect();
    let cluster = EmbeddedCluster::from_objects("many", nodes, Settings::default()).expect("loads");
    cluster.start().await;
    assert!(cluster.settle(Duration::from_secs(10), Duration::from_secs(300)).await);
    cluster
}

async fn drive(
    cluster: &EmbeddedCluster,
    client: Client,
    plan: &MaintenancePlan,
    events: &mut Vec<Event>,
    patience: Option<Duration>,
) -> Result<Outcome, Error> {
    let (_sender, stop) = watch::channel(Stop::No);
    let run = Run {
        client,
        clock: Clock::starting_at(cluster.now()),
        plan,
        new: false,
        play_hooks: true,
        driver: "one".to_owned(),
        effort: virtroll::schedule::search::Effort::of(crate::scene::EFFORT),
        stop,
        patience,
    };
    let mut sink = |event| events.push(event);
    let running = run_campaign(run, &mut sink);
    tokio::time::timeout(Duration::from_secs(86_400), running).await.expect("ends within a day")
}

/// In one object, the record would be refused. The driver is killed in the middle; the next one goes on from all of it.
#[tokio::test(start_paused = true)]
async fn a_campaign_whose_record_is_larger_than_an_object_may_be_goes_through() {
    let cluster = many_nodes().await;
    let name = "g".repeat(LONG_NAME);
    let rest = format!(
        "  concurrency: {{maxUnavailable: 150}}\n  groups: [{{name: {name}, nodes: {{selector: {{}}}}}}]\n"
    );
    let plan = plan(&rest);
    let enough = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let slices = cluster.objects("maintenancecampaignslices.virtroll.dev");
            if slices.iter().any(|s| s["spec"]["nodeCount"].as_u64() >= Some(1)) {
                return;
            }
        }
    };
    let mut events = Vec::new();
    tokio::select! {
        _ = drive(&cluster, cluster.client(), &plan, &mut events, Some(SOON)) => panic!("too fast to be killed"),
        () = enough => {}
    }
    let read =
        cluster::campaign(&cluster.client(), "p-1").await.expect("there").campaign.status.expect("a record");
    let begun: BTreeSet<String> = read.nodes.iter().map(|n| n.name.clone()).collect();
    assert!(
        begun.len() > 1000 && begun.len() == read.nodes.len() && begun.len() < MANY,
        "{}",
        read.nodes.len()
    );
    let done: Vec<_> = read.nodes.iter().filter(|n| n.is_done()).cloned().collect();
    let outcome = drive(&cluster, cluster.client(), &plan, &mut events, Some(SOON)).await.expect("runs");
    assert!(all_done(&outcome), "{:?}", outcome.end);
    let record =
        cluster::campaign(&cluster.client(), "p-1").await.expect("there").campaign.status.expect("a record");
    let names: BTreeSet<&str> = record.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!((names.len(), record.nodes.len()), (MANY, MANY), "each once");
    assert!(done.iter().all(|n| record.nodes.contains(n)), "what was through stays as it was recorded");
    let sizes =
        |kind: &str| -> Vec<usize> { cluster.objects(kind).iter().map(|o| o.to_string().len()).collect() };
    let parts = [sizes("maintenancecampaigns.virtroll.dev"), sizes("maintenancecampaignslices.virtroll.dev")]
        .concat();
    assert_eq!(parts.len(), 2);
    let limit = 1536 * 1024;
    assert!(parts.iter().all(|size| *size < limit) && parts.iter().sum::<usize>() > limit, "{parts:?}");
    // Another campaign learns from it, and knows its name.
    let all = cluster::campaigns(&cluster.client()).await.expect("read");
    assert_eq!(all[0].status.as_ref().map(|s| (s.nodes.len(), s.slices)), Some((1000, 1)));
}

/// A client of a cluster in which campaign p-1 has just begun.
async fn begun(scene: &Scene) -> Client {
    let client = scene.cluster.client();
    cluster::ensure_definitions(&client).await.expect("defined");
    cluster::begin(&client, "p", &plan("").spec, None).await.expect("begun");
    client
}

/// A dump holds the slices, too; in the copy they belong to the campaign as they did.
#[tokio::test(start_paused = true)]
async fn a_copy_of_a_cluster_has_the_whole_record() {
    let scene = Scene::new(1).await;
    let client = begun(&scene).await;
    let node = |n: usize| CampaignNode {
        name: format!("gone-{n}"),
        phase: "Done".to_owned(),
        ..CampaignNode::default()
    };
    let status = MaintenanceCampaignStatus {
        phase: CampaignPhase::Succeeded,
        nodes: (0..1500).map(|n| Arc::new(node(n))).collect(),
        ..MaintenanceCampaignStatus::default()
    };
    let mut record = cluster::campaign(&client, "p-1").await.expect("read");
    cluster::record(&client, &mut record, &status).await.expect("written");
    let copy =
        EmbeddedCluster::from_objects("copy", scene.cluster.dump(), Settings::default()).expect("loads");
    copy.start().await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let read = cluster::campaign(&copy.client(), "p-1").await.expect("read").campaign.status;
    assert_eq!(read.as_ref(), Some(&status));
    assert_eq!(copy.objects("maintenancecampaignslices.virtroll.dev").len(), 1);
    // With the campaign they go.
    let campaigns: Api<MaintenanceCampaign> = Api::all(copy.client());
    campaigns.delete("p-1", &DeleteParams::default()).await.expect("deleted");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(copy.objects("maintenancecampaignslices.virtroll.dev").len(), 0);
}

/// Somebody puts back a definition from before there were slices: the API server drops the field that says how many there are.
#[tokio::test(start_paused = true)]
async fn a_definition_that_drops_a_part_of_the_record_is_told_and_brought_up_to_date() {
    let scene = Scene::new(1).await;
    let client = begun(&scene).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = "maintenancecampaigns.virtroll.dev";
    let mut older = serde_json::to_value(definitions.get(name).await.expect("there")).expect("JSON");
    older["metadata"]["annotations"] = json!({"virtroll.dev/definition": "3"});
    let status = older.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties");
    status.and_then(|s| s.as_object_mut()?.remove("slices")).expect("in the schema");
    let older = serde_json::from_value(older).expect("a definition");
    definitions.replace(name, &PostParams::default(), &older).await.expect("put back");
    let nodes =
        (0..1500).map(|n| Arc::new(CampaignNode { name: format!("n{n}"), ..CampaignNode::default() }));
    let status = MaintenanceCampaignStatus { nodes: nodes.collect(), ..MaintenanceCampaignStatus::default() };
    let mut record = cluster::campaign(&client, "p-1").await.expect("read");
    let refused = cluster::record(&client, &mut record, &status).await;
    let words = refused.as_ref().map_or_else(ToString::to_string, |()| "written".to_owned());
    assert!(matches!(refused, Err(cluster::Error::Unwritable { .. })), "{words}");
    assert!(words.starts_with("record campaign p-1: the API server dropped status.slices"), "{words}");
    assert_eq!(scene.cluster.objects("maintenancecampaignslices.virtroll.dev").len(), 0);
    cluster::record(&client, &mut record, &status).await.expect("the definition is this virtroll's again");
    let read = cluster::campaign(&client, "p-1").await.expect("read").campaign.status;
    assert_eq!(read, Some(status));
}

/// Refuses the records of campaigns while it is told to. The answer to the first that is taken then is lost.
fn refusing(scene: &Scene, refuses: Arc<AtomicBool>, tries: Arc<AtomicUsize>) -> Client {
    let is_lost = AtomicBool::new(false);
    troubled::client(scene.cluster.server(), move |request| {
        if !request.uri().path().ends_with("/maintenancecampaigns/p-1/status") {
            return Fate::Answered;
        }
        if !refuses.load(Ordering::SeqCst) {
            let was_refused = tries.load(Ordering::SeqCst) > 0;
            let loses = was_refused && !is_lost.swap(true, Ordering::SeqCst);
            return if loses { Fate::AnswerLost } else { Fate::Answered };
        }
        tries.fetch_add(1, Ordering::SeqCst);
        Fate::Refused(403, "maintenancecampaigns is forbidden: no more")
    })
}

fn warnings<'a>(events: &'a [Event], words: &str) -> Vec<&'a str> {
    let texts = events.iter().filter_map(|e| match &e.kind {
        EventKind::Warning { text } if text.contains(words) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_refused_is_told_once_and_nothing_further_begins_until_it_is_taken() {
    let scene = Scene::new(4).await;
    let (refuses, tries) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let client = refusing(&scene, refuses.clone(), tries.clone());
    let nodes = scene.nodes();
    let meddling = async {
        let cordoned = async || {
            let all = nodes.list(&ListParams::default()).await.expect("nodes").items;
            let all =
                all.into_iter().filter(|n| n.spec.as_ref().is_some_and(|s| s.unschedulable == Some(true)));
            all.filter_map(|n| n.metadata.name).collect::<Vec<_>>()
        };
        while cordoned().await.is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // Its beginning is on record, its end isn't.
        tokio::time::sleep(Duration::from_secs(2)).await;
        refuses.store(true, Ordering::SeqCst);
        let first = cordoned().await;
        for _ in 0..1800 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = cordoned().await;
            assert!(now.iter().all(|n| first.contains(n)), "{now:?} after {first:?}");
        }
        assert_eq!((first.len(), cordoned().await.len()), (1, 0), "what was begun comes to its end");
        refuses.store(false, Ordering::SeqCst);
    };
    let mut events = Vec::new();
    let plan = plan(REBOOT);
    let (outcome, ()) = tokio::join!(drive(&scene.cluster, client, &plan, &mut events, None), meddling);
    let outcome = outcome.expect("goes on");
    assert!(all_done(&outcome) && outcome.status.nodes.len() == 4, "{outcome:#?}");
    let told = warnings(&events, "nothing further begins");
    assert_eq!(told.len(), 1, "{told:?}");
    let words = "record campaign p-1: maintenancecampaigns is forbidden: no more; grant this user";
    assert!(told[0].starts_with(words), "{told:?}");
    assert_eq!(warnings(&events, "its record is taken again").len(), 1);
    // 1, 2, 4, … 256 s, then every 300 s: 9 tries in 511 s, 4 in the rest of half an hour, and the first.
    let tries = tries.load(Ordering::SeqCst);
    assert!((10..=14).contains(&tries), "{tries}");
}

/// Where nobody comes to mend it, the campaign ends, and says why.
#[tokio::test(start_paused = true)]
async fn a_record_that_is_never_taken_ends_a_simulated_campaign() {
    let scene = Scene::new(2).await;
    let client = refusing(&scene, Arc::new(AtomicBool::new(true)), Arc::default());
    let mut events = Vec::new();
    let plan = plan(REBOOT);
    let ended = drive(&scene.cluster, client, &plan, &mut events, Some(Duration::from_secs(3600))).await;
    let words = ended.as_ref().map(|o| format!("{:?}", o.end)).unwrap_or_else(ToString::to_string);
    assert!(matches!(&ended, Err(Error::Cluster(cluster::Error::Unwritable { .. }))), "{words}");
    assert!(words.starts_with("record campaign p-1: maintenancecampaigns is forbidden"), "{words}");
    for node in ["w1", "w2"] {
        assert!(!scene.cordoned(node).await, "{node} was begun without a record");
    }
}
