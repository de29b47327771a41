//! `virtroll apply`.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use tokio::sync::watch;

use super::host::{self, Host};
use super::output::{err, write_err};
use super::rehearse::{self, How};
use super::report::{Output, Printed, ReportFile};
use super::schedule;
use super::what_if::WhatIf;
use super::{Cluster, Exit};
use crate::engine::{Outcome, Run, Stop, run_campaign};
use crate::journal::{Event, EventKind};
use crate::plan::Loaded;
use crate::reconcile::End;
use crate::report::{self, About, Bars, Report, Story};
use crate::schedule::search::Effort;

/// Take a cluster through maintenance, as the plan says.
#[derive(Debug, Args)]
#[command(
    after_help = "Run it again to go on with an interrupted or paused campaign; a finished one is left alone.\n\n\
    Examples:\n  \
      virtroll apply plan.yaml --dry-run          what would happen, and how long it takes; changes nothing\n  \
      virtroll apply plan.yaml                    do it\n  \
      virtroll apply plan.yaml --sim cluster.yaml try it on an embedded cluster"
)]
pub(super) struct Apply {
    /// The plan file.
    plan: PathBuf,
    /// Play the campaign on a copy of the cluster and forecast it; nothing is changed.
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "rehearsal")]
    dry_run: Option<DryRun>,
    /// Change the model before the rehearsal; may be given several times: node-lost[=NODE][@TIME] (without a name each node of
    /// the plan in turn), migrations-fail=PERCENT, hooks=TIMES, pod-start=TIMES (such as 2x).
    #[arg(long, value_name = "CHANGE", requires = "dry_run")]
    what_if: Vec<WhatIf>,
    /// Rehearse so many times with different seeds, durations drawn around the expected ones, and give percentiles.
    #[arg(long, value_name = "N", requires = "dry_run", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    seeds: Option<u32>,
    /// Begin a new campaign even if the plan's last one is finished.
    #[arg(long)]
    new: bool,
    /// Under --sim, really run `exec` and `http` hooks instead of playing them.
    #[arg(long)]
    run_hooks: bool,
    /// How hard the planner looks for a good order: pods and VMs that it moves in thought, over all orders that it tries; some 1.5
    /// million take a second.
    #[arg(long, value_name = "MOVES", env = "VIRTROLL_EFFORT", hide_env_values = true, default_value_t = Effort::default().plays)]
    effort: u64,
    /// Output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
    /// Write the report to this file as well; its ending says how: .html, .json or .dot. May be given more than once.
    #[arg(long, value_name = "FILE")]
    report: Vec<ReportFile>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DryRun {
    /// The whole campaign is played on an embedded copy.
    Rehearsal,
    /// The planner's forecast alone, fast at any size; where no schedule exists, what stands against it (exit code 4).
    Schedule,
}

impl Apply {
    pub(super) fn run(&self, cluster: &Cluster) -> Exit {
        self.try_run(cluster).unwrap_or_else(|exit| exit)
    }

    fn try_run(&self, cluster: &Cluster) -> Result<Exit, Exit> {
        let text = host::read(&self.plan)?;
        let loaded = crate::plan::load(&self.plan.display().to_string(), &text).map_err(|found| {
            write_err(&found.render());
            Exit::BadInput
        })?;
        write_err(&loaded.warnings.render());
        // Simulated clusters live in a time of their own.
        let zone = if cluster.sim.is_some() { TimeZone::UTC } else { TimeZone::system() };
        if self.dry_run == Some(DryRun::Schedule) {
            return self.schedule(&loaded, cluster);
        }
        if self.dry_run.is_some() {
            let (output, files) = (self.output, self.report.as_slice());
            let effort = Effort::of(self.effort);
            let how = How { new: self.new, effort, what_if: &self.what_if, seeds: self.seeds, output, files };
            return rehearse::run(&loaded, cluster, &how, &zone);
        }
        cluster.runtime()?.block_on(async {
            let host = cluster.host().await?;
            self.campaign(&loaded, host, cluster.seed, &zone).await
        })
    }

    fn schedule(&self, loaded: &Loaded, cluster: &Cluster) -> Result<Exit, Exit> {
        if !self.what_if.is_empty() || self.seeds.is_some() || !self.report.is_empty() {
            super::complain(&"--what-if, --seeds and --report are about rehearsals: leave out `=schedule`");
            return Err(Exit::BadInput);
        }
        schedule::run(loaded, cluster, Effort::of(self.effort), self.output)
    }

    async fn campaign(&self, loaded: &Loaded, host: Host, seed: u64, zone: &TimeZone) -> Result<Exit, Exit> {
        let plan = &loaded.plan;
        let simulated = host.embedded.is_some();
        let (cluster, made_at) = (host.name.clone(), host.clock.now());
        let seed = simulated.then_some(seed);
        let (stop_sender, stop) = watch::channel(Stop::No);
        if !simulated {
            tokio::spawn(listen(stop_sender));
        }
        let run = Run {
            client: host.client,
            clock: host.clock,
            plan,
            new: self.new,
            play_hooks: simulated && !self.run_hooks,
            driver: driver(simulated),
            effort: Effort::of(self.effort),
            stop,
            patience: simulated.then_some(host::PATIENCE),
        };
        let mut story = Story::of(loaded.warnings.list().iter().map(|w| w.message.as_str()));
        let mut bars = (std::io::stderr().is_terminal() && !simulated).then(Bars::new);
        let mut sink = |event: Event| {
            story.event(&event);
            let line = report::line(&event, zone);
            match &mut bars {
                Some(bars) => {
                    let told = match &event.kind {
                        EventKind::CampaignStarted { .. }
                        | EventKind::NodeObstructed { .. }
                        | EventKind::Stopping { .. }
                        | EventKind::Warning { .. }
                        | EventKind::HookEnded { error: Some(_), .. } => true,
                        // What a bar cuts off at the terminal's edge stands above it whole.
                        EventKind::NodeWaits { why, .. } => why.len() > 50,
                        _ => false,
                    };
                    if let Some(line) = line.filter(|_| told) {
                        bars.say(&line);
                    }
                    bars.event(&event);
                }
                None => {
                    if let Some(line) = line {
                        err!("{line}");
                    }
                }
            }
        };
        let outcome = run_campaign(run, &mut sink).await;
        let outcome = outcome.map_err(|error| super::complain_of_plan(loaded, &error, self.output))?;
        let campaign = outcome.campaign.as_str();
        let about = About { plan, campaign, forecast: false, cluster: &cluster, seed, made_at };
        let report = Report::new(about, &outcome.status, &outcome.groups, &story);
        let printed = Printed { report: &report, rehearsal: None, loaded, zone };
        self.show(printed, &outcome)?;
        Ok(match outcome.end {
            End::Succeeded => Exit::Done,
            End::Failed { .. } => Exit::Failed,
            End::Paused { .. } | End::Stopped => Exit::Paused,
        })
    }

    fn show(&self, printed: Printed<'_>, outcome: &Outcome) -> Result<(), Exit> {
        let mut text = report::tables(printed.report, printed.zone);
        if outcome.was_finished {
            text = format!("Campaign {} is finished; --new begins another.\n\n{text}", outcome.campaign);
        } else if self.output == Output::Text {
            write_err("\n");
        }
        printed.show(self.output, &self.report, &text)
    }
}

/// Who drives: on a real cluster unique to this process, in a simulation always the same.
fn driver(simulated: bool) -> String {
    if simulated {
        return "virtroll".to_owned();
    }
    let host = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let host = host.map_or_else(|| "somewhere".to_owned(), |h| h.trim().to_owned());
    format!("{host}/{}/{}", std::process::id(), jiff::Timestamp::now().as_millisecond())
}

/// First Ctrl-C (or SIGTERM, as service managers send it): stop gently. Second: leave at once; the record and the nodes'
/// annotations are what `apply` goes on from.
async fn listen(stop: watch::Sender<Stop>) {
    if asked_to_stop().await.is_err() {
        return;
    }
    // The engine says what is under way.
    let _ = stop.send(Stop::Gently);
    if asked_to_stop().await.is_ok() {
        std::process::exit(i32::from(Exit::Paused as u8));
    }
}

async fn asked_to_stop() -> std::io::Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminated.recv() => Ok(()),
    }
}
