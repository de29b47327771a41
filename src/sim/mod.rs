//! The embedded cluster: an in-process Kubernetes (and KubeVirt) that answers the API in virtual time.
//!
//! It is what `--sim FILE` starts, what a dry run plays a campaign on, and what simulation tests break. It imports nothing
//! of the crate and doesn't know who maintains it, so it can judge.
//!
//! # Why
//! * A real `kube::Client` over an in-process `tower::Service`: the engine has one code path for every cluster.
//! * Time is tokio's clock, paused (served: running, and scaled): a day of waiting takes milliseconds. The same seed gives the same history, byte for byte:
//!   one thread, ordered maps, no ambient randomness.
//! * Built-in controllers work on the store directly, in one ordered queue; KubeVirt is an ordinary client of the API, so
//!   that the same code serves the real control plane.

pub mod api;
mod clock;
mod controllers;
mod error;
mod events;
mod extension;
pub mod generate;
pub mod json;
pub mod kubevirt;
mod load;
mod queue;
mod scheduler;
pub mod serve;
pub mod store;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use crate::sim::json::Value;

pub use clock::{Clock, parse_time, seconds_text};
pub use error::Error;
pub use extension::{Extension, Webhook};

use api::ApiServer;
use store::Store;

/// How an embedded cluster behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Seed of everything that varies.
    pub seed: u64,
    /// The time at which it starts.
    pub start: Timestamp,
    /// How long its clock keeps pace with tokio's before it runs faster: time to come to rest in.
    pub warm_up: Duration,
    /// How many times as fast as tokio's its clock then runs.
    pub speed: u32,
    /// Controllers record events, which takes time and memory.
    pub events: bool,
    /// `managedFields` are kept of every object, which takes time and memory; otherwise of those that somebody applied to.
    pub managed_fields: bool,
    /// What each API request costs.
    pub latency: Duration,
    /// How many changes of a kind a watch can lag behind before it gets 410.
    pub history: usize,
    /// How KubeVirt and its guests behave.
    pub kubevirt: kubevirt::Settings,
}

impl Default for Settings {
    /// Seed 1, starting 2026-01-05 22:00 UTC, as fast as tokio's clock, without events, 2 ms a request.
    fn default() -> Self {
        Self {
            seed: 1,
            start: Timestamp::constant(1_767_650_400, 0),
            warm_up: Duration::ZERO,
            speed: 1,
            events: false,
            managed_fields: false,
            latency: Duration::from_millis(2),
            history: 5_000,
            kubevirt: kubevirt::Settings::default(),
        }
    }
}

/// An in-process cluster. Cheap to clone; all clones are the same cluster.
#[derive(Clone)]
pub struct EmbeddedCluster {
    store: Arc<Mutex<Store>>,
    server: ApiServer,
    clock: Clock,
    events: bool,
    kubevirt: Option<kubevirt::Model>,
}

impl EmbeddedCluster {
    /// Loads manifests. `name` is the file's name, for messages. Call it inside the runtime whose clock it shall keep.
    ///
    /// # Errors
    /// A document that can't be read, isn't an object, or is refused; nothing runs then.
    pub fn from_manifests(name: &str, text: &str, settings: Settings) -> Result<Self, Error> {
        Self::load(name, load::read(name, text)?, settings)
    }

    /// Loads a file of manifests, or a snapshot. Call it inside the runtime whose clock it shall keep.
    ///
    /// # Errors
    /// A file that can't be read, and those of [`Self::from_manifests`].
    pub fn from_file(path: &std::path::Path, settings: Settings) -> Result<Self, Error> {
        Self::load(&path.display().to_string(), load::read_file(path)?, settings)
    }

    /// Loads objects, such as those captured from a live cluster.
    ///
    /// # Errors
    /// An object that is refused.
    pub fn from_objects(
        name: &str,
        objects: Vec<serde_json::Value>,
        settings: Settings,
    ) -> Result<Self, Error> {
        Self::load(name, objects.into_iter().map(Into::into).collect(), settings)
    }

    fn load(name: &str, objects: Vec<Value>, settings: Settings) -> Result<Self, Error> {
        let clock = Clock::faster(settings.start, settings.warm_up, settings.speed);
        let mut store = Store::new(clock, settings.seed, settings.history);
        load::create(&mut store, name, objects)?;
        store.begin_admission();
        let version = store.list(load::KUBEVIRT).next().map(|kubevirt| {
            kubevirt::Version::parse(
                kubevirt["status"]["observedKubeVirtVersion"].as_str().unwrap_or_default(),
            )
        });
        let store = Arc::new(Mutex::new(store));
        let server = ApiServer::new(store.clone(), settings.latency).tracking(settings.managed_fields);
        let mut cluster = Self { store, server, clock, events: settings.events, kubevirt: None };
        if let Some(version) = version {
            let version = settings.kubevirt.version.unwrap_or(version);
            let settings = kubevirt::Settings { seed: settings.seed, ..settings.kubevirt };
            let model = kubevirt::Model::new(cluster.client(), clock, settings).in_process();
            model.observe(version);
            cluster.server.extend(Arc::new(model.clone()));
            cluster.kubevirt = Some(model);
        }
        Ok(cluster)
    }

    /// KubeVirt, if the cluster has it.
    pub fn kubevirt(&self) -> Option<&kubevirt::Model> {
        self.kubevirt.as_ref()
    }

    /// A client of its API. Call it inside the runtime: the client starts a task of its own.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.server.clone(), "default")
    }

    /// Its API, as a service to put in front of what breaks or counts requests.
    pub fn server(&self) -> ApiServer {
        self.server.clone()
    }

    /// Requests that the API server has had so far, by `METHOD RESOURCE[/SUBRESOURCE] NAMESPACE`.
    pub fn requests(&self) -> std::collections::BTreeMap<String, usize> {
        self.server.served()
    }

    /// The clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Starts controllers, scheduler, kubelets and, if the cluster has KubeVirt, its model.
    /// They run as tasks of the current runtime until it ends.
    pub async fn start(&self) {
        let recorder = self.events.then(events::Recorder::default);
        tokio::spawn(controllers::Manager::new(self.store.clone(), recorder).run());
        if let Some(model) = self.kubevirt.clone() {
            tokio::spawn(async move { model.run().await });
        }
    }

    /// Waits until nothing has changed for `quiet` of (virtual) time, heartbeats apart, at most for `at_most`. True if it
    /// got quiet.
    pub async fn settle(&self, quiet: Duration, at_most: Duration) -> bool {
        let end = self.clock.instant() + at_most;
        let mut seen = self.revision();
        while self.clock.instant() < end {
            self.clock.sleep(quiet).await;
            let now = self.revision();
            if now == seen {
                return true;
            }
            seen = now;
        }
        false
    }

    /// Writes to its store so far, those of its own controllers included.
    pub fn writes(&self) -> u64 {
        self.store.lock().map(|s| s.revision()).unwrap_or_default()
    }

    fn revision(&self) -> u64 {
        self.store.lock().map(|s| s.last_work()).unwrap_or_default()
    }

    /// The objects of a resource, such as `nodes` or `virtualmachines.kubevirt.io`, by namespace and name.
    pub fn objects(&self, resource: &str) -> Vec<Arc<serde_json::Value>> {
        let objects = self.store.lock().map(|s| s.list(resource).cloned().collect::<Vec<_>>());
        objects.unwrap_or_default().iter().map(|o| Arc::new((&**o).into())).collect()
    }

    /// All objects, in a fixed order.
    pub fn dump(&self) -> Vec<serde_json::Value> {
        let Ok(store) = self.store.lock() else {
            return Vec::new();
        };
        let names: Vec<String> = store.resources().map(|r| r.name.clone()).collect();
        names.iter().flat_map(|name| store.list(name).map(|o| (&**o).into()).collect::<Vec<_>>()).collect()
    }
}

#[cfg(test)]
mod tests;
