//! A small embedded cluster with a workload, and campaigns over it through the library, in virtual time.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::Api;
use tokio::sync::watch;
use virtroll::engine::{Clock, Error, Outcome, Run, Stop, run_campaign};
use virtroll::journal::Event;
use virtroll::reconcile::End;
use virtroll::sim::{EmbeddedCluster, Settings};

pub const WORKLOAD: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec:\n  replicas: 4\n  \
    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    \
    spec: {containers: [{name: web, image: web, resources: {requests: {cpu: 100m, memory: 64Mi}}}]}\n---\n\
    apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web, namespace: shop}\nspec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}\n";

pub fn cluster(nodes: usize) -> EmbeddedCluster {
    let mut text = WORKLOAD.to_owned();
    for n in 1..=nodes {
        text.push_str(&format!(
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: w{n}, labels: {{kubernetes.io/hostname: w{n}, topology.kubernetes.io/zone: z{}}}}}\n\
             status: {{allocatable: {{cpu: '4', memory: 8Gi, pods: '110'}}, nodeInfo: {{bootID: b{n}, kernelVersion: '6.9'}}}}\n",
            n % 2
        ));
    }
    EmbeddedCluster::from_manifests("test.yaml", &text, Settings::default()).expect("loads")
}

/// A plan over all nodes; `rest` is the rest of its spec.
pub fn plan(rest: &str) -> virtroll::plan::v1alpha1::MaintenancePlan {
    let head = "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: p}\nspec:\n";
    let groups =
        if rest.contains("groups:") { "" } else { "  groups: [{name: all, nodes: {selector: {}}}]\n" };
    match virtroll::plan::load("plan.yaml", &format!("{head}{groups}{rest}")) {
        Ok(loaded) => loaded.plan,
        Err(found) => panic!("{}", found.render()),
    }
}

pub const REBOOT: &str = "  hooks: [{name: reboot, at: Maintenance, reboot: {by: Annotation}}]\n";

/// How hard planners look for an order in tests: not for the best one, and quickly in a program that isn't optimised.
pub const EFFORT: u64 = 20_000;

pub struct Scene {
    pub cluster: EmbeddedCluster,
    pub events: Vec<Event>,
    /// Begin another campaign.
    pub new: bool,
}

impl Scene {
    pub async fn new(nodes: usize) -> Self {
        let cluster = cluster(nodes);
        cluster.start().await;
        assert!(cluster.settle(Duration::from_secs(10), Duration::from_secs(300)).await);
        Self { cluster, events: Vec::new(), new: false }
    }

    pub fn nodes(&self) -> Api<Node> {
        Api::all(self.cluster.client())
    }

    pub async fn cordoned(&self, name: &str) -> bool {
        self.nodes().get(name).await.expect("node").spec.and_then(|s| s.unschedulable).unwrap_or(false)
    }

    /// Whether the node bears the taint of one that waits for its maintenance.
    pub async fn is_steered(&self, name: &str) -> bool {
        let spec = self.nodes().get(name).await.expect("node").spec.unwrap_or_default();
        spec.taints.unwrap_or_default().iter().any(|t| t.key == virtroll::reconcile::STEERING_TAINT)
    }

    pub async fn try_apply(
        &mut self,
        plan: &virtroll::plan::v1alpha1::MaintenancePlan,
        driver: &str,
        stop: watch::Receiver<Stop>,
    ) -> Result<Outcome, Error> {
        let run = Run {
            client: self.cluster.client(),
            clock: Clock::starting_at(self.cluster.now()),
            plan,
            new: self.new,
            play_hooks: true,
            driver: driver.to_owned(),
            effort: virtroll::schedule::search::Effort::of(EFFORT),
            stop,
            patience: Some(Duration::from_secs(3600)),
        };
        let events = &mut self.events;
        let mut sink = |event| events.push(event);
        let running = run_campaign(run, &mut sink);
        // A campaign that doesn't end is found by a deadline in virtual time.
        tokio::time::timeout(Duration::from_secs(86_400), running).await.expect("ends within a day")
    }

    pub async fn apply(
        &mut self,
        plan: &virtroll::plan::v1alpha1::MaintenancePlan,
        driver: &str,
        stop: watch::Receiver<Stop>,
    ) -> Outcome {
        self.try_apply(plan, driver, stop).await.expect("runs")
    }

    pub async fn roll(&mut self, rest: &str) -> Outcome {
        let (_sender, stop) = watch::channel(Stop::No);
        self.apply(&plan(rest), "one", stop).await
    }
}

pub fn all_done(outcome: &Outcome) -> bool {
    outcome.end == End::Succeeded && outcome.status.nodes.iter().all(|n| n.phase == "Done")
}
