//! `virtroll sim generate`: a cluster from a seed, as manifests.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::output::err;
use super::{Exit, complain};
use crate::sim::generate::{self, Family, Recipe};

/// What a cluster of this many nodes has, unless said otherwise: pods, virtual machines and budgets for ten nodes.
const PODS: usize = 300;
const VMS: usize = 40;
const PDBS: usize = 4;

/// Make up a cluster of any size, as manifests.
#[derive(Debug, Args)]
#[command(after_help = "\
It writes a list of manifests, everything placed and running, for --sim and `virtroll sim`.
The same options and the same --seed give the same bytes. Families, by what is requested:
  sparse     35% of CPU and memory
  dense      85%
  pdb-heavy  50%; budgets of one disruption, slow replacements
  vm-heavy   60%; guests of 4 to 32 GiB
  mixed      55%; some of everything, node label maintenance-group: canary, general, late")]
pub(super) struct Generate {
    /// Nodes.
    #[arg(long, value_name = "N", default_value_t = 50)]
    nodes: usize,
    /// Pods in all, launchers of virtual machines and DaemonSets included [default: 30 a node].
    #[arg(long, value_name = "N")]
    pods: Option<usize>,
    /// Virtual machines [default: 4 a node].
    #[arg(long, value_name = "N")]
    vms: Option<usize>,
    /// Zones [default: 3, or as many as nodes].
    #[arg(long, value_name = "N")]
    zones: Option<usize>,
    /// PodDisruptionBudgets [default: 4 for 10 nodes].
    #[arg(long, value_name = "N")]
    pdbs: Option<usize>,
    /// Kind of cluster.
    #[arg(long, value_name = "FAMILY", default_value = Family::Mixed.name(), value_parser = families())]
    family: Family,
    /// File to write; without it, stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn families() -> impl TypedValueParser<Value = Family> {
    let named = |name: String| Family::ALL.into_iter().find(|f| f.name() == name).unwrap_or_default();
    PossibleValuesParser::new(Family::ALL.map(Family::name)).map(named)
}

impl Generate {
    pub(super) fn run(&self, seed: u64) -> Exit {
        let nodes = self.nodes;
        let by_nodes =
            |given: Option<usize>, in_ten: usize| given.unwrap_or(nodes.saturating_mul(in_ten) / 10);
        let recipe = Recipe {
            nodes,
            pods: by_nodes(self.pods, PODS),
            vms: by_nodes(self.vms, VMS),
            zones: self.zones.unwrap_or(nodes.min(3)),
            pdbs: by_nodes(self.pdbs, PDBS),
            family: self.family,
            seed,
        };
        let objects = match generate::generate(&recipe) {
            Ok(objects) => objects,
            Err(error) => {
                complain(&error);
                return Exit::BadInput;
            }
        };
        let written = match &self.output {
            Some(file) => write_file(file, &objects),
            None => write_all(&objects, io::stdout().lock()),
        };
        match (written, &self.output) {
            (Ok(()), Some(file)) => {
                let Recipe { pods, vms, zones, pdbs, .. } = recipe;
                err!(
                    "Wrote {}: {nodes} nodes in {zones} zones, {pods} pods, {vms} virtual machines, {pdbs} budgets",
                    file.display()
                );
                Exit::Done
            }
            (Ok(()), None) => Exit::Done,
            // Whoever stopped reading has seen enough.
            (Err(error), None) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            (Err(error), file) => {
                let file = file.as_deref().unwrap_or(Path::new("stdout")).display();
                complain(&format!("can't write {file}: {error}"));
                Exit::Failed
            }
        }
    }
}

fn write_file(file: &Path, objects: &[serde_json::Value]) -> io::Result<()> {
    write_all(objects, std::fs::File::create(file)?)
}

fn write_all(objects: &[serde_json::Value], to: impl Write) -> io::Result<()> {
    let mut buffered = BufWriter::new(to);
    generate::write(objects, &mut buffered)?;
    buffered.flush()
}
