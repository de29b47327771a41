//! Observing: one watch a kind keeps an inventory up to date.
//!
//! Each watch lists in pages, then watches from there; a broken watch goes on from its last revision, and only 410 lists
//! anew. Waits after failures grow, and shrink back only when a list or an event has come through, so that a failing API
//! server isn't hammered. Objects are reduced to inventory values when they are taken in: nothing keeps their JSON for longer.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures::AsyncBufReadExt;
use http::HeaderValue;
use http::header::ACCEPT_ENCODING;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Request, WatchEvent, WatchParams};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::event;
use super::lean::{Lean, Value};
use super::{Error, wire};
use crate::inventory::{Inventory, ObjectName, ScalableKind, ScalableName};

/// Pods of this many nodes are watched node by node; of more, all pods.
const FEW_NODES: usize = 10;
/// Objects in a page.
const PAGE: u32 = 500;
/// A watch is renewed after this long, seconds.
const WATCH_SECONDS: u32 = 290;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A refusal that lasts so long is one: an API server that restarts refuses for a while what it has allowed before.
const REFUSED_FOR_GOOD: Duration = Duration::from_secs(300);
/// The API server sends a bookmark about every minute; a watch that is silent for longer is a dead connection.
const SILENCE: Duration = Duration::from_secs(150);
/// A watch that ends sooner is no better than a refusal.
const SHORT: Duration = Duration::from_secs(1);

/// The kinds that are observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Node,
    Pod,
    Budget,
    DaemonSet,
    Deployment,
    StatefulSet,
    Attachment,
    Volume,
    KubeVirt,
    Vm,
    Vmi,
    Migration,
    /// Pods that are, or were, the targets of migrations: wherever they are, also those that no node is found for.
    Target,
}

impl Kind {
    fn resource(self) -> ApiResource {
        let (group, kind, plural) = match self {
            Self::Node => ("", "Node", "nodes"),
            Self::Pod | Self::Target => ("", "Pod", "pods"),
            Self::Budget => ("policy", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::DaemonSet => ("apps", "DaemonSet", "daemonsets"),
            Self::Deployment => ("apps", "Deployment", "deployments"),
            Self::StatefulSet => ("apps", "StatefulSet", "statefulsets"),
            Self::Attachment => ("storage.k8s.io", "VolumeAttachment", "volumeattachments"),
            Self::Volume => ("", "PersistentVolume", "persistentvolumes"),
            Self::KubeVirt => ("kubevirt.io", "KubeVirt", "kubevirts"),
            Self::Vm => ("kubevirt.io", "VirtualMachine", "virtualmachines"),
            Self::Vmi => ("kubevirt.io", "VirtualMachineInstance", "virtualmachineinstances"),
            Self::Migration => {
                ("kubevirt.io", "VirtualMachineInstanceMigration", "virtualmachineinstancemigrations")
            }
        };
        let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        ApiResource {
            group: group.into(),
            version: "v1".into(),
            api_version,
            kind: kind.into(),
            plural: plural.into(),
        }
    }
}

/// What is observed.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Only pods on these nodes; `None`: all pods.
    pub nodes: Option<Vec<String>>,
    /// Leave out the Node objects, which a plain drain doesn't look at.
    pub without_nodes: bool,
    /// Volume attachments, which only power-off asks for.
    pub volumes: bool,
    /// Deployments and StatefulSets, which only a drain with `surge` asks for.
    pub workloads: bool,
    /// What only the planner asks for: PersistentVolumes, which bind pods to nodes. Whoever may not list them does without.
    pub placement: bool,
}

pub(super) enum Seen {
    Put(Box<Slim>),
    /// An event that isn't read yet.
    Line(Kind, Bytes),
    Gone(Kind, ObjectName),
    /// A list has ended: whatever of this watch it didn't name is gone.
    Listed(Kind, Option<String>, BTreeSet<ObjectName>),
    Failed(Error),
}

pub(super) enum Slim {
    Node(crate::inventory::Node),
    Pod(crate::inventory::Pod),
    Budget(crate::inventory::Budget),
    DaemonSet(crate::inventory::Workload),
    Scalable(crate::inventory::Scalable),
    Attachment(crate::inventory::VolumeAttachment),
    Volume(crate::inventory::Volume),
    KubeVirt(crate::inventory::KubeVirt),
    Vm(crate::inventory::VirtualMachine),
    Vmi(crate::inventory::VirtualMachineInstance),
    Migration(crate::inventory::Migration),
}

fn slim(kind: Kind, object: &Value) -> Slim {
    match kind {
        Kind::Node => Slim::Node(wire::node(object)),
        Kind::Pod | Kind::Target => Slim::Pod(wire::pod(object)),
        Kind::Budget => Slim::Budget(wire::budget(object)),
        Kind::DaemonSet => Slim::DaemonSet(wire::daemon_set(object)),
        Kind::Deployment => Slim::Scalable(wire::scalable(object, ScalableKind::Deployment)),
        Kind::StatefulSet => Slim::Scalable(wire::scalable(object, ScalableKind::StatefulSet)),
        Kind::Attachment => Slim::Attachment(wire::attachment(object)),
        Kind::Volume => Slim::Volume(wire::volume(object)),
        Kind::KubeVirt => Slim::KubeVirt(wire::kubevirt(object)),
        Kind::Vm => Slim::Vm(wire::vm(object)),
        Kind::Vmi => Slim::Vmi(wire::vmi(object)),
        Kind::Migration => Slim::Migration(wire::migration(object)),
    }
}

/// An object as it is now.
pub(super) fn put(kind: Kind, object: &Value) -> Seen {
    Seen::Put(Box::new(slim(kind, object)))
}

/// An object that is gone.
pub(super) fn gone(kind: Kind, object: &Value) -> Seen {
    Seen::Gone(kind, wire::name(object))
}

/// What was observed and isn't in an inventory yet.
pub struct Observed(Vec<Seen>);

impl Observed {
    /// Brings an inventory up to it.
    ///
    /// # Errors
    /// A watch that can't go on; an event that can't be read, for what is known would be old from then on.
    pub fn apply(self, inventory: &mut Inventory) -> Result<(), Error> {
        self.0.into_iter().try_for_each(|seen| apply(seen, inventory).map(|_| ()))
    }
}

/// Keeps an inventory up to date. Dropping it ends the watches.
pub struct Observer {
    seen: mpsc::Receiver<Seen>,
    unsynced: usize,
    _tasks: tokio::task::JoinSet<()>,
}

impl Observer {
    /// Starts the watches and waits until every first list is in the inventory.
    ///
    /// # Errors
    /// The first list that is refused (403 and the like); a cluster that doesn't answer is waited for.
    pub async fn start(client: &Client, scope: Scope, inventory: &mut Inventory) -> Result<Self, Error> {
        let (sender, seen) = mpsc::channel(1024);
        let mut kinds = vec![Kind::Budget, Kind::DaemonSet];
        if !scope.without_nodes {
            kinds.push(Kind::Node);
        }
        if scope.volumes {
            kinds.push(Kind::Attachment);
        }
        if scope.workloads {
            kinds.extend([Kind::Deployment, Kind::StatefulSet]);
        }
        if scope.placement {
            kinds.push(Kind::Volume);
        }
        let few = scope.nodes.filter(|nodes| nodes.len() <= FEW_NODES);
        if has_kubevirt(client).await? {
            kinds.extend([Kind::KubeVirt, Kind::Vm, Kind::Vmi, Kind::Migration]);
            // Where not all pods are watched, these tell why a guest of a watched node doesn't leave.
            kinds.extend(few.is_some().then_some(Kind::Target));
        }
        let mut watches: Vec<(Kind, Option<String>)> = kinds.into_iter().map(|k| (k, None)).collect();
        match few {
            Some(nodes) => watches.extend(nodes.into_iter().map(|node| (Kind::Pod, Some(node)))),
            None => watches.push((Kind::Pod, None)),
        }
        let unsynced = watches.len();
        let mut tasks = tokio::task::JoinSet::new();
        for (kind, node) in watches {
            tasks.spawn(watch(client.clone(), kind, node, sender.clone()));
        }
        let mut observer = Self { seen, unsynced, _tasks: tasks };
        while observer.unsynced > 0 {
            observer.changed(inventory).await?;
        }
        Ok(observer)
    }

    /// Waits for the next observation that has something new (heartbeats haven't) and applies it. When it is dropped half-way, what
    /// it has taken in is in the inventory.
    ///
    /// # Errors
    /// A watch that can't go on.
    pub async fn changed(&mut self, inventory: &mut Inventory) -> Result<(), Error> {
        loop {
            let Some(first) = self.seen.recv().await else {
                return Err(Error::Unreachable("all watches have ended".to_owned()));
            };
            if matches!(first, Seen::Listed(..)) {
                self.unsynced = self.unsynced.saturating_sub(1);
            }
            if apply(first, inventory)? {
                return Ok(());
            }
        }
    }

    /// Applies every observation that is there already, without waiting.
    ///
    /// # Errors
    /// A watch that can't go on.
    pub fn catch_up(&mut self, inventory: &mut Inventory) -> Result<(), Error> {
        self.take().apply(inventory)
    }

    /// Every observation that is there already, for somebody else to apply.
    pub fn take(&mut self) -> Observed {
        Observed(std::iter::from_fn(|| self.seen.try_recv().ok()).collect())
    }
}

/// True if it has something new.
fn apply(seen: Seen, inventory: &mut Inventory) -> Result<bool, Error> {
    match seen {
        Seen::Put(object) => return Ok(take_in(inventory, *object)),
        Seen::Gone(kind, name) => remove(inventory, kind, &name),
        Seen::Line(kind, line) => return apply(event::says(kind, &line), inventory),
        Seen::Listed(kind, node, present) => {
            for name in known(inventory, kind, node.as_deref()) {
                if !present.contains(&name) {
                    remove(inventory, kind, &name);
                }
            }
        }
        Seen::Failed(error) => return Err(error),
    }
    Ok(true)
}

fn take_in(inventory: &mut Inventory, object: Slim) -> bool {
    match object {
        Slim::Node(node) => inventory.put_node(node),
        Slim::Pod(pod) => inventory.put_pod(pod),
        Slim::Budget(budget) => inventory.put_budget(budget),
        Slim::DaemonSet(set) => inventory.put_daemon_set(set),
        Slim::Scalable(scalable) => inventory.put_scalable(scalable),
        Slim::Attachment(attachment) => inventory.put_attachment(attachment),
        Slim::Volume(volume) => inventory.put_volume(volume),
        Slim::KubeVirt(kubevirt) => {
            let kubevirt = Some(kubevirt);
            let is_news = inventory.kubevirt != kubevirt;
            inventory.kubevirt = kubevirt;
            is_news
        }
        Slim::Vm(vm) => inventory.put_vm(vm),
        Slim::Vmi(vmi) => inventory.put_vmi(vmi),
        Slim::Migration(migration) => inventory.put_migration(migration),
    }
}

fn remove(inventory: &mut Inventory, kind: Kind, name: &ObjectName) {
    match kind {
        Kind::Node => inventory.remove_node(&name.name),
        Kind::Pod | Kind::Target => inventory.remove_pod(name),
        Kind::Budget => inventory.remove_budget(name),
        Kind::DaemonSet => inventory.remove_daemon_set(name),
        Kind::Deployment => inventory.remove_scalable(&scalable(ScalableKind::Deployment, name)),
        Kind::StatefulSet => inventory.remove_scalable(&scalable(ScalableKind::StatefulSet, name)),
        Kind::Attachment => inventory.remove_attachment(&name.name),
        Kind::Volume => inventory.remove_volume(&name.name),
        Kind::KubeVirt => inventory.kubevirt = None,
        Kind::Vm => inventory.remove_vm(name),
        Kind::Vmi => inventory.remove_vmi(name),
        Kind::Migration => inventory.remove_migration(name),
    }
}

fn scalable(kind: ScalableKind, name: &ObjectName) -> ScalableName {
    ScalableName { kind, name: name.clone() }
}

fn known(inventory: &Inventory, kind: Kind, node: Option<&str>) -> Vec<ObjectName> {
    let cluster_scoped = |name: &String| ObjectName::new("", name);
    let scaled = |kind| {
        let names = inventory.scalables().keys().filter(move |n| n.kind == kind);
        names.map(|n| n.name.clone()).collect()
    };
    match (kind, node) {
        (Kind::Node, _) => inventory.nodes().keys().map(cluster_scoped).collect(),
        (Kind::Pod, Some(node)) => inventory.pods_on(node).map(|p| p.name.clone()).collect(),
        (Kind::Pod, None) => inventory.pods().map(|o| o.name.clone()).collect(),
        (Kind::Target, _) => {
            let targets = inventory.pods().filter(|p| p.migration_uid().is_some());
            targets.map(|p| p.name.clone()).collect()
        }
        (Kind::Budget, _) => inventory.budgets().keys().cloned().collect(),
        (Kind::Vm, _) => inventory.vms().map(|o| o.name.clone()).collect(),
        (Kind::Vmi, _) => inventory.vmis().map(|o| o.name.clone()).collect(),
        (Kind::Migration, _) => inventory.migrations().map(|o| o.name.clone()).collect(),
        (Kind::Deployment, _) => scaled(ScalableKind::Deployment),
        (Kind::StatefulSet, _) => scaled(ScalableKind::StatefulSet),
        (Kind::DaemonSet, _) => inventory.daemon_sets().keys().cloned().collect(),
        (Kind::Attachment, _) => inventory.attachments().keys().map(cluster_scoped).collect(),
        (Kind::Volume, _) => inventory.volumes().keys().map(cluster_scoped).collect(),
        (Kind::KubeVirt, _) => Vec::new(),
    }
}

/// Whether the cluster serves KubeVirt's API.
async fn has_kubevirt(client: &Client) -> Result<bool, Error> {
    let groups =
        client.list_api_groups().await.map_err(|e| Error::of("discover the cluster's API groups", e))?;
    Ok(groups.groups.iter().any(|g| g.name == "kubevirt.io"))
}

/// Which objects of a kind are watched.
struct Selectors {
    fields: Option<String>,
    labels: Option<String>,
}

/// Lists, watches, and so on, until nobody listens any more or the API server refuses for good.
async fn watch(client: Client, kind: Kind, node: Option<String>, sender: mpsc::Sender<Seen>) {
    let requests =
        Request::new(Api::<DynamicObject>::all_with(client.clone(), &kind.resource()).resource_url());
    let selectors = Selectors {
        fields: node.as_ref().map(|n| format!("spec.nodeName={n}")),
        labels: (kind == Kind::Target).then(|| "kubevirt.io/migrationJobUID".to_owned()),
    };
    let mut wait = FIRST_WAIT;
    let mut version: Option<String> = None;
    // Since when it goes wrong; a first list that is refused is refused for good.
    let (mut synced, mut refused_since) = (false, None);
    while !sender.is_closed() {
        let began = Instant::now();
        let outcome = match version.take() {
            None => list(&client, &requests, kind, node.clone(), &selectors, &sender).await.map(Some),
            Some(from) => follow(&client, &requests, kind, &selectors, from, &sender).await,
        };
        match outcome {
            Ok(next) => {
                let is_watch = synced;
                version = next;
                (synced, refused_since) = (true, None);
                wait = FIRST_WAIT;
                if is_watch && began.elapsed() < SHORT {
                    tokio::time::sleep(SHORT).await;
                }
            }
            Err(error) => {
                let is_refusal =
                    matches!(error, Error::Forbidden(_) | Error::NotFound(_) | Error::Refused { .. });
                let since = *refused_since.get_or_insert(began);
                if is_refusal && !synced && kind == Kind::Volume {
                    tracing::info!(%error, "planning without the volumes that bind pods to nodes");
                    let _ = sender.send(Seen::Listed(kind, node, BTreeSet::new())).await;
                    return;
                }
                if is_refusal && (!synced || since.elapsed() >= REFUSED_FOR_GOOD) {
                    let _ = sender.send(Seen::Failed(error)).await;
                    return;
                }
                tracing::warn!(%error, "watch of {} broke; trying again in {wait:?}", kind.resource().plural);
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

/// A page of a list. Its objects are read once, and reduced at once.
#[derive(Deserialize)]
struct Page {
    metadata: ListMeta,
    #[serde(default)]
    items: Vec<Lean>,
}

async fn list(
    client: &Client,
    requests: &Request,
    kind: Kind,
    node: Option<String>,
    selectors: &Selectors,
    sender: &mpsc::Sender<Seen>,
) -> Result<String, Error> {
    let plural = kind.resource().plural;
    let mut params = ListParams::default().limit(PAGE);
    params.field_selector.clone_from(&selectors.fields);
    params.label_selector.clone_from(&selectors.labels);
    let mut present = BTreeSet::new();
    loop {
        let request = requests.list(&params).map_err(kube::Error::BuildRequest);
        let answer = match request {
            Ok(request) => client.request::<Page>(request).await,
            Err(error) => Err(error),
        };
        let page = match answer {
            Ok(page) => page,
            // 410: the list took longer than the API server keeps its pages; it begins anew.
            Err(kube::Error::Api(status)) if status.code >= 500 || [410, 429].contains(&status.code) => {
                return Err(Error::Unreachable(format!("list {plural}: {}", status.message)));
            }
            Err(error) => return Err(Error::of(&format!("list {plural}"), error)),
        };
        for Lean(object) in page.items {
            present.insert(wire::name(&object));
            let _ = sender.send(put(kind, &object)).await;
        }
        match page.metadata.continue_.filter(|c| !c.is_empty()) {
            Some(next) => params.continue_token = Some(next),
            None => {
                let _ = sender.send(Seen::Listed(kind, node, present)).await;
                return Ok(page.metadata.resource_version.unwrap_or_default());
            }
        }
    }
}

/// Watches from a revision on. Gives the revision to go on from; `None`: list anew.
async fn follow(
    client: &Client,
    requests: &Request,
    kind: Kind,
    selectors: &Selectors,
    from: String,
    sender: &mpsc::Sender<Seen>,
) -> Result<Option<String>, Error> {
    let mut params = WatchParams::default().timeout(WATCH_SECONDS);
    params.field_selector.clone_from(&selectors.fields);
    params.label_selector.clone_from(&selectors.labels);
    let what = format!("watch {}", kind.resource().plural);
    let stream = match requests.watch(&params, &from).map_err(kube::Error::BuildRequest) {
        Ok(mut request) => {
            // Of a stream that is compressed event by event, the client would read the first one only.
            request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            client.request_stream(request).await
        }
        Err(error) => Err(error),
    };
    let stream = match stream {
        Ok(stream) => stream,
        Err(kube::Error::Api(status)) if status.code == 410 => return Ok(None),
        Err(kube::Error::Api(status)) if status.code >= 500 || status.code == 429 => {
            tokio::time::sleep(FIRST_WAIT).await;
            return Ok(Some(from));
        }
        Err(kube::Error::Api(status)) => return Err(Error::of(&what, kube::Error::Api(status))),
        Err(_) => {
            tokio::time::sleep(FIRST_WAIT).await;
            return Ok(Some(from));
        }
    };
    let mut stream = std::pin::pin!(stream);
    let (mut version, mut last) = (from, None);
    let mut line = Vec::new();
    // What doesn't end with a line break has broken off.
    while let Ok(Ok(_)) = timeout(SILENCE, stream.read_until(b'\n', &mut line)).await
        && line.ends_with(b"\n")
    {
        let text = Bytes::from(std::mem::take(&mut line));
        if event::is_of_object(&text) {
            last = Some(text.clone());
            let _ = sender.send(Seen::Line(kind, text)).await;
            continue;
        }
        match event::read(&text) {
            Ok(WatchEvent::Bookmark(bookmark)) => {
                (version, last) = (bookmark.metadata.resource_version, None);
            }
            // Of an object, spelt otherwise than the API server does.
            Ok(WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_)) => {
                last = Some(text.clone());
                let _ = sender.send(Seen::Line(kind, text)).await;
            }
            Ok(WatchEvent::Error(status)) if status.code == 410 => return Ok(None),
            Ok(WatchEvent::Error(_)) | Err(_) => break,
        }
    }
    Ok(Some(last.and_then(|line| event::version(&line)).unwrap_or(version)))
}

#[cfg(test)]
mod tests;
