//! Small clusters by hand, and what they become.

mod learned;

use std::sync::Arc;

use super::*;
use crate::plan::v1alpha1::{
    Concurrency, Group, Hook, HookPoint, IntOrPercent, NodeSelection, RebootHook, Surge, WorkloadKind,
};
use crate::schedule::instance::{Class, Limit, Scope};
use crate::schedule::stage::{HOST, Stage, apart, asks, gib, is, name, over, plan, spread};

fn made(stage: &Stage, plan: &MaintenancePlanSpec) -> Problem {
    of(plan, &stage.groups(plan), &stage.inventory, &Durations::default(), &Progress::default())
}

fn item(problem: &Problem, name: &str) -> usize {
    problem.instance.items.name.iter().position(|n| n == name).unwrap_or_else(|| panic!("no item {name}"))
}

fn hosts(problem: &Problem, item: usize) -> Vec<&str> {
    let nodes = &problem.instance.nodes;
    let may = |n: &u32| problem.instance.may_host(*n, item as u32);
    (0..nodes.len() as u32).filter(may).map(|n| nodes.name[n as usize].as_str()).collect()
}

fn landing(problem: &Problem, name: &str) -> Landing {
    problem.instance.items.landing[item(problem, name)]
}

/// A hook that runs a command, or reboots.
fn hook(name: &str, at: HookPoint, expected: Option<u64>, reboot: bool) -> Hook {
    Hook {
        name: name.into(),
        at,
        groups: vec![],
        exec: (!reboot).then(Vec::new),
        job: None,
        http: None,
        wait_for: None,
        reboot: reboot.then(RebootHook::default),
        timeout: v1alpha1::Duration::from_secs(600),
        retries: 0,
        backoff: v1alpha1::Duration::from_secs(10),
        expected: expected.map(v1alpha1::Duration::from_secs),
    }
}

/// A node without a zone is no place of a term over zones: any number of the app may be there together.
#[test]
fn a_topology_that_a_node_lacks_is_not_asked_for() {
    let most = |lacks: bool| -> Vec<u32> {
        let mut stage = Stage::default();
        for node in ["a", "b", "c"] {
            stage.node(node, node);
        }
        if lacks {
            stage.change("c", |n| n.labels.retain(|key, _| key == HOST));
        }
        for (index, node) in ["a", "b"].into_iter().enumerate() {
            let needs = apart("quorum", crate::inventory::ZONE, asks(100, 1));
            stage.pod("StatefulSet", "quorum", index, node, needs);
            stage.pod("StatefulSet", "even", index, node, spread("even", asks(100, 1)));
        }
        made(&stage, &plan(&["a"])).instance.owners.iter().map(|o| o.most).collect()
    };
    // Two of `even` over three zones with a skew of 1: one in each at most.
    assert_eq!(most(false), [1, 1]);
    assert_eq!(most(true), [UNLIMITED, UNLIMITED]);
}

#[test]
fn nodes_have_what_daemons_leave_and_items_ask_for_what_their_pods_request() {
    let mut stage = Stage::default();
    stage.node("a", "z1").node("b", "z2").node("c", "z2");
    stage.pod("DaemonSet", "agent", 0, "a", asks(100, 1));
    stage.pod("ReplicaSet", "web", 0, "a", asks(500, 2));
    // Nothing counts with it, and its node is never due: a load.
    stage.pod("ReplicaSet", "other", 0, "c", asks(1000, 4));
    let problem = made(&stage, &plan(&["a", "b"]));
    let instance = &problem.instance;
    assert_eq!(instance.resources, ["cpu", "memory", "pods", "ephemeral-storage"]);
    assert_eq!(instance.nodes.name, ["a", "b", "c"]);
    assert_eq!(instance.capacity(0), [3900, gib(15), 109, 0]);
    assert_eq!(instance.capacity(1), [4000, gib(16), 110, 0]);
    assert_eq!(instance.capacity(2), [3000, gib(12), 109, 0]);
    assert_eq!(instance.nodes.group, [0, 0, NONE]);
    assert_eq!(instance.nodes.zone, [0, 1, 1]);
    assert_eq!(problem.zones, ["z1", "z2"]);
    assert_eq!(instance.items.name, ["ns/web-0"]);
    assert_eq!(instance.demand(0), [500, gib(2), 1, 0]);
    assert_eq!(problem.workloads[problem.workload_of[0] as usize].to_string(), "ReplicaSet ns/web");
}

#[test]
fn extended_resources_count_only_where_they_can_run_out() {
    let mut stage = Stage::default();
    stage.node("a", "z1").node("b", "z1").node("c", "z1");
    for node in ["a", "b"] {
        stage.change(node, |n| {
            n.allocatable.extended.insert("example.com/gpu".into(), 2);
        });
    }
    stage.change("c", |n| n.allocatable.extended.clear());
    let mut needs = asks(100, 1);
    needs.requests.extended.insert("example.com/gpu".into(), 1);
    stage.pod("ReplicaSet", "train", 0, "a", needs);
    stage.vm("guest", "a", 2, true);
    let problem = made(&stage, &plan(&["a"]));
    // A thousand KVM devices are more than 110 pods take; two GPUs aren't.
    assert_eq!(problem.instance.resources[4..], ["example.com/gpu"]);
    assert_eq!(problem.instance.demand(item(&problem, "ns/train-0") as u32)[4], 1);
    assert_eq!(problem.instance.capacity(2)[4], 0);
    assert_eq!(hosts(&problem, item(&problem, "ns/guest")), ["a", "b"], "c has no KVM");
}

#[test]
fn selectors_taints_and_volumes_say_where_an_item_may_be() {
    let mut stage = Stage::default();
    stage.node("a", "z1").node("b", "z1").node("c", "z2").node("d", "z2");
    stage.change("d", |n| {
        n.taints.push(crate::inventory::Taint {
            key: "t".into(),
            value: String::new(),
            effect: "NoSchedule".into(),
            time_added: None,
        });
        n.taints.push(crate::inventory::Taint {
            key: "node.kubernetes.io/unschedulable".into(),
            value: String::new(),
            effect: "NoSchedule".into(),
            time_added: None,
        });
        n.unschedulable = true;
    });
    stage.pod("ReplicaSet", "plain", 0, "a", asks(100, 1));
    let mut chosen = asks(100, 1);
    chosen.node_selector.insert(crate::inventory::ZONE.into(), "z2".into());
    chosen.tolerations.push(crate::inventory::Toleration {
        key: "t".into(),
        value: None,
        effect: String::new(),
    });
    stage.pod("ReplicaSet", "chosen", 0, "c", chosen);
    stage.local_volume("data", "b");
    stage.pod_with("StatefulSet", "db", 0, "b", asks(100, 1), |p| p.claims = vec!["data".into()]);
    let problem = made(&stage, &plan(&["a", "b", "c"]));
    assert_eq!(hosts(&problem, item(&problem, "ns/plain-0")), ["a", "b", "c"]);
    // d is cordoned, which is how it stands, not what it is.
    assert_eq!(hosts(&problem, item(&problem, "ns/chosen-0")), ["c", "d"]);
    assert_eq!(problem.instance.nodes.standing[3], Standing::Out);
    assert_eq!(hosts(&problem, item(&problem, "ns/db-0")), ["b"]);
    assert_eq!(landing(&problem, "ns/db-0"), Landing::SameNode);
    assert_eq!(landing(&problem, "ns/chosen-0"), Landing::SameNode, "d takes nothing in");
    assert_eq!(landing(&problem, "ns/plain-0"), Landing::Elsewhere);
}

#[test]
fn a_guest_goes_where_its_cpu_can_be_played() {
    let mut stage = Stage::default();
    stage.node("old", "z").node("new", "z").node("amd", "z");
    for (node, vendor, model, plays) in [
        ("old", "Intel", "Cascadelake", &["Cascadelake"][..]),
        ("new", "Intel", "Icelake", &["Cascadelake", "Icelake"]),
        ("amd", "AMD", "Milan", &["Milan", "Cascadelake"]),
    ] {
        stage.change(node, |n| {
            n.labels.insert(format!("cpu-vendor.node.kubevirt.io/{vendor}"), "true".into());
            n.labels.insert(format!("host-model-cpu.node.kubevirt.io/{model}"), "true".into());
            for model in plays {
                n.labels.insert(format!("cpu-model-migration.node.kubevirt.io/{model}"), "true".into());
            }
        });
    }
    stage.vm("of-old", "old", 2, true).vm("of-new", "new", 2, true);
    let problem = made(&stage, &plan(&["old", "new"]));
    assert_eq!(hosts(&problem, item(&problem, "ns/of-old")), ["new", "old"]);
    assert_eq!(hosts(&problem, item(&problem, "ns/of-new")), ["new"]);
}

#[test]
fn times_follow_from_grace_memory_hooks_and_what_siblings_took() {
    let mut stage = Stage::default();
    stage.node("a", "z").node("b", "z");
    stage.vm("guest", "a", 4, true);
    for (index, took) in [(0, 20), (1, 40), (2, 90)] {
        stage.pod_with("ReplicaSet", "web", index, "a", asks(100, 1), |p| p.ready_after = Some(took));
    }
    stage.pod("StatefulSet", "db", 0, "a", asks(100, 1));
    let mut plan = plan(&["a"]);
    let hook = |at, expected, reboot| hook("h", at, expected, reboot);
    plan.hooks = vec![
        hook(HookPoint::PreDrain, Some(7), false),
        hook(HookPoint::Maintenance, None, true),
        hook(HookPoint::PostUncordon, None, false),
        hook(HookPoint::AfterGroup, Some(100), false),
    ];
    let problem = made(&stage, &plan);
    let items = &problem.instance.items;
    // 4 GiB × 1.4 ÷ 500 MB/s = 12.026 s, and 5 s of set-up.
    assert_eq!(items.leave[item(&problem, "ns/guest")], 17_026);
    let web = item(&problem, "ns/web-0");
    assert_eq!((items.leave[web], items.ready[web]), (30_000, 40_000), "the median of 20, 40, 90");
    let db = item(&problem, "ns/db-0");
    assert_eq!((items.leave[db], items.ready[db]), (30_000, 60_000), "its end, then 30 s");
    // 240 s restart, 10 s hook, 5 s around them.
    assert_eq!((problem.instance.nodes.head[0], problem.instance.nodes.tail[0]), (7_000, 255_000));
    assert_eq!(problem.instance.groups[0].soak, 100_000);
    assert_eq!((problem.instance.slots.cluster, problem.instance.slots.per_node), (5, 2));
}

#[test]
fn replicas_apart_wait_for_their_node_where_every_node_has_one() {
    let mut stage = Stage::default();
    stage.node("a", "z1").node("b", "z1").node("c", "z2");
    for (index, node) in ["a", "b", "c"].into_iter().enumerate() {
        stage.pod("StatefulSet", "quorum", index, node, apart("quorum", HOST, asks(100, 1)));
        stage.pod("ReplicaSet", "even", index, node, spread("even", asks(100, 1)));
    }
    for (index, node) in ["a", "b"].into_iter().enumerate() {
        stage.pod("StatefulSet", "pair", index, node, apart("pair", HOST, asks(100, 1)));
    }
    let problem = made(&stage, &plan(&["a", "b", "c"]));
    for index in 0..3 {
        assert_eq!(landing(&problem, &format!("ns/quorum-{index}")), Landing::SameNode);
    }
    assert_eq!(landing(&problem, "ns/pair-0"), Landing::Elsewhere, "c is free");
    // Three over two zones with a skew of one: two together at most. The zone z1 has them on a and b.
    let owner = problem.instance.items.owner[item(&problem, "ns/even-0")];
    let owner = &problem.instance.owners[owner as usize];
    assert_eq!((owner.most, owner.name.as_str()), (2, "ReplicaSet ns/even"));
    assert_eq!(landing(&problem, "ns/even-0"), Landing::Elsewhere, "b is in its zone");
    assert_eq!(landing(&problem, "ns/even-2"), Landing::SameNode, "z1 is full, and c alone in z2");
}

#[test]
fn budgets_say_what_they_allow_now_and_at_best() {
    let mut stage = Stage::default();
    stage.node("a", "z").node("b", "z");
    for index in 0..4 {
        stage.pod("ReplicaSet", "web", index, "a", asks(100, 1));
        stage.pod("ReplicaSet", "new", index, "a", asks(100, 1));
    }
    stage.pod("ReplicaSet", "one", 0, "a", asks(100, 1));
    stage.budget_with("web", "web", 4, 2, |b| b.disruptions_allowed = 1);
    stage.budget("one", "one", 1, 1).budget("idle", "nobody", 0, 0);
    // Not seen by its controller yet: a third of four, rounded up, may go.
    stage.budget_with("new", "new", 0, 0, |b| {
        b.observed_generation = 0;
        b.min_available = None;
        b.max_unavailable = Some("33%".into());
    });
    stage.budget("one-too", "one", 1, 0);
    let problem = made(&stage, &plan(&["a"]));
    let found: Vec<_> = problem
        .instance
        .budgets
        .iter()
        .zip(&problem.budgets)
        .map(|(b, t)| (b.name.as_str(), b.allowed, t.most))
        .collect();
    assert_eq!(
        found,
        [("ns/idle", 0, 0), ("ns/new", 2, 2), ("ns/one", 0, 0), ("ns/one-too", 1, 1), ("ns/web", 1, 2)]
    );
    assert_eq!(problem.instance.budgets[4].returns, [30_000]);
    assert_eq!(problem.instance.items.budget[item(&problem, "ns/web-3")], 4);
    let one = item(&problem, "ns/one-0") as u32;
    assert_eq!(problem.refused, [(one, vec![2, 3])]);
    assert_eq!(problem.instance.items.budget[one as usize], NONE);
}

/// 30 s to end, 30 s to get Ready.
#[test]
fn a_surged_pod_and_one_past_its_budget_take_their_time_and_nothing_from_the_budget() {
    let mut stage = Stage::default();
    stage.node("a", "z").node("b", "z");
    stage.pod("StatefulSet", "db", 0, "a", asks(100, 1)).scalable("db", 1).budget("db", "db", 1, 1);
    stage.pod("ReplicaSet", "web", 0, "a", asks(100, 1)).budget("web", "web", 1, 1);
    stage.pod("ReplicaSet", "api", 0, "a", asks(100, 1)).budget("api", "api", 2, 1);
    let mut plan = plan(&["a"]);
    plan.drain.surge = Surge::SingleReplica;
    plan.drain.overrides = vec![over(WorkloadKind::ReplicaSet, "web"), over(WorkloadKind::ReplicaSet, "api")];
    let problem = made(&stage, &plan);
    let items = &problem.instance.items;
    let of = |name: &str| {
        let item = item(&problem, name);
        (items.leave[item], items.ready[item], items.budget[item])
    };
    // A second one first, then its end, then it starts again under its name.
    assert_eq!(of("ns/db-0"), (60_000, 90_000, NONE));
    // Ten minutes of respect, then its end; its set replaces it meanwhile.
    assert_eq!(of("ns/web-0"), (630_000, 630_000, NONE));
    // Its budget lets it go.
    assert_eq!(of("ns/api-0"), (30_000, 30_000, 0));
    assert!(problem.singles.is_empty());
    plan.drain = v1alpha1::Drain::default();
    let problem = made(&stage, &plan);
    let items = &problem.instance.items;
    let db = item(&problem, "ns/db-0");
    assert_eq!((items.leave[db], items.ready[db], items.budget[db]), (30_000, 60_000, 1));
    assert_eq!(problem.singles.len(), 1);
}

#[test]
fn pods_that_count_with_others_are_items_on_any_node_and_guests_that_cannot_move_are_told() {
    let mut stage = Stage::default();
    stage.node("a", "z").node("b", "z");
    stage.pod("ReplicaSet", "web", 0, "a", asks(100, 1)).pod("ReplicaSet", "web", 1, "b", asks(100, 1));
    stage.budget("web", "web", 2, 1);
    stage.vm("stuck", "a", 2, false);
    stage.pod_with("", "bare", 0, "a", asks(100, 1), |p| p.controller = None);
    let problem = made(&stage, &plan(&["a"]));
    assert_eq!(problem.instance.items.name, ["ns/bare-0", "ns/stuck", "ns/web-0", "ns/web-1"]);
    assert_eq!(landing(&problem, "ns/bare-0"), Landing::Nowhere);
    let stranded = &problem.stranded[0];
    assert_eq!((stranded.item, stranded.reason.as_str()), (1, "DisksNotLiveMigratable"));
    let kinds: Vec<String> =
        problem.workload_of.iter().map(|w| problem.workloads[*w as usize].to_string()).collect();
    assert_eq!(kinds, ["Pod ns/bare-0", "VirtualMachine ns/stuck", "ReplicaSet ns/web", "ReplicaSet ns/web"]);
}

#[test]
fn a_replica_set_with_its_hash_is_its_deployment() {
    let mut stage = Stage::default();
    stage.node("a", "z");
    stage.pod_with("ReplicaSet", "web", 0, "a", asks(100, 1), |p| {
        Arc::make_mut(&mut p.labels).insert("pod-template-hash".into(), "5d9".into());
        if let Some(owner) = &mut p.controller {
            Arc::make_mut(owner).name = "web-5d9".into();
        }
    });
    let problem = made(&stage, &plan(&["a"]));
    assert_eq!(problem.workloads[0], Workload { kind: "Deployment".into(), name: name("web") });
}

#[test]
fn limits_are_those_of_campaign_zone_and_group() {
    let mut stage = Stage::default();
    for (node, zone) in [("a", "z1"), ("b", "z1"), ("c", "z2"), ("d", "z2")] {
        stage.node(node, zone);
    }
    let group = |name: &str, nodes: &[&str], after: &[&str]| Group {
        name: name.into(),
        nodes: NodeSelection { names: nodes.iter().map(|n| (*n).to_owned()).collect(), selector: None },
        depends_on: after.iter().map(|n| (*n).to_owned()).collect(),
        ..Group::default()
    };
    let mut plan = MaintenancePlanSpec {
        groups: vec![group("late", &["b", "c", "d"], &["first"]), group("first", &["a"], &[])],
        ..MaintenancePlanSpec::default()
    };
    let limit = |scope, most, members: &[u32]| Limit { scope, most, members: members.to_vec() };
    // Nothing said: one node of each group at a time.
    let problem = made(&stage, &plan);
    assert_eq!(problem.instance.groups[1].after, [0]);
    assert_eq!(
        problem.instance.limits,
        [limit(Scope::Group(0), 1, &[0]), limit(Scope::Group(1), 1, &[1, 2, 3])]
    );
    plan.concurrency = Some(Concurrency {
        max_unavailable: Some(IntOrPercent::Percent(50)),
        max_unavailable_per_zone: Some(IntOrPercent::Int(1)),
        topology_key: None,
    });
    plan.groups[0].concurrency =
        Some(Concurrency { max_unavailable: Some(IntOrPercent::Int(3)), ..Concurrency::default() });
    let problem = made(&stage, &plan);
    assert_eq!(
        problem.instance.limits,
        [
            limit(Scope::Campaign, 2, &[0, 1, 2, 3]),
            limit(Scope::Zone(0), 1, &[0, 1]),
            limit(Scope::Zone(1), 1, &[2, 3]),
            limit(Scope::Group(1), 3, &[1, 2, 3]),
        ]
    );
}

#[test]
fn a_campaign_under_way_goes_on_from_where_it_is() {
    let mut stage = Stage::default();
    stage.node("a", "z").node("b", "z").node("c", "z");
    stage.change("b", |n| n.unschedulable = true);
    let plan = plan(&["a", "b", "c"]);
    let progress = Progress {
        done: ["a".to_owned()].into(),
        under_way: [("b".to_owned(), (0, 1234))].into(),
        ..Progress::default()
    };
    let problem = of(&plan, &stage.groups(&plan), &stage.inventory, &Durations::default(), &progress);
    let nodes = &problem.instance.nodes;
    assert_eq!(nodes.group, [NONE, 0, 0]);
    assert_eq!(nodes.standing, [Standing::InService, Standing::UnderWay, Standing::InService]);
    // Without hooks 5 s are expected after the drain.
    assert_eq!(nodes.tail[1], 5000 - 1234);
}

#[test]
fn pods_that_need_the_same_have_one_shape_whatever_else_differs() {
    let mut stage = Stage::default();
    stage.node("a", "z").node("b", "z");
    for index in 0..10 {
        let app = format!("app-{index}");
        stage.pod("StatefulSet", &app, 0, "a", apart(&app, HOST, asks(100, 1)));
    }
    let mut other = asks(100, 1);
    other.node_affinity =
        Some(vec![crate::inventory::NodeTerm { labels: vec![is(HOST, "b")], fields: vec![] }]);
    stage.pod("StatefulSet", "chosen", 0, "b", other);
    let problem = made(&stage, &plan(&["a", "b"]));
    assert_eq!((problem.instance.shapes.len(), problem.instance.owners.len()), (2, 10));
    assert_eq!(problem.instance.classes[0], Class::Any);
}

#[test]
fn what_nodes_have_taken_corrects_what_is_expected() {
    let mut stage = Stage::default();
    stage.node("a", "z").node("b", "z");
    let plan = plan(&["a", "b"]);
    let group = stage.groups(&plan)[0].name.clone();
    let mut durations = Durations::default();
    durations.after_drain.insert(group, Took { count: 2, sum: 50_000 });
    let problem = of(&plan, &stage.groups(&plan), &stage.inventory, &durations, &Progress::default());
    // (3 · 5 s + 50 s) / 5
    assert_eq!(problem.instance.nodes.tail, [13_000, 13_000]);
}

/// Of nodes that aren't asked about, the same room is left, whatever way it is added up.
#[test]
fn of_nodes_that_are_not_asked_about_only_the_room_counts() {
    let mut stage = Stage::default();
    stage.node("a", "z").node("b", "z").node("c", "z");
    stage.pod("DaemonSet", "agent", 0, "b", asks(50, 1));
    stage.pod("ReplicaSet", "web", 0, "a", asks(300, 1));
    stage.pod("ReplicaSet", "web", 1, "b", asks(300, 1));
    stage.pod("ReplicaSet", "api", 0, "b", asks(200, 1));
    stage.vm("guest", "b", 2, true);
    stage.pod("StatefulSet", "quorum", 0, "c", apart("quorum", HOST, asks(100, 1)));
    let plan = plan(&["a", "b", "c"]);
    let made = |asks: Option<&[&str]>| {
        let asks = asks.map(|names| names.iter().map(|n| (*n).to_owned()).collect());
        let progress =
            Progress { keeps_room: Some(jiff::Timestamp::UNIX_EPOCH), asks, ..Progress::default() };
        of(&plan, &stage.groups(&plan), &stage.inventory, &Durations::default(), &progress).instance
    };
    let items = |instance: &Instance| instance.items.name.clone();
    let free = |instance: &Instance, node: usize| {
        let width = instance.resources.len();
        let mut free: Vec<u64> = instance.nodes.capacity[node * width..][..width].to_vec();
        for item in (0..instance.items.len()).filter(|i| instance.items.node[*i] == node as u32) {
            free.iter_mut().zip(instance.demand(item as u32)).for_each(|(free, asked)| *free -= asked);
        }
        free
    };
    let (all, some) = (made(None), made(Some(&["a"])));
    assert_eq!(items(&all), ["ns/api-0", "ns/guest", "ns/quorum-0", "ns/web-0", "ns/web-1"]);
    // What keeps others apart is looked at wherever it is.
    assert_eq!(items(&some), ["ns/quorum-0", "ns/web-0"]);
    assert_eq!(free(&some, 1)[0], 4000 - 50 - 300 - 200 - all.demand(1)[0]);
    for node in 0..3 {
        assert_eq!(free(&some, node), free(&all, node), "node {node}");
    }
    assert_eq!(made(Some(&["a", "b", "c"])), all);
}

#[test]
fn what_was_evicted_a_moment_ago_keeps_room() {
    let mut stage = Stage::default();
    stage.node("a", "z").node("b", "z").node("c", "z");
    stage.change("a", |n| n.unschedulable = true);
    // One waits for a node; one is on its way out, and comes again when it has ended.
    stage.pod("ReplicaSet", "web", 0, "a", asks(300, 1));
    stage.pod("StatefulSet", "db", 0, "a", asks(200, 1));
    stage.pod("ReplicaSet", "old", 0, "a", asks(100, 1));
    // It leaves no room for any of them on the first node in service.
    stage.pod("ReplicaSet", "large", 0, "b", asks(3950, 1));
    let at = |seconds: i64| jiff::Timestamp::from_second(1_000 + seconds).expect("a time");
    let mut pods: Vec<Pod> = stage.inventory.pods().cloned().collect();
    for pod in &mut pods {
        if pod.name.name.starts_with("web") {
            (pod.node, pod.phase) = (None, crate::inventory::PodPhase::Pending);
        } else if pod.node.as_deref() == Some("a") {
            // Asked for 25 s ago: the StatefulSet's comes again all the same, another would have been replaced.
            (pod.deletion, pod.deletion_grace_seconds) = (Some(at(5)), Some(30));
        }
        stage.inventory.put_pod(pod.clone());
    }
    let plan = plan(&["a", "b", "c"]);
    let under_way = BTreeMap::from([("a".to_owned(), (0, 0))]);
    let cpu = |keeps_room: Option<jiff::Timestamp>| {
        let progress = Progress { under_way: under_way.clone(), keeps_room, ..Progress::default() };
        let problem = of(&plan, &stage.groups(&plan), &stage.inventory, &Durations::default(), &progress);
        let at = problem.instance.resources.iter().position(|r| r == "cpu").expect("cpu");
        let width = problem.instance.resources.len();
        (0..3).map(|n| problem.instance.nodes.capacity[n * width + at]).collect::<Vec<_>>()
    };
    let (without, with) = (cpu(None), cpu(Some(at(0))));
    assert_eq!(with, [without[0], without[1], without[2] - 500]);
    // 4 s after it was asked for, nobody's successor has been seen.
    assert_eq!(cpu(Some(at(-21)))[2], without[2] - 600);
}
