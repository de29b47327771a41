//! The scenarios on the real control plane, three at a time.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use virtroll::cluster::{Target, connect};
use virtroll::engine::Clock;

use crate::control_plane::ControlPlane;
use crate::scenarios::{Scenario, Stage, with_all_scenarios, with_lone_scenarios};
use crate::virt_api;

macro_rules! list {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((stringify!($name), |stage| Box::pin(crate::scenarios::$module::$name(stage)))),*]
    };
}
const ALL: &[(&str, Scenario)] = with_all_scenarios!(list);

/// Those that change what all share.
const LONE: &[(&str, Scenario)] = with_lone_scenarios!(list);

#[test]
fn every_scenario_holds_on_the_real_control_plane() {
    hold("scenarios", ALL, 3);
}

#[test]
fn releases_of_kubevirt_differ_on_the_real_control_plane_too() {
    hold("releases", LONE, 1);
}

/// Plays scenarios on one control plane, so many at a time. With SCENARIO, only those whose name contains it.
fn hold(name: &str, scenarios: &[(&'static str, Scenario)], at_a_time: usize) {
    let only = std::env::var("SCENARIO").unwrap_or_default();
    let chosen: Vec<_> = scenarios.iter().filter(|(name, _)| name.contains(&only)).collect();
    if chosen.is_empty() {
        return;
    }
    let plane = ControlPlane::start(name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let failed: Vec<&str> = runtime.block_on(async {
        let target = Target { kubeconfig: Some(plane.path("kubeconfig").into()), context: None };
        let (client, _) = connect(&target).await.expect("connects");
        virt_api::install(&plane, client, virt_api::BRISK).await;
        let log = PathBuf::from(plane.path("audit.log"));
        // A connection for each, as each virtroll has its own.
        let mut played = Vec::new();
        for &&(name, scenario) in &chosen {
            let (client, _) = connect(&target).await.expect("connects");
            played.push(play(name, scenario, client, log.clone()));
        }
        futures::stream::iter(played)
            .buffer_unordered(at_a_time)
            .filter_map(async |failed| failed)
            .collect()
            .await
    });
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// The scenario's name if it fails.
async fn play(
    name: &'static str,
    scenario: Scenario,
    client: kube::Client,
    log: PathBuf,
) -> Option<&'static str> {
    let began = Instant::now();
    let mut stage = Stage {
        client,
        clock: Clock::Wall,
        name: name.replace('_', "-").chars().take(40).collect::<String>().trim_end_matches('-').to_owned(),
        events: Vec::new(),
        new: false,
        real: true,
        evictions: Box::new(move |namespace| {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            ControlPlane::evictions_in(&text, namespace)
        }),
        patience: Duration::from_secs(300),
    };
    let ended = AssertUnwindSafe(scenario(&mut stage)).catch_unwind().await;
    let held = ended.is_ok();
    println!("{} {name} in {:.1?}", if held { "ok    " } else { "FAILED" }, began.elapsed());
    (!held).then_some(name)
}
