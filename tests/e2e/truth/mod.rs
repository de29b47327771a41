//! Does a rehearsal tell the truth? Campaigns are rehearsed on a copy of the real control plane and then run on it, and
//! the two are compared: order of nodes, evictions of each drain, outcome of each VM, makespan.
//!
//! Where each pod can go is fixed by its anti-affinity (as many replicas as nodes but one), so that chance in the real
//! scheduler doesn't decide what is evicted where; in all else the cluster is free.

mod compare;
mod scenes;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::Command;
use virtroll::cluster::{Target, connect};
use virtroll::engine::Clock;

use crate::control_plane::ControlPlane;
use crate::scenarios::Stage;
use crate::virt_api;
use compare::Course;
use scenes::{SCENES, Scene};

/// Rehearsed and real may differ by so much.
const TOLERANCE: f64 = 0.05;

/// One row of the table.
struct Row {
    name: &'static str,
    rehearsed: f64,
    real: f64,
    differences: Vec<String>,
}

impl Row {
    fn off(&self) -> f64 {
        (self.rehearsed - self.real) / self.real
    }

    /// A campaign of a few seconds would prove nothing.
    fn is_true(&self) -> bool {
        self.off().abs() <= TOLERANCE && self.differences.is_empty() && self.real > 20.0
    }

    fn print(&self) {
        let (rehearsed, real) = (self.rehearsed, self.real);
        println!("{:<18}{rehearsed:>9.1}s{real:>9.1}s{:>8.1}%", self.name, self.off() * 100.0);
        self.differences.iter().for_each(|d| println!("    {d}"));
    }
}

#[test]
fn a_rehearsal_tells_what_the_run_does() {
    let plane = ControlPlane::start("truth");
    let only = std::env::var("SCENARIO").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let rows = runtime.block_on(async {
        let target = Target { kubeconfig: Some(plane.path("kubeconfig").into()), context: None };
        let (client, _) = connect(&target).await.expect("connects");
        // At the pace of the rehearsal's own guests.
        virt_api::install(&plane, client, 1.0).await;
        // One at a time: two would take each other's processor time, which a rehearsal knows nothing of.
        play(&plane, SCENES.iter().filter(|s| only.split(',').any(|o| s.name.contains(o)))).await
    });
    println!("\n{:<18}{:>10}{:>10}{:>9}", "SCENARIO", "REHEARSED", "REAL", "DIFF");
    rows.iter().for_each(Row::print);
    let failed: Vec<&str> = rows.iter().filter(|r| !r.is_true()).map(|r| r.name).collect();
    assert!(!rows.is_empty() && failed.is_empty(), "rehearsals that were wrong: {failed:?}");
}

async fn play(plane: &ControlPlane, scenes: impl Iterator<Item = &'static Scene>) -> Vec<Row> {
    let mut rows = Vec::new();
    for scene in scenes {
        let began = Instant::now();
        let row = compare_one(plane, scene).await;
        row.print();
        println!("{} took {:.0?}", scene.name, began.elapsed());
        rows.push(row);
    }
    rows
}

async fn compare_one(plane: &ControlPlane, scene: &'static Scene) -> Row {
    let target = Target { kubeconfig: Some(plane.path("kubeconfig").into()), context: None };
    let (client, _) = connect(&target).await.expect("connects");
    let mut stage = Stage {
        client,
        clock: Clock::Wall,
        name: format!("t-{}", scene.name),
        events: Vec::new(),
        new: false,
        real: true,
        evictions: Box::new(|_| 0),
        patience: Duration::from_secs(400),
    };
    scene.set_up(&stage).await;
    let there = compare::pods(&stage).await;
    let plan = plane.path(&format!("{}.yaml", scene.name));
    std::fs::write(&plan, scene.plan(&stage.name)).expect("written");
    let rehearsed = rehearse(plane, &plan).await;
    let outcome = stage.roll_groups(&scene.groups(), scene.rest).await;
    let log = std::fs::read_to_string(plane.path("audit.log")).unwrap_or_default();
    if std::env::var_os("STEPS").is_some() {
        compare::print_steps(&rehearsed, &stage.events);
    }
    let real = Course::of_run(&outcome, &stage.events, &there);
    let mut differences = real.check_against_log(&log, &stage.name);
    let rehearsed = Course::of_forecast(&rehearsed, &there, &stage.name);
    differences.extend(compare::differences(&rehearsed, &real));
    scene.tear_down(&stage).await;
    Row { name: scene.name, rehearsed: rehearsed.makespan, real: real.makespan, differences }
}

async fn rehearse(plane: &ControlPlane, plan: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_virtroll"));
    command.args(["--kubeconfig", &plane.path("kubeconfig"), "apply", plan, "--dry-run", "-o", "json"]);
    let output = command.output().await.expect("runs");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_ne!(report, json!(null), "{}", String::from_utf8_lossy(&output.stderr));
    report
}
