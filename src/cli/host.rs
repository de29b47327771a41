//! Where a command runs: on a real cluster in real time, or on an embedded one in virtual time.

use std::path::Path;
use std::time::Duration;

use kube::Client;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::output::err;
use super::{Cluster, Exit, complain};
use crate::cluster::{Target, connect};
use crate::engine::Clock;
use crate::sim::{EmbeddedCluster, Settings};

/// A client with its clock.
pub(super) struct Host {
    pub client: Client,
    pub clock: Clock,
    /// Name for people.
    pub name: String,
    /// The embedded cluster, if it is one.
    pub embedded: Option<EmbeddedCluster>,
}

/// On a simulated cluster, what hasn't gone on for so long is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// How long an embedded cluster gets to come to rest before the command begins.
const SETTLE: Duration = Duration::from_secs(900);
/// Quiet for so long is at rest: pods may take their time to get ready.
const QUIET: Duration = Duration::from_secs(60);

impl Cluster {
    /// A runtime for this cluster: one thread with a paused clock for an embedded one.
    pub(super) fn runtime(&self) -> Result<Runtime, Exit> {
        let runtime =
            if self.sim.is_some() { paused() } else { Builder::new_multi_thread().enable_all().build() };
        runtime.map_err(|error| {
            complain(&error);
            Exit::Failed
        })
    }

    /// Connects, inside the runtime.
    pub(super) async fn host(&self) -> Result<Host, Exit> {
        if let Some(file) = &self.sim {
            let settings = Settings { seed: self.seed, ..Settings::default() };
            let embedded = EmbeddedCluster::from_file(file, settings).map_err(bad)?;
            return Ok(begin(embedded, file.display().to_string()).await);
        }
        let target = Target { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        let (client, name) = connect(&target).await.map_err(|error| {
            complain(&error);
            Exit::BadInput
        })?;
        Ok(Host { client, clock: Clock::Wall, name, embedded: None })
    }
}

/// A runtime in virtual time.
pub(super) fn paused() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().start_paused(true).build()
}

async fn begin(embedded: EmbeddedCluster, name: String) -> Host {
    embedded.start().await;
    if !embedded.settle(QUIET, SETTLE).await {
        err!("Warning: the embedded cluster has not come to rest after {} minutes", SETTLE.as_secs() / 60);
    }
    Host {
        client: embedded.client(),
        clock: Clock::starting_at(embedded.now()),
        name,
        embedded: Some(embedded),
    }
}

/// Objects that a rehearsal starts from: those that are on their way out are left out, and what is written again and again.
pub(super) fn staying(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_null()
        && !matches!(object["kind"].as_str(), Some("Lease" | "Event"))
}

/// A copy of a cluster, embedded: what a dry run plays on.
pub(super) async fn rehearse(
    objects: Vec<Value>,
    name: &str,
    settings: Settings,
) -> Result<Host, crate::sim::Error> {
    let embedded = EmbeddedCluster::from_objects(name, objects, settings)?;
    Ok(begin(embedded, name.to_owned()).await)
}

pub(super) fn bad(error: crate::sim::Error) -> Exit {
    complain(&error);
    Exit::BadInput
}

/// Reads a file that the user named.
pub(super) fn read(file: &Path) -> Result<String, Exit> {
    std::fs::read_to_string(file).map_err(|error| {
        complain(&format!("can't read {}: {error}", file.display()));
        Exit::BadInput
    })
}
