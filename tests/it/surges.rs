//! Surges and overrides through trouble: drivers that are cut off after any of their writes, requests that fail. At no moment is
//! a single replica missing, and at the end everything is as it was found.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request};
use kube::client::Body;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::watch;
use virtroll::engine::{Clock, Error, Outcome, Run, Stop, run_campaign};
use virtroll::reconcile::{End, STATE_ANNOTATION};
use virtroll::sim::{EmbeddedCluster, Settings};

use crate::troubled::{self, Decides, Fate};

/// So many writes are carried out; of the last one the answer is lost, and all that follows fails: the driver is dead.
fn cut_after(left: Arc<AtomicU32>) -> impl Decides {
    move |request| {
        // The Lease is renewed by the clock: counted, it would only make the cuts a matter of time.
        let is_write = *request.method() != Method::GET && !request.uri().path().contains("/leases");
        if left.load(Ordering::Relaxed) == 0 {
            return Fate::Lost;
        }
        let now = left.load(Ordering::Relaxed) - u32::from(is_write);
        left.store(now, Ordering::Relaxed);
        if now > 0 { Fate::Answered } else { Fate::AnswerLost }
    }
}

/// One in ten fails, before or after it was carried out.
fn one_in_ten(random: Arc<Mutex<StdRng>>) -> impl Decides {
    move |_| {
        let mut random = random.lock().expect("nobody panicked");
        if random.random_range(0..10) > 0 {
            Fate::Answered
        } else if random.random_range(0..2) == 0 {
            Fate::AnswerLost
        } else {
            Fate::Lost
        }
    }
}

/// All are answered.
fn none(_: &Request<Body>) -> Fate {
    Fate::Answered
}

const NODES: usize = 2;

/// `web` and `db` may never be missing; `old` is under a budget that never lets it go.
const WORKLOADS: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec:\n  replicas: 1\n  \
    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: c, image: c}]}\n---\n\
    apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web, namespace: shop}\nspec: {minAvailable: 1, selector: {matchLabels: {app: web}}}\n---\n\
    apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db, namespace: shop}\nspec:\n  serviceName: db\n  replicas: 1\n  \
    selector: {matchLabels: {app: db}}\n  template:\n    metadata: {labels: {app: db}}\n    spec: {containers: [{name: c, image: c}]}\n---\n\
    apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: db, namespace: shop}\nspec: {minAvailable: 1, selector: {matchLabels: {app: db}}}\n---\n\
    apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: old, namespace: shop}\nspec:\n  replicas: 2\n  \
    selector: {matchLabels: {app: old}}\n  template:\n    metadata: {labels: {app: old}}\n    spec: {containers: [{name: c, image: c}]}\n---\n\
    apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: old, namespace: shop}\nspec: {maxUnavailable: 0, selector: {matchLabels: {app: old}}}\n";

const PLAN: &str = "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: p}\nspec:\n  \
    groups: [{name: all, nodes: {selector: {}}}]\n  drain:\n    surge: SingleReplica\n    overrides:\n    \
    - {workload: {kind: Deployment, namespace: shop, name: old}, reason: it is retired next week, after: 30s}\n";

async fn cluster(seed: u64) -> EmbeddedCluster {
    let settings = Settings { seed, ..Settings::default() };
    let cluster = EmbeddedCluster::from_manifests("lab.yaml", &manifests(), settings).expect("loads");
    cluster.start().await;
    assert!(cluster.settle(Duration::from_secs(15), Duration::from_secs(600)).await);
    cluster
}

fn manifests() -> String {
    let mut text = WORKLOADS.to_owned();
    for n in 1..=NODES {
        text.push_str(&format!(
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: w{n}, labels: {{kubernetes.io/hostname: w{n}}}}}\n\
             status: {{allocatable: {{cpu: '8', memory: 32Gi, pods: '110'}}, nodeInfo: {{bootID: b{n}, kernelVersion: '6.9'}}}}\n"
        ));
    }
    text
}

/// A plan without either, under which no pod has to leave.
const PLAIN: &str = "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: p}\nspec:\n  \
    groups: [{name: all, nodes: {selector: {}}}]\n  drain: {podSelector: {matchLabels: {app: none}}}\n";

async fn drive(
    cluster: &EmbeddedCluster,
    fate: impl Decides,
    driver: &str,
    at_most: u64,
) -> Option<Result<Outcome, Error>> {
    drive_plan(cluster, PLAN, fate, driver, at_most).await
}

/// Drives a plan's campaign, at most so many seconds.
async fn drive_plan(
    cluster: &EmbeddedCluster,
    plan: &str,
    fate: impl Decides,
    driver: &str,
    at_most: u64,
) -> Option<Result<Outcome, Error>> {
    let plan = virtroll::plan::load("plan.yaml", plan).unwrap_or_else(|e| panic!("{}", e.render())).plan;
    let (_sender, stop) = watch::channel(Stop::No);
    let run = Run {
        client: troubled::client(cluster.server(), fate),
        clock: Clock::starting_at(cluster.now()),
        plan: &plan,
        new: false,
        play_hooks: true,
        effort: virtroll::schedule::search::Effort::of(crate::scene::EFFORT),
        driver: driver.to_owned(),
        stop,
        patience: None,
    };
    tokio::time::timeout(Duration::from_secs(at_most), run_campaign(run, &mut |_| {})).await.ok()
}

fn of<'a>(objects: &'a [Arc<Value>], name: &str) -> &'a Value {
    objects.iter().find(|o| o["metadata"]["name"] == name).expect("there")
}

/// Watches what must hold at any time: a Ready pod of each single replica, and never more than one pod beyond it asked for.
async fn judge(cluster: EmbeddedCluster, case: String) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let budgets = cluster.objects("poddisruptionbudgets.policy");
        for (resource, name) in [("deployments.apps", "web"), ("statefulsets.apps", "db")] {
            let replicas = of(&cluster.objects(resource), name)["spec"]["replicas"].clone();
            assert!(replicas == 1 || replicas == 2, "{case}: {name} has {replicas}");
            let healthy = &of(&budgets, name)["status"]["currentHealthy"];
            assert!(healthy.as_i64() >= Some(1), "{case}: {name} was missing");
        }
    }
}

/// All nodes are through, nothing of virtroll's is left, replicas are as they were, and each bypass is on record with its reason.
fn judge_end(cluster: &EmbeddedCluster, outcome: &Outcome, case: &str) {
    assert_eq!(outcome.end, End::Succeeded, "{case}: {outcome:#?}");
    for (resource, name) in [("deployments.apps", "web"), ("statefulsets.apps", "db")] {
        assert_eq!(of(&cluster.objects(resource), name)["spec"]["replicas"], json!(1), "{case}: {name}");
    }
    for node in cluster.objects("nodes") {
        assert!(node["spec"]["unschedulable"].is_null(), "{case}");
        assert!(node["metadata"]["annotations"][STATE_ANNOTATION].is_null(), "{case}");
    }
    let past: Vec<_> = outcome.status.nodes.iter().flat_map(|n| &n.past_budgets).collect();
    assert!(past.len() >= 2, "{case}: both pods of `old` have left: {past:?}");
    assert!(
        past.iter().all(|p| p.workload == "Deployment shop/old" && p.reason == "it is retired next week")
    );
    let mut uids: Vec<_> = past.iter().map(|p| &p.uid).collect();
    uids.sort();
    uids.dedup();
    assert_eq!(uids.len(), past.len(), "{case}: each once");
}

fn play(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(test);
}

const A_DAY: u64 = 86_400;

/// Cut off after its first write, after its second, and so on, until one isn't cut off any more.
#[test]
fn a_driver_is_cut_off_after_each_of_its_writes() {
    let mut writes = 1;
    let mut through = false;
    while !through {
        play(async {
            let cluster = cluster(1).await;
            let case = format!("cut off after {writes} writes");
            let left = Arc::new(AtomicU32::new(writes));
            let driving = async {
                // It is dead from the cut on; until somebody takes over, nothing happens.
                if let Some(Ok(outcome)) = drive(&cluster, cut_after(left.clone()), "one", 300).await {
                    return outcome;
                }
                drive(&cluster, none, "two", A_DAY).await.expect("ends within a day").expect("runs")
            };
            let outcome = tokio::select! {
                outcome = driving => outcome,
                () = judge(cluster.clone(), case.clone()) => unreachable!(),
            };
            through = left.load(Ordering::Relaxed) > 0;
            judge_end(&cluster, &outcome, &case);
        });
        writes += 1;
    }
    assert!(writes > 30, "only {writes} writes");
}

#[test]
fn one_request_in_ten_fails() {
    for seed in 1..5 {
        play(async {
            let cluster = cluster(seed).await;
            let case = format!("seed {seed}");
            let random = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
            let driving = async {
                // One in three gets as far as a beginning.
                for driver in 0..100 {
                    let driver = format!("driver-{driver}");
                    let driven = drive(&cluster, one_in_ten(random.clone()), &driver, A_DAY).await;
                    if let Some(Ok(outcome)) = driven {
                        return outcome;
                    }
                }
                panic!("{case}: not even begun");
            };
            let outcome = tokio::select! {
                outcome = driving => outcome,
                () = judge(cluster.clone(), case.clone()) => unreachable!(),
            };
            judge_end(&cluster, &outcome, &case);
        });
    }
}

/// The shipped roles allow what a surge and an override ask for beside evictions, and nothing else.
#[test]
fn the_shipped_roles_have_exactly_what_is_asked_for() {
    let asked = |plan: &'static str| {
        let mut asked = BTreeSet::new();
        play(async {
            let cluster = cluster(1).await;
            let before = cluster.requests();
            drive_plan(&cluster, plan, none, "one", A_DAY).await.expect("ends within a day").expect("runs");
            let after = cluster.requests().into_iter().filter(|(request, n)| before.get(request) != Some(n));
            let without_namespace = |r: String| r.rsplit_once(' ').map(|(what, _)| what.to_owned());
            asked = after.filter_map(|(request, _)| without_namespace(request)).collect();
        });
        asked
    };
    let roles: Vec<Value> =
        serde_saphyr::from_multiple(include_str!("../../deploy/rbac/drain.yaml")).expect("YAML");
    let mut granted = BTreeSet::from(["POST pods/eviction".to_owned()]);
    for rule in roles.iter().flat_map(|role| role["rules"].as_array().into_iter().flatten()) {
        let texts = |field: &str| rule[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        let group = texts("apiGroups").next().filter(|g| !g.is_empty()).map(|g| format!(".{g}"));
        let group = group.unwrap_or_default();
        for (resource, verb) in texts("resources").flat_map(|r| texts("verbs").map(move |v| (r, v))) {
            let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
            let sub = if sub.is_empty() { String::new() } else { format!("/{sub}") };
            // Lists and watches are GETs, too.
            let is_read = ["get", "list", "watch"].contains(&verb);
            let method = if is_read { "GET".to_owned() } else { verb.to_uppercase() };
            granted.insert(format!("{method} {resource}{group}{sub}"));
        }
    }
    let plain = asked(PLAIN);
    // How often the Lease is renewed is a matter of time.
    let is_more = |request: &String| !plain.contains(request) && !request.contains("leases");
    let more: BTreeSet<String> = asked(PLAN).into_iter().filter(is_more).collect();
    assert_eq!(more, granted);
}

/// What a rehearsal prints in one of the report's forms.
fn rehearsed(form: &str) -> String {
    let folder = std::env::temp_dir().join(format!("virtroll-surges-{form}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (plan, cluster) = (folder.join("plan.yaml"), folder.join("cluster.yaml"));
    std::fs::write(&plan, PLAN).expect("written");
    std::fs::write(&cluster, manifests()).expect("written");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_virtroll"));
    command.arg("apply").arg(&plan).arg("--sim").arg(&cluster).args(["--dry-run", "-o", form]);
    let output = command.output().expect("runs");
    std::fs::remove_dir_all(&folder).expect("removed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Each pod that is deleted past its budget stands in the report, in all its forms.
#[test]
fn a_rehearsal_tells_what_would_be_deleted_past_a_budget_and_what_would_be_surged() {
    let report: Value = serde_json::from_str(&rehearsed("json")).expect("JSON");
    let nodes = report["nodes"].as_array().expect("nodes");
    let past: Vec<&Value> =
        nodes.iter().flat_map(|n| n["pastBudgets"].as_array().into_iter().flatten()).collect();
    assert!(past.len() >= 2, "{past:?}");
    for field in ["pod", "uid", "at"] {
        assert!(past.iter().all(|p| p[field].is_string()), "{past:?}");
    }
    assert_eq!(past[0]["budgets"], json!(["shop/old"]));
    let titles: Vec<&str> =
        report["findings"].as_array().expect("findings").iter().filter_map(|f| f["title"].as_str()).collect();
    let deleted = format!("{} pods were deleted past their budget", past.len());
    assert!(titles.contains(&deleted.as_str()), "{titles:?}");
    assert!(
        titles.contains(&"2 workloads of one replica have a second one while their node is drained"),
        "{titles:?}"
    );
    let words = " of Deployment shop/old was deleted past budget shop/old: it is retired next week";
    // On the page, slashes are escaped.
    let on_page = words.replace('/', "&#x2f;");
    for (form, words) in [("text", words), ("html", on_page.as_str())] {
        assert_eq!(rehearsed(form).matches(words).count(), past.len(), "{form}");
    }
}
