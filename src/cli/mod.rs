//! The command line: arguments in, exit code out. One file a command.

mod apply;
mod drain;
mod exit;
mod explain;
mod generate;
mod host;
mod output;
mod power;
mod preflight;
mod rehearse;
mod report;
mod schedule;
mod sim;
mod snapshot;
mod validate;
mod what_if;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

pub use exit::Exit;

use crate::engine;
use crate::plan::Loaded;
use output::{err, out, write_err, write_out};

/// Rolling maintenance for Kubernetes and KubeVirt clusters.
#[derive(Debug, Parser)]
#[command(name = "virtroll", version, about, propagate_version = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 bad input, 3 paused or stopped part-way, 4 no schedule exists, 5 not safe.\n\
                        Try it without a cluster: virtroll apply plans/quickstart.yaml --sim examples/clusters/homelab.yaml"
)]
struct Cli {
    #[command(flatten)]
    cluster: Cluster,
    #[command(subcommand)]
    command: Command,
}

/// Which cluster.
#[derive(Debug, Clone, Args)]
struct Cluster {
    /// Path of the kubeconfig file.
    #[arg(long, global = true, value_name = "FILE", env = "KUBECONFIG", hide_env_values = true)]
    kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// Run on an embedded cluster loaded from this file of manifests, in virtual time.
    #[arg(long, global = true, value_name = "FILE")]
    sim: Option<PathBuf>,
    /// Seed of the embedded cluster.
    #[arg(long, global = true, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Show what virtroll does in more detail; twice for requests.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take a cluster through maintenance, as the plan says.
    Apply(apply::Apply),
    /// Check a plan; with --sim also against the nodes of that cluster.
    Validate(validate::Validate),
    /// Print the JSON schema of plans.
    Schema,
    /// Drain nodes in preparation for maintenance.
    Drain(drain::Drain),
    /// Mark nodes as unschedulable.
    Cordon(drain::Cordon),
    /// Mark nodes as schedulable.
    Uncordon(drain::Cordon),
    /// Say what stands in the way of a node or a VM, and what it waits for.
    Explain(explain::Explain),
    /// Say whether nodes can be powered off: exit code 0 if so, 5 if not.
    SafePoweroff(power::SafePoweroff),
    /// Write what a rehearsal needs of a cluster to a file; nothing secret is in it.
    Snapshot(snapshot::Snapshot),
    /// Serve an embedded cluster to kubectl and any other Kubernetes client.
    Sim(sim::Sim),
    /// Print a completion script.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let code = if error.use_stderr() { Exit::BadInput } else { Exit::Done };
            return code.into();
        }
    };
    let level = match cli.cluster.verbose {
        // What kube logs of a failed request is said again, in better words, by the error itself.
        0 => "error,kube_client=off",
        1 => "info",
        _ => "debug",
    };
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).without_time().init();
    let exit = match cli.command {
        Command::Apply(apply) => apply.run(&cli.cluster),
        Command::Validate(validate) => validate.run(&cli.cluster),
        Command::Schema => {
            print_json(&crate::plan::schema());
            Exit::Done
        }
        Command::Drain(drain) => drain.run(&cli.cluster),
        Command::Cordon(cordon) => cordon.run(&cli.cluster, true),
        Command::Uncordon(cordon) => cordon.run(&cli.cluster, false),
        Command::Explain(explain) => explain.run(&cli.cluster),
        Command::SafePoweroff(power) => power.run(&cli.cluster),
        Command::Snapshot(snapshot) => snapshot.run(&cli.cluster),
        Command::Sim(sim) => sim.run(&cli.cluster),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "virtroll", &mut script);
            write_out(&String::from_utf8_lossy(&script));
            Exit::Done
        }
    };
    exit.into()
}

/// One document on stdout.
fn print_json(value: &impl serde::Serialize) {
    out!("{}", serde_json::to_string_pretty(value).unwrap_or_default());
}

/// An error in kubectl's form on stderr.
fn complain(error: &dyn std::fmt::Display) {
    err!("error: {error}");
}

/// Says what is wrong with a plan on this cluster, each mistake at its place in the file.
fn complain_of_plan(loaded: &Loaded, error: &engine::Error, output: report::Output) -> Exit {
    match error {
        engine::Error::Groups(misfits) => {
            let mistakes = misfits.iter().map(|m| (m.path.as_slice(), m.message.as_str(), m.hint.as_str()));
            write_err(&loaded.render(mistakes));
            Exit::BadInput
        }
        engine::Error::Plan(_) => {
            complain(error);
            Exit::BadInput
        }
        engine::Error::Cluster(_) | engine::Error::Broken(_) => {
            complain(error);
            Exit::Failed
        }
        engine::Error::NoSchedule(found) => {
            schedule::refuse(found, output);
            Exit::NoSchedule
        }
    }
}
