//! `virtroll snapshot`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::output::{err, write_err};
use super::{Cluster, Exit, complain};
use crate::cluster::{Destination, Names, Unread, redact, write_private, write_snapshot};

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
    /// Replace names of nodes, namespaces, objects, labels, zones and images by pseudonyms.
    #[arg(long)]
    anonymize: bool,
    /// Where to write which word became which, for yourself.
    #[arg(long, value_name = "FILE", requires = "anonymize")]
    names: Option<PathBuf>,
    /// A plan to translate in the same way.
    #[arg(long, value_name = "PLAN", requires_all = ["anonymize", "plan_output"])]
    plan: Option<PathBuf>,
    /// Where to write the translated plan.
    #[arg(long, value_name = "FILE", requires = "plan")]
    plan_output: Option<PathBuf>,
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
        let failed = |error: crate::cluster::Error| {
            complain(&error);
            Exit::Failed
        };
        let mut names = self.anonymize.then(Names::default);
        let mut plan = self.plan.as_deref().map(public_plan).transpose()?;
        if let (Some(names), Some(plan)) = (&mut names, &plan) {
            names.learn(plan);
        }
        let runtime = cluster.runtime()?;
        let written = runtime.block_on(async {
            let host = cluster.host().await?;
            write_snapshot(&host.client, &destination, names.as_mut()).await.map_err(failed)
        })?;
        if let Some(names) = &names {
            if let Some(path) = &self.names {
                let text = serde_json::to_string_pretty(names.map()).unwrap_or_default();
                write_private(path, &text).map_err(failed)?;
            }
            if let (Some(plan), Some(path)) = (&mut plan, &self.plan_output) {
                names.apply(plan);
                let text = serde_json::to_string_pretty(&plan).unwrap_or_default();
                write_private(path, &text).map_err(failed)?;
            }
        }
        tell(&written.unread);
        err!("{} objects written to {}", written.objects, self.output.display());
        Ok(Exit::Done)
    }
}

/// A plan without what its hooks say to commands and requests.
fn public_plan(path: &Path) -> Result<Value, Exit> {
    let text = super::host::read(path)?;
    let loaded = crate::plan::load(&path.display().to_string(), &text).map_err(|found| {
        write_err(&found.render());
        Exit::BadInput
    })?;
    let plan = &loaded.plan;
    let mut campaign = json!({"spec": {"plan": plan.spec}});
    redact(&mut campaign);
    let name = plan.metadata.name.as_deref().unwrap_or_default();
    Ok(json!({
        "apiVersion": "virtroll.dev/v1alpha1", "kind": "MaintenancePlan", "metadata": {"name": name},
        "spec": campaign["spec"]["plan"],
    }))
}

/// Says what could not be read, and what that means.
pub(super) fn tell(unread: &[Unread]) {
    for Unread { resource, lacking } in unread {
        err!("Warning: this user may not list {resource}: {lacking}");
    }
}
