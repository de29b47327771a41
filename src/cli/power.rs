//! `virtroll safe-poweroff`.

use clap::Args;

use super::output::out;
use super::{Cluster, Exit, complain};
use crate::cluster::{Observer, Scope};
use crate::inventory::Inventory;
use crate::plan::v1alpha1 as plan;
use crate::reconcile::safety::blockers;

/// Say whether nodes can be powered off without harm.
#[derive(Debug, Args)]
pub(super) struct SafePoweroff {
    /// The nodes.
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
    /// Wait until they are safe.
    #[arg(long)]
    wait: bool,
    /// Give up waiting after this long; 0s waits for ever.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    timeout: std::time::Duration,
    /// Look at virtual machines only, not at other pods.
    #[arg(long)]
    virtual_machines_only: bool,
}

impl SafePoweroff {
    pub(super) fn run(&self, cluster: &Cluster) -> Exit {
        let runtime = match cluster.runtime() {
            Ok(runtime) => runtime,
            Err(exit) => return exit,
        };
        runtime.block_on(self.look(cluster)).unwrap_or_else(|exit| exit)
    }

    async fn look(&self, cluster: &Cluster) -> Result<Exit, Exit> {
        let failed = |error: crate::cluster::Error| {
            complain(&error);
            Exit::Failed
        };
        let host = cluster.host().await?;
        let mut inventory = Inventory::new();
        // VMs on their way to a node are known by their objects, so the pods of these nodes are enough.
        let nodes: Vec<String> =
            self.nodes.iter().map(|n| n.trim_start_matches("node/").to_owned()).collect();
        let scope = Scope { nodes: Some(nodes.clone()), volumes: true, ..Scope::default() };
        let mut observer = Observer::start(&host.client, scope, &mut inventory).await.map_err(failed)?;
        if let Some(node) = nodes.iter().find(|n| inventory.node(n).is_none()) {
            complain(&format!("nodes {node:?} not found"));
            return Err(Exit::BadInput);
        }
        let scope =
            if self.virtual_machines_only { plan::Scope::VirtualMachines } else { plan::Scope::AllPods };
        let end = (!self.timeout.is_zero()).then(|| tokio::time::Instant::now() + self.timeout);
        loop {
            let found: Vec<(&String, Vec<String>)> =
                nodes.iter().map(|n| (n, blockers(&inventory, n, scope))).collect();
            let safe = found.iter().all(|(_, b)| b.is_empty());
            let over = end.is_some_and(|end| tokio::time::Instant::now() >= end);
            if safe || over || !self.wait {
                for (node, blockers) in &found {
                    match blockers.as_slice() {
                        [] => out!("{node}: safe to power off"),
                        blockers => out!("{node}: not safe to power off\n  {}", blockers.join("\n  ")),
                    }
                }
                return Ok(if safe { Exit::Done } else { Exit::NotSafe });
            }
            let timeout = async move {
                match end {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                observed = observer.changed(&mut inventory) => {
                    observed.and_then(|()| observer.catch_up(&mut inventory)).map_err(failed)?;
                }
                () = timeout => {}
            }
        }
    }
}
