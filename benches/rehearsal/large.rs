//! A large cluster as a snapshot would hold it: a small one is played, and what it became is multiplied.

use serde_json::{Value, json};
use virtroll::sim::{EmbeddedCluster, Settings};

/// How large.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub nodes: usize,
    /// Launcher pods of VMs included.
    pub pods: usize,
    pub vms: usize,
}

const REPLICAS: usize = 10;
const NAMESPACES: usize = 50;

const SMALL: &str = "
apiVersion: v1
kind: Node
metadata: {name: node, labels: {topology.kubernetes.io/zone: zone}}
status:
  capacity: {cpu: '64', memory: 256Gi, pods: '110'}
  allocatable: {cpu: '64', memory: 256Gi, pods: '110'}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, team: shop, tier: front}}
    spec:
      containers:
      - name: web
        image: registry.local/web:1.2.3
        resources: {requests: {cpu: 500m, memory: 1Gi}, limits: {memory: 2Gi}}
      volumes: [{name: scratch, emptyDir: {}}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: default}
spec: {maxUnavailable: 20%, selector: {matchLabels: {app: web}}}
---
apiVersion: kubevirt.io/v1
kind: KubeVirt
metadata: {name: kubevirt, namespace: kubevirt}
spec: {configuration: {migrations: {parallelMigrationsPerCluster: 50, parallelOutboundMigrationsPerNode: 5}}}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: guest, namespace: default}
spec:
  runStrategy: Always
  template:
    metadata: {labels: {app: guest}}
    spec:
      evictionStrategy: LiveMigrate
      domain:
        memory: {guest: 4Gi}
        devices: {interfaces: [{name: default, masquerade: {}}]}
      networks: [{name: default, pod: {}}]
      volumes: [{name: root, containerDisk: {image: registry.local/debian:13}}]
";

/// What the small cluster became.
struct Molds {
    once: Vec<Value>,
    node: String,
    workload: Vec<Value>,
    pod: String,
    guest: Vec<Value>,
    serial: usize,
}

fn mold(objects: &[Value], kind: &str, of: fn(&Value) -> bool) -> Value {
    objects.iter().find(|o| o["kind"] == kind && of(o)).unwrap_or_else(|| panic!("no {kind}")).clone()
}

fn is_launcher(pod: &Value) -> bool {
    pod["metadata"]["labels"]["kubevirt.io"] == "virt-launcher"
}

async fn molds() -> Molds {
    let small = EmbeddedCluster::from_manifests("small", SMALL, Settings::default()).expect("loaded");
    small.start().await;
    let second = std::time::Duration::from_secs(15);
    assert!(small.settle(second, second * 20).await, "the small cluster comes to rest");
    let objects = small.dump();
    let any = |_: &Value| true;
    let workload = ["Deployment", "ReplicaSet", "PodDisruptionBudget"].map(|kind| mold(&objects, kind, any));
    let mut guest: Vec<Value> =
        ["VirtualMachine", "VirtualMachineInstance"].map(|kind| mold(&objects, kind, any)).into();
    assert_eq!(guest[1]["status"]["phase"], "Running");
    guest.push(mold(&objects, "Pod", is_launcher));
    let multiplied = [
        "Node",
        "Deployment",
        "ReplicaSet",
        "PodDisruptionBudget",
        "Pod",
        "VirtualMachine",
        "VirtualMachineInstance",
        "Event",
        "Lease",
    ];
    Molds {
        once: objects
            .iter()
            .filter(|o| !multiplied.contains(&o["kind"].as_str().unwrap_or_default()))
            .cloned()
            .collect(),
        node: mold(&objects, "Node", any).to_string(),
        workload: workload.into(),
        pod: mold(&objects, "Pod", |p| !is_launcher(p)).to_string(),
        guest,
        serial: 0,
    }
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("json")
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().expect("a uid").to_owned()
}

fn renamed(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

impl Molds {
    fn uid(&mut self) -> String {
        self.serial += 1;
        format!("00000000-0000-4000-9000-{:012}", self.serial)
    }

    fn pod(&mut self, text: &str, namespace: &str, node: &str) -> Value {
        let mut pod = read(text);
        let name = format!("{}-{:05x}", pod["metadata"]["name"].as_str().expect("a name"), self.serial);
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["namespace"] = json!(namespace);
        pod["metadata"]["uid"] = json!(self.uid());
        pod["spec"]["nodeName"] = json!(node);
        pod
    }

    fn workload(&mut self, n: usize, namespace: &str) -> (Vec<Value>, String) {
        let name = format!("web-{n}");
        let (deployment, set) = (self.uid(), self.uid());
        let changes = [
            (uid(&self.workload[0]), deployment),
            (uid(&self.workload[1]), set),
            (uid(&self.workload[2]), self.uid()),
            ("\"web-".to_owned(), format!("\"{name}-")),
            ("\"web\"".to_owned(), format!("\"{name}\"")),
            ("\"namespace\":\"default\"".to_owned(), format!("\"namespace\":{namespace:?}")),
        ];
        let changes: Vec<(&str, &str)> = changes.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let mut objects: Vec<Value> =
            self.workload.iter().map(|o| read(&renamed(&o.to_string(), &changes))).collect();
        for object in &mut objects[..2] {
            object["spec"]["replicas"] = json!(REPLICAS);
            for field in
                ["replicas", "readyReplicas", "availableReplicas", "updatedReplicas", "fullyLabeledReplicas"]
            {
                if !object["status"][field].is_null() {
                    object["status"][field] = json!(REPLICAS);
                }
            }
        }
        // Every fifth has a budget.
        if !n.is_multiple_of(5) {
            objects.pop();
        }
        (objects, renamed(&self.pod, &changes))
    }

    fn guest(&mut self, n: usize, namespace: &str, node: &str) -> Vec<Value> {
        let old = self.guest[1]["status"]["nodeName"].as_str().expect("a node").to_owned();
        let pod = self.guest[2]["metadata"]["name"].as_str().expect("a name").to_owned();
        let mut changes: Vec<(String, String)> = vec![
            (format!("{pod:?}"), format!("\"virt-launcher-guest-{n}-x\"")),
            ("\"guest\"".to_owned(), format!("\"guest-{n}\"")),
            ("\"namespace\":\"default\"".to_owned(), format!("\"namespace\":{namespace:?}")),
            (format!("{old:?}"), format!("{node:?}")),
        ];
        for object in self.guest.clone() {
            changes.push((uid(&object), self.uid()));
        }
        let changes: Vec<(&str, &str)> = changes.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        // The memory's own key is spelt like the machine's label, not like its name: `{"guest":"4Gi"}`.
        self.guest
            .iter()
            .map(|o| {
                read(
                    &renamed(&o.to_string(), &changes)
                        .replace(&format!("\"guest-{n}\":\"4Gi\""), "\"guest\":\"4Gi\""),
                )
            })
            .collect()
    }
}

/// The objects of a cluster of that size, everything running.
pub async fn cluster(size: Size) -> Vec<Value> {
    let mut molds = molds().await;
    let mut objects = molds.once.clone();
    let names: Vec<String> = (0..size.nodes).map(|n| format!("node-{n:05}")).collect();
    for (n, name) in names.iter().enumerate() {
        let zone = format!("\"zone-{}\"", n % 5);
        let mut node =
            read(&renamed(&molds.node, &[("\"node\"", &format!("{name:?}")), ("\"zone\"", &zone)]));
        node["metadata"]["uid"] = json!(molds.uid());
        objects.push(node);
    }
    let plain = size.pods - size.vms;
    let namespaces: Vec<String> = (0..NAMESPACES).map(|n| format!("team-{n}")).collect();
    let mut placed = 0;
    for n in 0..plain / REPLICAS {
        let namespace = &namespaces[n % NAMESPACES];
        let (workload, pod) = molds.workload(n, namespace);
        objects.extend(workload);
        for _ in 0..REPLICAS {
            // A step that is prime to most sizes: the replicas of one workload come to lie on nodes far apart.
            objects.push(molds.pod(&pod, namespace, &names[placed * 37 % size.nodes]));
            placed += 1;
        }
    }
    for n in 0..size.vms {
        objects.extend(molds.guest(n, &namespaces[n % NAMESPACES], &names[n % size.nodes]));
    }
    objects
}
