//! Nodes and workloads as Kubernetes objects, with the status that a dump would show.

mod kubevirt;

use serde_json::{Value, json};

use super::Recipe;
use super::machines::{DAEMON, Machine};
use super::workloads::{Bond, Budget, Kind, Workload};

/// When everything was made: before the embedded cluster's clock begins, and in the past of any other.
const MADE: &str = "2026-01-01T00:00:00Z";
/// Seconds until a pod's containers run.
const STARTS: u64 = 1;
/// The ReplicaSets' hash; its name is the Deployment's and this.
const HASH: &str = "6c9f7d5b88";
const DAEMON_NAMESPACE: &str = "kube-system";
const DAEMONS: [&str; 2] = ["node-agent", "node-exporter"];

/// Collects objects and gives out UIDs.
pub(super) struct Writer {
    seed: u64,
    serial: u64,
    pub objects: Vec<Value>,
}

fn zone(index: usize) -> String {
    format!("zone-{}", index + 1)
}

fn owner(api_version: &str, kind: &str, name: &str, uid: &Value) -> Value {
    json!([{
        "apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true,
    }])
}

fn condition(kind: &str, status: &str) -> Value {
    json!({"type": kind, "status": status, "lastTransitionTime": MADE})
}

/// So many seconds after everything was made, less than an hour.
fn later(seconds: u64) -> String {
    format!("2026-01-01T00:{:02}:{:02}Z", seconds / 60 % 60, seconds % 60)
}

/// The status of a pod that runs, and became ready after so many seconds.
fn running(containers: &Value, ready_after: u64) -> Value {
    let containers: Vec<Value> = containers
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| {
            json!({
                "name": c["name"], "image": c["image"], "imageID": "", "ready": true, "started": true, "restartCount": 0,
                "state": {"running": {"startedAt": MADE}},
            })
        })
        .collect();
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(|kind| {
        let mut condition = condition(kind, "True");
        if kind.ends_with("Ready") {
            condition["lastTransitionTime"] = json!(later(ready_after));
        }
        condition
    });
    json!({"phase": "Running", "startTime": MADE, "conditions": conditions, "containerStatuses": containers})
}

impl Writer {
    pub fn new(seed: u64) -> Self {
        Self { seed, serial: 0, objects: Vec::new() }
    }

    fn uid(&mut self) -> Value {
        self.serial += 1;
        json!(format!("{:08x}-0000-4000-8000-{:012x}", self.seed & 0xffff_ffff, self.serial))
    }

    fn metadata(&mut self, namespace: &str, name: &str) -> Value {
        let mut metadata =
            json!({"name": name, "uid": self.uid(), "generation": 1, "creationTimestamp": MADE});
        if !namespace.is_empty() {
            metadata["namespace"] = json!(namespace);
        }
        metadata
    }

    fn add(&mut self, api_version: &str, kind: &str, metadata: Value, spec: Value, status: Value) {
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
        for (field, value) in [("spec", spec), ("status", status)] {
            if !value.is_null() {
                object[field] = value;
            }
        }
        self.objects.push(object);
    }

    /// What is there once, and the nodes.
    pub fn cluster(&mut self, recipe: &Recipe, nodes: &[Machine]) {
        let metadata = self.metadata("", "zonal");
        self.objects.push(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": metadata,
            "provisioner": "csi.example.com", "volumeBindingMode": "WaitForFirstConsumer",
        }));
        if recipe.vms > 0 {
            self.kubevirt(recipe);
        }
        for node in nodes {
            self.node(node, recipe.vms > 0);
        }
    }

    fn node(&mut self, node: &Machine, has_kubevirt: bool) {
        let mut metadata = self.metadata("", &node.name);
        metadata["annotations"] = json!({"sim.virtroll.dev/reboots-in": "4m"});
        let mut labels = json!({
            "kubernetes.io/hostname": node.name, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": zone(node.zone),
            "disk": if node.has_ssd { "ssd" } else { "hdd" },
            "pool": if node.is_batch { "batch" } else { "general" },
        });
        if let Some(group) = node.group {
            labels["maintenance-group"] = json!(group);
        }
        // CPU and memory of whole cores and GiB, of which the system keeps some.
        let mut capacity = json!({
            "cpu": node.cpu.div_ceil(1000).to_string(), "memory": format!("{}Gi", node.memory.div_ceil(1024)),
            "pods": node.pods.to_string(),
        });
        let mut allocatable = json!({
            "cpu": format!("{}m", node.cpu), "memory": format!("{}Mi", node.memory), "pods": node.pods.to_string(),
        });
        if has_kubevirt && !node.is_batch {
            kubevirt::label(&mut labels, node);
            for field in [&mut capacity, &mut allocatable] {
                field["devices.kubevirt.io/kvm"] = json!("1k");
            }
        }
        if has_kubevirt && node.is_batch {
            metadata["annotations"]["sim.virtroll.dev/kubevirt"] = json!("false");
        }
        metadata["labels"] = labels;
        let taints = json!([{"key": "dedicated", "value": "batch", "effect": "NoSchedule"}]);
        let status = json!({
            "capacity": capacity, "allocatable": allocatable, "conditions": [condition("Ready", "True")],
            "nodeInfo": {
                "bootID": format!("boot-{}", node.name), "kernelVersion": "6.9.7", "kubeletVersion": "v1.36.3",
                "osImage": "Debian GNU/Linux 13", "architecture": "amd64", "operatingSystem": "linux",
            },
        });
        let spec = if node.is_batch { json!({"taints": taints}) } else { json!({}) };
        self.add("v1", "Node", metadata, spec, status);
    }

    /// The first so many DaemonSets, with a pod on each node.
    pub fn daemon_sets(&mut self, count: usize, nodes: &[Machine]) {
        for name in DAEMONS.into_iter().take(count) {
            let labels = json!({"app": name});
            let spec = json!({
                "tolerations": [{"operator": "Exists"}],
                "containers": [container(name, DAEMON)],
            });
            let metadata = self.metadata(DAEMON_NAMESPACE, name);
            let uid = metadata["uid"].clone();
            let n = nodes.len();
            self.add(
                "apps/v1",
                "DaemonSet",
                metadata,
                json!({"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}}),
                json!({
                    "observedGeneration": 1, "currentNumberScheduled": n, "desiredNumberScheduled": n, "numberAvailable": n,
                    "numberReady": n, "updatedNumberScheduled": n, "numberMisscheduled": 0,
                }),
            );
            for node in nodes {
                let mut metadata = self.metadata(DAEMON_NAMESPACE, &format!("{name}-{}", node.name));
                metadata["labels"] = json!({"app": name, "controller-revision-hash": HASH});
                metadata["ownerReferences"] = owner("apps/v1", "DaemonSet", name, &uid);
                self.pod(metadata, spec.clone(), 1, Some(node));
            }
        }
    }

    fn pod(&mut self, metadata: Value, mut spec: Value, ready_after: u64, node: Option<&Machine>) {
        let status = match node {
            Some(node) => {
                spec["nodeName"] = json!(node.name);
                running(&spec["containers"], ready_after + STARTS)
            }
            None => json!({"phase": "Pending"}),
        };
        self.add("v1", "Pod", metadata, spec, status);
    }

    /// A workload with its pods, volumes and budget.
    pub fn workload(&mut self, workload: &Workload, places: &[Option<usize>], nodes: &[Machine]) {
        match workload.kind {
            Kind::Deployment => self.deployment(workload, places, nodes),
            Kind::StatefulSet => self.stateful_set(workload, places, nodes),
        }
        if let Some(budget) = workload.budget {
            let mut spec = match budget {
                Budget::One => json!({"maxUnavailable": 1}),
                Budget::Quarter => json!({"maxUnavailable": "25%"}),
                Budget::AllButOne => json!({"minAvailable": workload.replicas - 1}),
            };
            spec["selector"] = json!({"matchLabels": {"app": workload.name}});
            let metadata = self.metadata(&workload.namespace, &workload.name);
            self.add("policy/v1", "PodDisruptionBudget", metadata, spec, Value::Null);
        }
    }

    fn deployment(&mut self, workload: &Workload, places: &[Option<usize>], nodes: &[Machine]) {
        let Workload { name, namespace, replicas, .. } = workload;
        let labels = json!({"app": name});
        let mut hashed = labels.clone();
        hashed["pod-template-hash"] = json!(HASH);
        let spec = pod_spec(workload);
        let template =
            |labels: &Value| json!({"metadata": template_metadata(workload, labels), "spec": spec});
        let counts = json!({
            "observedGeneration": 1, "replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
        });
        let mut metadata = self.metadata(namespace, name);
        metadata["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
        let uid = metadata["uid"].clone();
        let mut status = counts.clone();
        status["updatedReplicas"] = json!(replicas);
        status["conditions"] = json!([condition("Available", "True"), condition("Progressing", "True")]);
        self.add(
            "apps/v1",
            "Deployment",
            metadata,
            json!({"replicas": replicas, "selector": {"matchLabels": labels}, "template": template(&labels)}),
            status,
        );
        let set = format!("{name}-{HASH}");
        let mut metadata = self.metadata(namespace, &set);
        metadata["labels"] = hashed.clone();
        metadata["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
        metadata["ownerReferences"] = owner("apps/v1", "Deployment", name, &uid);
        let uid = metadata["uid"].clone();
        let mut status = counts;
        status["fullyLabeledReplicas"] = json!(replicas);
        self.add(
            "apps/v1",
            "ReplicaSet",
            metadata,
            json!({"replicas": replicas, "selector": {"matchLabels": hashed}, "template": template(&hashed)}),
            status,
        );
        for (index, place) in places.iter().enumerate() {
            let mut metadata = self.metadata(namespace, &format!("{set}-{index:05x}"));
            extend(&mut metadata, template_metadata(workload, &hashed));
            metadata["ownerReferences"] = owner("apps/v1", "ReplicaSet", &set, &uid);
            self.pod(metadata, spec.clone(), workload.ready_after, place.map(|node| &nodes[node]));
        }
    }

    fn stateful_set(&mut self, workload: &Workload, places: &[Option<usize>], nodes: &[Machine]) {
        let Workload { name, namespace, replicas, .. } = workload;
        let labels = json!({"app": name});
        let revision = format!("{name}-{HASH}");
        let spec = pod_spec(workload);
        let metadata = self.metadata(namespace, name);
        let uid = metadata["uid"].clone();
        let mut wanted = json!({
            "replicas": replicas, "serviceName": name, "selector": {"matchLabels": labels},
            "template": {"metadata": template_metadata(workload, &labels), "spec": spec},
        });
        if workload.bond == Bond::Volume {
            wanted["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": claim()}]);
        }
        let status = json!({
            "observedGeneration": 1, "replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
            "currentReplicas": replicas, "updatedReplicas": replicas, "currentRevision": revision, "updateRevision": revision,
        });
        self.add("apps/v1", "StatefulSet", metadata, wanted, status);
        for (index, place) in places.iter().enumerate() {
            let pod = format!("{name}-{index}");
            let mut own = labels.clone();
            own["statefulset.kubernetes.io/pod-name"] = json!(pod);
            own["apps.kubernetes.io/pod-index"] = json!(index.to_string());
            own["controller-revision-hash"] = json!(revision);
            let mut spec = spec.clone();
            spec["hostname"] = json!(pod);
            spec["subdomain"] = json!(name);
            if let Some(node) = place.filter(|_| workload.bond == Bond::Volume) {
                let claim = format!("data-{pod}");
                self.volume(namespace, &claim, nodes[node].zone);
                spec["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]);
            }
            let mut metadata = self.metadata(namespace, &pod);
            extend(&mut metadata, template_metadata(workload, &own));
            metadata["ownerReferences"] = owner("apps/v1", "StatefulSet", name, &uid);
            self.pod(metadata, spec, workload.ready_after, place.map(|node| &nodes[node]));
        }
    }

    /// A claim, bound to a volume of a zone.
    fn volume(&mut self, namespace: &str, name: &str, of: usize) {
        let volume = format!("pv-{namespace}-{name}");
        let mut claim = claim();
        claim["volumeName"] = json!(volume);
        let metadata = self.metadata(namespace, name);
        let reference = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name, "uid": metadata["uid"],
        });
        let status =
            json!({"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "10Gi"}});
        self.add("v1", "PersistentVolumeClaim", metadata, claim, status);
        let term = json!({"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone(of)]});
        let spec = json!({
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "10Gi"}, "storageClassName": "zonal",
            "persistentVolumeReclaimPolicy": "Delete", "claimRef": reference,
            "csi": {"driver": "csi.example.com", "volumeHandle": volume},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
        });
        let metadata = self.metadata("", &volume);
        self.add("v1", "PersistentVolume", metadata, spec, json!({"phase": "Bound"}));
    }
}

fn claim() -> Value {
    json!({
        "accessModes": ["ReadWriteOnce"], "storageClassName": "zonal", "resources": {"requests": {"storage": "10Gi"}},
    })
}

fn extend(metadata: &mut Value, with: Value) {
    if let (Some(fields), Value::Object(more)) = (metadata.as_object_mut(), with) {
        fields.extend(more);
    }
}

fn container(name: &str, (cpu, memory): (u64, u64)) -> Value {
    json!({
        "name": name, "image": format!("registry.local/{name}:1"),
        "resources": {"requests": {"cpu": format!("{cpu}m"), "memory": format!("{memory}Mi")}},
    })
}

fn template_metadata(workload: &Workload, labels: &Value) -> Value {
    let ready = format!("{}s", workload.ready_after);
    json!({"labels": labels, "annotations": {"sim.virtroll.dev/ready-after": ready}})
}

fn pod_spec(workload: &Workload) -> Value {
    let mut spec = json!({
        "terminationGracePeriodSeconds": workload.grace,
        "containers": [container("app", (workload.cpu, workload.memory))],
    });
    let selector = json!({"matchLabels": {"app": workload.name}});
    match workload.bond {
        Bond::None | Bond::Volume => {}
        Bond::Ssd => spec["nodeSelector"] = json!({"disk": "ssd"}),
        Bond::Batch => {
            spec["nodeSelector"] = json!({"pool": "batch"});
            spec["tolerations"] =
                json!([{"key": "dedicated", "operator": "Equal", "value": "batch", "effect": "NoSchedule"}]);
        }
        Bond::Apart => {
            let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": selector});
            spec["affinity"] =
                json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        }
        Bond::Spread => {
            spec["topologySpreadConstraints"] = json!([{
                "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": selector,
            }]);
        }
    }
    spec
}
