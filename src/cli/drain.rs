//! `virtroll drain`, `cordon`, `uncordon`: kubectl's flags, order and texts.

use std::time::Duration;

use clap::{Args, ValueEnum};
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, ListParams};

use super::output::{err, out};
use super::{Cluster, Exit, complain, host};
use crate::cluster::Actor;
use crate::engine::{self, drain_nodes};
use crate::journal::{Event, EventKind};
use crate::plan::selector;
use crate::reconcile::drain::DrainOptions;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum DryRun {
    #[default]
    None,
    Client,
    Server,
}

impl DryRun {
    fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
}

/// Which nodes.
#[derive(Debug, Args)]
struct Nodes {
    /// The nodes.
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
    /// Nodes with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Print what would be done: none, client or server.
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_value = "none", default_missing_value = "client")]
    dry_run: DryRun,
}

/// Mark nodes as unschedulable or schedulable.
#[derive(Debug, Args)]
pub(super) struct Cordon {
    #[command(flatten)]
    nodes: Nodes,
}

/// Drain nodes in preparation for maintenance.
#[derive(Debug, Args)]
#[command(after_help = "KubeVirt's two recipes work as with kubectl:\n  \
    virtroll drain NODE --delete-emptydir-data --pod-selector=kubevirt.io=virt-launcher --ignore-daemonsets --force\n  \
    virtroll drain NODE --delete-emptydir-data --ignore-daemonsets=true --force")]
pub(super) struct Drain {
    #[command(flatten)]
    nodes: Nodes,
    /// Ignore DaemonSet-managed pods.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    ignore_daemonsets: bool,
    /// Continue even if there are pods using emptyDir (local data that will be deleted when the node is drained).
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    delete_emptydir_data: bool,
    /// The old name of --delete-emptydir-data.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    delete_local_data: bool,
    /// Continue even if there are pods that do not declare a controller.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    force: bool,
    /// Label selector to filter pods on the node.
    #[arg(long, value_name = "SELECTOR", default_value = "")]
    pod_selector: String,
    /// Seconds given to each pod to terminate gracefully; negative: the pod's own.
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// How long to wait before giving up, such as 90s or 5m; zero means for ever.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = go_duration)]
    timeout: Duration,
    /// Force drain to use delete, even if eviction is supported. This bypasses PodDisruptionBudgets.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    disable_eviction: bool,
    /// If a pod's deletion is older than this many seconds, don't wait for it; 0 waits always.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    skip_wait_for_delete_timeout: u64,
}

/// Go's form: `1h30m`, `90s`, and a bare `0`.
fn go_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|e| format!("{e}; want a duration such as 90s, 5m or 1h30m"))
}

impl Nodes {
    /// The named or selected nodes, each with whether it is cordoned.
    async fn find(&self, client: &Client) -> Result<Vec<(String, bool)>, Exit> {
        if self.nodes.is_empty() == self.selector.is_none() {
            let why = if self.nodes.is_empty() {
                "name nodes, or select them with --selector"
            } else {
                "cannot specify both a node name and a --selector option"
            };
            complain(&why);
            return Err(Exit::BadInput);
        }
        let api: Api<Node> = Api::all(client.clone());
        let failed = |error: kube::Error| {
            let error = match error {
                kube::Error::Api(status) => {
                    format!("Error from server ({}): {}", status.reason, status.message)
                }
                other => other.to_string(),
            };
            complain(&error);
            Exit::Failed
        };
        let found: Vec<Node> = match &self.selector {
            Some(selector) => api.list(&ListParams::default().labels(selector)).await.map_err(failed)?.items,
            None => {
                let mut found = Vec::new();
                for name in &self.nodes {
                    found.push(api.get(name.trim_start_matches("node/")).await.map_err(failed)?);
                }
                found
            }
        };
        let cordoned = |n: &Node| n.spec.as_ref().and_then(|s| s.unschedulable).unwrap_or(false);
        Ok(found.into_iter().map(|n| (n.metadata.name.clone().unwrap_or_default(), cordoned(&n))).collect())
    }

    async fn cordon(&self, client: &Client, found: &[(String, bool)], cordon: bool) -> Result<(), Exit> {
        let verb = if cordon { "cordoned" } else { "uncordoned" };
        let actor = Actor::new(client.clone(), self.dry_run == DryRun::Server);
        for (node, cordoned) in found {
            if *cordoned == cordon {
                out!("node/{node} already {verb}{}", self.dry_run.suffix());
                continue;
            }
            if self.dry_run != DryRun::Client {
                actor.set_unschedulable(node, cordon).await.map_err(|error| {
                    complain(&error);
                    Exit::Failed
                })?;
            }
            out!("node/{node} {verb}{}", self.dry_run.suffix());
        }
        Ok(())
    }
}

impl Cordon {
    pub(super) fn run(&self, cluster: &Cluster, cordon: bool) -> Exit {
        let runtime = match cluster.runtime() {
            Ok(runtime) => runtime,
            Err(exit) => return exit,
        };
        let done = runtime.block_on(async {
            let host = cluster.host().await?;
            let found = self.nodes.find(&host.client).await?;
            self.nodes.cordon(&host.client, &found, cordon).await
        });
        done.map_or_else(|exit| exit, |()| Exit::Done)
    }
}

impl Drain {
    pub(super) fn run(&self, cluster: &Cluster) -> Exit {
        let runtime = match cluster.runtime() {
            Ok(runtime) => runtime,
            Err(exit) => return exit,
        };
        runtime.block_on(self.drain(cluster)).unwrap_or_else(|exit| exit)
    }

    fn options(&self) -> Result<DrainOptions, Exit> {
        if self.delete_local_data {
            err!(
                "Flag --delete-local-data has been deprecated, This option is deprecated and will be deleted. Use --delete-emptydir-data."
            );
        }
        let pod_selector = match self.pod_selector.as_str() {
            "" => None,
            text => Some(selector::parse(text).map_err(|why| {
                complain(&why);
                Exit::BadInput
            })?),
        };
        Ok(DrainOptions {
            ignore_daemon_sets: self.ignore_daemonsets,
            delete_empty_dir_data: self.delete_emptydir_data || self.delete_local_data,
            force: self.force,
            grace_seconds: (self.grace_period >= 0).then_some(self.grace_period),
            disable_eviction: self.disable_eviction,
            pod_selector,
            skip_wait_for_delete: Some(Duration::from_secs(self.skip_wait_for_delete_timeout)),
            ..DrainOptions::default()
        })
    }

    async fn drain(&self, cluster: &Cluster) -> Result<Exit, Exit> {
        let options = self.options()?;
        let host = cluster.host().await?;
        let found = self.nodes.find(&host.client).await?;
        self.nodes.cordon(&host.client, &found, true).await?;
        let dry_run = self.nodes.dry_run;
        let nodes: Vec<String> = found.into_iter().map(|(node, _)| node).collect();
        if dry_run == DryRun::Client {
            for node in &nodes {
                out!("node/{node} drained{}", dry_run.suffix());
            }
            return Ok(Exit::Done);
        }
        let drain = engine::Drain {
            client: host.client,
            clock: host.clock,
            nodes: nodes.clone(),
            options,
            // On a simulated cluster nobody comes to mend what blocks.
            timeout: if self.timeout.is_zero() && cluster.sim.is_some() {
                host::PATIENCE
            } else {
                self.timeout
            },
            dry_run: dry_run == DryRun::Server,
        };
        let mut sink = |event: Event| match event.kind {
            EventKind::Warning { text } => err!("Warning: {text}"),
            EventKind::PodEvicted { pod, .. } => out!("evicting pod {pod}{}", dry_run.suffix()),
            EventKind::PodLeft { pod, .. } => out!("pod/{} evicted", pod.name),
            EventKind::EvictionRefused { pod, why, again_after, .. } => {
                let again = again_after.filter(|_| dry_run == DryRun::None);
                let again = again.map(|s| format!(" (will retry after {s}s)")).unwrap_or_default();
                err!("error when evicting pods/{:?} -n {:?}{again}: {why}", pod.name, pod.namespace);
            }
            EventKind::NodePhaseChanged { node, .. } => out!("node/{node} drained{}", dry_run.suffix()),
            EventKind::NodeWaits { node, why } => err!("node/{node} waits: {why}"),
            _ => {}
        };
        let report = drain_nodes(drain, &mut sink).await.map_err(|error| {
            complain(&error);
            Exit::Failed
        })?;
        for (node, why) in &report.failed {
            err!(
                "error: unable to drain node {node:?} due to error: [{}], continuing command...",
                why.join(", ")
            );
        }
        if !report.failed.is_empty() {
            err!("There are pending nodes to be drained:");
            for (node, why) in &report.failed {
                err!(" {node}");
                for line in why {
                    err!("  {line}");
                }
            }
            return Ok(Exit::Failed);
        }
        Ok(Exit::Done)
    }
}
