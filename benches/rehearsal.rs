//! What the rehearsal of a whole campaign costs: `cargo bench --bench rehearsal [-- NODES PODS VMS]`.
//!
//! Without arguments: three sizes of the same cluster, tenfold each time, each in a process of its own. What counts is the time per
//! simulated event (a write to the cluster's store), which shouldn't grow with the cluster, and the peak of the memory.

#![allow(clippy::print_stdout, reason = "its figures are what it is for")]

#[path = "rehearsal/large.rs"]
mod large;

use std::process::Command;
use std::time::Instant;

use tokio::sync::watch;
use virtroll::engine::{Clock, Run, Stop, run_campaign};
use virtroll::journal::EventKind;
use virtroll::sim::{EmbeddedCluster, Settings};

/// As the binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PLAN: &str = "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: p}\nspec:\n  \
    concurrency: {maxUnavailable: 10%}\n  groups: [{name: all, nodes: {selector: {}}}]\n  drain: {deleteEmptyDirData: true, timeout: 24h}\n  \
    hooks: [{name: upgrade, at: Maintenance, exec: ['tr'], expected: 5m}]\n";

const SIZES: [large::Size; 3] = [
    large::Size { nodes: 100, pods: 3_000, vms: 500 },
    large::Size { nodes: 1_000, pods: 30_000, vms: 5_000 },
    large::Size { nodes: 5_000, pods: 150_000, vms: 5_000 },
];

/// Peak resident memory of this process, MB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or_default() / 1024
}

async fn rehearse(size: large::Size) {
    let large::Size { nodes, pods, vms } = size;
    let plan = virtroll::plan::load("plan.yaml", PLAN).unwrap_or_else(|e| panic!("{}", e.render())).plan;
    let objects = large::cluster(size).await;
    println!(
        "{nodes} nodes, {pods} pods, {vms} VMs: {} objects, {} MB before it is loaded",
        objects.len(),
        peak()
    );
    let began = Instant::now();
    let cluster = EmbeddedCluster::from_objects("large", objects, Settings::default()).expect("loaded");
    cluster.start().await;
    let quiet = std::time::Duration::from_secs(15);
    let settled = cluster.settle(quiet, std::time::Duration::from_secs(900)).await;
    let loaded = began.elapsed();
    println!(
        "  loaded and at rest ({settled}) after {:.1} s, {} writes, peak {} MB",
        loaded.as_secs_f64(),
        cluster.writes(),
        peak()
    );
    let (before, start) = (cluster.writes(), cluster.now());
    let (_keep, stop) = watch::channel(Stop::No);
    let run = Run {
        client: cluster.client(),
        clock: Clock::starting_at(cluster.now()),
        plan: &plan,
        new: false,
        play_hooks: true,
        driver: "bench".into(),
        effort: virtroll::schedule::search::Effort::default(),
        stop,
        patience: None,
    };
    let (mut events, mut back) = (0_usize, 0);
    let outcome = run_campaign(run, &mut |event| {
        events += 1;
        if matches!(&event.kind, EventKind::NodePhaseChanged { phase, .. } if phase == "Done") {
            back += 1;
            if back % (nodes / 10).max(1) == 0 {
                let (took, at) = (began.elapsed(), event.at.duration_since(start).as_secs());
                println!(
                    "  {back} nodes back after {:.1} s, {at} s virtual, peak {} MB",
                    took.as_secs_f64(),
                    peak()
                );
            }
        }
    })
    .await
    .expect("a campaign");
    let took = began.elapsed();
    let writes = cluster.writes() - before;
    let done = outcome.status.nodes.iter().filter(|n| n.phase == "Done").count();
    println!(
        "  {:?}, {done} nodes done: rehearsed in {:.1} s in all, {} virtual, {writes} writes, {:.0} µs each, {events} journal events, peak {} MB",
        outcome.end,
        took.as_secs_f64(),
        jiff::SignedDuration::from_secs(cluster.now().duration_since(start).as_secs()),
        took.saturating_sub(loaded).as_micros() as f64 / writes as f64,
        peak()
    );
}

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    if let [nodes, pods, vms] = sizes[..] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        return runtime.expect("a runtime").block_on(rehearse(large::Size { nodes, pods, vms }));
    }
    for size in SIZES {
        let arguments = [size.nodes, size.pods, size.vms].map(|n| n.to_string());
        let program = std::env::current_exe().expect("this program");
        let status = Command::new(program).args(arguments).status().expect("started");
        assert!(status.success(), "the rehearsal failed: {status}");
    }
}
