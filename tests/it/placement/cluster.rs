//! The embedded scheduler as an oracle: where would it put a copy of a pod?

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use virtroll::schedule::instance::Way;
use virtroll::sim::{EmbeddedCluster, Settings};

use super::text;

/// Long enough for the scheduler to look, in virtual time.
const A_LOOK: Duration = Duration::from_millis(20);
const CORDONED: &str = "node(s) were unschedulable";

/// What the scheduler makes of a pod.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// The node.
    On(String),
    /// Its reasons about nodes that are not cordoned.
    Nowhere(Vec<String>),
}

/// A cluster of nodes, pods and volumes without anything that would move them.
pub(super) struct Scheduler {
    client: Client,
    nodes: Vec<String>,
}

pub(super) fn is_guest(pod: &Value) -> bool {
    pod["metadata"]["labels"]["kubevirt.io"] == "virt-launcher"
}

fn bare(pod: &Value) -> Value {
    let metadata = &pod["metadata"];
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "labels": metadata["labels"]},
        "spec": pod["spec"],
    })
}

/// The pod that takes this one's place: what its workload, or KubeVirt, would make.
fn successor(objects: &[Value], pod: &Value, way: Way) -> Value {
    let mut copy = bare(pod);
    copy["metadata"]["name"] = json!("successor");
    copy["spec"].as_object_mut().expect("a spec").remove("nodeName");
    // A migration's target must be able to play the CPU of its source, whose model the guest has.
    if way == Way::Migration {
        let source =
            objects.iter().find(|o| o["kind"] == "Node" && o["metadata"]["name"] == pod["spec"]["nodeName"]);
        let labels = source.expect("its node")["metadata"]["labels"].as_object().expect("labels");
        for key in labels.keys() {
            if let Some(model) = key.strip_prefix("host-model-cpu.node.kubevirt.io/") {
                copy["spec"]["nodeSelector"][format!("cpu-model-migration.node.kubevirt.io/{model}")] =
                    json!("true");
            } else if key.starts_with("cpu-vendor.node.kubevirt.io/") {
                copy["spec"]["nodeSelector"][key] = json!("true");
            }
        }
    }
    copy
}

impl Scheduler {
    pub async fn of(objects: &[Value]) -> Self {
        let kept = |o: &&Value| {
            ["Node", "Pod", "StorageClass", "PersistentVolume", "PersistentVolumeClaim"]
                .contains(&o["kind"].as_str().unwrap_or_default())
        };
        let kept: Vec<Value> = objects.iter().filter(kept).cloned().collect();
        let named = kept.iter().filter(|o| o["kind"] == "Node");
        let nodes = named.map(|n| text(&n["metadata"]["name"]).to_owned()).collect();
        let cluster = EmbeddedCluster::from_objects("generated", kept, Settings::default()).expect("loads");
        cluster.start().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Self { client: cluster.client(), nodes }
    }

    async fn cordon(&self, node: &str, on: bool) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let patch = json!({"spec": {"unschedulable": on}});
        nodes.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    }

    pub async fn open_all_but(&mut self, drained: &str) {
        for node in &self.nodes {
            self.cordon(node, node == drained).await;
        }
    }

    pub async fn close_all(&mut self) {
        for node in &self.nodes {
            self.cordon(node, true).await;
        }
    }

    fn pods(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &ApiResource::erase::<Pod>(&()))
    }

    async fn create(&self, pod: &Value) {
        let api = self.pods(text(&pod["metadata"]["namespace"]));
        let object = serde_json::from_value(pod.clone()).expect("an object");
        api.create(&PostParams::default(), &object).await.expect("created");
    }

    async fn delete(&self, namespace: &str, name: &str) {
        let api = self.pods(namespace);
        api.delete(name, &DeleteParams::default().grace_period(0)).await.expect("deleted");
    }

    /// Where the pod's successor goes with one of the targets open at a time; without targets, with the nodes as they are.
    pub async fn place(&self, objects: &[Value], pod: &Value, way: Way, targets: &[String]) -> Vec<Answer> {
        let namespace = text(&pod["metadata"]["namespace"]);
        let successor = successor(objects, pod, way);
        // A migrating guest is in both places; a pod's replacement comes when it has gone.
        let leaves = way != Way::Migration;
        if leaves {
            self.delete(namespace, text(&pod["metadata"]["name"])).await;
        }
        self.create(&successor).await;
        let mut answers = Vec::new();
        for target in targets {
            self.cordon(target, false).await;
            let answer = self.answer(namespace, self.nodes.len() - 1).await;
            if matches!(answer, Answer::On(_)) {
                self.delete(namespace, "successor").await;
                self.cordon(target, true).await;
                self.create(&successor).await;
            } else {
                self.cordon(target, true).await;
            }
            answers.push(answer);
        }
        if targets.is_empty() {
            answers.push(self.answer(namespace, 1).await);
        }
        self.delete(namespace, "successor").await;
        if leaves {
            self.create(&bare(pod)).await;
        }
        answers
    }

    /// What the scheduler has made of the successor, with so many nodes cordoned.
    async fn answer(&self, namespace: &str, cordoned: usize) -> Answer {
        tokio::time::sleep(A_LOOK).await;
        let pod = self.pods(namespace).get("successor").await.expect("the successor").data;
        if let Some(node) = pod["spec"]["nodeName"].as_str() {
            return Answer::On(node.to_owned());
        }
        let conditions = pod["status"]["conditions"].as_array().expect("conditions");
        let scheduled = conditions.iter().find(|c| c["type"] == "PodScheduled").expect("looked at");
        let message = text(&scheduled["message"]);
        let reasons = message.split(": ").nth(1).and_then(|m| m.split(". ").next()).expect("reasons");
        let mut seen = false;
        let mut found = Vec::new();
        for part in reasons.trim_end_matches('.').split(", ") {
            let (count, reason) = part.split_once(' ').expect("a count and a reason");
            if reason == CORDONED {
                seen = count.parse() == Ok(cordoned);
            } else {
                found.push(reason.to_owned());
            }
        }
        assert!(seen, "not of these nodes: {message}");
        Answer::Nowhere(found)
    }
}
