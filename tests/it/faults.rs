//! Campaigns through trouble: requests that fail, answers that are lost, drivers that are killed. For each seed another
//! history; what must hold is asserted all the time and at the end.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::Api;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::sync::watch;
use virtroll::engine::{Clock, Error, Outcome, Run, Stop, run_campaign};
use virtroll::reconcile::{End, STATE_ANNOTATION};
use virtroll::sim::{EmbeddedCluster, Settings};

use crate::troubled::{self, Decides, Fate};

/// So many in 100 requests are refused, or the connection breaks off before they have been carried out, or after.
fn share(random: Arc<Mutex<StdRng>>, faults: u32) -> impl Decides {
    move |_| {
        let mut random = random.lock().expect("nobody panicked");
        if random.random_range(0..100) >= faults {
            return Fate::Answered;
        }
        match random.random_range(0..3) {
            0 => Fate::Refused(503, "the server is restarting"),
            1 => Fate::Lost,
            _ => Fate::AnswerLost,
        }
    }
}

/// The storage of campaigns is still starting: the first so many requests for them are refused.
fn starting(refusals: Arc<Mutex<u32>>) -> impl Decides {
    move |request| {
        let mut left = refusals.lock().expect("nobody panicked");
        if *left == 0 || !request.uri().path().ends_with("/maintenancecampaigns") {
            return Fate::Answered;
        }
        *left -= 1;
        Fate::Refused(429, "storage is (re)initializing")
    }
}

const NODES: usize = 5;
const LIMIT: usize = 2;

const WORKLOADS: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec:\n  replicas: 6\n  \
    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    \
    spec: {containers: [{name: web, image: web, resources: {requests: {cpu: 100m}}}]}\n---\n\
    apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web, namespace: shop}\nspec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}\n---\n\
    apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: moves, namespace: shop}\nspec:\n  runStrategy: Always\n  template:\n    spec:\n      \
    evictionStrategy: LiveMigrate\n      domain: {memory: {guest: 1Gi}, devices: {interfaces: [{name: default, masquerade: {}}]}}\n      networks: [{name: default, pod: {}}]\n---\n\
    apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: by-hand, namespace: shop}\nspec:\n  runStrategy: Manual\n  template:\n    spec:\n      \
    domain: {memory: {guest: 1Gi}}\n";

const PLAN: &str = "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: p}\nspec:\n  concurrency: {maxUnavailable: 2}\n  \
    groups: [{name: all, nodes: {selector: {}}}]\n  virtualMachines: {staysOff: StartAfterwards}\n  hooks:\n  \
    - {name: prepare, at: Maintenance, job: {image: tools}, timeout: 10m, retries: 3}\n  \
    - {name: reboot, at: Maintenance, reboot: {by: Annotation}, timeout: 20m, retries: 3}\n  verify: {bootIDChanged: true}\n";

struct Lab {
    cluster: EmbeddedCluster,
    random: Arc<Mutex<StdRng>>,
    faults: u32,
    plan: virtroll::plan::v1alpha1::MaintenancePlan,
}

impl Lab {
    async fn new(seed: u64, faults: u32) -> Self {
        let mut text = WORKLOADS.to_owned();
        for n in 1..=NODES {
            text.push_str(&format!(
                "---\napiVersion: v1\nkind: Node\nmetadata: {{name: w{n}, labels: {{kubernetes.io/hostname: w{n}}}}}\n\
                 status: {{allocatable: {{cpu: '8', memory: 32Gi, pods: '110'}}, nodeInfo: {{bootID: b{n}, kernelVersion: '6.9'}}}}\n"
            ));
        }
        let settings = Settings { seed, ..Settings::default() };
        let cluster = EmbeddedCluster::from_manifests("lab.yaml", &text, settings).expect("loads");
        cluster.start().await;
        let vms: Api<kube::api::DynamicObject> = Api::namespaced_with(
            cluster.client(),
            "shop",
            &kube::api::ApiResource::from_gvk_with_plural(
                &kube::core::GroupVersionKind::gvk("kubevirt.io", "v1", "VirtualMachine"),
                "virtualmachines",
            ),
        );
        let start = http::Request::put(
            "/apis/subresources.kubevirt.io/v1/namespaces/shop/virtualmachines/by-hand/start",
        );
        assert!(vms.get("by-hand").await.is_ok());
        tokio::time::sleep(Duration::from_secs(5)).await;
        let request = start.body(b"{}".to_vec()).expect("a request");
        cluster.client().request_text(request).await.expect("started");
        assert!(cluster.settle(Duration::from_secs(15), Duration::from_secs(600)).await);
        let plan = virtroll::plan::load("plan.yaml", PLAN).unwrap_or_else(|e| panic!("{}", e.render())).plan;
        Self { cluster, random: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))), faults, plan }
    }

    fn client(&self) -> Client {
        troubled::client(self.cluster.server(), share(self.random.clone(), self.faults))
    }

    /// Drives the campaign, at most for a time.
    async fn drive(&self, driver: usize, at_most: Duration) -> Option<Result<Outcome, Error>> {
        let (_sender, stop) = watch::channel(Stop::No);
        let run = Run {
            client: self.client(),
            clock: Clock::starting_at(self.cluster.now()),
            plan: &self.plan,
            new: false,
            play_hooks: true,
            driver: format!("driver-{driver}"),
            effort: virtroll::schedule::search::Effort::of(crate::scene::EFFORT),
            stop,
            patience: None,
        };
        // A driver that runs out of time is dropped in the middle of whatever it did, as if it was killed.
        tokio::time::timeout(at_most, run_campaign(run, &mut |_| {})).await.ok()
    }

    fn random(&self, seconds: std::ops::Range<u64>) -> Duration {
        Duration::from_secs(self.random.lock().expect("nobody panicked").random_range(seconds))
    }
}

fn is_away(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
    let ready = conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
    !ready || node.spec.as_ref().is_some_and(|s| s.unschedulable == Some(true))
}

/// Watches what must hold at any time: the plan's limit, the budget, and that the VM that migrates never stops.
async fn judge(cluster: EmbeddedCluster, seed: u64) {
    let mut guest = None;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let node = |n: &Arc<Value>| serde_json::from_value::<Node>((**n).clone()).expect("a node");
        let nodes = cluster.objects("nodes");
        let away: Vec<String> =
            nodes.iter().map(node).filter(is_away).filter_map(|n| n.metadata.name).collect();
        assert!(away.len() <= LIMIT, "seed {seed}: {away:?}");
        for budget in cluster.objects("poddisruptionbudgets.policy") {
            let (healthy, wanted) =
                (&budget["status"]["currentHealthy"], &budget["status"]["desiredHealthy"]);
            assert!(healthy.as_i64() >= wanted.as_i64(), "seed {seed}: {healthy} of {wanted}");
        }
        let vmis = cluster.objects("virtualmachineinstances.kubevirt.io");
        let moving = vmis.iter().find(|v| v["metadata"]["name"] == "moves").expect("the guest");
        let uid = moving["metadata"]["uid"].to_string();
        assert_eq!(*guest.get_or_insert(uid.clone()), uid, "seed {seed}: the guest was restarted");
    }
}

/// Nothing of virtroll's is left, every node rebooted once, and every guest runs.
fn judge_end(lab: &Lab, outcome: &Outcome, seed: u64) {
    assert_eq!(outcome.end, End::Succeeded, "seed {seed}: {outcome:#?}");
    let objects = lab.cluster.dump();
    let mut boots = BTreeSet::new();
    for node in objects.iter().filter(|o| o["kind"] == "Node") {
        let name = &node["metadata"]["name"];
        assert!(node["spec"]["unschedulable"].is_null(), "seed {seed}: {name} is cordoned");
        for annotation in [STATE_ANNOTATION, "virtroll.dev/reboot-requested"] {
            assert!(
                node["metadata"]["annotations"][annotation].is_null(),
                "seed {seed}: {name} {annotation}"
            );
        }
        boots.insert(node["status"]["nodeInfo"]["bootID"].to_string());
    }
    assert_eq!(boots.len(), NODES);
    let old = (1..=NODES).map(|n| format!("\"b{n}\"")).find(|b| boots.contains(b));
    assert_eq!(old, None, "seed {seed}: not rebooted");
    let jobs = objects.iter().filter(|o| o["kind"] == "Job");
    let done = jobs.filter(|j| j["status"]["succeeded"] == 1).count();
    assert_eq!(done, NODES, "seed {seed}: each node's Job ran once");
    for vm in objects.iter().filter(|o| o["kind"] == "VirtualMachineInstance") {
        assert_eq!(vm["status"]["phase"], "Running", "seed {seed}: {}", vm["metadata"]["name"]);
    }
    assert_eq!(objects.iter().filter(|o| o["kind"] == "VirtualMachineInstance").count(), 2);
}

/// Drives a campaign to its end, judged all the while.
async fn judged(lab: &Lab, seed: u64, driving: impl Future<Output = Outcome>) {
    let watching = judge(lab.cluster.clone(), seed);
    let outcome = tokio::select! { outcome = driving => outcome, () = watching => unreachable!() };
    judge_end(lab, &outcome, seed);
}

fn play(test: impl AsyncFn(u64), seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(test(seed));
    }
}

const A_DAY: Duration = Duration::from_secs(86_400);

#[test]
fn one_request_in_ten_fails() {
    play(
        async |seed| {
            let lab = Lab::new(seed, 10).await;
            let driving = async {
                // A first request that fails is the user's to repeat.
                for driver in 0..20 {
                    if let Some(Ok(outcome)) = lab.drive(driver, A_DAY).await {
                        return outcome;
                    }
                }
                panic!("seed {seed}: not even begun");
            };
            judged(&lab, seed, driving).await;
        },
        1..5,
    );
}

#[test]
fn drivers_are_killed_at_any_moment() {
    play(
        async |seed| {
            let lab = Lab::new(seed, 0).await;
            let driving = async {
                for driver in 0..200 {
                    // Long enough to take over from the one that was killed, and to do something.
                    match lab.drive(driver, lab.random(33..95)).await {
                        Some(Ok(outcome)) => return outcome,
                        Some(Err(error)) => panic!("seed {seed}: {error}"),
                        None => {}
                    }
                }
                panic!("seed {seed}: not through with 200 drivers");
            };
            judged(&lab, seed, driving).await;
        },
        1..5,
    );
}

/// Seen on a control plane where the kinds were defined a moment before.
#[tokio::test(start_paused = true)]
async fn a_storage_that_is_still_starting_is_waited_for() {
    let lab = Lab::new(1, 0).await;
    virtroll::cluster::ensure_definitions(&lab.cluster.client()).await.expect("defined");
    for (refusals, answered) in [(0, true), (7, true), (1000, false)] {
        let left = Arc::new(Mutex::new(refusals));
        let client = troubled::client(lab.cluster.server(), starting(left.clone()));
        let campaigns = virtroll::cluster::campaigns(&client).await;
        assert_eq!(campaigns.is_ok(), answered, "{refusals} refusals: {campaigns:?}");
        assert_eq!(*left.lock().expect("nobody panicked") == 0, answered, "{refusals}");
    }
}
