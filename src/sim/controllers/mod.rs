//! The controllers of the embedded cluster, in one task with one ordered queue.
//!
//! # Why
//! Controllers here are plain functions over the store: `reconcile(store, key, now)` brings one object's world closer to
//! its spec and may ask to be called again later. One queue, ordered by due time and then by arrival, makes the history a
//! function of the requests and the seed. Time is tokio's, so the same code runs paused, scaled or real.

mod budget;
mod daemon_set;
mod deployment;
mod garbage;
mod job;
mod kubelet;
mod node;
mod pods;
mod replica_set;
mod stateful_set;
mod volume;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::queue::Queue;
use super::scheduler::Scheduler;
use super::store::{Change, Key, Store};

/// Which controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sim) enum Controller {
    Garbage,
    Node,
    Kubelet,
    Scheduler,
    Volume,
    Attachment,
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    Job,
    Budget,
}

impl Controller {
    /// How long it takes to react: what the real ones need for a watch event and a round, roughly.
    fn latency(self) -> Duration {
        Duration::from_millis(match self {
            Self::Kubelet | Self::Scheduler | Self::Node => 10,
            Self::Budget | Self::Volume | Self::Attachment => 20,
            Self::Garbage => 50,
            Self::Deployment | Self::ReplicaSet | Self::StatefulSet | Self::DaemonSet | Self::Job => 25,
        })
    }
}

type Work = (Controller, Key);

/// The controller manager.
pub(in crate::sim) struct Manager {
    store: Arc<Mutex<Store>>,
    scheduler: Scheduler,
    queue: Queue<Work>,
}

impl Manager {
    pub fn new(store: Arc<Mutex<Store>>) -> Self {
        Self { store, scheduler: Scheduler::default(), queue: Queue::new() }
    }

    /// Runs until dropped.
    pub async fn run(mut self) {
        let Ok(notify) = self.store.lock().map(|s| s.notify()) else {
            return;
        };
        loop {
            let notified = notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if !self.round() {
                return;
            }
            let next = self.queue.next();
            let timer = async move {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = timer => {}
                () = &mut notified => {}
            }
        }
    }

    /// Takes in what changed and does what is due. False when the store is broken.
    fn round(&mut self) -> bool {
        let store = self.store.clone();
        let Ok(mut store) = store.lock() else { return false };
        self.take_in(&mut store);
        while let Some((controller, key)) = self.queue.due(Instant::now()) {
            let again = self.reconcile(&mut store, controller, &key);
            if let Some(after) = again {
                self.queue.put((controller, key), Instant::now() + after);
            }
            self.take_in(&mut store);
        }
        true
    }

    fn take_in(&mut self, store: &mut Store) {
        for change in store.take_changes() {
            let now = Instant::now();
            let mut put = |controller: Controller, key: Key| {
                self.queue.put((controller, key), now + controller.latency());
            };
            for key in self.scheduler.observe(&change) {
                put(Controller::Scheduler, key);
            }
            for (controller, key) in interested(store, &change) {
                put(controller, key);
            }
        }
    }

    fn reconcile(&mut self, store: &mut Store, controller: Controller, key: &Key) -> Option<Duration> {
        let now = store.clock().now();
        match controller {
            Controller::Garbage => garbage::reconcile(store, key),
            Controller::Node => return node::reconcile(store, key, now),
            Controller::Kubelet => return kubelet::reconcile(store, key, now),
            Controller::Scheduler => self.scheduler.schedule(store, key),
            Controller::Volume => volume::bind(store, key),
            Controller::Attachment => return volume::attach(store, key),
            Controller::Deployment => deployment::reconcile(store, key),
            Controller::ReplicaSet => replica_set::reconcile(store, key),
            Controller::StatefulSet => stateful_set::reconcile(store, key),
            Controller::DaemonSet => daemon_set::reconcile(store, key),
            Controller::Job => return job::reconcile(store, key, now),
            Controller::Budget => return budget::reconcile(store, key, now),
        }
        None
    }
}

/// Whose work a change is.
fn interested(store: &Store, change: &Change) -> Vec<Work> {
    let key = change.key();
    let mut work: BTreeSet<Work> = BTreeSet::new();
    let own = match &*change.resource {
        "deployments.apps" => Some(Controller::Deployment),
        "replicasets.apps" => Some(Controller::ReplicaSet),
        "statefulsets.apps" => Some(Controller::StatefulSet),
        "daemonsets.apps" => Some(Controller::DaemonSet),
        "jobs.batch" => Some(Controller::Job),
        "poddisruptionbudgets.policy" => Some(Controller::Budget),
        "persistentvolumeclaims" => Some(Controller::Volume),
        "nodes" => Some(Controller::Node),
        "pods" => Some(Controller::Kubelet),
        _ => None,
    };
    work.extend(own.map(|controller| (controller, key.clone())));
    work.extend(pods::owner(&change.object));
    if &*change.resource == "pods" {
        work.extend(of_pod(store, change, &key));
    }
    if &*change.resource == "nodes" {
        work.extend(store.list("daemonsets.apps").map(|d| (Controller::DaemonSet, Key::of(d))));
        work.extend(store.pods_on(&key.name).map(|p| (Controller::Kubelet, Key::of(p))));
    }
    let deleting = !change.object["metadata"]["deletionTimestamp"].is_null();
    if deleting || change.kind == super::store::ChangeKind::Deleted {
        let uid = change.object["metadata"]["uid"].as_str().unwrap_or_default();
        work.insert((Controller::Garbage, Key::new(&change.resource, uid)));
        for owner in change.object["metadata"]["ownerReferences"].as_array().into_iter().flatten() {
            let uid = owner["uid"].as_str().unwrap_or_default();
            work.insert((Controller::Garbage, Key::new("", uid)));
        }
    }
    if !change.object["metadata"]["ownerReferences"].is_null()
        && change.kind == super::store::ChangeKind::Added
    {
        let uid = change.object["metadata"]["ownerReferences"][0]["uid"].as_str().unwrap_or_default();
        work.insert((Controller::Garbage, Key::new("", uid)));
    }
    work.into_iter().collect()
}

fn of_pod(store: &Store, change: &Change, key: &Key) -> Vec<Work> {
    let mut work = Vec::new();
    for budget in store.list_in("poddisruptionbudgets.policy", &key.namespace) {
        if super::api::selects(&budget["spec"]["selector"], &change.object["metadata"]["labels"]) {
            work.push((Controller::Budget, Key::of(budget)));
        }
    }
    if let Some(node) = change.object["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
        work.push((Controller::Attachment, Key::new("", node)));
        work.push((Controller::Node, Key::new("", node)));
    }
    for volume in change.object["spec"]["volumes"].as_array().into_iter().flatten() {
        if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
            work.push((Controller::Volume, Key::new(&key.namespace, claim)));
        }
    }
    work
}

/// Time from one moment to a later one; zero if that has passed.
fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}
