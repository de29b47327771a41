//! Snapshots: nothing secret is in them, and a rehearsal on one goes as on the cluster itself.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use crate::canaries;

fn virtroll(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_virtroll"));
    command.env("VIRTROLL_EFFORT", crate::scene::EFFORT.to_string());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("KUBECONFIG").args(arguments);
    command.output().expect("runs")
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("virtroll-it-{}-{name}", std::process::id()))
}

fn snapshot(source: &str, name: &str) -> (PathBuf, String) {
    let path = scratch(name);
    let done = virtroll(&["snapshot", "--sim", source, "-o", &path.display().to_string()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = std::fs::read_to_string(&path).expect("written");
    (path, text)
}

#[test]
fn no_canary_gets_out() {
    let source = scratch("canaries.yaml");
    std::fs::write(&source, canaries::manifests()).expect("written");
    let (path, text) = snapshot(&source.display().to_string(), "canaries.json");
    assert_eq!(canaries::found_in(&text), Vec::<String>::new());
    // The same with what must be there: otherwise an empty file would pass.
    for kept in [
        "\"w1\"",
        "\"keeper\"",
        "kubevirt.io/domain",
        "\"cloudInitNoCloud\":{}",
        "sim.virtroll.dev/starts-after",
        "Always",
    ] {
        assert!(text.contains(kept), "{kept} is missing");
    }
    let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let list: Value = serde_json::from_str(&text).expect("JSON");
    let kinds: Vec<&str> =
        list["items"].as_array().into_iter().flatten().filter_map(|o| o["kind"].as_str()).collect();
    assert_eq!((&list["apiVersion"], &list["kind"]), (&"v1".into(), &"List".into()));
    for kind in [
        "Node",
        "Pod",
        "Deployment",
        "StatefulSet",
        "Job",
        "VirtualMachine",
        "VirtualMachineInstance",
        "KubeVirt",
    ] {
        assert!(kinds.contains(&kind), "{kind} is missing of {kinds:?}");
    }
    for kind in ["Secret", "ConfigMap", "Event", "Lease", "Widget"] {
        assert!(!kinds.contains(&kind), "{kind} is there");
    }
    let to_stdout = virtroll(&["snapshot", "--sim", &source.display().to_string(), "-o", "-"]);
    assert_eq!(String::from_utf8_lossy(&to_stdout.stdout), text, "the same on standard output");
    for file in [source, path] {
        std::fs::remove_file(file).expect("removed");
    }
}

#[test]
fn canaries_are_found_where_they_are() {
    // The judge of the test above, judged.
    let word = canaries::CANARY;
    for text in [
        word.to_owned(),
        format!("x{word}y"),
        BASE64_STANDARD.encode(word),
        BASE64_STANDARD.encode(format!("a{word}")),
        BASE64_STANDARD.encode(format!("ab{word}z")),
    ] {
        assert!(!canaries::found_in(&text).is_empty(), "{text}");
    }
    assert!(canaries::found_in("a canary").is_empty());
}

#[test]
fn a_rehearsal_on_a_snapshot_goes_as_on_the_cluster() {
    let (cluster, plan) = ("examples/clusters/homelab.yaml", "plans/quickstart.yaml");
    let (path, _) = snapshot(cluster, "same.json");
    let rehearse = |sim: &str| {
        let output = virtroll(&["apply", plan, "--dry-run", "-o", "json", "--sim", sim]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let nodes = report["nodes"].as_array().cloned().unwrap_or_default();
        let order: Vec<String> = nodes.iter().map(|n| n["name"].to_string()).collect();
        let evicted: Vec<String> = nodes.iter().map(|n| n["podsEvicted"].to_string()).collect();
        assert!(!order.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code(), order, evicted, report["virtualMachines"].clone())
    };
    assert_eq!(rehearse(cluster), rehearse(&path.display().to_string()), "{cluster}");
    std::fs::remove_file(path).expect("removed");
}

#[test]
fn a_snapshot_that_fails_leaves_nothing_behind() {
    let folder = scratch("nowhere");
    let path = folder.join("cluster.json").display().to_string();
    let done = virtroll(&["snapshot", "--sim", "examples/clusters/homelab.yaml", "-o", &path]);
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("write the snapshot"), "{done:?}");
    assert!(!folder.exists());
}

#[test]
fn an_anonymous_snapshot_tells_no_names_and_goes_the_same_way() {
    let (cluster, plan) = ("examples/clusters/homelab.yaml", "plans/quickstart.yaml");
    let [file, names, translated] =
        ["anonymous.json", "names.json", "plan.json"].map(|n| scratch(n).display().to_string());
    let more = ["--anonymize", "--names", &names, "--plan", plan, "--plan-output", &translated];
    let done = virtroll(&[&["snapshot", "--sim", cluster, "-o", &file], &more[..]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = std::fs::read_to_string(&file).expect("a file");
    for name in ["jellyfin", "wiki", "router", "desktop", "rack", "shop", "registry"] {
        assert!(!text.contains(name), "{name}");
    }
    let rehearse = |plan: &str, sim: &str| {
        let output = virtroll(&["apply", plan, "--dry-run", "-o", "json", "--sim", sim]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert!(report.is_object(), "{}", String::from_utf8_lossy(&output.stderr));
        let numbers = |list: &Value, field: &str| -> Vec<String> {
            list.as_array().into_iter().flatten().map(|n| n[field].to_string()).collect()
        };
        let (nodes, vms) = (&report["nodes"], &report["virtualMachines"]);
        // Ties between nodes are broken by their names, and so is how often each VM moves.
        let mut evicted = numbers(nodes, "podsEvicted");
        evicted.sort();
        let counts = (evicted, numbers(vms, "outcome"));
        (output.status.code(), counts, numbers(nodes, "name"))
    };
    let (open, hidden) = (rehearse(plan, cluster), rehearse(&translated, &file));
    assert_eq!((open.0, &open.1), (hidden.0, &hidden.1));
    // The owner's list leads back to the names.
    let words: std::collections::BTreeMap<String, String> =
        serde_json::from_str(&std::fs::read_to_string(&names).expect("names")).expect("a map");
    let back = |name: &String| {
        let plain = |word: &str| words.iter().find(|(_, p)| *p == word).map_or(word, |(w, _)| w).to_owned();
        name.trim_matches('"').split('-').map(plain).collect::<Vec<_>>().join("-")
    };
    let names_of = |names: Vec<String>| names.into_iter().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(
        names_of(hidden.2.iter().map(back).collect()),
        names_of(open.2.iter().map(|n| n.trim_matches('"').to_owned()).collect())
    );
    for file in [file, names, translated] {
        std::fs::remove_file(file).expect("removed");
    }
}
