//! Pairs of a cluster and a pod, each from a seed. Nodes come in classes: those of one class are equal in every respect, the
//! pods on them included, so that schedulers may choose any of them.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

/// The namespaces, and the label of each.
pub const NAMESPACES: [(&str, &str); 2] = [("own", "own"), ("other", "other")];

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// A cluster and a pod.
#[derive(Debug, Clone)]
pub struct Case {
    pub seed: u64,
    pub objects: Vec<Value>,
    pub pod: Value,
    classes: BTreeMap<String, String>,
}

/// What every pair has.
pub fn fixed() -> Vec<Value> {
    let mut objects = Vec::new();
    for (name, label) in NAMESPACES {
        objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": label}}}));
    }
    for (name, value) in [("low", 10), ("high", 1000)] {
        objects.push(json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
        }));
    }
    objects.push(json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "polite"}, "value": 500,
        "preemptionPolicy": "Never",
    }));
    objects
}

/// Draws.
struct Draw {
    rng: StdRng,
    seed: u64,
}

impl Draw {
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of.choose(&mut self.rng).expect("something").clone()
    }

    fn up_to(&mut self, most: usize) -> usize {
        self.rng.random_range(0..=most)
    }

    fn between(&mut self, least: usize, most: usize) -> usize {
        self.rng.random_range(least..=most)
    }

    fn requests(&mut self) -> Value {
        let mut requests = json!({});
        if self.chance(70) {
            requests["cpu"] = json!(self.one(&["100m", "250m", "500m", "1", "1500m", "3"]));
        }
        if self.chance(70) {
            requests["memory"] = json!(self.one(&["64Mi", "256Mi", "1Gi", "2Gi", "5Gi"]));
        }
        if self.chance(8) {
            requests["ephemeral-storage"] = json!(self.one(&["1Gi", "8Gi"]));
        }
        requests
    }

    fn selector(&mut self) -> Value {
        match self.up_to(5) {
            0 => {
                json!({"matchExpressions": [{"key": "app", "operator": "In", "values": [self.one(&["a", "b"]), "c"]}]})
            }
            1 => {
                json!({"matchExpressions": [{"key": "tier", "operator": self.one(&["Exists", "DoesNotExist"])}]})
            }
            2 => {
                json!({"matchLabels": {"app": self.one(&["a", "b"])}, "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]})
            }
            _ => json!({"matchLabels": {"app": self.one(&["a", "b", "c"])}}),
        }
    }

    fn labels(&mut self) -> Value {
        let mut labels = json!({"app": self.one(&["a", "b", "c"])});
        if self.chance(50) {
            labels["tier"] = json!(self.one(&["x", "y"]));
        }
        labels
    }

    fn term(&mut self) -> Value {
        let mut term =
            json!({"topologyKey": self.one(&[HOST, ZONE, ZONE, "rack"]), "labelSelector": self.selector()});
        match self.up_to(9) {
            0 => term["namespaces"] = json!(["other"]),
            1 => term["namespaceSelector"] = json!({}),
            2 => term["namespaceSelector"] = json!({"matchLabels": {"team": "other"}}),
            _ => {}
        }
        term
    }

    fn weighted(&mut self) -> Value {
        json!({"weight": self.between(1, 100), "podAffinityTerm": self.term()})
    }

    /// Affinity to other pods, each kind with this likelihood.
    fn pod_affinity(&mut self, affinity: &mut Value, required: u32, preferred: u32) {
        const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
        const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
        if self.chance(required / 2) {
            affinity["podAffinity"][REQUIRED] = json!([self.term()]);
        }
        if self.chance(required) {
            affinity["podAntiAffinity"][REQUIRED] = json!([self.term()]);
        }
        if self.chance(preferred) {
            affinity["podAffinity"][PREFERRED] =
                json!((0..self.between(1, 2)).map(|_| self.weighted()).collect::<Vec<_>>());
        }
        if self.chance(preferred) {
            affinity["podAntiAffinity"][PREFERRED] = json!([self.weighted()]);
        }
    }

    fn node_expression(&mut self) -> Value {
        match self.up_to(6) {
            0 => json!({"key": "disk", "operator": "NotIn", "values": ["hdd"]}),
            1 => json!({"key": "disk", "operator": self.one(&["Exists", "DoesNotExist"])}),
            2 => json!({"key": "gen", "operator": self.one(&["Gt", "Lt"]), "values": ["3"]}),
            3 => json!({"key": ZONE, "operator": "In", "values": [self.one(&["z0", "z1"]), "z2"]}),
            _ => json!({"key": "disk", "operator": "In", "values": [self.one(&["ssd", "hdd"])]}),
        }
    }

    fn toleration(&mut self) -> Value {
        match self.up_to(5) {
            0 => json!({"operator": "Exists"}),
            1 => json!({"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}),
            2 => json!({"key": "dedicated", "operator": "Equal", "value": "a"}),
            3 => json!({"key": "soft", "operator": "Exists", "effect": "PreferNoSchedule"}),
            4 => {
                json!({"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"})
            }
            _ => json!({"key": "dedicated", "operator": "Equal", "value": "b", "effect": "NoExecute"}),
        }
    }

    fn spread(&mut self, hard: bool, key: &str) -> Value {
        let mut constraint = json!({
            "topologyKey": key, "maxSkew": self.between(1, 2), "labelSelector": self.selector(),
            "whenUnsatisfiable": if hard { "DoNotSchedule" } else { "ScheduleAnyway" },
        });
        if hard && self.chance(20) {
            constraint["minDomains"] = json!(self.between(1, 4));
        }
        if self.chance(25) {
            constraint["nodeTaintsPolicy"] = json!("Honor");
        }
        if self.chance(25) {
            constraint["nodeAffinityPolicy"] = json!("Ignore");
        }
        if self.chance(20) && constraint["labelSelector"]["matchLabels"]["tier"].is_null() {
            constraint["matchLabelKeys"] = json!(["tier"]);
            // The key mustn't be in the selector as well.
            constraint["labelSelector"] = json!({"matchLabels": {"app": self.one(&["a", "b"])}});
        }
        constraint
    }

    fn node_class(&mut self) -> Value {
        let mut labels = json!({"kubernetes.io/os": "linux", "gen": self.between(1, 5).to_string()});
        if !self.chance(8) {
            labels[ZONE] = json!(self.one(&["z0", "z1", "z2"]));
        }
        if self.chance(60) {
            labels["disk"] = json!(self.one(&["ssd", "hdd"]));
        }
        if self.chance(50) {
            labels["rack"] = json!(self.one(&["r0", "r1"]));
        }
        let mut taints = Vec::new();
        if self.chance(20) {
            taints.push(json!({"key": "dedicated", "value": self.one(&["a", "b"]), "effect": self.one(&["NoSchedule", "NoExecute"])}));
        }
        if self.chance(25) {
            taints.push(json!({"key": "soft", "value": "x", "effect": "PreferNoSchedule"}));
        }
        if self.chance(10) {
            taints.push(json!({"key": "softer", "value": "x", "effect": "PreferNoSchedule"}));
        }
        let mut has = json!({
            "cpu": self.one(&["1", "2", "4", "8"]), "memory": self.one(&["2Gi", "4Gi", "8Gi", "16Gi"]),
            "pods": self.one(&["2", "110", "110"]), "ephemeral-storage": self.one(&["4Gi", "20Gi"]),
        });
        if self.chance(30) {
            has["example.com/gpu"] = json!("2");
        }
        let unschedulable = self.chance(10);
        if unschedulable {
            taints.push(json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}));
        }
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"labels": labels},
            "spec": {"taints": taints, "unschedulable": unschedulable},
            "status": {
                "capacity": has, "allocatable": has,
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            },
        })
    }

    /// A pod that is there already, without its name and node.
    fn resident(&mut self) -> Value {
        let mut pod = self.bare_pod();
        let mut affinity = json!({});
        self.pod_affinity(&mut affinity, 15, 15);
        if affinity != json!({}) {
            pod["spec"]["affinity"] = affinity;
        }
        pod["metadata"]["namespace"] = json!(self.one(&["own", "own", "other"]));
        // Controllers, which only the embedded cluster has, leave it where it is.
        pod["spec"]["tolerations"] = json!([{"operator": "Exists", "effect": "NoExecute"}]);
        if self.chance(30) {
            pod["spec"]["priorityClassName"] = json!(self.one(&["low", "high"]));
        }
        pod
    }

    fn bare_pod(&mut self) -> Value {
        let mut container = json!({"name": "c", "image": "c", "resources": {"requests": self.requests()}});
        if self.chance(10) {
            container["ports"] = json!([{"containerPort": 80, "hostPort": self.one(&[8080, 8081])}]);
        }
        if self.chance(8) {
            container["resources"]["limits"] = json!({"example.com/gpu": "1"});
            container["resources"]["requests"]["example.com/gpu"] = json!("1");
        }
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"labels": self.labels()},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 30},
        });
        if self.chance(10) {
            let first = json!({"name": "i", "image": "i", "resources": {"requests": self.requests()}});
            pod["spec"]["initContainers"] = json!([first]);
        }
        pod
    }

    /// The pod that looks for a place.
    fn newcomer(&mut self) -> Value {
        let mut pod = self.bare_pod();
        pod["metadata"]["name"] = json!(format!("newcomer-{}", self.seed));
        pod["metadata"]["namespace"] = json!("own");
        let mut affinity = json!({});
        self.pod_affinity(&mut affinity, 20, 25);
        if self.chance(20) {
            let terms: Vec<Value> = (0..self.between(1, 2))
                .map(|_| json!({"matchExpressions": [self.node_expression()]}))
                .collect();
            affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
                json!({"nodeSelectorTerms": terms});
        }
        if self.chance(30) {
            let weighted = |d: &mut Self| json!({"weight": d.between(1, 100), "preference": {"matchExpressions": [d.node_expression()]}});
            affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] =
                json!((0..self.between(1, 2)).map(|_| weighted(self)).collect::<Vec<_>>());
        }
        if affinity != json!({}) {
            pod["spec"]["affinity"] = affinity;
        }
        if self.chance(15) {
            pod["spec"]["nodeSelector"] = json!({"disk": self.one(&["ssd", "hdd"])});
        }
        if self.chance(40) {
            pod["spec"]["tolerations"] =
                json!((0..self.between(1, 2)).map(|_| self.toleration()).collect::<Vec<_>>());
        }
        let mut spread = Vec::new();
        if self.chance(25) {
            let key = self.one(&[HOST, ZONE]);
            spread.push(self.spread(true, key));
        }
        if self.chance(25) {
            let key = self.one(&[HOST, ZONE]);
            spread.push(self.spread(false, key));
        }
        if !spread.is_empty() {
            pod["spec"]["topologySpreadConstraints"] = json!(spread);
        }
        if self.chance(50) {
            pod["spec"]["priorityClassName"] = json!(self.one(&["low", "high", "high", "high", "polite"]));
        }
        pod
    }

    /// A claim of the pod with the volume that it is bound to.
    fn volume(&mut self, pod: &mut Value, nodes: &[Value]) -> Vec<Value> {
        let name = format!("data-{}", self.seed);
        pod["spec"]["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": name}}]);
        if self.chance(15) {
            return Vec::new();
        }
        let bound = !self.chance(15);
        let mut claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "own"},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}},
            },
        });
        if !bound {
            return vec![claim];
        }
        claim["metadata"]["annotations"] = json!({"pv.kubernetes.io/bind-completed": "yes"});
        claim["spec"]["volumeName"] = json!(name);
        claim["status"] = json!({"phase": "Bound"});
        let mut volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"},
                "claimRef": {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "name": name, "namespace": "own"},
            },
        });
        let expression = if self.chance(50) {
            json!({"key": ZONE, "operator": "In", "values": [self.one(&["z0", "z1"])]})
        } else {
            let class = self.one(nodes)["metadata"]["labels"]["class"].clone();
            let same = nodes.iter().filter(|n| n["metadata"]["labels"]["class"] == class);
            let names: Vec<&Value> = same.map(|n| &n["metadata"]["name"]).collect();
            json!({"key": HOST, "operator": "In", "values": names})
        };
        if self.chance(30) {
            volume["metadata"]["labels"] = json!({ZONE: self.one(&["z0", "z1", "z1__z2"])});
        } else {
            volume["spec"]["nodeAffinity"] =
                json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}});
        }
        vec![claim, volume]
    }
}

impl Case {
    /// The pair of a seed.
    pub fn generate(seed: u64) -> Self {
        let mut draw = Draw { rng: StdRng::seed_from_u64(seed), seed };
        let (mut nodes, mut pods, mut classes) = (Vec::new(), Vec::new(), BTreeMap::new());
        for class in 0..draw.between(2, 6) {
            let template = draw.node_class();
            let residents: Vec<Value> = (0..draw.up_to(3)).map(|_| draw.resident()).collect();
            for copy in 0..draw.between(1, 3) {
                let name = format!("n{seed}-{class}-{copy}");
                let mut node = template.clone();
                node["metadata"]["name"] = json!(name);
                node["metadata"]["labels"][HOST] = json!(name);
                node["metadata"]["labels"]["class"] = json!(class.to_string());
                nodes.push(node);
                classes.insert(name.clone(), class.to_string());
                for (index, resident) in residents.iter().enumerate() {
                    let mut pod = resident.clone();
                    pod["metadata"]["name"] = json!(format!("p{seed}-{class}-{copy}-{index}"));
                    pod["spec"]["nodeName"] = json!(name);
                    pods.push(pod);
                }
            }
        }
        let mut pod = draw.newcomer();
        let mut objects = Vec::new();
        if draw.chance(15) {
            objects.extend(draw.volume(&mut pod, &nodes));
        }
        if draw.chance(35) {
            let selector = json!({"app": pod["metadata"]["labels"]["app"]});
            objects.push(json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("s{seed}"), "namespace": "own"},
                "spec": {"selector": selector, "ports": [{"port": 80}]},
            }));
        }
        objects.extend(nodes);
        objects.extend(pods);
        Self { seed, objects, pod, classes }
    }

    /// The class of a node.
    pub fn class_of(&self, node: &str) -> String {
        self.classes.get(node).cloned().unwrap_or_default()
    }

    /// The pair as manifests, to be played again.
    pub fn manifests(&self) -> String {
        let all = self.objects.iter().chain([&self.pod]);
        let text = |o: &Value| serde_json::to_string_pretty(o).expect("JSON");
        all.flat_map(|o| ["---\n".to_owned(), text(o), "\n".to_owned()]).collect()
    }
}
