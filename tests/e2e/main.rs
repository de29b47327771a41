//! End-to-end tests: the built binary against the real control plane, with KWOK for the kubelets and kubectl as the peer.

#![allow(clippy::print_stdout, reason = "figures and progress are what the test log is for")]

mod agreement;
mod behaviour;
mod control_plane;
mod differential;
mod records;
mod rights;
mod suite;
mod truth;
mod virt_api;

#[path = "../clients/mod.rs"]
mod clients;
#[path = "../scenarios/mod.rs"]
mod scenarios;

use std::fmt::Write;
use std::time::Instant;

use control_plane::ControlPlane;
use serde_json::Value;

fn nodes(count: usize) -> String {
    let mut text = String::new();
    for n in 1..=count {
        let info = "architecture: amd64, operatingSystem: linux, osImage: x, machineID: x, systemUUID: x, \
                    containerRuntimeVersion: x, kubeletVersion: v1.36.3, kubeProxyVersion: x, kernelVersion: 6.9.7";
        let resources = "{cpu: '64', memory: 256Gi, pods: '250'}";
        writeln!(
            text,
            "apiVersion: v1\nkind: Node\nmetadata:\n  name: w{n}\n  labels: {{kubernetes.io/hostname: w{n}}}\n  \
             annotations: {{sim.virtroll.dev/kernel-after-reboot: 6.12.4}}\nstatus:\n  capacity: {resources}\n  \
             allocatable: {resources}\n  nodeInfo: {{bootID: boot-w{n}, {info}}}\n---"
        )
        .expect("text");
    }
    text
}

fn workload(replicas: usize, max_unavailable: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    \
         spec: {{containers: [{{name: web, image: web}}]}}\n---\n\
         apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: web}}\nspec: {{maxUnavailable: {max_unavailable}, \
         selector: {{matchLabels: {{app: web}}}}}}\n"
    )
}

fn cluster(name: &str, node_count: usize, replicas: usize, max_unavailable: &str) -> ControlPlane {
    let plane = ControlPlane::start(name);
    plane.create(&nodes(node_count));
    let ready = |p: &ControlPlane| {
        let nodes = p.get(&["nodes"]);
        let ready = |n: &Value| {
            n["status"]["conditions"]
                .as_array()
                .is_some_and(|c| c.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
        };
        nodes["items"].as_array().is_some_and(|n| n.len() == node_count && n.iter().all(ready))
    };
    plane.wait("all nodes Ready", ready);
    plane.create(&workload(replicas, max_unavailable));
    plane.wait("all pods available", |p| available(p) == replicas);
    plane
}

fn available(plane: &ControlPlane) -> usize {
    plane.get(&["deployment", "web"])["status"]["availableReplicas"].as_u64().unwrap_or(0) as usize
}

const PLAN: &str = "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: kernel}\nspec:\n  \
    concurrency: {maxUnavailable: 2}\n  groups:\n  - {name: all, nodes: {selector: {}}}\n  hooks:\n  \
    - {name: reboot, at: Maintenance, reboot: {by: Annotation}, timeout: 2m}\n  \
    verify: {bootIDChanged: true, kernelVersion: '>=6.12'}\n";

fn plan_file() -> String {
    let path = std::env::temp_dir().join(format!("virtroll-e2e-plan-{}.yaml", std::process::id()));
    std::fs::write(&path, PLAN).expect("written");
    path.display().to_string()
}

/// resourceVersion of every object that a campaign could touch (not events: controllers write those at their own pace). Nodes' heartbeats are KWOK's own, so of nodes only what
/// virtroll could change counts.
fn fingerprint(plane: &ControlPlane) -> Vec<String> {
    let mut found = Vec::new();
    for kind in ["pods", "deployments", "poddisruptionbudgets", "crds"] {
        for object in plane.get(&[kind, "-A"])["items"].as_array().into_iter().flatten() {
            let metadata = &object["metadata"];
            found.push(format!("{kind}/{} {}", metadata["name"], metadata["resourceVersion"]));
        }
    }
    for node in plane.get(&["nodes"])["items"].as_array().into_iter().flatten() {
        found.push(format!(
            "{} {} {}",
            node["metadata"]["name"], node["metadata"]["annotations"], node["spec"]
        ));
    }
    found
}

#[test]
fn a_kernel_upgrade_rolls_over_five_nodes_and_a_dry_run_changes_nothing() {
    let plane = cluster("roll", 5, 20, "25%");
    let plan = plan_file();
    let before = fingerprint(&plane);
    let forecast = plane.virtroll(&["apply", &plan, "--dry-run", "-o", "json"]);
    assert!(forecast.status.success(), "{}", String::from_utf8_lossy(&forecast.stderr));
    assert_eq!(fingerprint(&plane), before);
    // The API server's own word for it: what virtroll asked for wrote nothing.
    assert_eq!(plane.writes_of("virtroll"), Vec::<String>::new());
    let run = plane.virtroll(&["apply", &plan, "-o", "json"]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let report: Value = serde_json::from_slice(&run.stdout).expect("a report");
    assert_eq!(report["phase"], "Succeeded");
    assert!(report["peakUnavailable"].as_u64().is_some_and(|p| (1..=2).contains(&p)), "{report}");
    let nodes = plane.get(&["nodes"]);
    for node in nodes["items"].as_array().expect("nodes") {
        let name = node["metadata"]["name"].as_str().expect("a name");
        assert_eq!(node["status"]["nodeInfo"]["kernelVersion"], "6.12.4", "{name}");
        assert_ne!(node["status"]["nodeInfo"]["bootID"], format!("boot-{name}"), "{name}");
        assert!(node["spec"]["unschedulable"].is_null(), "{name}");
        assert!(node["metadata"]["annotations"]["virtroll.dev/maintenance"].is_null(), "{name}");
    }
    plane.wait("all pods available again", |p| available(p) == 20);
    let again = plane.virtroll(&["apply", &plan]);
    assert!(again.status.success());
    assert!(String::from_utf8_lossy(&again.stdout).contains("Campaign kernel-1 is finished"));
}

/// 90 pods on three nodes, 5% of which may be away: the same drain by kubectl and by virtroll on the same control plane.
#[test]
fn a_drain_costs_less_than_kubectls() {
    let plane = cluster("drain", 6, 90, "5%");
    let place = |away: [&str; 3], here: [&str; 3]| {
        for node in away {
            plane.kubectl(&["cordon", node]);
        }
        for node in here {
            plane.kubectl(&["uncordon", node]);
        }
        plane.kubectl(&["delete", "pods", "--all", "--grace-period=0", "--force"]);
        plane.wait("all pods on three nodes", |p| available(p) == 90);
        plane.kubectl(&["uncordon", away[0], away[1], away[2]]);
        plane.wait("the budget counts them", |p| p.get(&["pdb", "web"])["status"]["disruptionsAllowed"] == 5);
    };
    let measure = |agent: &str, drain: &dyn Fn() -> std::process::Output| {
        let (before, began) = (plane.requests_of(agent), Instant::now());
        let output = drain();
        let took = began.elapsed();
        assert!(output.status.success(), "{agent}: {}", String::from_utf8_lossy(&output.stderr));
        std::thread::sleep(std::time::Duration::from_secs(1));
        (plane.requests_of(agent) - before, took)
    };
    place(["w4", "w5", "w6"], ["w1", "w2", "w3"]);
    let (by_kubectl, kubectl_took) = measure("kubectl", &|| plane.kubectl(&["drain", "w1", "w2", "w3"]));
    place(["w4", "w5", "w6"], ["w1", "w2", "w3"]);
    let (by_virtroll, virtroll_took) = measure("virtroll", &|| plane.virtroll(&["drain", "w1", "w2", "w3"]));
    println!(
        "90 pods: kubectl {by_kubectl} requests in {kubectl_took:?}, virtroll {by_virtroll} in {virtroll_took:?}"
    );
    assert!(by_virtroll > 90, "fewer requests than pods: the log was misread");
    assert!(by_virtroll * 10 <= 90 * 12, "{by_virtroll} requests for 90 pods; kubectl {by_kubectl}");
    assert!(virtroll_took <= kubectl_took, "{virtroll_took:?}, kubectl {kubectl_took:?}");
}

/// Ctrl-C on the terminal: what runs is said and awaited, nothing new begins, and `apply` goes on from there.
#[test]
fn a_stop_by_hand_leaves_what_apply_goes_on_from() {
    let plane = cluster("stop", 3, 4, "1");
    let marks = std::env::temp_dir().join(format!("virtroll-e2e-marks-{}", std::process::id()));
    let plan = std::env::temp_dir().join(format!("virtroll-e2e-stop-{}.yaml", std::process::id()));
    let text = format!(
        "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {{name: stop}}\nspec:\n  groups:\n  \
         - {{name: all, nodes: {{selector: {{}}}}}}\n  hooks:\n  - name: mark\n    at: Maintenance\n    timeout: 1m\n    \
         exec: [sh, -c, 'echo $VIRTROLL_NODE >> {0}; touch {0}.begun; sleep 5; echo $VIRTROLL_NODE done >> {0}']\n",
        marks.display()
    );
    std::fs::write(&plan, text).expect("written");
    let plan = plan.display().to_string();
    let begun = marks.with_extension("begun");
    let running = plane.spawn_virtroll(&["apply", &plan]);
    plane.wait("the hook to begin", |_| begun.exists());
    let pid = rustix::process::Pid::from_raw(running.id().cast_signed()).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("interrupted");
    let stopped = running.wait_with_output().expect("ends");
    let (told, table) = (String::from_utf8_lossy(&stopped.stderr), String::from_utf8_lossy(&stopped.stdout));
    assert_eq!(stopped.status.code(), Some(3), "{told}");
    let marked = || std::fs::read_to_string(&marks).unwrap_or_default();
    let first = marked().lines().next().expect("a mark").to_owned();
    let under_way = format!("under way: {first} (in maintenance), a hook for node {first};");
    assert!(told.contains(&under_way), "{told}");
    // What was begun and needs no further start comes to its end.
    let closing =
        "Paused: stopped by the operator. 1 of 3 nodes done. Run `virtroll apply` with plan stop again";
    assert!(table.contains(closing), "{table}");
    let done = format!("{first}\n{first} done\n");
    assert_eq!(marked(), done, "the hook that ran was awaited");
    // A rehearsal goes on from there, too, and touches neither the cluster nor the machine.
    let before = fingerprint(&plane);
    let rehearsed = plane.virtroll(&["apply", &plan, "--dry-run", "-o", "json"]);
    let forecast: Value = serde_json::from_slice(&rehearsed.stdout).expect("a forecast");
    let was = |n: &str| forecast["nodes"].as_array().into_iter().flatten().find(|r| r["name"] == n).cloned();
    let others: Vec<&str> = ["w1", "w2", "w3"].into_iter().filter(|n| *n != first).collect();
    let (campaign, before_it) = (&forecast["campaign"], was(&first).expect("the first"));
    assert_eq!((campaign.as_str(), forecast["phase"].as_str()), (Some("stop-1"), Some("Succeeded")));
    for other in &others {
        let other = was(other).expect("another");
        let is_later = before_it["finishedAt"].as_str() < other["startedAt"].as_str();
        assert!(is_later && other["phase"] == "Done", "{forecast}");
    }
    assert_eq!((fingerprint(&plane), marked()), (before, done.clone()));
    let resumed = plane.virtroll(&["apply", &plan]);
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    let [a, b] = others[..] else { panic!("{others:?}") };
    let both = [[a, b], [b, a]].map(|[a, b]| format!("{done}{a}\n{a} done\n{b}\n{b} done\n"));
    assert!(both.contains(&marked()), "and not run again: {}", marked());
    for file in [&marks, &begun] {
        std::fs::remove_file(file).expect("removed");
    }
}
