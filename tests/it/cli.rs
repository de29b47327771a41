//! The command line, as users see it: scripts with their exact output. `TRYCMD=overwrite cargo test` rewrites them; read the
//! difference before you keep it.

use std::process::Command;

fn virtroll(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_virtroll"));
    command.env("VIRTROLL_EFFORT", crate::scene::EFFORT.to_string());
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("KUBECONFIG")
        .args(arguments)
        .output()
        .expect("runs")
}

fn report(arguments: &[&str]) -> (i32, serde_json::Value) {
    let output = virtroll(arguments);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap_or(-1), report)
}

const QUICKSTART: [&str; 6] =
    ["apply", "plans/quickstart.yaml", "--sim", "examples/clusters/homelab.yaml", "-o", "json"];

#[test]
fn scripts_print_what_they_say() {
    // The front door's recorded run is one of them.
    trycmd::TestCases::new()
        .env("VIRTROLL_EFFORT", crate::scene::EFFORT.to_string())
        .case("tests/it/scripts/*.trycmd");
    // What a reader sees who runs it as it stands there.
    trycmd::TestCases::new().case("README.md");
}

#[test]
fn the_quickstart_takes_every_worker_through_within_its_limit() {
    let (code, report) = report(&QUICKSTART);
    assert_eq!(code, 0);
    assert_eq!(report["phase"], "Succeeded");
    assert_eq!(report["peakUnavailable"], 2);
    let nodes = report["nodes"].as_array().expect("nodes");
    let mut names: Vec<&str> = nodes.iter().filter_map(|n| n["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["worker-01", "worker-02", "worker-03", "worker-04", "worker-05"]);
    assert!(nodes.iter().all(|n| n["phase"] == "Done" && n["group"] == "workers"));
}

#[test]
fn one_seed_gives_one_history_byte_for_byte() {
    let (one, two) = (virtroll(&QUICKSTART), virtroll(&QUICKSTART));
    assert_eq!(one.stdout, two.stdout);
    assert_eq!(one.stderr, two.stderr);
    assert!(!one.stderr.is_empty());
}

#[test]
fn a_dry_run_forecasts_what_the_run_does() {
    let (code, forecast) = report(&[&QUICKSTART[..], &["--dry-run"]].concat());
    let (_, real) = report(&QUICKSTART);
    assert_eq!((code, &forecast["forecast"]), (0, &serde_json::json!(true)));
    let order = |r: &serde_json::Value| -> Vec<String> {
        r["nodes"].as_array().into_iter().flatten().map(|n| n["name"].to_string()).collect()
    };
    assert_eq!(order(&forecast), order(&real));
    let seconds = |r: &serde_json::Value| r["makespanSeconds"].as_i64().unwrap_or(0);
    let difference = (seconds(&forecast) - seconds(&real)).abs();
    assert!(difference * 20 <= seconds(&real), "{} against {}", seconds(&forecast), seconds(&real));
}

/// Every plan to start from runs on the example cluster that it is for, to its end or to what it refuses by its own words.
#[test]
fn every_plan_runs() {
    let run = |plan: &str, cluster: &str| {
        let (plan, cluster) = (format!("plans/{plan}.yaml"), format!("examples/clusters/{cluster}.yaml"));
        report(&["apply", &plan, "--sim", &cluster, "-o", "json"])
    };
    for (plan, cluster, nodes) in [
        ("kernel-upgrade", "homelab", 6),
        ("zones", "three-zones", 30),
        ("power-maintenance", "homelab", 2),
        ("virtual-machines-only", "every-strategy", 4),
    ] {
        let (code, report) = run(plan, cluster);
        assert_eq!((code, &report["phase"]), (0, &serde_json::json!("Succeeded")), "{plan}: {report}");
        assert_eq!(report["nodes"].as_array().map(Vec::len), Some(nodes), "{plan}");
    }
    // It lets no VM be shut down, and one of this cluster would be.
    let (code, refused) = run("careful-production", "homelab");
    assert_eq!(code, 4, "{refused}");
    let desktop = &refused["conflict"]["members"][1];
    let named = ["kind", "namespace", "name"].map(|part| desktop[part].as_str().unwrap_or_default());
    assert_eq!(named, ["VirtualMachine", "home", "desktop"]);
    assert_eq!(refused["conflict"]["members"][2]["field"], "spec.virtualMachines.shutDown");
}

/// Each kind of VM ends as the plan says; the guide's example says why it can't move and what would help.
#[test]
fn every_kind_of_vm_ends_as_the_plan_says() {
    let arguments = [
        "apply",
        "plans/virtual-machines-only.yaml",
        "--sim",
        "examples/clusters/every-strategy.yaml",
        "-o",
        "json",
    ];
    let (_, report) = report(&arguments);
    let vms = report["virtualMachines"].as_array().expect("VMs");
    let outcome = |name: &str| {
        let vm = vms.iter().find(|v| v["name"] == name);
        vm.map_or("missing", |v| v["outcome"].as_str().unwrap_or_default())
    };
    for (name, expected) in [
        ("migrates", "Migrated"),
        ("migrates-if-possible", "Migrated"),
        ("guide-masquerade", "Migrated"),
        ("shut-down-if-not-possible", "Restarted"),
        ("restarts", "Restarted"),
        ("stubborn", "Restarted"),
        ("rerun-on-failure", "Restarted"),
        ("manual", "Restarted"),
        ("once", "Restarted"),
        ("halted", "missing"),
        ("bare", "Untouched"),
        ("guide", "Untouched"),
    ] {
        assert_eq!(outcome(name), expected, "{name}: {report}");
    }
    let reasons = report["nodes"].to_string();
    for words in ["vms/bare on host-", "vms/guide on host-", "masquerade", "it would be lost"] {
        assert!(reasons.contains(words), "{words}: {reasons}");
    }
}

#[test]
fn every_plan_is_valid() {
    let mut plans = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/plans")).expect("plans") {
        let path = entry.expect("entry").path();
        let output = virtroll(&["validate", &path.to_string_lossy()]);
        assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
        plans += 1;
    }
    assert!(plans >= 5);
}
