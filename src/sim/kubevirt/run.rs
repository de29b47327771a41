//! The loop: watches fill the cache, changes become work, work is done one piece after another.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::conditions;
use super::world::{Kind, Object, Trouble, World, is_final, owned_by, owners, text, value, vmi_of};
use super::{
    evacuation, handler, instance, migration, migration_queue, node, old_budget, replica_set, virtual_machine,
};
use crate::sim::queue::Queue;
use crate::sim::store::Key;

/// A conflict is looked at again after this.
const AFTER_CONFLICT: Duration = Duration::from_millis(50);
/// Anything else that failed, after this.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    Vm(Key),
    ReplicaSet(Key),
    Instance(Key),
    Handler(Key),
    Migration(Key),
    MigrationQueue,
    Evacuation(String),
    Budget(Key),
    Heartbeat(String),
    NodeCheck(String),
}

enum Seen {
    Put(Kind, Object),
    Gone(Kind, Key),
    Listed(Kind, BTreeSet<Key>),
}

/// Runs until dropped. `available` says whether virt-api serves: while it doesn't, nothing of KubeVirt moves.
pub(super) async fn run(mut world: World, available: Arc<std::sync::atomic::AtomicBool>) {
    let (sender, mut seen) = mpsc::channel(1024);
    let mut tasks = tokio::task::JoinSet::new();
    for kind in Kind::ALL {
        tasks.spawn(watch(Api::all_with(world.client.clone(), &kind.resource()), kind, sender.clone()));
    }
    drop(sender);
    let mut queue = Queue::new();
    let mut unsynced = Kind::ALL.len();
    while unsynced > 0 {
        let Some(event) = seen.recv().await else { return };
        unsynced -= usize::from(matches!(event, Seen::Listed(..)));
        take_in(&mut world, &mut queue, event);
    }
    loop {
        while let Ok(event) = seen.try_recv() {
            take_in(&mut world, &mut queue, event);
        }
        let up = available.load(std::sync::atomic::Ordering::Relaxed);
        if let Some(work) = queue.due(Instant::now()).filter(|_| up) {
            act(&mut world, &mut queue, work).await;
            continue;
        }
        let next = if up { queue.next() } else { Some(Instant::now() + AFTER_TROUBLE) };
        tokio::select! {
            biased;
            event = seen.recv() => match event {
                Some(event) => take_in(&mut world, &mut queue, event),
                None => return,
            },
            () = sleep_until(next) => {}
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn watch(api: Api<DynamicObject>, kind: Kind, sender: mpsc::Sender<Seen>) {
    let mut config = watcher::Config::default();
    if let Some(labels) = kind.labels() {
        config = config.labels(labels);
    }
    let stream = watcher(api, config).default_backoff();
    forward(Box::pin(stream), kind, sender).await;
}

async fn forward(
    mut stream: impl Stream<Item = watcher::Result<watcher::Event<DynamicObject>>> + Unpin,
    kind: Kind,
    sender: mpsc::Sender<Seen>,
) {
    let mut listed = BTreeSet::new();
    while let Some(event) = stream.next().await {
        let seen = match event {
            Ok(watcher::Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(watcher::Event::InitApply(object)) => {
                let object = with_kind(kind, &object);
                listed.insert(Key::of(&object));
                Seen::Put(kind, object)
            }
            Ok(watcher::Event::InitDone) => Seen::Listed(kind, std::mem::take(&mut listed)),
            Ok(watcher::Event::Apply(object)) => Seen::Put(kind, with_kind(kind, &object)),
            Ok(watcher::Event::Delete(object)) => Seen::Gone(kind, Key::of(&value(&object))),
            Err(error) => {
                tracing::warn!(%error, "the KubeVirt model's watch of {kind:?} broke");
                continue;
            }
        };
        if sender.send(seen).await.is_err() {
            return;
        }
    }
}

/// Items of a list carry no kind, and owners are named by it.
fn with_kind(kind: Kind, object: &DynamicObject) -> Object {
    let mut object = (*value(object)).clone();
    let resource = kind.resource();
    object["apiVersion"] = resource.api_version.into();
    object["kind"] = resource.kind.into();
    Arc::new(object)
}

fn take_in(world: &mut World, queue: &mut Queue<Work>, seen: Seen) {
    match seen {
        Seen::Put(kind, object) => {
            let old = world.get(kind, &Key::of(&object)).cloned();
            // An echo of an own write is news to the others all the same.
            world.put(kind, object.clone());
            put_all(world, queue, interested(world, kind, &object, old.as_deref()));
        }
        Seen::Gone(kind, key) => gone(world, queue, kind, &key),
        Seen::Listed(kind, present) => {
            for key in world.keys(kind).into_iter().filter(|k| !present.contains(k)) {
                gone(world, queue, kind, &key);
            }
        }
    }
}

fn gone(world: &mut World, queue: &mut Queue<Work>, kind: Kind, key: &Key) {
    let Some(object) = world.get(kind, key).cloned() else { return };
    world.forget(kind, key);
    put_all(world, queue, interested(world, kind, &object, None));
}

fn put_all(world: &World, queue: &mut Queue<Work>, work: Vec<Work>) {
    let at = Instant::now() + world.settings.reaction;
    for work in work {
        queue.put(work, at);
    }
}

/// Whose work a change is.
fn interested(world: &World, kind: Kind, object: &Value, old: Option<&Value>) -> Vec<Work> {
    let key = Key::of(object);
    match kind {
        Kind::KubeVirt => vec![Work::MigrationQueue],
        Kind::Policy => Vec::new(),
        Kind::Node => of_node(world, &key.name, object, old),
        Kind::Vm => vec![Work::Vm(key)],
        Kind::ReplicaSet => vec![Work::ReplicaSet(key)],
        Kind::Instance => of_instance(world, key, object),
        Kind::Migration => {
            let vmi = vmi_of(object);
            let node = world.get(Kind::Instance, &vmi).map(|v| text(&v["status"]["nodeName"]).to_owned());
            let mut work = vec![Work::Migration(key), Work::MigrationQueue, Work::Budget(vmi)];
            work.extend(node.filter(|n| !n.is_empty()).map(Work::Evacuation));
            work
        }
        Kind::Pod => of_pod(world, object),
        Kind::Budget => owners(object)
            .filter(|o| o["kind"] == "VirtualMachineInstance")
            .map(|o| Work::Budget(Key::new(&key.namespace, text(&o["name"]))))
            .collect(),
    }
}

fn of_node(world: &World, name: &str, node: &Value, old: Option<&Value>) -> Vec<Work> {
    let mut work = vec![Work::Evacuation(name.to_owned()), Work::NodeCheck(name.to_owned())];
    let ready = |n: &Value| conditions::is_true(n, "Ready");
    let booted = |n: &Value| n["status"]["nodeInfo"]["bootID"].clone();
    if old.is_none_or(|old| ready(old) != ready(node) || booted(old) != booted(node)) {
        work.push(Work::Heartbeat(name.to_owned()));
        work.extend(world.vmis_on(name).iter().map(|v| Work::Handler(Key::of(v))));
        // Migrations wait for dead virt-handlers without a limit.
        let unfinished = world.all(Kind::Migration).filter(|(_, m)| !is_final(m));
        work.extend(unfinished.map(|(key, _)| Work::Migration(key.clone())));
    }
    work
}

fn of_instance(world: &World, key: Key, vmi: &Value) -> Vec<Work> {
    let owner = |name: &str| Key::new(&key.namespace, name);
    let mut work = vec![Work::Instance(key.clone()), Work::Handler(key.clone())];
    work.extend(owned_by(vmi, "VirtualMachine").map(|name| Work::Vm(owner(name))));
    work.extend(owned_by(vmi, "VirtualMachineInstanceReplicaSet").map(|name| Work::ReplicaSet(owner(name))));
    let node = text(&vmi["status"]["nodeName"]);
    if !node.is_empty() {
        work.push(Work::Evacuation(node.to_owned()));
    }
    let migrations = world.migrations_of(&key);
    let waits = migrations.iter().any(|m| m["status"]["phase"] == "Pending");
    work.extend(migrations.iter().filter(|m| !is_final(m)).map(|m| Work::Migration(Key::of(m))));
    work.extend(waits.then_some(Work::MigrationQueue));
    work.push(Work::Budget(key));
    work
}

fn of_pod(world: &World, pod: &Value) -> Vec<Work> {
    let namespace = text(&pod["metadata"]["namespace"]);
    // An attachment pod's owner is the launcher, whose owner is the VMI.
    let launcher = owned_by(pod, "Pod").and_then(|name| world.get(Kind::Pod, &Key::new(namespace, name)));
    let launcher = launcher.map_or(pod, |launcher| &**launcher);
    let Some(vmi) = owned_by(launcher, "VirtualMachineInstance") else { return Vec::new() };
    let vmi = Key::new(namespace, vmi);
    let migrations = world.migrations_of(&vmi);
    let unfinished = migrations.iter().filter(|m| !is_final(m));
    let mut work: Vec<Work> = unfinished.map(|m| Work::Migration(Key::of(m))).collect();
    if !work.is_empty() {
        work.push(Work::MigrationQueue);
    }
    work.extend([Work::Instance(vmi.clone()), Work::Handler(vmi)]);
    work
}

async fn act(world: &mut World, queue: &mut Queue<Work>, work: Work) {
    let outcome = match &work {
        Work::Vm(key) => virtual_machine::reconcile(world, key).await,
        Work::ReplicaSet(key) => replica_set::reconcile(world, key).await,
        Work::Instance(key) => instance::reconcile(world, key).await,
        Work::Handler(key) => handler::reconcile(world, key).await,
        Work::Migration(key) => migration::reconcile(world, key).await,
        Work::MigrationQueue => migration_queue::reconcile(world).await,
        Work::Evacuation(name) => evacuation::reconcile(world, name).await,
        Work::Budget(key) => old_budget::reconcile(world, key).await,
        Work::Heartbeat(name) => node::beat(world, name).await,
        Work::NodeCheck(name) => node::check(world, name).await,
    };
    let again = match outcome {
        Ok(again) => again,
        Err(Trouble::Gone) => None,
        Err(Trouble::Conflict) => Some(AFTER_CONFLICT),
        Err(Trouble::Refused(why)) => {
            tracing::warn!(%why, "the KubeVirt model's {work:?} was refused; trying again");
            Some(AFTER_TROUBLE)
        }
    };
    if let Some(after) = again {
        queue.put(work, Instant::now() + after);
    }
}
