//! The loop: watches fill the cache, changes become work, work is done one piece after another.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::conditions;
use super::signs::Signs;
use super::watch::{Seen, watch};
use super::world::{Kind, Trouble, World, is_final, owned_by, owners, text, vmi_of};
use super::{
    component, evacuation, handler, instance, migration, migration_queue, node, old_budget, replica_set,
    virtual_machine,
};
use crate::sim::clock::sleep_until;
use crate::sim::json::Value;
use crate::sim::queue::Queue;
use crate::sim::store::Key;

/// A conflict is looked at again after this.
const AFTER_CONFLICT: Duration = Duration::from_millis(50);
/// Anything else that failed, after this.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Work {
    Vm(Key),
    ReplicaSet(Key),
    Instance(Key),
    Handler(Key),
    Migration(Key),
    MigrationQueue,
    Evacuation(String),
    Budget(Key),
    Component(Key),
    Heartbeat(String),
    NodeCheck(String),
}

/// Runs until dropped. `signs` say whether virt-api serves: while it doesn't, nothing of KubeVirt moves.
pub(super) async fn run(mut world: World, signs: Arc<Signs>) {
    let (sender, mut seen) = mpsc::channel(1024);
    let mut tasks = tokio::task::JoinSet::new();
    for kind in Kind::ALL {
        tasks.spawn(watch(world.caller.clone(), kind, sender.clone()));
    }
    drop(sender);
    let mut queue = Queue::new();
    let mut unsynced = Kind::ALL.len();
    while unsynced > 0 {
        let Some(event) = seen.recv().await else { return };
        unsynced -= usize::from(matches!(event, Seen::Listed(..)));
        take_in(&mut world, &mut queue, &signs, event);
    }
    loop {
        while let Ok(event) = seen.try_recv() {
            take_in(&mut world, &mut queue, &signs, event);
        }
        let up = signs.is_available();
        // While it is down work stays queued, and is done when it is up again.
        if up && let Some(work) = queue.due(world.clock.instant()) {
            act(&mut world, &mut queue, work).await;
            continue;
        }
        let next = if up { queue.next() } else { Some(world.clock.instant() + AFTER_TROUBLE) };
        tokio::select! {
            biased;
            event = seen.recv() => match event {
                Some(event) => take_in(&mut world, &mut queue, &signs, event),
                None => return,
            },
            () = sleep_until(world.clock, next) => {}
        }
    }
}

fn take_in(world: &mut World, queue: &mut Queue<Work>, signs: &Signs, seen: Seen) {
    match seen {
        Seen::Put(kind, object) => {
            let old = world.get(kind, &Key::of(&object)).cloned();
            // An echo of an own write is news to the others all the same.
            weigh(world, signs, kind, |world| world.put(kind, object.clone()));
            put_all(world, queue, interested(world, kind, &object, old.as_deref()));
        }
        Seen::Gone(kind, key) => gone(world, queue, signs, kind, &key),
        Seen::Listed(kind, present) => {
            for key in world.keys(kind).into_iter().filter(|k| !present.contains(k)) {
                gone(world, queue, signs, kind, &key);
            }
        }
    }
}

/// Takes a change in, and with it what it says of virt-api and of the release.
fn weigh<T>(world: &mut World, signs: &Signs, kind: Kind, change: impl FnOnce(&mut World) -> T) {
    if !matches!(kind, Kind::KubeVirt | Kind::Component) {
        change(world);
        return;
    }
    let before = component::serves(world);
    change(world);
    let after = component::serves(world);
    if before != after {
        signs.set_available(after);
    }
    signs.observe(world.version());
}

fn gone(world: &mut World, queue: &mut Queue<Work>, signs: &Signs, kind: Kind, key: &Key) {
    let Some(object) = world.get(kind, key).cloned() else { return };
    weigh(world, signs, kind, |world| world.forget(kind, key));
    put_all(world, queue, interested(world, kind, &object, None));
}

fn put_all(world: &World, queue: &mut Queue<Work>, work: Vec<Work>) {
    let at = world.clock.instant() + world.settings.reaction;
    for work in work {
        queue.put(work, at);
    }
}

/// Whose work a change is.
pub(super) fn interested(world: &World, kind: Kind, object: &Value, old: Option<&Value>) -> Vec<Work> {
    let key = Key::of(object);
    match kind {
        Kind::KubeVirt => vec![Work::MigrationQueue],
        Kind::Policy | Kind::Namespace => Vec::new(),
        Kind::Component => vec![Work::Component(key)],
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
            .chain(component::guarded(&key).map(Work::Component))
            .collect(),
    }
}

fn of_node(world: &World, name: &str, object: &Value, old: Option<&Value>) -> Vec<Work> {
    let mut work = vec![Work::Evacuation(name.to_owned()), Work::NodeCheck(name.to_owned())];
    let booted = |n: &Value| n["status"]["nodeInfo"]["bootID"].clone();
    let changed = |old: &Value| {
        let kept_out = node::is_kept_out(old) != node::is_kept_out(object);
        // How it is not ready says whether virt-handler was stopped in order.
        let ready = |n: &Value| conditions::get(n, "Ready").map(|c| c["status"].clone());
        let up = node::is_up(old) != node::is_up(object) || ready(old) != ready(object);
        let every = |n: &Value| n["metadata"]["annotations"][node::HEARTBEAT_EVERY].clone();
        kept_out || up || booted(old) != booted(object) || every(old) != every(object)
    };
    if old.is_none_or(changed) {
        work.push(Work::Heartbeat(name.to_owned()));
        work.extend(world.vmis_on(name).map(|v| Work::Handler(Key::of(v))));
        work.extend(world.pods_on(name).filter_map(|pod| vmi_of_launcher(pod)).map(Work::Handler));
        // Migrations wait for dead virt-handlers without a limit.
        work.extend(world.indexes.begun().cloned().map(Work::Migration));
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
    let waits = world.migrations_of(&key).any(|m| m["status"]["phase"] == "Pending");
    // When a VMI goes, its migrations go with it, the finished ones too.
    let gone = world.get(Kind::Instance, &key).is_none();
    let concerned = world.migrations_of(&key).filter(|m| gone || !is_final(m));
    work.extend(concerned.map(|m| Work::Migration(Key::of(m))));
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
    let unfinished = world.migrations_of(&vmi).filter(|m| !is_final(m));
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
        Work::Component(key) => component::reconcile(world, key).await,
        Work::Heartbeat(name) => node::beat(world, name).await,
        Work::NodeCheck(name) => node::check(world, name).await,
    };
    let again = match outcome {
        Ok(again) => again,
        Err(Trouble::Gone) => None,
        Err(Trouble::Conflict) => Some(AFTER_CONFLICT),
        Err(Trouble::Quota(_)) => Some(world.settings.quota_retry),
        Err(Trouble::Refused(why)) => {
            tracing::warn!(%why, "the KubeVirt model's {work:?} was refused; trying again");
            Some(AFTER_TROUBLE)
        }
    };
    if let Some(after) = again {
        queue.put(work, world.clock.instant() + after);
    }
}
