//! `virtroll validate`.

use std::path::PathBuf;

use clap::Args;

use super::output::{out, write_err};
use super::report::Output;
use super::{Cluster, Exit, complain, host};
use crate::cluster::{Observer, Scope};
use crate::engine::prepare;
use crate::inventory::Inventory;
use crate::schedule::short_timeouts;

/// Check a plan: every mistake at once, with its place.
#[derive(Debug, Args)]
pub(super) struct Validate {
    /// The plan file.
    plan: PathBuf,
    /// Also check groups against the nodes of the cluster (of --kubeconfig, --context).
    #[arg(long)]
    cluster: bool,
}

impl Validate {
    pub(super) fn run(&self, cluster: &Cluster) -> Exit {
        self.try_run(cluster).unwrap_or_else(|exit| exit)
    }

    fn try_run(&self, cluster: &Cluster) -> Result<Exit, Exit> {
        let text = host::read(&self.plan)?;
        let file = self.plan.display().to_string();
        let loaded = crate::plan::load(&file, &text).map_err(|found| {
            write_err(&found.render());
            Exit::BadInput
        })?;
        write_err(&loaded.warnings.render());
        let spec = &loaded.plan.spec;
        let mut shown = format!("{file}: valid; {} groups, {} hooks", spec.groups.len(), spec.hooks.len());
        if self.cluster || cluster.sim.is_some() {
            let groups = cluster.runtime()?.block_on(async {
                let host = cluster.host().await?;
                let mut inventory = Inventory::new();
                let observed = Observer::start(&host.client, Scope::default(), &mut inventory).await;
                observed.map_err(|error| {
                    complain(&error);
                    Exit::Failed
                })?;
                let groups = prepare(&loaded.plan, &inventory);
                let groups =
                    groups.map_err(|error| super::complain_of_plan(&loaded, &error, Output::Text))?;
                if let Some(warning) = short_timeouts(spec, &groups, &inventory) {
                    write_err(&loaded.render_warning(&warning.path, &warning.message, &warning.hint));
                }
                Ok(groups)
            })?;
            for group in groups {
                shown.push_str(&format!("\n  {}: {}", group.name, group.nodes.join(", ")));
            }
        }
        out!("{shown}");
        Ok(Exit::Done)
    }
}
