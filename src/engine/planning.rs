//! What the planner says before a campaign begins: what stands against it, and the order in which its nodes go.

use jiff::Timestamp;

use crate::inventory::Inventory;
use crate::journal::EventKind;
use crate::plan::v1alpha1::{CampaignNode, MaintenanceCampaignStatus, MaintenancePlanSpec};
use crate::reconcile::{GroupNodes, NodePhase, NodeState};
use crate::schedule::conflict::Conflict;
use crate::schedule::instance::Millis;
use crate::schedule::problem::{self, Durations, Problem, Progress};
use crate::schedule::search::{self, Effort};
use crate::schedule::{Guide, Planned, TakenOut};

/// A new order on the way has to be better by so much, in percent: another one would only be hard to follow.
const WORTH_A_CHANGE: Millis = 2;

/// A campaign that goes on: what it has begun is carried through, whatever stands against it now. What has failed by its record isn't
/// due any more; what is to be tried again isn't in it.
pub(super) fn resumed(
    plan: &MaintenancePlanSpec,
    groups: &[GroupNodes],
    inventory: &Inventory,
    status: &MaintenanceCampaignStatus,
    durations: &Durations,
    now: Timestamp,
) -> Planned {
    let mut progress = Progress::default();
    for node in &status.nodes {
        let phase = NodePhase::named(&node.phase);
        if phase.is_active() {
            let state = inventory.node(&node.name).and_then(NodeState::of).and_then(Result::ok);
            let over = state.and_then(|state| state.over(now)).unwrap_or_default();
            progress.under_way.insert(node.name.clone(), over);
        } else if phase.is_terminal() {
            progress.done.insert(node.name.clone());
        }
    }
    let problem = problem::of(plan, groups, inventory, durations, &progress);
    Planned { problem, taken_out: TakenOut::new() }
}

/// The order in which the nodes go, with its forecast.
pub(super) fn guide(problem: &Problem, effort: Effort) -> (Guide, EventKind) {
    let found = search::plan(&problem.instance, effort);
    let (score, bound) = (&found.schedule.score, found.bounds.makespan());
    let forecast = EventKind::Planned {
        makespan_ms: score.makespan,
        lower_bound_ms: bound,
        extra_moves: score.extra_moves,
        least_extra_moves: found.least_extra_moves,
    };
    (Guide::of(&problem.instance, &found.rules), forecast)
}

/// A better order for what is left, if there is one that is worth a change.
pub(super) fn better(guide: &Guide, problem: &Problem, effort: Effort) -> Option<Guide> {
    let found = search::plan(&problem.instance, effort);
    let score = &found.schedule.score;
    let is_better = match guide.makespan(problem, true) {
        Some(makespan) => score.makespan.saturating_mul(100 + WORTH_A_CHANGE) < makespan.saturating_mul(100),
        None => true,
    };
    (is_better && score.unfinished == 0).then(|| Guide::of(&problem.instance, &found.rules))
}

/// Puts nodes that were taken out on record.
pub(super) fn take_out(
    taken: TakenOut,
    groups: &[GroupNodes],
    now: Timestamp,
    status: &mut MaintenanceCampaignStatus,
) {
    for (name, conflict) in taken {
        let group = groups.iter().find(|g| g.nodes.contains(&name)).map(|g| g.name.clone());
        let record = CampaignNode {
            group: group.unwrap_or_default(),
            name,
            wave: 0,
            phase: NodePhase::Skipped.name().to_owned(),
            reason: Some(words(&conflict)),
            started_at: Some(now),
            finished_at: Some(now),
            ..CampaignNode::default()
        };
        status.nodes.push(record.into());
    }
}

/// Why there is no way, and what would help: of the objects that take part, the one to look at first is no node.
fn words(conflict: &Conflict) -> String {
    match conflict.members.iter().find(|m| m.kind != "Node") {
        Some(member) => {
            format!("{}; {member}: {}: {}", conflict.why, member.field, member.help)
        }
        None => conflict.why.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Node;

    #[test]
    fn nodes_that_are_through_are_not_due_whatever_came_of_them() {
        let mut inventory = Inventory::new();
        for name in ["w1", "w2", "w3", "w4", "w5"] {
            inventory.put_node(Node { name: name.into(), ..Node::default() });
        }
        let text = "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: p}\nspec:\n  groups: [{name: all, nodes: {selector: {}}}]\n";
        let plan = crate::plan::load("plan.yaml", text).expect("a plan").plan.spec;
        let groups = crate::schedule::resolve(&plan, &inventory).expect("groups");
        let node = |name: &str, phase: NodePhase| {
            let (name, group, phase) = (name.into(), "all".into(), phase.name().into());
            CampaignNode { name, group, phase, ..CampaignNode::default() }.into()
        };
        let status = MaintenanceCampaignStatus {
            nodes: vec![
                node("w1", NodePhase::Done),
                node("w2", NodePhase::Failed),
                node("w3", NodePhase::Skipped),
                node("w4", NodePhase::Draining),
            ],
            ..MaintenanceCampaignStatus::default()
        };
        let planned =
            resumed(&plan, &groups, &inventory, &status, &Durations::default(), Timestamp::UNIX_EPOCH);
        let nodes = &planned.problem.instance.nodes;
        let due = (0..5).filter(|n| nodes.is_due(*n)).map(|n| nodes.name[n as usize].as_str());
        assert_eq!(due.collect::<Vec<_>>(), ["w4", "w5"]);
    }
}
