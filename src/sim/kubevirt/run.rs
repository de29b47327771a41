//! The loop: watches fill the cache, changes become work, work is done one piece after another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::api::Api;
use serde_json::Value;
use tokio::sync::mpsc;

use super::conditions;
use super::watch::{Seen, watch};
use super::world::{Kind, Trouble, World, is_final, owned_by, owners, text, vmi_of};
use super::{
    evacuation, handler, instance, migration, migration_queue, node, old_budget, replica_set, virtual_machine,
};
use crate::sim::clock::sleep_until;
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

/// Runs until dropped. `available` says whether virt-api serves: while it doesn't, nothing of KubeVirt moves.
pub(super) async fn run(mut world: World, available: Arc<AtomicBool>) {
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
        take_in(&mut world, &mut queue, &available, event);
    }
    loop {
        while let Ok(event) = seen.try_recv() {
            take_in(&mut world, &mut queue, &available, event);
        }
        let up = available.load(Ordering::Relaxed);
        // While it is down work stays queued, and is done when it is up again.
        if up && let Some(work) = queue.due(world.clock.instant()) {
            act(&mut world, &mut queue, work).await;
            continue;
        }
        let next = if up { queue.next() } else { Some(world.clock.instant() + AFTER_TROUBLE) };
        tokio::select! {
            biased;
            event = seen.recv() => match event {
                Some(event) => take_in(&mut world, &mut queue, &available, event),
                None => return,
            },
            () = sleep_until(world.clock, next) => {}
        }
    }
}

fn take_in(world: &mut World, queue: &mut Queue<Work>, available: &AtomicBool, seen: Seen) {
    match seen {
        Seen::Put(kind, object) => {
            let old = world.get(kind, &Key::of(&object)).cloned();
            if kind == Kind::KubeVirt && is_down(old.as_deref()) != is_down(Some(&*object)) {
                available.store(!is_down(Some(&*object)), Ordering::Relaxed);
            }
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

/// The KubeVirt object says that virt-api is down.
fn is_down(kubevirt: Option<&Value>) -> bool {
    kubevirt.is_some_and(|k| k["metadata"]["annotations"]["sim.virtroll.dev/virt-api"] == "down")
}

fn gone(world: &mut World, queue: &mut Queue<Work>, kind: Kind, key: &Key) {
    let Some(object) = world.get(kind, key).cloned() else { return };
    world.forget(kind, key);
    put_all(world, queue, interested(world, kind, &object, None));
}

fn put_all(world: &World, queue: &mut Queue<Work>, work: Vec<Work>) {
    let at = world.clock.instant() + world.settings.reaction;
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
            let mut work = vec![Work::Migration(key), Work::MigrationQueue, Work::Budget(vmi.clone())];
            // A failed one leaves a target pod behind, which virt-handler ends.
            work.push(Work::Handler(vmi));
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

fn of_node(world: &World, name: &str, object: &Value, old: Option<&Value>) -> Vec<Work> {
    let mut work = vec![Work::Evacuation(name.to_owned()), Work::NodeCheck(name.to_owned())];
    let ready = |n: &Value| conditions::is_true(n, "Ready");
    let booted = |n: &Value| n["status"]["nodeInfo"]["bootID"].clone();
    let changed = |old: &Value| {
        let kept_out = node::is_kept_out(old) != node::is_kept_out(object);
        kept_out || ready(old) != ready(object) || booted(old) != booted(object)
    };
    if old.is_none_or(changed) {
        work.push(Work::Heartbeat(name.to_owned()));
        work.extend(world.vmis_on(name).iter().map(|v| Work::Handler(Key::of(v))));
        let here = |pod: &Value| pod["spec"]["nodeName"] == name;
        let pods = world.all(Kind::Pod).filter(|(_, pod)| here(pod));
        work.extend(pods.filter_map(|(_, pod)| vmi_of_launcher(pod)).map(Work::Handler));
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
    // When a VMI goes, its migrations go with it, the finished ones too.
    let gone = world.get(Kind::Instance, &key).is_none();
    work.extend(migrations.iter().filter(|m| gone || !is_final(m)).map(|m| Work::Migration(Key::of(m))));
    work.extend(waits.then_some(Work::MigrationQueue));
    work.push(Work::Budget(key));
    work
}

fn of_pod(world: &World, pod: &Value) -> Vec<Work> {
    let namespace = text(&pod["metadata"]["namespace"]);
    // An attachment pod's owner is the launcher, whose owner is the VMI.
    let launcher = owned_by(pod, "Pod").and_then(|name| world.get(Kind::Pod, &Key::new(namespace, name)));
    let launcher = launcher.map_or(pod, |launcher| &**launcher);
    let Some(vmi) = vmi_of_launcher(launcher) else { return Vec::new() };
    let migrations = world.migrations_of(&vmi);
    let unfinished = migrations.iter().filter(|m| !is_final(m));
    let mut work: Vec<Work> = unfinished.map(|m| Work::Migration(Key::of(m))).collect();
    if !work.is_empty() {
        work.push(Work::MigrationQueue);
    }
    work.extend([Work::Instance(vmi.clone()), Work::Handler(vmi)]);
    work
}

fn vmi_of_launcher(pod: &Value) -> Option<Key> {
    let vmi = owned_by(pod, "VirtualMachineInstance")?;
    Some(Key::new(text(&pod["metadata"]["namespace"]), vmi))
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
        queue.put(work, world.clock.instant() + after);
    }
}
