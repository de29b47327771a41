//! `--what-if` and `--seeds`: changed models, many rehearsals, and what is said about them.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// Three nodes, one pod on each at most but one, and a guest that migrates.
fn cluster() -> String {
    let mut text = String::new();
    for n in 1..=3 {
        text.push_str(&format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: w{n}, labels: {{kubernetes.io/hostname: w{n}}}}}\n\
             status: {{allocatable: {{cpu: '8', memory: 32Gi, pods: '110', devices.kubevirt.io/kvm: 1k}}, nodeInfo: {{bootID: b{n}, kernelVersion: '6.9'}}}}\n---\n"
        ));
    }
    text.push_str(crate::scene::WORKLOAD);
    text.push_str(
        "---\napiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: db, namespace: shop}\nspec:\n  runStrategy: Always\n  \
         template: {spec: {evictionStrategy: LiveMigrate, domain: {memory: {guest: 1Gi}, devices: {interfaces: [{name: n, masquerade: {}}]}}, \
         networks: [{name: n, pod: {}}]}}\n",
    );
    text
}

const PLAN: &str = "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: p}\nspec:\n  \
    groups: [{name: all, nodes: {selector: {}}}]\n  drain: {timeout: 3m}\n  \
    hooks: [{name: reboot, at: Maintenance, reboot: {by: Annotation}, expected: 60s, timeout: 10m}]\n";

struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("virtroll-it-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("cluster.yaml"), cluster()).expect("written");
        std::fs::write(folder.join("plan.yaml"), PLAN).expect("written");
        Self(folder)
    }

    fn apply(&self, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_virtroll"));
        command.env("VIRTROLL_EFFORT", crate::scene::EFFORT.to_string());
        command.current_dir(&self.0).env_remove("KUBECONFIG");
        command.args(["apply", "plan.yaml", "--sim", "cluster.yaml"]).args(more).output().expect("runs")
    }

    fn rehearse(&self, more: &[&str]) -> (Option<i32>, Value) {
        let output = self.apply(&[&["--dry-run", "-o", "json"], more].concat());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert!(report.is_object(), "{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code(), report)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn slower_hooks_make_a_longer_campaign() {
    let files = Files::new("slower");
    let makespan = |report: &Value| report["makespanSeconds"].as_i64().expect("a makespan");
    let (code, plain) = files.rehearse(&[]);
    let (slow_code, slow) = files.rehearse(&["--what-if", "hooks=2x"]);
    assert_eq!((code, slow_code), (Some(0), Some(0)));
    assert_eq!(
        (&plain["rehearsal"]["whatIf"], &slow["rehearsal"]["whatIf"]),
        (&json!([]), &json!(["hooks=2x"]))
    );
    // Three nodes, one after the other, 60 s more each; virt-handler's start varies by up to 10 s.
    let more = makespan(&slow) - makespan(&plain);
    assert!((150..=210).contains(&more), "{more} s more");
    let evicted = plain["rehearsal"]["evictions"].as_array().map_or(0, Vec::len);
    assert!(evicted >= 5, "four pods and a guest at least: {evicted}");
}

#[test]
fn a_node_is_lost_at_a_time() {
    let files = Files::new("lost");
    let (_, summary) = files.rehearse(&["--what-if", "node-lost"]);
    let cases = summary["cases"].as_array().expect("cases");
    let changes: Vec<&Value> = cases.iter().map(|c| &c["whatIf"][0]).collect();
    assert_eq!(changes, ["node-lost=w1", "node-lost=w2", "node-lost=w3"]);
    // A node that is gone for good is never done.
    assert_eq!((&summary["runs"], &summary["endedWell"]), (&json!(3), &json!(0)));
    let told = files.apply(&["--dry-run", "--what-if", "node-lost=w9"]);
    assert_eq!(told.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&told.stderr).contains("node-lost=w9: there is no node w9"));
}

#[test]
fn migrations_that_always_fail_stop_a_campaign_and_the_reason_is_said() {
    let files = Files::new("fail");
    let (code, report) = files.rehearse(&["--what-if", "migrations-fail=100%"]);
    assert_eq!((code, &report["phase"]), (Some(3), &json!("Paused")));
    assert_eq!(report["virtualMachines"][0]["moves"], 0);
    let shown = files.apply(&["--dry-run", "--what-if", "migrations-fail=100%", "--seeds", "2"]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert_eq!(shown.status.code(), Some(3));
    for words in [
        "migrations-fail=100%: 0 of 2 ended well",
        "DID NOT END WELL",
        "seed 2: paused:",
        "0 of 2 rehearsals ended well (0%)",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
}

#[test]
fn seeds_vary_and_each_can_be_replayed() {
    let files = Files::new("seeds");
    let (code, summary) = files.rehearse(&["--seeds", "3"]);
    let (_, again) = files.rehearse(&["--seeds", "3"]);
    assert_eq!((code, &summary), (Some(0), &again), "the same seeds, the same summary");
    let alone = |seed: &str| {
        files.rehearse(&["--seeds", "1", "--seed", seed]).1["makespanSeconds"].as_i64().expect("a makespan")
    };
    let mut each = ["1", "2", "3"].map(alone);
    each.sort_unstable();
    let times = &summary["cases"][0]["makespanSeconds"];
    assert_eq!(*times, json!({"min": each[0], "p50": each[1], "max": each[2]}));
    assert!(each[0] < each[2], "durations are drawn: {each:?}");
}

#[test]
fn mistakes_are_told_before_anything_runs() {
    let files = Files::new("mistakes");
    for (arguments, words) in [
        (vec!["--dry-run", "--what-if", "hoks=2x"], "did you mean hooks?"),
        (vec!["--dry-run", "--what-if", "migrations-fail=lots"], "is no percentage"),
        (vec!["--what-if", "hooks=2x"], "--dry-run"),
        (vec!["--dry-run", "--seeds", "0"], "0 is not in 1..=10000"),
    ] {
        let output = files.apply(&arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
}
