//! The dry run of `virtroll apply`: one rehearsal, or many.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::host::{self, Host};
use super::output::{err, out};
use super::preflight::{self, Asked};
use super::report::{Output, Printed, ReportFile};
use super::what_if::{self, WhatIf};
use super::{Cluster, Exit, complain, print_json};
use crate::cluster;
use crate::engine::{self, Run, Stop, run_campaign};
use crate::journal::{Event, EventKind};
use crate::plan::Loaded;
use crate::plan::v1alpha1::MaintenancePlan;
use crate::reconcile::End;
use crate::report::{self, About, Leaving, NotModelled, Rehearsal, Report, Story, Variant, Variants};
use crate::schedule::search::Effort;
use crate::sim::{Settings, kubevirt};

/// What a dry run starts from.
struct Captured {
    objects: Vec<Value>,
    name: String,
    now: Timestamp,
    not_modelled: Vec<NotModelled>,
    asked: Option<Asked>,
    /// How long this cluster takes for a request.
    latency: Option<Duration>,
}

/// A request is taken to last no longer than this, however slow the cluster was when it was asked.
const SLOWEST: Duration = Duration::from_millis(250);

/// How to rehearse.
pub(super) struct How<'a> {
    pub new: bool,
    pub effort: Effort,
    pub what_if: &'a [WhatIf],
    /// `--seeds`: so many, with durations drawn around the expected ones.
    pub seeds: Option<u32>,
    pub output: Output,
    /// Where to write the report as well.
    pub files: &'a [ReportFile],
}

/// What came of one rehearsal.
struct Played {
    report: Report,
    evictions: Vec<Leaving>,
    steps: Vec<report::Step>,
    end: End,
}

enum Trouble {
    Cluster(crate::sim::Error),
    Engine(engine::Error),
    Runtime(std::io::Error),
}

/// Rehearses a plan and says what came of it.
pub(super) fn run(loaded: &Loaded, cluster: &Cluster, how: &How<'_>, zone: &TimeZone) -> Result<Exit, Exit> {
    // Many rehearsals start from the same cluster, whatever their seeds: one of them, replayed, does so, too.
    let source = Cluster { seed: if how.seeds.is_some() { 1 } else { cluster.seed }, ..cluster.clone() };
    let captured = capture(loaded, &source, true)?;
    let nodes = if how.what_if.iter().any(|w| matches!(w, WhatIf::NodeLost { .. })) {
        nodes_of(loaded, &captured, how.what_if)?
    } else {
        Vec::new()
    };
    let cases = what_if::combinations(how.what_if, &nodes);
    let seeds: Vec<u64> =
        (0..u64::from(how.seeds.unwrap_or(1))).map(|n| cluster.seed.wrapping_add(n)).collect();
    let runs: Vec<(&[WhatIf], u64)> =
        cases.iter().flat_map(|case| seeds.iter().map(move |seed| (case.as_slice(), *seed))).collect();
    match runs.as_slice() {
        [(case, seed)] => one(loaded, captured, how, (case, *seed), zone),
        _ => {
            let one_only = matches!(how.output, Output::Dot | Output::Html) || !how.files.is_empty();
            if one_only {
                complain(
                    &"pages, graphs and report files show one rehearsal: leave out --seeds, and name one node to be lost",
                );
                return Err(Exit::BadInput);
            }
            many(loaded, &captured, how, &runs)
        }
    }
}

/// The objects of the cluster that a plan is about, and its name.
pub(super) fn objects(loaded: &Loaded, cluster: &Cluster) -> Result<(Vec<Value>, String), Exit> {
    let captured = capture(loaded, cluster, false)?;
    Ok((captured.objects, captured.name))
}

/// `asks`: a live cluster is asked for a dry run of the plan's evictions, too.
fn capture(loaded: &Loaded, cluster: &Cluster, asks: bool) -> Result<Captured, Exit> {
    let failed = |error: &dyn std::fmt::Display| {
        complain(error);
        Exit::Failed
    };
    cluster.runtime()?.block_on(async {
        let host = cluster.host().await?;
        let mut captured = Captured {
            objects: Vec::new(),
            now: host.clock.now(),
            name: host.name,
            not_modelled: Vec::new(),
            asked: None,
            latency: None,
        };
        if let Some(embedded) = &host.embedded {
            captured.objects = embedded.dump().into_iter().filter(host::staying).collect();
            return Ok(captured);
        }
        let objects = &mut captured.objects;
        let mut each = |object| {
            objects.push(object);
            Ok(())
        };
        let unread = cluster::capture(&host.client, &mut each).await.map_err(|e| failed(&e))?;
        super::snapshot::tell(&unread);
        captured.not_modelled =
            unread.into_iter().map(|u| NotModelled { resource: u.resource, lacking: u.lacking }).collect();
        if !asks {
            return Ok(captured);
        }
        let asked = preflight::ask(&host.client, &loaded.plan).await;
        captured.latency = cluster::latency(&host.client).await;
        captured.asked = Some(asked.map_err(|error| super::complain_of_plan(loaded, &error, Output::Text))?);
        Ok(captured)
    })
}

/// The nodes of the plan on this cluster; a node that is named to be lost must be one of the cluster's.
fn nodes_of(loaded: &Loaded, captured: &Captured, changes: &[WhatIf]) -> Result<Vec<String>, Exit> {
    let all = captured.objects.iter().filter(|o| o["kind"] == "Node");
    let all: Vec<&str> = all.filter_map(|o| o["metadata"]["name"].as_str()).collect();
    for change in changes {
        if let WhatIf::NodeLost { node: Some(node), .. } = change
            && !all.contains(&node.as_str())
        {
            complain(&format!("--what-if {change}: there is no node {node}"));
            return Err(Exit::BadInput);
        }
    }
    let mut inventory = crate::inventory::Inventory::new();
    for object in captured.objects.iter().filter(|o| o["kind"] == "Node") {
        inventory.put_node(cluster::node_of(object));
    }
    let groups = engine::prepare(&loaded.plan, &inventory)
        .map_err(|error| super::complain_of_plan(loaded, &error, Output::Text))?;
    Ok(groups.into_iter().flat_map(|g| g.nodes).collect())
}

fn one(
    loaded: &Loaded,
    captured: Captured,
    how: &How<'_>,
    (case, seed): (&[WhatIf], u64),
    zone: &TimeZone,
) -> Result<Exit, Exit> {
    let Captured { objects, name, now, not_modelled, asked, latency } = captured;
    let played = play(loaded, objects, (&name, now, latency), how, (case, seed));
    let played = played.map_err(|trouble| tell(loaded, trouble, how.output))?;
    let rehearsal = Rehearsal {
        seed,
        what_if: case.iter().map(ToString::to_string).collect(),
        eviction_check: asked.map(|asked| preflight::check(&asked, &played.report)),
        evictions: played.evictions,
        steps: played.steps,
        not_modelled,
    };
    let check = rehearsal.eviction_check.as_ref().map(|check| format!("{}\n\n", check.text()));
    let what_if =
        (!rehearsal.what_if.is_empty()).then(|| format!("What if  {}\n\n", rehearsal.what_if.join(" ")));
    let parts =
        [check.unwrap_or_default(), what_if.unwrap_or_default(), report::forecast(&played.report, zone)];
    let printed = Printed { report: &played.report, rehearsal: Some(&rehearsal), loaded, zone };
    printed.show(how.output, how.files, &parts.concat())?;
    Ok(exit(&played.end))
}

fn exit(end: &End) -> Exit {
    match end {
        End::Succeeded => Exit::Done,
        End::Failed { .. } => Exit::Failed,
        End::Paused { .. } | End::Stopped => Exit::Paused,
    }
}

fn tell(loaded: &Loaded, trouble: Trouble, output: Output) -> Exit {
    match trouble {
        Trouble::Cluster(error) => host::bad(error),
        Trouble::Engine(error) => super::complain_of_plan(loaded, &error, output),
        Trouble::Runtime(error) => {
            complain(&error);
            Exit::Failed
        }
    }
}

/// Each run in a runtime of its own, as many at once as there are cores.
fn many(
    loaded: &Loaded,
    captured: &Captured,
    how: &How<'_>,
    runs: &[(&[WhatIf], u64)],
) -> Result<Exit, Exit> {
    if let Some(Asked::LeftOut(why)) = &captured.asked {
        err!("Warning: no eviction check: {why}");
    }
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<Played, Trouble>>>> =
        Mutex::new(runs.iter().map(|_| None).collect());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(runs.len()) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&run) = runs.get(place) else { return };
                    let objects = captured.objects.clone();
                    let from = (captured.name.as_str(), captured.now, captured.latency);
                    let played = play(loaded, objects, from, how, run);
                    if let Ok(mut results) = results.lock() {
                        results[place] = Some(played);
                    }
                }
            });
        }
    });
    let mut variants = Vec::new();
    let mut worst = Exit::Done;
    let results = results.into_inner().unwrap_or_default();
    for (played, (case, seed)) in results.into_iter().flatten().zip(runs) {
        let played = played.map_err(|trouble| tell(loaded, trouble, how.output))?;
        let well = played.end == End::Succeeded;
        match exit(&played.end) {
            Exit::Failed => worst = Exit::Failed,
            Exit::Paused if worst == Exit::Done => worst = Exit::Paused,
            _ => {}
        }
        variants.push(Variant {
            what_if: case.iter().map(ToString::to_string).collect(),
            seed: *seed,
            phase: played.report.phase.clone(),
            reason: played.report.reason.clone().filter(|_| !well),
            makespan_seconds: well.then_some(played.report.makespan_seconds),
        });
    }
    let summary = Variants::new(&loaded.plan.name_any(), &variants, captured.not_modelled.clone());
    if how.output == Output::Json {
        print_json(&summary);
    } else {
        out!("{}", summary.text());
    }
    Ok(worst)
}

/// One rehearsal, in virtual time.
fn play(
    loaded: &Loaded,
    mut objects: Vec<Value>,
    (name, start, latency): (&str, Timestamp, Option<Duration>),
    how: &How<'_>,
    (case, seed): (&[WhatIf], u64),
) -> Result<Played, Trouble> {
    let mut plan = loaded.plan.clone();
    let mut guests = kubevirt::Settings::default();
    what_if::change(case, how.seeds.map(|_| seed), &mut plan, &mut objects, &mut guests);
    let mut settings = Settings { seed, start, kubevirt: guests, ..Settings::default() };
    settings.latency = latency.map_or(settings.latency, |l| l.min(SLOWEST));
    let runtime = host::paused().map_err(Trouble::Runtime)?;
    runtime.block_on(async {
        let host = host::rehearse(objects, name, settings).await.map_err(Trouble::Cluster)?;
        for change in case {
            if let WhatIf::NodeLost { node: Some(node), after } = change {
                tokio::spawn(lose(host.client.clone(), node.clone(), *after));
            }
        }
        campaign(loaded, &plan, host, how, seed).await.map_err(Trouble::Engine)
    })
}

/// Takes a node down for good.
async fn lose(client: kube::Client, node: String, after: Duration) {
    tokio::time::sleep(after).await;
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(client);
    let down = json!({"metadata": {"annotations": {"sim.virtroll.dev/down": "true"}}});
    // The embedded cluster refuses nothing here.
    let _ = nodes.patch(&node, &PatchParams::default(), &Patch::Merge(&down)).await;
}

async fn campaign(
    loaded: &Loaded,
    plan: &MaintenancePlan,
    host: Host,
    how: &How<'_>,
    seed: u64,
) -> Result<Played, engine::Error> {
    let (_sender, stop) = watch::channel(Stop::No);
    let (cluster, made_at) = (host.name.clone(), host.clock.now());
    let run = Run {
        client: host.client,
        clock: host.clock,
        plan,
        new: how.new,
        play_hooks: true,
        driver: "virtroll".to_owned(),
        effort: how.effort,
        stop,
        patience: Some(host::PATIENCE),
    };
    let mut story = Story::of(loaded.warnings.list().iter().map(|w| w.message.as_str()));
    let (mut evictions, mut steps) = (Vec::new(), Vec::new());
    let mut sink = |event: Event| {
        if let EventKind::PodEvicted { pod, node, .. } = &event.kind {
            evictions.push(Leaving {
                at: event.at,
                node: node.clone(),
                namespace: pod.namespace.clone(),
                pod: pod.name.clone(),
            });
        }
        steps.extend(report::Step::of(&event));
        story.event(&event);
    };
    let outcome = run_campaign(run, &mut sink).await?;
    let campaign = outcome.campaign.as_str();
    let about = About { plan, campaign, forecast: true, cluster: &cluster, seed: Some(seed), made_at };
    let report = Report::new(about, &outcome.status, &outcome.groups, &story);
    Ok(Played { report, evictions, steps, end: outcome.end })
}
