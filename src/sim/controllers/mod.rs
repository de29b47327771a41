//! The controllers of the embedded cluster, in one task with one ordered queue.
//!
//! # Why
//! Controllers here are plain functions over the store: `reconcile(store, key, now)` brings one object's world closer to
//! its spec and may ask to be called again later. One queue, ordered by due time and then by arrival, makes the history a
//! function of the requests and the seed. Time is the cluster's clock, so the same code runs paused, scaled or real.

mod adoption;
mod budget;
mod cron_job;
mod daemon_set;
mod definition;
mod deployment;
mod endpoints;
mod garbage;
mod interest;
mod job;
mod kubelet;
mod namespace;
mod node;
mod pods;
pub(in crate::sim) mod quota;
mod replica_set;
mod revision;
mod stateful_set;
mod volume;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

pub(in crate::sim) use pods::Facts;
pub(in crate::sim) use volume::PROVISIONED_BY;

use super::clock::sleep_until;
use super::events::Recorder;
use super::queue::Queue;
use super::scheduler::Scheduler;
use super::store::{Key, Store};

/// A workload whose pod was refused (by a quota) tries again after this long.
const AFTER_REFUSAL: Duration = Duration::from_secs(15);

/// Which controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::sim) enum Controller {
    Garbage,
    Namespace,
    /// Of pods, and of ReplicaSets.
    AdoptPod,
    AdoptSet,
    Node,
    Kubelet,
    Scheduler,
    Volume,
    /// Of volumes without their claims.
    Reclaim,
    Attachment,
    Deployment,
    ReplicaSet,
    /// Of ReplicationControllers.
    Replication,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
    Budget,
    Quota,
    /// Of Services.
    Endpoints,
    /// Of CustomResourceDefinitions.
    Definition,
}

impl Controller {
    /// How long it takes to react: what the real ones need for a watch event and a round, roughly.
    fn latency(self) -> Duration {
        Duration::from_millis(match self {
            Self::Kubelet | Self::Scheduler | Self::Node => 10,
            Self::Budget
            | Self::Volume
            | Self::Reclaim
            | Self::Attachment
            | Self::Quota
            | Self::Endpoints
            | Self::AdoptPod
            | Self::AdoptSet => 20,
            Self::Garbage | Self::Namespace | Self::Definition => 50,
            Self::Deployment
            | Self::ReplicaSet
            | Self::Replication
            | Self::StatefulSet
            | Self::DaemonSet
            | Self::Job
            | Self::CronJob => 25,
        })
    }
}

type Work = (Controller, Key);

/// The controller manager.
pub(in crate::sim) struct Manager {
    store: Arc<Mutex<Store>>,
    scheduler: Scheduler,
    kubelets: kubelet::Kubelets,
    queue: Queue<Work>,
    recorder: Option<Recorder>,
    /// What is older was there from the beginning, and is no news.
    news_from: u64,
}

impl Manager {
    /// With a recorder, what happens is told in events.
    pub fn new(store: Arc<Mutex<Store>>, recorder: Option<Recorder>) -> Self {
        let news_from = store.lock().map(|s| s.revision()).unwrap_or_default();
        Self {
            store,
            scheduler: Scheduler::default(),
            kubelets: kubelet::Kubelets::default(),
            queue: Queue::new(),
            recorder,
            news_from,
        }
    }

    /// Runs until dropped.
    pub async fn run(mut self) {
        let Ok((notify, clock)) = self.store.lock().map(|mut s| (s.begin_admission(), s.clock())) else {
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
            tokio::select! {
                biased;
                () = sleep_until(clock, next) => {}
                () = &mut notified => {}
            }
        }
    }

    /// Takes in what changed and does what is due. False when the store is broken.
    fn round(&mut self) -> bool {
        let store = self.store.clone();
        let Ok(mut store) = store.lock() else { return false };
        let clock = store.clock();
        self.take_in(&mut store);
        while let Some((controller, key)) = self.queue.due(clock.instant()) {
            let again = self.reconcile(&mut store, controller, &key);
            let refused = store.take_refused();
            // A workload whose pods aren't let in tries again.
            let again = again.into_iter().chain((!refused.is_empty()).then_some(AFTER_REFUSAL)).min();
            if let Some(recorder) = &mut self.recorder {
                for refused in &refused {
                    recorder.observe_refusal(&mut store, refused);
                }
            }
            if let Some(after) = again {
                self.queue.put((controller, key), clock.instant() + after);
            }
            self.take_in(&mut store);
        }
        true
    }

    fn take_in(&mut self, store: &mut Store) {
        for change in store.take_changes() {
            let now = store.clock().instant();
            let mut put = |controller: Controller, key: Key| {
                self.queue.put((controller, key), now + controller.latency());
            };
            if let Some(recorder) = self.recorder.as_mut().filter(|_| change.revision > self.news_from) {
                recorder.observe(store, &change);
            }
            let key = change.key();
            for key in self.scheduler.observe(&change, &key) {
                put(Controller::Scheduler, key);
            }
            for (controller, key) in interest::of(store, &change, &key) {
                put(controller, key);
            }
            if self.recorder.is_some() {
                for (controller, key) in endpoints::interest(store, &change, &key) {
                    put(controller, key);
                }
            }
        }
    }

    fn reconcile(&mut self, store: &mut Store, controller: Controller, key: &Key) -> Option<Duration> {
        let now = store.clock().now();
        match controller {
            Controller::Garbage => garbage::reconcile(store, key),
            Controller::Namespace => namespace::reconcile(store, key, self.recorder.is_some()),
            Controller::Definition => definition::reconcile(store, key),
            Controller::Node => return node::reconcile(store, key, now),
            Controller::Kubelet => return self.kubelets.reconcile(store, key, now),
            Controller::Scheduler => return self.scheduler.schedule(store, key),
            Controller::Volume => volume::bind(store, key),
            Controller::Reclaim => volume::reclaim(store, key),
            Controller::Attachment => return volume::attach(store, key, now),
            Controller::Deployment => return deployment::reconcile(store, key, now),
            Controller::ReplicaSet => return replica_set::reconcile(store, "replicasets.apps", key, now),
            Controller::Replication => {
                return replica_set::reconcile(store, "replicationcontrollers", key, now);
            }
            Controller::StatefulSet => return stateful_set::reconcile(store, key, now),
            Controller::DaemonSet => return daemon_set::reconcile(store, key, now),
            Controller::Job => return job::reconcile(store, key, now),
            Controller::CronJob => return cron_job::reconcile(store, key, now),
            Controller::Budget => return budget::reconcile(store, key, now),
            Controller::Quota => quota::reconcile(store, key),
            Controller::Endpoints => endpoints::reconcile(store, key, now),
            Controller::AdoptPod => adoption::reconcile(store, "pods", key),
            Controller::AdoptSet => adoption::reconcile(store, "replicasets.apps", key),
        }
        None
    }
}

/// Time from one moment to a later one; zero if that has passed.
fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}
