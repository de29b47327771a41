//! A node's place in a plan: its time in the schedule and what it waits for, or what stands against every schedule.

use serde::Serialize;

use super::{Forecast, Planned, after, lines, list};
use crate::report::outlook::{LearnedOf, Outlook, OutlookLearned, OutlookNode};
use crate::schedule::conflict::{Conflict, Never};

/// A node's place in a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum InPlan {
    /// The plan isn't about it.
    NotMeant,
    /// The plan's campaign has it behind it.
    Through,
    /// It has a time.
    #[serde(rename_all = "camelCase")]
    Scheduled {
        /// From 1, in the order of starts.
        position: usize,
        /// Of so many nodes.
        of: usize,
        /// Its times and what holds it.
        node: OutlookNode,
        /// How far the node is that it waits for.
        #[serde(skip_serializing_if = "Option::is_none")]
        then: Option<String>,
        /// Nodes that wait for this one.
        awaited_by: Vec<String>,
        /// Its durations that are taken from what nodes have shown.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        learned: Vec<OutlookLearned>,
    },
    /// The planner found no way, which proves nothing.
    #[serde(rename_all = "camelCase")]
    NotPlaced {
        /// What holds it.
        why: String,
    },
    /// No schedule of the plan exists.
    #[serde(rename_all = "camelCase")]
    NoSchedule {
        /// The conflict.
        conflict: Conflict,
        /// This node takes part in it.
        concerned: bool,
        /// What keeps this node from maintenance for good.
        nevers: Vec<Never>,
    },
}

fn scheduled(outlook: &Outlook, name: &str) -> InPlan {
    let Some(index) = outlook.nodes.iter().position(|n| n.name == name) else {
        let held = outlook.not_placed.iter().find(|n| n.name == name);
        return InPlan::NotPlaced { why: held.map_or_else(String::new, |n| n.why.clone()) };
    };
    let node = &outlook.nodes[index];
    let other = outlook.nodes.iter().find(|n| Some(&n.name) == node.waits_for.as_ref());
    let waits = outlook.nodes.iter().filter(|n| n.waits_for.as_deref() == Some(name));
    InPlan::Scheduled {
        position: index + 1,
        of: outlook.nodes.len(),
        node: node.clone(),
        then: other.map(|other| progress(other, node.start_seconds)),
        awaited_by: waits.map(|n| n.name.clone()).collect(),
        learned: outlook.learned.iter().filter(|l| is_of(l, &node.group)).cloned().collect(),
    }
}

/// What isn't of one group goes for all.
fn is_of(learned: &OutlookLearned, group: &str) -> bool {
    !matches!(&learned.of, LearnedOf::AfterDrain { group: of } if of != group)
}

/// How far a node is at a moment.
fn progress(node: &OutlookNode, at: f64) -> String {
    let name = &node.name;
    if at >= node.end_seconds {
        format!("{name} is back in service")
    } else if at >= node.drained_seconds {
        format!("{name} is drained")
    } else {
        format!("{name} is draining and has come far enough")
    }
}

impl InPlan {
    /// Of a node of the cluster.
    pub(super) fn of(plan: &Planned<'_>, name: &str) -> Self {
        if !plan.groups.iter().any(|g| g.nodes.iter().any(|n| n == name)) {
            return Self::NotMeant;
        }
        if plan.done.contains(name) {
            return Self::Through;
        }
        match &plan.forecast {
            Forecast::Schedule(outlook) => scheduled(outlook, name),
            Forecast::Against(conflict, nevers) => Self::NoSchedule {
                concerned: conflict.members.iter().any(|m| m.kind == "Node" && m.name == name),
                conflict: conflict.clone(),
                nevers: nevers.iter().filter(|n| n.nodes.iter().any(|n| n == name)).cloned().collect(),
            },
        }
    }

    /// For a terminal; `in_work`: a campaign has the node already.
    pub(super) fn text(&self, plan: &str, in_work: bool) -> String {
        match self {
            Self::NotMeant => format!("Plan {plan} is not about this node."),
            Self::Through => format!("In plan {plan} it is done."),
            Self::Scheduled { position, of, node, then, awaited_by, learned } => {
                let mut text =
                    format!("In plan {plan} it is number {position} of {of}, in group {}", node.group);
                let ends = format!(
                    "drained {}, back in service {}",
                    after(node.drained_seconds),
                    after(node.end_seconds)
                );
                let mut told = if in_work {
                    vec![("in work", ends)]
                } else {
                    vec![("starts", format!("{}, {ends}", after(node.start_seconds)))]
                };
                match (&node.why, then) {
                    (None, _) if in_work => {}
                    (None, _) => told.push(("waits", "for nothing: it starts at once".to_owned())),
                    (Some(why), None) => told.push(("waits", why.clone())),
                    (Some(why), Some(then)) => {
                        told.push(("waits", why.clone()));
                        told.push(("until", format!("{} {then}", after(node.start_seconds))));
                    }
                }
                told.extend(learned.iter().map(|learned| ("learned", learned.words())));
                if !awaited_by.is_empty() {
                    told.push(("awaited by", list(awaited_by)));
                }
                lines(&mut text, &told);
                text
            }
            Self::NotPlaced { why } => {
                format!(
                    "Plan {plan} has no time for it: {why}. No way was found, which does not prove that there is none."
                )
            }
            Self::NoSchedule { conflict, concerned, nevers } => {
                let mut text = format!("No schedule of plan {plan} exists: {}", conflict.why);
                let mut told = Vec::new();
                if !concerned && nevers.is_empty() {
                    told.push(("but", "this node takes no part in that".to_owned()));
                }
                if *concerned {
                    for member in &conflict.members {
                        told.push(("change", format!("{member}: {}: {}", member.field, member.help)));
                    }
                }
                for never in nevers.iter().filter(|n| !concerned || n.why != conflict.why) {
                    let member = &never.member;
                    told.push(("blocked", never.why.clone()));
                    told.push(("change", format!("{member}: {}: {}", member.field, member.help)));
                }
                lines(&mut text, &told);
                text
            }
        }
    }
}
