//! What a rehearsal of a live cluster needs to be allowed, and what it says when it isn't.

use std::collections::BTreeSet;
use std::process::Output;

use serde_json::{Value, json};

use crate::control_plane::ControlPlane;

const PLAN: &str = "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: rights}\nspec:\n  onConflict: Proceed\n  \
    groups:\n  - {name: all, nodes: {selector: {}}}\n  hooks:\n  - {name: reboot, at: Maintenance, reboot: {by: Annotation}, timeout: 2m}\n";

struct User<'a> {
    plane: &'a ControlPlane,
    config: String,
    name: &'static str,
}

impl<'a> User<'a> {
    /// A user without rights.
    fn new(plane: &'a ControlPlane, name: &'static str) -> Self {
        let admin = std::fs::read_to_string(plane.path("kubeconfig")).expect("a kubeconfig");
        let config = plane.path(&format!("kubeconfig-{name}"));
        std::fs::write(&config, admin.replace("admin-token", &format!("{name}-token"))).expect("written");
        Self { plane, config, name }
    }

    fn bind(&self, role: &str) {
        let binding = format!("{}-{role}", self.name);
        let user = format!("--user={}", self.name);
        let bound =
            self.plane.kubectl(&["create", "clusterrolebinding", &binding, "--clusterrole", role, &user]);
        assert!(bound.status.success(), "{}", String::from_utf8_lossy(&bound.stderr));
        let can = ["auth", "can-i", "list", "nodes", "--as", self.name];
        self.plane.wait("the binding to count", |p| p.kubectl(&can).status.success());
    }

    fn virtroll(&self, arguments: &[&str]) -> Output {
        self.plane.virtroll(&[&["--kubeconfig", &self.config], arguments].concat())
    }

    /// Resources that were listed, as `group/resource`.
    fn listed(&self) -> BTreeSet<String> {
        let log = std::fs::read_to_string(self.plane.path("audit.log")).expect("a log");
        let events = log.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let mine = events.filter(|e| e["user"]["username"] == self.name && e["verb"] == "list");
        let name = |e: Value| {
            let text = |f: &str| e["objectRef"][f].as_str().unwrap_or_default().to_owned();
            format!("{}/{}", text("apiGroup"), text("resource"))
        };
        mine.map(name).collect()
    }
}

/// A role as the shipped one, without some resources.
fn lesser_role(plane: &ControlPlane, name: &str, without: &str) {
    let mut role = plane.get(&["clusterrole", "virtroll-rehearse"]);
    role["metadata"] = json!({"name": name});
    for rule in role["rules"].as_array_mut().into_iter().flatten() {
        if let Some(resources) = rule["resources"].as_array_mut() {
            resources.retain(|r| r != without);
        }
    }
    if let Some(rules) = role["rules"].as_array_mut() {
        rules.retain(|r| r["resources"].as_array().is_some_and(|list| !list.is_empty()));
    }
    plane.create(&role.to_string());
}

/// A budget that allows nothing is found out before the first cordon: the rehearsal is refused, and where the plan says to begin all
/// the same, the API server itself tells.
fn found_out_beforehand(plane: &ControlPlane, reader: &User<'_>, plan: &str) {
    let patch = ["patch", "pdb", "web", "--type=merge", "-p", "{\"spec\":{\"maxUnavailable\":0}}"];
    assert!(plane.kubectl(&patch).status.success());
    plane.wait("the budget to be counted", |p| p.get(&["pdb", "web"])["status"]["disruptionsAllowed"] == 0);
    let strict = plane.path("strict.yaml");
    std::fs::write(&strict, PLAN.replace("Proceed", "Fail")).expect("written");
    let refused = reader.virtroll(&["apply", &strict, "--dry-run", "-o", "json"]);
    let against: Value = serde_json::from_slice(&refused.stdout).expect("a conflict");
    assert_eq!(refused.status.code(), Some(4), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(
        against["conflict"]["why"].as_str().is_some_and(|w| w.contains("budget default/web")),
        "{against}"
    );
    let blocked = reader.virtroll(&["apply", plan, "--dry-run", "-o", "json"]);
    let forecast: Value = serde_json::from_slice(&blocked.stdout).expect("a forecast");
    let findings = forecast["rehearsal"]["evictionCheck"]["findings"].as_array().cloned().unwrap_or_default();
    assert_eq!(findings.len(), 6);
    assert!(findings.iter().all(|f| f["class"] == "budget"), "{findings:?}");
    assert_eq!(plane.writes_of("virtroll"), Vec::<String>::new());
    let back = ["patch", "pdb", "web", "--type=merge", "-p", "{\"spec\":{\"maxUnavailable\":1}}"];
    assert!(plane.kubectl(&back).status.success());
}

#[test]
fn a_rehearsal_takes_the_shipped_role_and_says_what_is_missing() {
    let plane = crate::cluster("rights", 3, 6, "1");
    let role = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/rbac/rehearse.yaml");
    assert!(plane.kubectl(&["create", "-f", role]).status.success());
    let plan = plane.path("rights.yaml");
    std::fs::write(&plan, PLAN).expect("written");
    let before = crate::fingerprint(&plane);
    let stderr = |o: &Output| String::from_utf8_lossy(&o.stderr).into_owned();
    let rehearsal = |o: &Output| -> Value {
        assert!(o.status.success(), "{}", stderr(o));
        serde_json::from_slice(&o.stdout).expect("a forecast")
    };
    let dry_run = ["apply", plan.as_str(), "--dry-run", "-o", "json"];

    // Reading is enough, and no more is asked for than the role has.
    let reader = User::new(&plane, "reader");
    reader.bind("virtroll-rehearse");
    let forecast = rehearsal(&reader.virtroll(&dry_run));
    assert_eq!(forecast["phase"], "Succeeded");
    assert_eq!(forecast["rehearsal"]["notModelled"], json!([]));
    let check = &forecast["rehearsal"]["evictionCheck"];
    assert!(check["leftOut"].as_str().is_some_and(|w| w.contains("may not create evictions")), "{check}");
    let shown = reader.virtroll(&["apply", &plan, "--dry-run"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("EVICTION CHECK\n  left out: this user may not"));
    assert_eq!(plane.writes_of("virtroll"), Vec::<String>::new());
    let shipped = plane.get(&["clusterrole", "virtroll-rehearse"]);
    let mut granted = BTreeSet::new();
    for rule in shipped["rules"].as_array().into_iter().flatten() {
        assert_eq!(rule["verbs"], json!(["get", "list", "watch"]));
        let group = rule["apiGroups"][0].as_str().expect("a group");
        for resource in rule["resources"].as_array().into_iter().flatten() {
            granted.insert(format!("{group}/{}", resource.as_str().expect("a resource")));
        }
    }
    // Neither KubeVirt nor virtroll's own kinds are on this cluster.
    let here = |r: &String| {
        !r.contains("kubevirt.io/") && !r.contains("virtroll.dev/") && !r.contains("apiextensions")
    };
    let (needed, listed): (BTreeSet<String>, BTreeSet<String>) =
        (granted.into_iter().filter(here).collect(), reader.listed().into_iter().filter(here).collect());
    assert_eq!(listed, needed, "the role has exactly what is read");

    // A snapshot takes the same.
    let file = plane.path("snapshot.json");
    let written = reader.virtroll(&["snapshot", "-o", &file]);
    assert!(written.status.success(), "{}", stderr(&written));
    let text = std::fs::read_to_string(&file).expect("a file");
    assert!(text.contains("\"w1\"") && !text.contains("managedFields") && !text.contains("\"Secret\""));
    let copied = plane.virtroll(&["apply", &plan, "--dry-run", "-o", "json", "--sim", &file]);
    assert_eq!(rehearsal(&copied)["phase"], "Succeeded");

    // With evictions, the API server is asked about every pod, and nothing is evicted.
    reader.bind("virtroll-rehearse-evictions");
    let forecast = rehearsal(&reader.virtroll(&dry_run));
    let check = &forecast["rehearsal"]["evictionCheck"];
    assert_eq!((&check["asked"], &check["granted"]), (&json!(6), &json!(6)), "{check}");
    found_out_beforehand(&plane, &reader, &plan);

    // What can be done without is said; what can't is refused.
    lesser_role(&plane, "no-jobs", "jobs");
    let half = User::new(&plane, "half");
    half.bind("no-jobs");
    let output = half.virtroll(&dry_run);
    assert!(
        stderr(&output).contains("may not list jobs.batch: their pods count as unmanaged"),
        "{}",
        stderr(&output)
    );
    assert_eq!(rehearsal(&output)["rehearsal"]["notModelled"][0]["resource"], "jobs.batch");
    lesser_role(&plane, "no-budgets", "poddisruptionbudgets");
    let blind = User::new(&plane, "blind");
    blind.bind("no-budgets");
    let refused = blind.virtroll(&dry_run);
    assert_eq!(refused.status.code(), Some(1));
    let words = "a rehearsal needs to read poddisruptionbudgets.policy, and this user may not";
    assert!(stderr(&refused).contains(words), "{}", stderr(&refused));

    let same = |list: Vec<String>| -> Vec<String> {
        list.into_iter().filter(|l| !l.starts_with("poddis")).collect()
    };
    assert_eq!(same(crate::fingerprint(&plane)), same(before), "nothing was changed");
}

/// The roles for `drain.surge` and `drain.overrides`: each for its own, and no more.
#[test]
fn the_roles_of_a_drain_allow_what_it_asks_for() {
    let plane = crate::cluster("drain-rights", 1, 1, "1");
    let roles = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/rbac/drain.yaml");
    assert!(plane.kubectl(&["create", "-f", roles]).status.success());
    let scale = ["patch", "deployments", "--subresource=scale"];
    let set_scale = ["patch", "statefulsets", "--subresource=scale"];
    let delete = ["delete", "pods"];
    let can = |user: &str, what: &[&str]| {
        plane.kubectl(&[&["auth", "can-i"], what, &["--as", user]].concat()).status.success()
    };
    for (role, allowed, denied) in [
        (
            "virtroll-surge",
            vec![&scale[..], &set_scale, &["watch", "deployments"], &["list", "statefulsets"]],
            vec![&delete[..], &["patch", "deployments"], &["delete", "deployments"]],
        ),
        ("virtroll-override", vec![&delete[..]], vec![&scale[..], &["list", "pods"]]),
    ] {
        let user = format!("user-of-{role}");
        let binding = ["create", "clusterrolebinding", role, "--clusterrole", role, "--user", &user];
        assert!(plane.kubectl(&binding).status.success());
        plane.wait("the binding to count", |_| can(&user, allowed[0]));
        for what in allowed {
            assert!(can(&user, what), "{role} {what:?}");
        }
        for what in denied {
            assert!(!can(&user, what), "{role} {what:?}");
        }
    }
}
