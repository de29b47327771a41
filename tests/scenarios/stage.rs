//! What a scenario stands on: a cluster behind a client, its clock, and the helpers to set up and to look.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::watch;
use virtroll::engine::{Clock, Drain, DrainReport, Error, Outcome, Run, Stop, drain_nodes, run_campaign};
use virtroll::journal::Event;
use virtroll::reconcile::End;
use virtroll::reconcile::drain::DrainOptions;

/// One group of all the scenario's nodes.
const ALL: &str = "  groups: [{name: all, nodes: {selector: {matchLabels: {scenario: NAME}}}}]\n";

pub struct Stage {
    pub client: Client,
    pub clock: Clock,
    /// Name of the scenario: of its namespace, of its plan, and the prefix of its nodes.
    pub name: String,
    pub events: Vec<Event>,
    /// Begin another campaign instead of going on with an unfinished one.
    pub new: bool,
    /// Commands and requests of hooks are run for real.
    pub real: bool,
    /// Eviction requests so far in a namespace, counted by the API server.
    pub evictions: Box<dyn Fn(&str) -> usize>,
    /// How long a campaign may take.
    pub patience: Duration,
}

fn resource(api_version: &str, kind: &str) -> (ApiResource, bool) {
    let plural = match kind {
        "DaemonSet" => "daemonsets".to_owned(),
        "MigrationPolicy" => "migrationpolicies".to_owned(),
        other => format!("{}s", other.to_lowercase()),
    };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let cluster_scoped = matches!(
        kind,
        "Node"
            | "PersistentVolume"
            | "Namespace"
            | "CustomResourceDefinition"
            | "MigrationPolicy"
            | "ValidatingWebhookConfiguration"
    );
    let resource = ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: api_version.into(),
        kind: kind.into(),
        plural,
    };
    (resource, !cluster_scoped)
}

impl Stage {
    pub fn node_name(&self, n: usize) -> String {
        format!("{}-{n}", self.name)
    }

    pub fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        let (resource, namespaced) = resource(api_version, kind);
        if namespaced {
            Api::namespaced_with(self.client.clone(), &self.name, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }

    /// Creates objects from manifests; `NAME` in the text is the scenario's name.
    pub async fn create(&self, manifests: &str) {
        let text = manifests.replace("NAME", &self.name);
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
        for mut document in documents.into_iter().filter(|d| !d.is_null()) {
            let text = |v: &Value| v.as_str().expect("a text").to_owned();
            let (api_version, kind) = (text(&document["apiVersion"]), text(&document["kind"]));
            if resource(&api_version, &kind).1 {
                document["metadata"]["namespace"] = json!(self.name);
            }
            let object: DynamicObject = serde_json::from_value(document).expect("an object");
            let created = self.api(&api_version, &kind).create(&PostParams::default(), &object).await;
            created.unwrap_or_else(|e| panic!("{kind}: {e}"));
        }
    }

    /// The namespace and `count` nodes, alternating over the zones z0 and z1.
    pub async fn nodes(&self, count: usize) {
        self.create("apiVersion: v1\nkind: Namespace\nmetadata: {name: NAME}\n").await;
        for n in 1..=count {
            let resources = "{cpu: '64', memory: 256Gi, pods: '250'}";
            let info = "architecture: amd64, operatingSystem: linux, osImage: x, machineID: x, systemUUID: x, \
                        containerRuntimeVersion: x, kubeletVersion: v1.36.3, kubeProxyVersion: x, kernelVersion: 6.9.7";
            let node = format!(
                "apiVersion: v1\nkind: Node\nmetadata:\n  name: NAME-{n}\n  labels: {{scenario: NAME, kubernetes.io/hostname: NAME-{n}, \
                 kubernetes.io/arch: amd64, kubernetes.io/os: linux, topology.kubernetes.io/zone: z{}}}\n  \
                 annotations: {{sim.virtroll.dev/kernel-after-reboot: 6.12.4}}\nstatus:\n  capacity: {resources}\n  \
                 allocatable: {resources}\n  nodeInfo: {{bootID: boot-NAME-{n}, {info}}}\n",
                n % 2
            );
            self.create(&node).await;
        }
        let name = self.name.clone();
        self.until("nodes Ready and known to KubeVirt", async |s: &Self| {
            let nodes = s.list("v1", "Node").await;
            let mine = nodes.iter().filter(|n| n["metadata"]["labels"]["scenario"] == name.as_str());
            let good = |n: &&Value| {
                is_true(n, "Ready") && n["metadata"]["labels"]["kubevirt.io/schedulable"] == "true"
            };
            mine.filter(good).count() == count
        })
        .await;
    }

    /// A Deployment `web` with a budget, all pods ready.
    pub async fn web(&self, replicas: usize, budget: &str) {
        self.create(&format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: {replicas}\n  \
             selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    \
             spec: {{nodeSelector: {{scenario: NAME}}, containers: [{{name: web, image: web, resources: {{requests: {{cpu: 100m}}}}}}]}}\n---\n\
             apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: web}}\n\
             spec: {{{budget}, selector: {{matchLabels: {{app: web}}}}}}\n"
        ))
        .await;
        self.until("web is available and its budget counted", async |s: &Self| {
            let web = s.get("apps/v1", "Deployment", "web").await;
            let budget = s.get("policy/v1", "PodDisruptionBudget", "web").await;
            web["status"]["availableReplicas"] == replicas && budget["status"]["currentHealthy"] == replicas
        })
        .await;
    }

    /// A running VirtualMachine with masquerade; `more` is further fields of its VMI's spec, `annotations` of its guest.
    pub async fn vm(&self, name: &str, run: &str, more: &str, annotations: &str) {
        self.create(&vm(name, run, more, annotations)).await;
    }

    pub async fn list(&self, api_version: &str, kind: &str) -> Vec<Value> {
        let list = self.api(api_version, kind).list(&Default::default()).await.expect("listed");
        list.items.into_iter().map(|o| serde_json::to_value(o).expect("JSON")).collect()
    }

    /// Null if it isn't there.
    pub async fn get(&self, api_version: &str, kind: &str, name: &str) -> Value {
        let object = self.api(api_version, kind).get_opt(name).await.expect("answered");
        object.map(|o| serde_json::to_value(o).expect("JSON")).unwrap_or_default()
    }

    pub async fn vmi(&self, name: &str) -> Value {
        self.get("kubevirt.io/v1", "VirtualMachineInstance", name).await
    }

    /// Waits until so many VMIs run and it is known whether they migrate.
    pub async fn running(&self, count: usize) {
        self.until("the guests run", async |s: &Self| {
            let vmis = s.list("kubevirt.io/v1", "VirtualMachineInstance").await;
            let runs =
                |v: &&Value| v["status"]["phase"] == "Running" && condition(v, "LiveMigratable").is_some();
            vmis.iter().filter(runs).count() == count
        })
        .await;
    }

    pub async fn cordon(&self, node: &str, on: bool) {
        let patch = json!({"spec": {"unschedulable": if on { json!(true) } else { Value::Null }}});
        let nodes = self.api("v1", "Node");
        nodes.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    }

    pub async fn is_cordoned(&self, node: &str) -> bool {
        self.get("v1", "Node", node).await["spec"]["unschedulable"] == true
    }

    pub async fn patch(&self, api_version: &str, kind: &str, name: &str, patch: Value) {
        let api = self.api(api_version, kind);
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    }

    /// Waits, at most two minutes, until something holds.
    pub async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        for _ in 0..480 {
            if holds(self).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        panic!("{}: not after two minutes: {what}", self.name);
    }

    /// Runs a campaign over the scenario's nodes; `rest` is the rest of the plan's spec.
    pub async fn roll(&mut self, rest: &str) -> Outcome {
        self.roll_groups(ALL, rest).await
    }

    /// Runs a campaign over these groups.
    pub async fn roll_groups(&mut self, groups: &str, rest: &str) -> Outcome {
        self.try_roll_groups(groups, rest).await.expect("it runs")
    }

    /// As [`Self::roll`], with the engine's refusal.
    pub async fn try_roll(&mut self, rest: &str) -> Result<Outcome, Error> {
        self.try_roll_groups(ALL, rest).await
    }

    async fn try_roll_groups(&mut self, groups: &str, rest: &str) -> Result<Outcome, Error> {
        let head =
            "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: NAME}\nspec:\n";
        let text = format!("{head}{groups}{rest}").replace("NAME", &self.name);
        let loaded = virtroll::plan::load("plan.yaml", &text).unwrap_or_else(|e| panic!("{}", e.render()));
        let (_sender, stop) = watch::channel(Stop::No);
        let run = Run {
            client: self.client.clone(),
            clock: self.clock,
            plan: &loaded.plan,
            // Scenarios that go on with a mended plan keep its hooks and groups.
            new: self.new,
            play_hooks: !self.real,
            driver: format!("{}-driver", self.name),
            stop,
            patience: None,
        };
        let events = &mut self.events;
        let mut sink = |event| events.push(event);
        let running = run_campaign(run, &mut sink);
        tokio::time::timeout(self.patience, running).await.expect("the campaign ends")
    }

    /// Drains a node that is cordoned first, as `virtroll drain` does.
    pub async fn drain(&mut self, node: &str, options: DrainOptions, timeout: Duration) -> DrainReport {
        self.cordon(node, true).await;
        let drain = Drain {
            client: self.client.clone(),
            clock: self.clock,
            nodes: vec![node.to_owned()],
            options,
            timeout,
            dry_run: false,
        };
        let events = &mut self.events;
        drain_nodes(drain, &mut |event| events.push(event)).await.expect("drains")
    }

    pub fn evictions(&self) -> usize {
        (self.evictions)(&self.name)
    }
}

pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

pub fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|c| c["status"] == "True")
}

/// A VirtualMachine, as text.
pub fn vm(name: &str, run: &str, more: &str, annotations: &str) -> String {
    format!(
        "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {{name: {name}}}\nspec:\n  runStrategy: {run}\n  template:\n    \
         metadata: {{annotations: {{{annotations}}}}}\n    spec:\n{}",
        instance_spec(more, "      ")
    )
}

/// The spec of a VMI on the scenario's nodes with 1 GiB, masquerade and a container disk.
pub fn instance_spec(more: &str, indent: &str) -> String {
    let lines = [
        "nodeSelector: {scenario: NAME}".to_owned(),
        "domain: {memory: {guest: 1Gi}, devices: {interfaces: [{name: default, masquerade: {}}]}}".to_owned(),
        "networks: [{name: default, pod: {}}]".to_owned(),
        more.to_owned(),
    ];
    let lines = lines.iter().filter(|l| !l.is_empty()).map(|l| format!("{indent}{l}"));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// What became of the VMs: name → outcome and moves.
pub fn vms(outcome: &Outcome) -> BTreeMap<String, (String, u32)> {
    let vms = outcome.status.virtual_machines.iter();
    vms.map(|v| (v.name.clone(), (format!("{:?}", v.outcome), v.moves))).collect()
}

pub fn all_done(outcome: &Outcome, nodes: usize) {
    let done = outcome.status.nodes.iter().filter(|n| n.phase == "Done").count();
    assert!(outcome.end == End::Succeeded && done == nodes, "{outcome:#?}");
}

/// Most nodes of a set in work at the same moment, from the record's times.
pub fn most_at_once(outcome: &Outcome, of: impl Fn(&str) -> bool) -> usize {
    let nodes: Vec<_> = outcome.status.nodes.iter().filter(|n| of(&n.name)).collect();
    let at = |t| nodes.iter().filter(|n| n.started_at <= t && t < n.finished_at).count();
    nodes.iter().map(|n| at(n.started_at)).max().unwrap_or(0)
}
