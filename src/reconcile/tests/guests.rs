//! The record of the guests follows what has changed since it was written.

use super::*;
use crate::inventory::{VirtualMachineInstance, VmiPhase};

fn vmi(name: &str, node: &str) -> VirtualMachineInstance {
    VirtualMachineInstance {
        name: ObjectName::new("prod", name),
        uid: format!("u-{name}"),
        node: Some(node.into()),
        phase: VmiPhase::Running,
        ..VirtualMachineInstance::default()
    }
}

/// Each VM with its node, moves and outcome.
fn told(decision: &Decision) -> Vec<String> {
    let vms = decision.status.virtual_machines.iter();
    vms.map(|v| format!("{} {} {} {:?}", v.name, v.node.as_deref().unwrap_or("-"), v.moves, v.outcome))
        .collect()
}

#[test]
fn what_the_record_was_written_with_is_not_looked_at_again() {
    let nodes = ["w1", "w2"].map(|name| node(name, NodePhase::Pending, false, NO_TIME));
    let mut case = Case::new("  concurrency: {maxUnavailable: 1}\n", nodes.into(), Vec::new());
    for name in ["a", "b", "c"] {
        case.inventory.put_vmi(vmi(name, "w1"));
    }
    let first = case.decide();
    assert_eq!(told(&first), ["a w1 0 Untouched", "b w1 0 Untouched", "c w1 0 Untouched"]);

    // Written; then one moves, one goes for good, and a fourth comes.
    (case.status, case.ledger.guests_recorded) = (first.status, case.inventory.guests_seen());
    case.inventory.put_vmi(vmi("b", "w2"));
    case.inventory.remove_vmi(&ObjectName::new("prod", "c"));
    case.inventory.put_vmi(vmi("aa", "w2"));
    let second = case.decide();
    let expected = ["a w1 0 Untouched", "aa w2 0 Untouched", "b w2 1 Migrated", "c w1 0 Stopped"];
    assert_eq!(told(&second), expected);
    // Until that is written, it is said again.
    assert_eq!(told(&case.decide()), expected);

    // Nothing of it is said of the same again, and a new driver, who knows nothing, says no more than this one.
    (case.status, case.ledger.guests_recorded) = (second.status, case.inventory.guests_seen());
    assert_eq!(told(&case.decide()), expected);
    case.ledger.guests_recorded = 0;
    assert_eq!(told(&case.decide()), expected);

    // What a driver that has come later finds gone has gone, too.
    case.inventory = Inventory::new();
    case.inventory.put_node(node("w1", NodePhase::Pending, false, NO_TIME));
    let gone: Vec<String> = told(&case.decide());
    assert_eq!(gone, ["a w1 0 Stopped", "aa w2 0 Stopped", "b w2 1 Stopped", "c w1 0 Stopped"]);
}
