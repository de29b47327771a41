//! The planner's part in a run: whose turn it is now, on what is observed now.
//!
//! # Why
//! A forecast is played from the moment of planning on; a run takes other times, and the cluster drifts. So the run takes over the
//! planner's *order* and its *rules*, and asks them anew whenever a node could begin: what is under way, what the budgets allow
//! and where there is room at this moment decide. A slow node changes the order, and never the safety.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::decode::{self, After, BudgetRule, Placing, Rules};
use super::forecast::Hold;
use super::instance::{Instance, Millis, UNLIMITED};
use super::model::Model;
use super::problem::{Problem, Workload};
use crate::inventory::{Lookup, ObjectName};

/// An order of nodes with its rules, by names: the cluster may change under them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guide {
    place: Lookup<String, usize>,
    budgets: BudgetRule,
    own_budgets: BTreeMap<String, BudgetRule>,
    spare_slots: u32,
    opening: u32,
    unsettled: u32,
    after: Vec<(String, String, bool)>,
}

impl Default for Guide {
    /// No order of its own: nodes go by name, each when nothing holds it.
    fn default() -> Self {
        let rules = Rules::new(Vec::new());
        Self {
            place: Lookup::default(),
            budgets: rules.budgets,
            own_budgets: BTreeMap::new(),
            spare_slots: rules.spare_slots,
            opening: rules.opening,
            unsettled: rules.unsettled,
            after: Vec::new(),
        }
    }
}

/// Why it isn't a node's turn, with names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// A limit on unavailable nodes is used up by nodes whose turn it is before.
    Limit,
    /// The nodes in work use all migration slots.
    Slots {
        /// Live migrations at once in the cluster.
        slots: u32,
    },
    /// A budget can't spare what the drain would take from it.
    Budget {
        /// The budget.
        budget: ObjectName,
    },
    /// Something that would have to leave has no place on another node.
    Place {
        /// Its owner.
        workload: Workload,
    },
    /// Until the first node is back, no more begin than the migration slots can feed.
    Opening,
    /// Another node goes first.
    After {
        /// That node.
        node: String,
    },
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit => f.write_str("other nodes go first under the plan's limits"),
            Self::Slots { slots } => write!(
                f,
                "the nodes in work use all {slots} live migrations that KubeVirt runs at once; one node more would only be away longer"
            ),
            Self::Budget { budget } => {
                write!(f, "budget {budget} can't spare now what this node's drain takes from it")
            }
            Self::Place { workload } => write!(f, "{workload} has no place on another node now"),
            Self::Opening => {
                f.write_str("no more nodes begin before the first is back: their VMs would only move twice")
            }
            Self::After { node } => write!(f, "it goes better after {node}"),
        }
    }
}

impl Guide {
    /// Of what the planner found for an instance.
    pub fn of(instance: &Instance, rules: &Rules) -> Self {
        let name = |node: u32| instance.nodes.name[node as usize].clone();
        Self {
            place: rules.order.iter().map(|n| name(*n)).zip(0..).collect(),
            budgets: rules.budgets,
            own_budgets: rules.own_budgets.iter().map(|(n, rule)| (name(*n), *rule)).collect(),
            spare_slots: rules.spare_slots,
            opening: rules.opening,
            unsettled: rules.unsettled,
            after: rules.after.iter().map(|a| (name(a.node), name(a.first), a.back)).collect(),
        }
    }

    /// Nodes in this order; those that it doesn't know are last, by name.
    pub fn sorted<'a>(&self, nodes: &BTreeSet<&'a str>) -> Vec<&'a str> {
        let mut nodes: Vec<&str> = nodes.iter().copied().collect();
        nodes.sort_by_cached_key(|node| self.place.get(*node).copied().unwrap_or(usize::MAX));
        nodes
    }

    /// The rules for an instance of this moment, over these of its nodes. `returned`: a node has come back already.
    fn rules(&self, instance: &Instance, mut order: Vec<u32>, returned: bool) -> Rules {
        let names = &instance.nodes.name;
        let place = |n: &u32| self.place.get(&names[*n as usize]).copied().unwrap_or(usize::MAX);
        order.sort_by_cached_key(|n| (place(n), *n));
        let ids: BTreeMap<&str, u32> = names.iter().map(String::as_str).zip(0..).collect();
        let id = |name: &str| ids.get(name).copied();
        Rules {
            budgets: self.budgets,
            own_budgets: self.own_budgets.iter().filter_map(|(n, rule)| Some((id(n)?, *rule))).collect(),
            spare_slots: self.spare_slots,
            opening: if returned { UNLIMITED } else { self.opening },
            placing: Placing::Reserve,
            unsettled: self.unsettled,
            after: self
                .after
                .iter()
                .filter_map(|(node, first, back)| {
                    Some(After { node: id(node)?, first: id(first)?, back: *back })
                })
                .collect(),
            ..Rules::new(order)
        }
    }

    /// The makespan of this order from here on; `None` if it has no way for some node.
    pub fn makespan(&self, problem: &Problem, returned: bool) -> Option<Millis> {
        let instance = &problem.instance;
        let due = (0..instance.nodes.len() as u32).filter(|n| instance.nodes.is_due(*n)).collect();
        let score = decode::score(&Model::new(instance), &self.rules(instance, due, returned));
        (score.unfinished == 0).then_some(score.makespan)
    }

    /// Whose turn it is: the waiting nodes in their order, each with why it has to wait, if so.
    ///
    /// `problem` is that of this moment, with the nodes that are under way. `waiting` are the nodes that nothing else holds: groups,
    /// waves and soaks are the caller's affair; `asked` those of them that are asked about. Those that may begin may all begin
    /// together.
    pub fn turns(
        &self,
        mut problem: Problem,
        waiting: &BTreeSet<&str>,
        asked: &BTreeSet<&str>,
        returned: bool,
    ) -> Vec<(String, Option<Wait>)> {
        let instance = &mut problem.instance;
        // Whoever asks has seen to groups and waves.
        instance.groups.iter_mut().for_each(|group| group.after.clear());
        instance.strategy = super::instance::Strategy::Rolling;
        let instance = &problem.instance;
        let model = Model::new(instance);
        let nodes = &instance.nodes;
        let is_in = |n: &u32| {
            let under_way = nodes.standing[*n as usize] == super::instance::Standing::UnderWay;
            nodes.is_due(*n) && (under_way || waiting.contains(nodes.name[*n as usize].as_str()))
        };
        let order: Vec<u32> = (0..nodes.len() as u32).filter(is_in).collect();
        let rules = self.rules(instance, order, returned);
        let is_asked = |node: u32| asked.contains(nodes.name[node as usize].as_str());
        let turns = decode::turns(&model, &rules, is_asked).into_iter();
        turns
            .map(|(node, hold)| (nodes.name[node as usize].clone(), hold.map(|h| wait(&problem, h))))
            .collect()
    }
}

fn wait(problem: &Problem, hold: Hold) -> Wait {
    match hold {
        Hold::Limit { .. } | Hold::Group { .. } | Hold::Wave { .. } | Hold::Stage | Hold::Inbound => {
            Wait::Limit
        }
        Hold::Slots => Wait::Slots { slots: problem.instance.slots.cluster },
        Hold::Budget { budget } => Wait::Budget { budget: problem.budgets[budget as usize].name.clone() },
        Hold::Place { item } => {
            Wait::Place { workload: problem.workloads[problem.workload_of[item as usize] as usize].clone() }
        }
        Hold::Opening => Wait::Opening,
        Hold::After { node } => Wait::After { node: problem.instance.nodes.name[node as usize].clone() },
    }
}
