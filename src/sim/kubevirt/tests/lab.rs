//! A small cluster with KubeVirt, and hands to work on it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};

use super::super::Settings as KubeVirtSettings;
use super::super::Version;
use super::super::world::Kind;
use crate::sim::json::{Value, json};
use crate::sim::{EmbeddedCluster, Settings};

pub(super) struct Lab {
    pub cluster: EmbeddedCluster,
    pub client: kube::Client,
}

/// `seconds` of virtual time.
pub(super) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// A VirtualMachine with masquerade; `more` is further fields of its VMI's spec, flow style, each with a comma at its end.
pub(super) fn vm(name: &str, run: &str, more: &str, annotations: &str) -> String {
    format!(
        "---\napiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {{name: {name}}}\nspec:\n  runStrategy: {run}\n  template:\n    \
         metadata: {{labels: {{team: blue}}, annotations: {{{annotations}}}}}\n    spec: {{{more} domain: {{memory: {{guest: 1Gi}}, devices: {{interfaces: \
         [{{name: default, masquerade: {{}}}}]}}}}, networks: [{{name: default, pod: {{}}}}]}}\n"
    )
}

/// A VMI that an eviction moves.
pub(super) const MOVES: &str = "evictionStrategy: LiveMigrate,";
/// A guest whose migration takes a minute.
pub(super) const SLOW: &str = "sim.virtroll.dev/migration-takes: 60s";

/// A migration's phase.
pub(super) async fn phase(lab: &Lab, name: &str) -> Value {
    lab.get(Kind::Migration, name).await["status"]["phase"].clone()
}

/// Whether a condition is `True`; null without one.
pub(super) fn condition(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|c| c["type"] == kind).map_or(Value::Null, |c| c["status"].clone())
}

/// Asks for a reboot of n1.
pub(super) async fn reboot(lab: &Lab) {
    let asked = json!({"metadata": {"annotations": {"virtroll.dev/reboot-requested": "b1"}}});
    lab.patch(Kind::Node, "n1", asked).await;
}

/// n1's label.
pub(super) async fn schedulable(lab: &Lab) -> Value {
    lab.get(Kind::Node, "n1").await["metadata"]["labels"]["kubevirt.io/schedulable"].clone()
}

/// A VM with a hotplugged volume.
pub(super) async fn lab_with_a_disk(annotations: &str) -> Lab {
    let claim = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: d}\n\
                 spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}\n";
    let disk = "evictionStrategy: LiveMigrate, volumes: [{name: d, persistentVolumeClaim: {claimName: d, hotpluggable: true}}],";
    Lab::new(2, &(claim.to_owned() + &vm("g", "Always", disk, annotations)), 9, "").await
}

/// The attachment pods.
pub(super) async fn attachments(lab: &Lab) -> Vec<Value> {
    let mut pods = lab.list(Kind::Pod).await;
    pods.retain(|p| p["metadata"]["labels"]["kubevirt.io"] == "hotplug-disk");
    pods
}

impl Lab {
    /// Nodes n1, n2, …; everything starts on n1, the others are cordoned until `open`.
    pub async fn new(nodes: usize, manifests: &str, version: u32, configuration: &str) -> Self {
        let version = Some(Version::minor(version));
        let settings = KubeVirtSettings { version, ..KubeVirtSettings::default() };
        Self::with(nodes, manifests, settings, configuration).await
    }

    /// The same, where things may take other times.
    pub async fn with(
        nodes: usize,
        manifests: &str,
        kubevirt: KubeVirtSettings,
        configuration: &str,
    ) -> Self {
        let mut text = format!(
            "apiVersion: kubevirt.io/v1\nkind: KubeVirt\nmetadata: {{name: kubevirt, namespace: kubevirt}}\n\
             spec: {{configuration: {{{configuration}}}}}\n"
        );
        for n in 1..=nodes {
            let cordon = if n == 1 { "{}" } else { "{unschedulable: true}" };
            text.push_str(&format!(
                "---\napiVersion: v1\nkind: Node\nmetadata: {{name: n{n}}}\nspec: {cordon}\n\
                 status: {{allocatable: {{cpu: '32', memory: 64Gi, pods: '110'}}, nodeInfo: {{bootID: b{n}}}}}\n"
            ));
        }
        text.push_str(manifests);
        let settings = Settings { kubevirt, ..Settings::default() };
        let cluster = EmbeddedCluster::from_manifests("lab", &text, settings).expect("loads");
        cluster.start().await;
        let lab = Self { client: cluster.client(), cluster };
        pass(30).await;
        for n in 2..=nodes {
            lab.patch(Kind::Node, &format!("n{n}"), json!({"spec": {"unschedulable": null}})).await;
        }
        lab
    }

    /// This cluster captured and loaded again; before, its launchers are given what they request.
    pub async fn captured(&self, resources: &Value) -> Self {
        let mut objects = self.cluster.dump();
        for pod in objects.iter_mut().filter(|o| o["metadata"]["labels"]["kubevirt.io"] == "virt-launcher") {
            pod["spec"]["containers"][0]["resources"] = resources.into();
        }
        let settings = Settings { start: self.cluster.now(), ..Settings::default() };
        let cluster = EmbeddedCluster::from_objects("captured", objects, settings).expect("loads");
        cluster.start().await;
        let lab = Self { client: cluster.client(), cluster };
        pass(2).await;
        lab
    }

    pub fn api(&self, kind: Kind) -> Api<DynamicObject> {
        match kind {
            Kind::KubeVirt => Api::namespaced_with(self.client.clone(), "kubevirt", &kind.resource()),
            Kind::Node | Kind::Policy | Kind::Namespace => {
                Api::all_with(self.client.clone(), &kind.resource())
            }
            _ => Api::namespaced_with(self.client.clone(), "default", &kind.resource()),
        }
    }

    pub async fn patch(&self, kind: Kind, name: &str, patch: Value) {
        self.api(kind).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    }

    /// Null if it isn't there.
    pub async fn get(&self, kind: Kind, name: &str) -> Value {
        let found = self.api(kind).get_opt(name).await.expect("answered");
        found.map(|o| serde_json::to_value(o).expect("JSON").into()).unwrap_or_default()
    }

    pub async fn list(&self, kind: Kind) -> Vec<Value> {
        let list = self.api(kind).list(&Default::default()).await.expect("listed");
        list.items.into_iter().map(|o| serde_json::to_value(o).expect("JSON").into()).collect()
    }

    pub async fn vmi(&self, name: &str) -> Value {
        self.get(Kind::Instance, name).await
    }

    /// Launcher pods of a VMI that have not ended, oldest first.
    pub async fn launchers(&self, vmi: &str) -> Vec<Value> {
        let mut pods = self.list(Kind::Pod).await;
        pods.retain(|p| {
            p["metadata"]["labels"]["vm.kubevirt.io/name"] == vmi
                && !matches!(p["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
        });
        pods.sort_by_key(|p| p["metadata"]["creationTimestamp"].to_string());
        pods
    }

    /// Code and message of an eviction's answer: (201, "") if granted.
    pub async fn evict(&self, pod: &str, dry_run: bool) -> (u16, String) {
        match self.refusal(pod, json!({"name": pod, "namespace": "default"}), dry_run).await {
            None => (201, String::new()),
            Some(status) => {
                let told = status.message.split_once(" denied the request: ");
                (status.code, told.map_or(status.message.clone(), |(_, m)| m.to_owned()))
            }
        }
    }

    /// The refusal of an eviction with this metadata, as it is.
    pub async fn refusal(&self, pod: &str, metadata: Value, dry_run: bool) -> Option<kube::core::Status> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), "default");
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata});
        let params = PostParams { dry_run, ..PostParams::default() };
        match pods.create_subresource::<Value, Value>("eviction", pod, &params, &eviction).await {
            Ok(_) => None,
            Err(kube::Error::Api(status)) => Some(*status),
            Err(error) => panic!("{error}"),
        }
    }

    /// Changes a status that is a subresource.
    pub async fn patch_status(&self, kind: Kind, name: &str, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        self.api(kind).patch_status(name, &PatchParams::default(), &patch).await.expect("patched");
    }

    /// Takes a pod away though nobody has stopped it.
    pub async fn force_delete(&self, pod: &str) {
        let now = kube::api::DeleteParams { grace_period_seconds: Some(0), ..Default::default() };
        self.api(Kind::Pod).delete(pod, &now).await.expect("deleted");
    }

    /// The same with `deleteOptions`, and no word of a dry run in the query.
    pub async fn evict_with(&self, pod: &str, options: Value) -> u16 {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), "default");
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "default"},
            "deleteOptions": options,
        });
        match pods
            .create_subresource::<Value, Value>("eviction", pod, &PostParams::default(), &eviction)
            .await
        {
            Ok(_) => 201,
            Err(kube::Error::Api(status)) => status.code,
            Err(error) => panic!("{error}"),
        }
    }

    /// The name of the first launcher of a VMI.
    pub async fn launcher(&self, vmi: &str) -> String {
        self.launchers(vmi).await[0]["metadata"]["name"].as_str().expect("a name").to_owned()
    }

    /// Pods of a VMI that have not ended and are on a node, those on their way out included.
    pub async fn launchers_on(&self, vmi: &str, node: &str) -> Vec<Value> {
        let mut pods = self.launchers(vmi).await;
        pods.retain(|p| p["spec"]["nodeName"] == node);
        pods
    }

    /// Annotations of an object under `sim.virtroll.dev/`.
    pub async fn annotate(&self, kind: Kind, name: &str, annotation: &str, value: &str) {
        let annotation = format!("sim.virtroll.dev/{annotation}");
        self.patch(kind, name, json!({"metadata": {"annotations": {annotation: value}}})).await;
    }

    /// Messages of the events with this reason.
    pub async fn events(&self, reason: &str) -> Vec<String> {
        let api: Api<k8s_openapi::api::core::v1::Event> = Api::namespaced(self.client.clone(), "default");
        let events = api.list(&Default::default()).await.expect("listed").items;
        let about = events.into_iter().filter(|e| e.reason.as_deref() == Some(reason));
        about.filter_map(|e| e.message).collect()
    }

    pub async fn delete(&self, kind: Kind, name: &str) {
        self.api(kind).delete(name, &Default::default()).await.expect("deleted");
    }

    /// Seconds until this holds, looking ten times in each; panics after `at_most`.
    pub async fn until(&self, at_most: u64, holds: impl AsyncFn(&Self) -> bool) -> u64 {
        let begun = tokio::time::Instant::now();
        while begun.elapsed().as_secs() < at_most {
            if holds(self).await {
                return begun.elapsed().as_secs();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not within {at_most} seconds");
    }

    /// Evicts the first launcher of a VMI.
    pub async fn evict_vmi(&self, vmi: &str) -> (u16, String) {
        self.evict(&self.launcher(vmi).await, false).await
    }

    /// Code and message of a PUT to a subresource.
    pub async fn act(&self, kind: &str, name: &str, action: &str, body: Value) -> (u16, String) {
        let path = format!("/apis/subresources.kubevirt.io/v1/namespaces/default/{kind}/{name}/{action}");
        let request = http::Request::put(path).body(body.to_string().into_bytes()).expect("a request");
        let request = request.map(kube::client::Body::from);
        let answer = self.client.send(request).await.expect("answered");
        let code = answer.status().as_u16();
        let body = answer.into_body().collect_bytes().await.expect("a body");
        let status: Value = serde_json::from_slice(&body).unwrap_or_default();
        (code, status["message"].as_str().unwrap_or_default().to_owned())
    }

    pub async fn migrate(&self, name: &str, vmi: &str) -> Result<(), (u16, String)> {
        self.migrate_with(json!({"name": name, "namespace": "default"}), json!({"vmiName": vmi})).await
    }

    pub async fn migrate_with(&self, metadata: Value, spec: Value) -> Result<(), (u16, String)> {
        let object = json!({
            "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration",
            "metadata": metadata, "spec": spec,
        });
        let object: DynamicObject = serde_json::from_value(object.into()).expect("an object");
        match self.api(Kind::Migration).create(&PostParams::default(), &object).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) => Err((status.code, status.message.clone())),
            Err(error) => panic!("{error}"),
        }
    }
}
