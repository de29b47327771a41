//! A pair on the real scheduler, and on the embedded one.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, PostParams};
use serde_json::{Value, json};
use virtroll::sim::{EmbeddedCluster, Settings};

use super::generate::{Case, fixed};
use crate::control_plane::ControlPlane;

/// What became of the pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    pub node: Option<String>,
    pub nominated: Option<String>,
    /// Why it found no place.
    pub message: String,
}

impl Verdict {
    fn of(pod: &Value) -> Option<Self> {
        let text = |v: &Value| v.as_str().filter(|s| !s.is_empty()).map(str::to_owned);
        let node = text(&pod["spec"]["nodeName"]);
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let condition =
            conditions.into_iter().find(|c| c["type"] == "PodScheduled" && c["status"] == "False");
        let message =
            condition.and_then(|c| text(&c["message"])).filter(|_| node.is_none()).unwrap_or_default();
        let nominated = text(&pod["status"]["nominatedNodeName"]).filter(|_| node.is_none());
        (node.is_some() || !message.is_empty()).then_some(Self { node, nominated, message })
    }

    /// Reasons and for how many nodes each was told, without what is said of preemption.
    pub fn reasons(&self) -> BTreeMap<String, String> {
        let own = self.message.split(" no new claims to deallocate").next().unwrap_or_default();
        let list = own.split_once(": ").map_or("", |(_, list)| list);
        let parts = list.trim_end_matches('.').split(", ");
        parts
            .map(|part| match part.split_once(' ') {
                Some((count, reason)) if count.parse::<u32>().is_ok() => {
                    (reason.to_owned(), count.to_owned())
                }
                _ => (part.to_owned(), String::new()),
            })
            .collect()
    }
}

/// The embedded scheduler's verdict; with the nodes of a class cordoned, if one is named.
pub fn embedded(case: &Case, without: Option<&str>) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut objects = fixed();
        objects.extend(case.objects.iter().cloned());
        for node in objects.iter_mut().filter(|o| o["kind"] == "Node") {
            if without.is_some_and(|class| {
                case.class_of(node["metadata"]["name"].as_str().unwrap_or_default()) == class
            }) {
                node["spec"]["unschedulable"] = json!(true);
            }
        }
        objects.push(case.pod.clone());
        let cluster = EmbeddedCluster::from_objects("case", objects, Settings::default()).expect("loads");
        cluster.start().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let pods = cluster.objects("pods");
        let pod =
            pods.iter().find(|p| p["metadata"]["name"] == case.pod["metadata"]["name"]).expect("the pod");
        Verdict::of(pod).unwrap_or_else(|| panic!("seed {}: nothing decided: {pod}", case.seed))
    })
}

/// The real scheduler.
pub struct Real {
    client: Client,
}

fn resource(object: &Value) -> (ApiResource, bool) {
    let text = |field: &str| object[field].as_str().expect("a text").to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let plural = match kind.as_str() {
        "PriorityClass" => "priorityclasses".to_owned(),
        "StorageClass" => "storageclasses".to_owned(),
        other => format!("{}s", other.to_lowercase()),
    };
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let cluster_scoped =
        matches!(kind.as_str(), "Node" | "PersistentVolume" | "Namespace" | "PriorityClass" | "StorageClass");
    let resource = ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: api_version.clone(),
        kind,
        plural,
    };
    (resource, !cluster_scoped)
}

impl Real {
    pub async fn begin(plane: &ControlPlane) -> Self {
        let real = Self { client: plane.client().await };
        for object in fixed() {
            real.create(&object).await;
        }
        real
    }

    fn api(&self, object: &Value) -> Api<DynamicObject> {
        let (resource, namespaced) = resource(object);
        if namespaced {
            let namespace = object["metadata"]["namespace"].as_str().expect("a namespace");
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }

    async fn create(&self, object: &Value) {
        let typed: DynamicObject = serde_json::from_value(object.clone()).expect("an object");
        let api = self.api(object);
        let created = api.create(&PostParams::default(), &typed).await;
        created.unwrap_or_else(|e| panic!("{e}: {object}"));
    }

    /// What it makes of a pair, after so many milliseconds to take the cluster in.
    pub async fn verdict(&self, case: &Case, settle: u64) -> Verdict {
        // Nodes first: a pod that is bound to a node which isn't there makes no difference to the scheduler, but to its counts.
        for pods in [false, true] {
            let wanted = case.objects.iter().filter(|o| (o["kind"] == "Pod") == pods);
            futures::stream::iter(wanted).for_each_concurrent(16, |object| self.create(object)).await;
        }
        tokio::time::sleep(Duration::from_millis(settle)).await;
        self.create(&case.pod).await;
        let name = case.pod["metadata"]["name"].as_str().expect("a name");
        let api = self.api(&case.pod);
        let mut verdict = None;
        for _ in 0..600 {
            let pod = serde_json::to_value(api.get(name).await.expect("the pod")).expect("JSON");
            verdict = Verdict::of(&pod);
            let told = verdict
                .as_ref()
                .is_some_and(|v| v.node.is_some() || v.nominated.is_some() || !v.message.is_empty());
            if told {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let verdict =
            verdict.unwrap_or_else(|| panic!("seed {}: the real scheduler decided nothing", case.seed));
        let all = case.objects.iter().chain([&case.pod]);
        futures::stream::iter(all).for_each_concurrent(16, |object| self.delete(object)).await;
        verdict
    }

    async fn delete(&self, object: &Value) {
        let (api, name) = (self.api(object), object["metadata"]["name"].as_str().expect("a name"));
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        match api.delete(name, &now).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => other.map(|_| ()).unwrap_or_else(|e| panic!("{e}: {object}")),
        }
    }
}
