//! What every generated cluster keeps, judged from its objects alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;

const RECIPE: Recipe =
    Recipe { nodes: 50, pods: 1500, vms: 200, zones: 3, pdbs: 40, family: Family::Mixed, seed: 7 };

fn made(recipe: Recipe) -> Vec<Value> {
    generate(&recipe).expect("a cluster")
}

fn of<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |o| o["kind"] == kind)
}

fn number(value: &Value, suffix: &str) -> u64 {
    let text = value.as_str().expect("a quantity");
    text.strip_suffix(suffix).unwrap_or_else(|| panic!("{text} in {suffix}")).parse().expect("a number")
}

/// CPU in thousandths and memory in MiB, as a pod's only container requests them.
fn requests(pod: &Value) -> (u64, u64) {
    let asked = &pod["spec"]["containers"][0]["resources"]["requests"];
    let memory = asked["memory"].as_str().expect("memory");
    let memory = match memory.strip_suffix("Mi") {
        Some(mib) => mib.parse().expect("a number"),
        None => memory.parse::<u64>().expect("bytes") >> 20,
    };
    (number(&asked["cpu"], "m"), memory)
}

#[test]
fn it_has_what_the_recipe_says_and_every_pod_has_a_place() {
    for family in Family::ALL {
        for (nodes, pods, vms, zones, pdbs) in
            [(1, 3, 0, 1, 1), (5, 40, 10, 2, 0), (50, 1500, 200, 3, 100), (200, 6000, 900, 5, 80)]
        {
            let objects = made(Recipe { nodes, pods, vms, zones, pdbs, family, seed: 3 });
            let count = |kind: &str| of(&objects, kind).count();
            assert_eq!((count("Node"), count("Pod")), (nodes, pods), "{family:?}");
            let machines = (count("VirtualMachine"), count("VirtualMachineInstance"));
            assert_eq!(machines, (vms, vms), "{family:?}");
            assert_eq!(count("PodDisruptionBudget"), pdbs, "{family:?}");
            let zone = |n: &Value| n["metadata"]["labels"]["topology.kubernetes.io/zone"].to_string();
            let found: BTreeSet<String> = of(&objects, "Node").map(zone).collect();
            assert_eq!(found.len(), zones);
            let unplaced = of(&objects, "Pod").filter(|p| p["spec"]["nodeName"].is_null()).count();
            assert_eq!(unplaced, 0, "{family:?} {nodes}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
    let text = |seed| {
        let mut bytes = Vec::new();
        write(&made(Recipe { seed, ..RECIPE }), &mut bytes).expect("written");
        bytes
    };
    assert_eq!(text(7), text(7));
    assert_ne!(text(7), text(8));
    let list: Value = serde_json::from_slice(&text(7)).expect("JSON");
    assert_eq!(list["kind"], "List");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(made(RECIPE).len()));
}

#[test]
fn no_node_is_overbooked_and_the_cluster_is_as_full_as_its_family_says() {
    for (family, fill) in [
        (Family::Sparse, 0.35),
        (Family::Dense, 0.85),
        (Family::PdbHeavy, 0.50),
        (Family::VmHeavy, 0.60),
        (Family::Mixed, 0.55),
    ] {
        let objects = made(Recipe { family, ..RECIPE });
        let mut used: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
        for pod in of(&objects, "Pod") {
            let node = pod["spec"]["nodeName"].as_str().expect("placed");
            let (cpu, memory) = requests(pod);
            let entry = used.entry(node).or_default();
            *entry = (entry.0 + cpu, entry.1 + memory, entry.2 + 1);
        }
        let (mut has, mut asked) = ((0, 0), (0, 0));
        for node in of(&objects, "Node") {
            let name = node["metadata"]["name"].as_str().expect("a name");
            let allocatable = &node["status"]["allocatable"];
            let (cpu, memory) = (number(&allocatable["cpu"], "m"), number(&allocatable["memory"], "Mi"));
            let (c, m, pods) = used.get(name).copied().unwrap_or_default();
            assert!(c <= cpu && m <= memory && pods <= number(&allocatable["pods"], ""), "{family:?} {name}");
            has = (has.0 + cpu, has.1 + memory);
            asked = (asked.0 + c, asked.1 + m);
        }
        for (asked, has) in [(asked.0, has.0), (asked.1, has.1)] {
            let share = asked as f64 / has as f64;
            assert!((share - fill).abs() < 0.02, "{family:?}: {share:.3} of {fill}");
        }
    }
}

#[test]
fn every_constraint_of_a_placed_pod_holds() {
    let objects = made(Recipe { nodes: 60, pods: 3000, zones: 4, ..RECIPE });
    let nodes: BTreeMap<&str, &Value> =
        of(&objects, "Node").map(|n| (n["metadata"]["name"].as_str().expect("named"), n)).collect();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut apart: BTreeSet<(String, &str)> = BTreeSet::new();
    let mut spread: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for pod in of(&objects, "Pod") {
        let name = pod["spec"]["nodeName"].as_str().expect("placed");
        let node = nodes[name];
        let labels = &node["metadata"]["labels"];
        for (key, value) in pod["spec"]["nodeSelector"].as_object().into_iter().flatten() {
            assert_eq!(&labels[key], value);
            seen.insert("selector");
        }
        if node["spec"]["taints"].is_array() {
            assert!(pod["spec"]["tolerations"].is_array(), "{pod}");
            seen.insert("taint");
        }
        let app = pod["metadata"]["labels"]["app"].to_string();
        if !pod["spec"]["affinity"].is_null() {
            assert!(apart.insert((app.clone(), name)), "two of {app} on {name}");
            seen.insert("apart");
        }
        if !pod["spec"]["topologySpreadConstraints"].is_null() {
            *spread
                .entry(app)
                .or_default()
                .entry(labels["topology.kubernetes.io/zone"].to_string())
                .or_default() += 1;
            seen.insert("spread");
        }
        if !pod["spec"]["volumes"][0]["persistentVolumeClaim"].is_null() {
            seen.insert("volume");
        }
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    for (app, zones) in spread {
        let most = zones.values().max().copied().unwrap_or(0);
        let least = if zones.len() < 4 { 0 } else { zones.values().min().copied().unwrap_or(0) };
        assert!(most - least <= 1, "{app}: {zones:?}");
    }
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    for (recipe, expected) in [
        (Recipe { nodes: 0, ..RECIPE }, "a cluster has one node and one zone at least"),
        (Recipe { zones: 51, ..RECIPE }, "there can't be more zones than nodes"),
        (Recipe { vms: 1501, ..RECIPE }, "there can't be more virtual machines than pods: each has one"),
        (
            // 1500 pods less 200 launchers and two DaemonSets of 50.
            Recipe { pdbs: 601, ..RECIPE },
            "each budget covers two pods or more, and beside launchers and DaemonSets there are 1200",
        ),
    ] {
        assert_eq!(generate(&recipe).expect_err(expected).to_string(), expected);
    }
}
