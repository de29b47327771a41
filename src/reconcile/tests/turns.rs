//! Which waiting nodes are asked about, and when.

use super::*;
use crate::inventory::Budget;
use crate::schedule::Wait;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Nodes `n01` to `n66` with a pod each under one budget that can spare none now; `a0` and `a1` are in work.
fn case() -> Case {
    let at_work = |name: &str| node(name, NodePhase::InMaintenance, false, NO_TIME);
    let names: Vec<String> = (1..=66).map(|n| format!("n{n:02}")).collect();
    let waiting = names.iter().map(|name| node(name, NodePhase::Pending, false, NO_TIME));
    let pods = names.iter().map(|name| {
        let mut pod = pod(&format!("db-{name}"), name);
        Arc::make_mut(&mut pod.labels).insert("app".into(), "db".into());
        pod
    });
    let plan = "  concurrency: {maxUnavailable: 5}\n  steering: None\n  hooks: [{name: h, at: Maintenance, waitFor: {condition: Ready}}]\n";
    let nodes = [at_work("a0"), at_work("a1")].into_iter().chain(waiting).collect();
    let mut case = Case::new(plan, nodes, pods.collect());
    let labels = [("app".to_owned(), "db".to_owned())].into();
    case.inventory.put_budget(Budget {
        name: ObjectName::new("shop", "db"),
        selector: Some(LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }),
        min_available: Some("65".into()),
        observed_generation: 1,
        generation: 1,
        expected_pods: 66,
        desired_healthy: 65,
        current_healthy: 65,
        ..Budget::default()
    });
    case
}

fn decide_after(case: &mut Case, ms: i64) -> Decision {
    case.now = now() + SignedDuration::from_millis(ms);
    case.decide()
}

fn begun(decision: &Decision) -> Vec<String> {
    decision.effects.iter().map(words).filter(|w| w.ends_with(" cordon")).collect()
}

/// 68 nodes: the rules are asked 340 ms apart, about all nodes 1.36 s apart.
#[test]
fn the_first_are_asked_about_often_and_all_now_and_then() {
    let mut case = case();
    let first = case.decide();
    assert_eq!(begun(&first), [""; 0]);
    case.ledger.turns = first.turns;

    // The last node has become free, and something has happened.
    case.inventory.remove_pod(&ObjectName::new("shop", "db-n66"));
    case.inventory.put_node(node("a1", NodePhase::Done, false, NO_TIME));
    let soon = decide_after(&mut case, 200);
    assert_eq!(begun(&soon), [""; 0], "too soon to ask again");

    let second = decide_after(&mut case, 400);
    assert_eq!(begun(&second), [""; 0], "64 are asked about");
    let all_at = now() + SignedDuration::from_millis(4 * 340);
    assert!(
        second.wake_at.is_some_and(|at| at <= all_at),
        "all are, even if nothing happens: {:?}",
        second.wake_at
    );
    let waits = |name: &str| second.nodes[name].holds.first().cloned();
    let budget = Wait::Budget { budget: ObjectName::new("shop", "db") };
    assert_eq!(waits("n64"), Some(Hold::Turn { wait: budget }));
    assert_eq!(waits("n65"), Some(Hold::Turn { wait: Wait::Limit }));
    case.ledger.turns = second.turns;

    assert_eq!(begun(&decide_after(&mut case, 1300)), [""; 0]);
    assert_eq!(begun(&decide_after(&mut case, 1400)), ["n66: Cordoned cordon"]);
}

/// The limit leaves room for four, and four of the first sixteen may begin: nobody has to know more.
#[test]
fn whom_the_limits_hold_is_not_asked_about() {
    let mut case = case();
    case.inventory.remove_budget(&ObjectName::new("shop", "db"));
    let first = case.decide();
    assert_eq!(begun(&first).len(), 3);
    case.ledger.turns = first.turns;
    let back = Node { unschedulable: false, ..node("a1", NodePhase::Done, false, NO_TIME) };
    case.inventory.put_node(back);
    let second = decide_after(&mut case, 400);
    let names = ["n01", "n02", "n03", "n04"].map(|name| format!("{name}: Cordoned cordon"));
    assert_eq!(begun(&second), names);
    let held = |name: &str| second.nodes[name].holds.first();
    assert_eq!(held("n05"), Some(&Hold::Turn { wait: Wait::Limit }), "it was asked about");
    for name in ["n17", "n66"] {
        let held = held(name);
        assert!(matches!(held, Some(Hold::Concurrency { limit: 5, .. })), "{name}: {held:?}");
    }
}

/// Nobody has begun or come back since they were to begin, so the cordons were refused: their turn hasn't passed.
#[test]
fn whose_cordon_met_another_write_begins_after_one_pause() {
    let mut case = case();
    case.inventory.remove_budget(&ObjectName::new("shop", "db"));
    let first = case.decide();
    let names = ["n01", "n02", "n03"].map(|name| format!("{name}: Cordoned cordon"));
    assert_eq!(begun(&first), names);
    case.ledger.turns = first.turns;
    assert_eq!(begun(&decide_after(&mut case, 200)), [""; 0], "too soon to ask again");
    assert_eq!(begun(&decide_after(&mut case, 400)), names);
}
