//! `virtroll sim`: the embedded cluster, served to any Kubernetes client; and clusters made up for it.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};

use super::generate::Generate;
use super::host::paused;
use super::output::{err, out};
use super::{Cluster, Exit, complain};
use crate::sim::serve::{self, Server};
use crate::sim::{EmbeddedCluster, Settings};

/// How long before now a served cluster begins. It is brought to rest in virtual time, and its clock shows the time of day
/// when it is opened.
const WARM_UP: Duration = Duration::from_secs(900);
/// How long of it may go by before the cluster is at rest.
const SETTLE: Duration = Duration::from_secs(880);
/// Quiet for so long is at rest.
const QUIET: Duration = Duration::from_secs(15);

/// Serve an embedded cluster to kubectl and any other Kubernetes client.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
The server's address goes to stdout, everything else to stderr. It ends with Ctrl-C (exit code 0), and the cluster with it.
There is no authentication: only this machine can connect, and whoever can may do everything.")]
pub(super) struct Sim {
    /// The cluster: Kubernetes manifests, a dump of `kubectl get -o yaml`, or a snapshot.
    #[arg(value_name = "FILE", required = true)]
    file: Option<PathBuf>,
    /// Address to listen on, of this machine only; port 0 is any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = serve::loopback)]
    listen: SocketAddr,
    /// How many times as fast as real time the cluster's clock runs, 1 to 1000.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    speed: u32,
    /// Write a kubeconfig for it; an existing file is replaced only if it holds nothing else.
    #[arg(long, value_name = "FILE")]
    write_kubeconfig: Option<PathBuf>,
    /// End by itself after this long (real time).
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    lasts: Option<Duration>,
    #[command(subcommand)]
    instead: Option<Instead>,
}

/// What `sim` does instead of serving.
#[derive(Debug, Subcommand)]
enum Instead {
    /// Make up a cluster of any size, as manifests.
    Generate(Generate),
}

impl Sim {
    pub(super) fn run(&self, cluster: &Cluster) -> Exit {
        if let Some(Instead::Generate(generate)) = &self.instead {
            return generate.run(cluster.seed);
        }
        let Some(file) = &self.file else {
            complain(&"which cluster? Name a file of manifests");
            return Exit::BadInput;
        };
        let runtime = match paused() {
            Ok(runtime) => runtime,
            Err(error) => {
                complain(&error);
                return Exit::Failed;
            }
        };
        runtime.block_on(self.serve(file, cluster.seed)).unwrap_or_else(|exit| exit)
    }

    async fn serve(&self, cluster: &Path, seed: u64) -> Result<Exit, Exit> {
        if let Some(file) = &self.write_kubeconfig {
            refuse_foreign(file)?;
        }
        let name = cluster.display().to_string();
        let start = jiff::Timestamp::now() - WARM_UP;
        let settings = Settings {
            seed,
            start,
            warm_up: WARM_UP,
            speed: self.speed,
            events: true,
            // The socket takes its own time.
            latency: Duration::ZERO,
            // As a kubectl user expects: `apply --server-side` asks who owns what.
            managed_fields: true,
            ..Settings::default()
        };
        let embedded = EmbeddedCluster::from_file(cluster, settings).map_err(|error| {
            complain(&error);
            Exit::BadInput
        })?;
        let server = Server::bind(self.listen).await.map_err(|error| {
            complain(&format!("can't listen on {}: {error}", self.listen));
            Exit::Failed
        })?;
        warm_up(&embedded).await;
        // From here on there are sockets, and time must run.
        tokio::time::resume();
        self.announce(&name, &embedded, &server)?;
        server.serve(&embedded, self.stop()).await;
        err!("Stopped; the cluster is gone.");
        Ok(Exit::Done)
    }

    /// Ctrl-C, SIGTERM, or the end of the time that was given.
    async fn stop(&self) {
        let lasts = async {
            match self.lasts {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let terminated = async {
            match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                Ok(mut signal) => signal.recv().await.unwrap_or_default(),
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = lasts => {}
            () = terminated => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }

    fn announce(&self, name: &str, embedded: &EmbeddedCluster, server: &Server) -> Result<(), Exit> {
        let url = server.url();
        let counts = ["nodes", "pods"].map(|kind| (embedded.objects(kind).len(), kind));
        let machines = embedded.objects("virtualmachineinstances.kubevirt.io").len();
        let machines = if machines > 0 { format!(", {machines} virtual machines") } else { String::new() };
        let [(nodes, _), (pods, _)] = counts;
        let pace = if self.speed == 1 {
            String::new()
        } else {
            format!(", {} times as fast as real time", self.speed)
        };
        err!("Serving {name}: {nodes} nodes, {pods} pods{machines}{pace}");
        if let Some(file) = &self.write_kubeconfig {
            write(file, &serve::kubeconfig(&url)).map_err(|error| {
                complain(&format!("can't write {}: {error}", file.display()));
                Exit::Failed
            })?;
            err!("Use it with: export KUBECONFIG={}", file.display());
        } else {
            err!("Use it with: kubectl --server {url} get nodes (or --write-kubeconfig FILE)");
        }
        err!("Ctrl-C ends it.");
        out!("{url}");
        Ok(())
    }
}

/// Brings the cluster to rest, and its clock to the present.
async fn warm_up(embedded: &EmbeddedCluster) {
    let end = embedded.clock().instant() + WARM_UP;
    embedded.start().await;
    if !embedded.settle(QUIET, SETTLE).await {
        err!("Warning: the embedded cluster has not come to rest after {} minutes", SETTLE.as_secs() / 60);
    }
    embedded.clock().sleep_until(end).await;
}

/// A file that would be lost is not written over.
fn refuse_foreign(file: &Path) -> Result<(), Exit> {
    match std::fs::read_to_string(file) {
        Ok(text) if text.trim().is_empty() || serve::is_ours(&text) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(_) => {
            let file = file.display();
            complain(&format!(
                "{file} exists and holds more than an embedded cluster's kubeconfig; name another file"
            ));
            Err(Exit::BadInput)
        }
        Err(error) => {
            complain(&format!("can't read {}: {error}", file.display()));
            Err(Exit::BadInput)
        }
    }
}

/// Replaces the file at once, readable by its owner only.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(name);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&new)?.write_all(text.as_bytes())?;
    std::fs::rename(&new, file)
}
