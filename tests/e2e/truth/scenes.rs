//! The campaigns.

use kube::api::DeleteParams;
use serde_json::json;

use crate::scenarios::Stage;
use crate::scenarios::planned::set_ready;
use crate::scenarios::stage::{is_true, vm};

/// One campaign with its cluster.
pub struct Scene {
    pub name: &'static str,
    /// Nodes of the plan; the scenario has `spares` more.
    nodes: usize,
    spares: usize,
    /// Deployments and StatefulSets of one pod a node: kind, name, budget, its pods' annotations.
    workloads: &'static [(&'static str, &'static str, &'static str, &'static str)],
    /// Sets of VMs of one guest a node: name, run strategy, further fields, annotations.
    guests: &'static [(&'static str, &'static str, &'static str, &'static str)],
    /// Groups other than one of all nodes.
    groups: &'static str,
    /// The rest of the plan's spec.
    pub rest: &'static str,
    /// A node that somebody has cordoned.
    cordoned: Option<usize>,
    /// A node whose kubelet says that it isn't ready, until it is rebooted.
    unready: Option<usize>,
    /// How often virt-handlers give a sign of life, which is when KubeVirt tries a failed migration again.
    heartbeats: &'static str,
}

const PLAIN: Scene = Scene {
    name: "",
    nodes: 3,
    spares: 1,
    workloads: &[],
    guests: &[],
    groups: "",
    rest: "",
    cordoned: None,
    unready: None,
    heartbeats: "90s",
};

const SLOW: &str =
    "sim.virtroll.dev/starts-after: 2s, sim.virtroll.dev/ready-after: 6s, sim.virtroll.dev/stops-after: 4s";
const QUICK: &str =
    "sim.virtroll.dev/starts-after: 1s, sim.virtroll.dev/ready-after: 2s, sim.virtroll.dev/stops-after: 1s";
const REBOOT: &str = "  hooks: [{name: reboot, at: Maintenance, reboot: {by: Annotation}, timeout: 5m}]\n";
const MIGRATES: &str = "evictionStrategy: LiveMigrate";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "plain",
        workloads: &[("Deployment", "web", "", SLOW), ("Deployment", "api", "", QUICK)],
        rest: REBOOT,
        ..PLAIN
    },
    Scene {
        name: "budget",
        nodes: 4,
        spares: 2,
        workloads: &[("Deployment", "web", "maxUnavailable: 1", SLOW), ("Deployment", "api", "", QUICK)],
        rest: "  concurrency: {maxUnavailable: 2}\n  hooks: [{name: reboot, at: Maintenance, reboot: {by: Annotation}, timeout: 5m}]\n",
        ..PLAIN
    },
    Scene {
        name: "stateful",
        workloads: &[
            ("StatefulSet", "db", "maxUnavailable: 1", SLOW),
            (
                "StatefulSet",
                "queue",
                "minAvailable: 2",
                "sim.virtroll.dev/starts-after: 1s, sim.virtroll.dev/ready-after: 4s, sim.virtroll.dev/stops-after: 6s",
            ),
        ],
        rest: REBOOT,
        ..PLAIN
    },
    Scene {
        name: "groups",
        nodes: 4,
        spares: 2,
        workloads: &[("Deployment", "web", "maxUnavailable: 1", QUICK), ("Deployment", "api", "", SLOW)],
        groups: "  groups:\n  - {name: canary, nodes: {names: [NAME-2]}, soak: 12s}\n  \
                 - {name: rest, nodes: {names: [NAME-1, NAME-3, NAME-4]}, dependsOn: [canary], concurrency: {maxUnavailable: 2}}\n",
        rest: "  strategy: Waves\n  concurrency: {maxUnavailable: 2}\n  hooks: [{name: reboot, at: Maintenance, reboot: {by: Annotation}, timeout: 5m}]\n",
        ..PLAIN
    },
    Scene {
        name: "zones",
        nodes: 5,
        spares: 3,
        workloads: &[("Deployment", "web", "maxUnavailable: 2", SLOW)],
        rest: "  concurrency: {maxUnavailable: 3, maxUnavailablePerZone: 1}\n  \
               hooks: [{name: reboot, at: Maintenance, reboot: {by: Annotation}, timeout: 5m}]\n",
        ..PLAIN
    },
    Scene {
        name: "hooks",
        workloads: &[("Deployment", "web", "", QUICK)],
        rest: "  hooks:\n  - {name: before, at: BeforeCampaign, exec: [sleep, '3'], expected: 3s}\n  \
               - {name: tell, at: PreDrain, exec: [sleep, '4'], expected: 4s}\n  \
               - {name: work, at: Maintenance, job: {image: tools, command: [prepare], namespace: NAME}, expected: 1s, timeout: 2m}\n  \
               - {name: reboot, at: Maintenance, reboot: {by: Annotation}, timeout: 5m}\n  \
               - {name: kernel, at: PreUncordon, waitFor: {jsonPath: '$.status.nodeInfo.kernelVersion', value: 6.12.4}, timeout: 2m}\n  \
               - {name: settle, at: PostUncordon, exec: [sleep, '5'], expected: 5s}\n  \
               verify: {ready: true, bootIDChanged: true, kernelVersion: '>=6.12'}\n",
        ..PLAIN
    },
    Scene {
        name: "vms-migrate",
        guests: &[
            ("a", "Always", MIGRATES, "sim.virtroll.dev/migration-takes: 5s"),
            ("b", "Always", MIGRATES, "sim.virtroll.dev/migration-takes: 4s"),
            ("c", "Always", MIGRATES, "sim.virtroll.dev/migration-takes: 6s"),
        ],
        rest: REBOOT,
        ..PLAIN
    },
    Scene {
        name: "vms-restart",
        guests: &[
            ("a", "Always", "", "sim.virtroll.dev/guest-shutdown: 5s, sim.virtroll.dev/boots-after: 4s"),
            (
                "r",
                "RerunOnFailure",
                "",
                "sim.virtroll.dev/guest-shutdown: 3s, sim.virtroll.dev/boots-after: 4s",
            ),
        ],
        rest: "  virtualMachines: {shutDown: Allow, staysOff: StartAfterwards}\n  \
               hooks: [{name: reboot, at: Maintenance, reboot: {by: Annotation}, timeout: 5m}]\n",
        ..PLAIN
    },
    Scene {
        name: "vms-fail",
        nodes: 2,
        heartbeats: "3s",
        guests: &[(
            "a",
            "Always",
            MIGRATES,
            "sim.virtroll.dev/migration-takes: 4s, sim.virtroll.dev/migration-fails: '1'",
        )],
        workloads: &[("Deployment", "web", "", QUICK)],
        rest: REBOOT,
        ..PLAIN
    },
    Scene {
        name: "found-cordoned",
        nodes: 4,
        spares: 1,
        cordoned: Some(3),
        workloads: &[("Deployment", "web", "maxUnavailable: 1", SLOW)],
        rest: "  concurrency: {maxUnavailable: 2}\n  hooks: [{name: reboot, at: Maintenance, reboot: {by: Annotation}, timeout: 5m}]\n",
        ..PLAIN
    },
    Scene {
        name: "found-unready",
        nodes: 4,
        spares: 1,
        unready: Some(3),
        workloads: &[("Deployment", "web", "maxUnavailable: 1", SLOW)],
        rest: "  concurrency: {maxUnavailable: 2}\n  hooks: [{name: reboot, at: Maintenance, reboot: {by: Annotation}, timeout: 5m}]\n",
        ..PLAIN
    },
];

impl Scene {
    pub fn groups(&self) -> String {
        if self.groups.is_empty() {
            let names: Vec<String> = (1..=self.nodes).map(|n| format!("NAME-{n}")).collect();
            return format!("  groups: [{{name: all, nodes: {{names: [{}]}}}}]\n", names.join(", "));
        }
        self.groups.to_owned()
    }

    pub fn plan(&self, name: &str) -> String {
        let head =
            "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: NAME}\nspec:\n";
        format!("{head}{}{}", self.groups(), self.rest).replace("NAME", name)
    }

    pub async fn set_up(&self, stage: &Stage) {
        let all = self.nodes + self.spares;
        stage.nodes(all).await;
        for n in 1..=all {
            // What chance would decide on a real machine is said, as a plan's `expected` says it.
            let said = json!({"sim.virtroll.dev/reboots-in": "12s", "sim.virtroll.dev/handler-starts-after": "4s",
                       "sim.virtroll.dev/heartbeat-every": self.heartbeats});
            let patch = json!({"metadata": {"annotations": said}});
            stage.patch("v1", "Node", &stage.node_name(n), patch).await;
        }
        if let Some(node) = self.cordoned {
            stage.cordon(&stage.node_name(node), true).await;
        }
        if let Some(node) = self.unready {
            let now = stage.clock.now().to_string();
            set_ready(&stage.api("v1", "Node"), &stage.node_name(node), "False", &now).await;
            stage
                .until("the scheduler is told", async |s: &Stage| {
                    let taints = s.get("v1", "Node", &s.node_name(node)).await["spec"]["taints"].clone();
                    let taints = taints.as_array().cloned().unwrap_or_default();
                    taints
                        .iter()
                        .any(|t| t["key"] == "node.kubernetes.io/not-ready" && t["effect"] == "NoSchedule")
                })
                .await;
        }
        // One pod a node, but for the spares.
        let count = all - self.spares - usize::from(self.cordoned.or(self.unready).is_some());
        for (kind, name, budget, annotations) in self.workloads {
            stage.create(&workload(kind, name, count, budget, annotations)).await;
        }
        for (set, run, more, annotations) in self.guests {
            for n in 0..self.nodes {
                stage.create(&guest(set, n, run, more, annotations)).await;
            }
        }
        stage.running(self.guests.len() * self.nodes).await;
        stage
            .until("all is ready", async |s: &Stage| {
                let pods = s.list("v1", "Pod").await;
                let wanted = self.workloads.len() * count + self.guests.len() * self.nodes;
                pods.len() == wanted && pods.iter().all(|p| is_true(p, "Ready"))
            })
            .await;
        stage
            .until("the budgets are counted", async |s: &Stage| {
                let budgets = s.list("policy/v1", "PodDisruptionBudget").await;
                budgets.iter().all(|b| b["status"]["currentHealthy"] == count)
            })
            .await;
    }

    /// What is left would only slow down what follows.
    pub async fn tear_down(&self, stage: &Stage) {
        for kind in ["Deployment", "StatefulSet"] {
            let all = stage.api("apps/v1", kind);
            let _ = all.delete_collection(&DeleteParams::background(), &Default::default()).await;
        }
        let vms = stage.api("kubevirt.io/v1", "VirtualMachine");
        let _ = vms.delete_collection(&DeleteParams::background(), &Default::default()).await;
    }
}

fn workload(kind: &str, name: &str, replicas: usize, budget: &str, annotations: &str) -> String {
    let service = if kind == "StatefulSet" { "\n  serviceName: none" } else { "" };
    let mut text = format!(
        "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}{service}\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}, annotations: {{{annotations}}}}}\n    \
         spec:\n      nodeSelector: {{scenario: NAME}}\n      {}      containers: [{{name: main, image: main, resources: {{requests: {{cpu: 100m}}}}}}]\n",
        apart(&format!("app: {name}"))
    );
    if !budget.is_empty() {
        text.push_str(&format!(
            "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: {name}}}\n\
             spec: {{{budget}, selector: {{matchLabels: {{app: {name}}}}}}}\n"
        ));
    }
    text
}

fn apart(label: &str) -> String {
    format!(
        "affinity: {{podAntiAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: \
         [{{topologyKey: kubernetes.io/hostname, labelSelector: {{matchLabels: {{{label}}}}}}}]}}}}\n"
    )
}

fn guest(set: &str, n: usize, run: &str, more: &str, annotations: &str) -> String {
    // Its launcher pods start as late on either cluster.
    let annotations =
        format!("{annotations}, sim.virtroll.dev/starts-after: 1s, sim.virtroll.dev/ready-after: 1s");
    let text = vm(&format!("{set}{n}"), run, more, &annotations);
    let text = text.replace(
        "metadata: {annotations: {",
        &format!("metadata: {{labels: {{set: {set}}}, annotations: {{"),
    );
    format!("{text}      {}", apart(&format!("set: {set}")))
}
