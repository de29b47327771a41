//! Nobody is in work, and nobody may begin: that ends by the drain's timeout, as a drain does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::*;
use crate::inventory::Budget;

/// One node with a pod whose budget can spare none now: of its two pods, the other isn't Ready, wherever it is.
fn held(text: &str) -> Case {
    let text = format!("{text}  steering: None\n");
    let mut case =
        Case::new(&text, vec![node("w1", NodePhase::Pending, false, NO_TIME)], vec![pod("a", "w1")]);
    case.inventory.put_budget(Budget {
        name: ObjectName::new("shop", "web"),
        selector: Some(LabelSelector::default()),
        min_available: Some("1".into()),
        observed_generation: 1,
        generation: 1,
        expected_pods: 2,
        desired_healthy: 1,
        current_healthy: 1,
        disruptions_allowed: 0,
        ..Budget::default()
    });
    case
}

/// What becomes of the node so many minutes after nobody could begin.
fn after(case: &mut Case, minutes: i64) -> (String, Option<Timestamp>) {
    let first = case.decide();
    assert_eq!(first.effects.iter().map(words).collect::<Vec<_>>(), Vec::<String>::new());
    case.ledger.turns = first.turns;
    case.now = now() + SignedDuration::from_mins(minutes);
    let decision = case.decide();
    case.ledger.turns = decision.turns;
    let record = decision.status.nodes.iter().find(|n| n.name == "w1");
    let said = record.map(|n| format!("{}: {}", n.phase, n.reason.as_deref().unwrap_or_default()));
    (said.unwrap_or_default(), decision.wake_at)
}

#[test]
fn nodes_that_stand_idle_end_by_the_drains_timeout() {
    let mut case = held("  drain: {timeout: 30m}\n");
    let (said, wakes) = after(&mut case, 29);
    assert_eq!(said, "");
    assert_eq!(wakes.map(|at| at <= now() + SignedDuration::from_mins(30)), Some(true), "{wakes:?}");
    let begins = "not begun: waited 30m while no node was in work: ";
    for (on_timeout, phase) in [("Fail", "Failed"), ("Skip", "Skipped")] {
        let mut case = held(&format!("  drain: {{timeout: 30m, onTimeout: {on_timeout}}}\n"));
        let (said, _) = after(&mut case, 30);
        assert!(said.starts_with(&format!("{phase}: {begins}")) && said.contains("shop/web"), "{said}");
    }
    let (said, _) = after(&mut held("  drain: {timeout: 30m, onTimeout: Wait}\n"), 3000);
    assert_eq!(said, "");
}

/// A node that is in work keeps the others from standing idle: the time counts anew when it is through.
#[test]
fn nobody_stands_idle_beside_a_node_in_work() {
    let mut case = held("  drain: {timeout: 30m}\n  concurrency: {maxUnavailable: 2}\n");
    case.inventory.put_node(node("w2", NodePhase::InMaintenance, false, NO_TIME));
    case.plan.hooks = plan("  hooks: [{name: h, at: Maintenance, exec: ['true'], timeout: 10h}]\n").hooks;
    let first = case.decide();
    case.ledger.turns = first.turns;
    case.now = now() + SignedDuration::from_hours(2);
    let later = case.decide();
    assert!(matches!(later.nodes["w1"].holds[..], [Hold::Turn { .. }]), "{:?}", later.nodes["w1"]);
    assert!(later.status.nodes.iter().all(|n| n.name != "w1"), "{:?}", later.status.nodes);
}
