//! `virtroll snapshot`.

use std::path::PathBuf;

use clap::Args;

use super::output::err;
use super::{Cluster, Exit, complain};
use crate::cluster::{Destination, Unread, write_snapshot};

/// Write what a rehearsal needs of a cluster to a file; nothing secret is in it.
#[derive(Debug, Args)]
#[command(
    after_help = "Secrets and ConfigMaps are never read. Of everything else only the fields that the model reads are kept.\n\n\
    Examples:\n  \
      virtroll snapshot -o cluster.json                       read a cluster, change nothing\n  \
      virtroll apply plan.yaml --dry-run --sim cluster.json   rehearse on it, later or elsewhere"
)]
pub(super) struct Snapshot {
    /// Where to write it; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

impl Snapshot {
    pub(super) fn run(&self, cluster: &Cluster) -> Exit {
        self.try_run(cluster).unwrap_or_else(|exit| exit)
    }

    fn try_run(&self, cluster: &Cluster) -> Result<Exit, Exit> {
        let destination = match self.output.to_str() {
            Some("-") => Destination::Stdout,
            _ => Destination::File(self.output.clone()),
        };
        let runtime = cluster.runtime()?;
        let written = runtime.block_on(async {
            let host = cluster.host().await?;
            write_snapshot(&host.client, &destination).await.map_err(|error| {
                complain(&error);
                Exit::Failed
            })
        })?;
        tell(&written.unread);
        err!("{} objects written to {}", written.objects, self.output.display());
        Ok(Exit::Done)
    }
}

/// Says what could not be read, and what that means.
pub(super) fn tell(unread: &[Unread]) {
    for Unread { resource, lacking } in unread {
        err!("Warning: this user may not list {resource}: {lacking}");
    }
}
