//! Before anything starts: what stands against a schedule, proven, named, and with what would help.
//!
//! [`nevers`] lists what never works by itself. [`find`] gives a minimal conflict: objects of which any one left out would leave
//! none. [`sort_out`] takes nodes out until there is none, for plans that go on without them.
//!
//! # Why
//! * "No schedule" stops a campaign, so it takes a proof; that a search has found none is no proof.
//! * An operator wants the fewest objects to look at, not all that take part: QuickXplain on a monotone oracle, on the objects that
//!   the oracle's own reason names, so that it is asked about a handful of them and not about forty thousand.

mod consents;
mod minimal;
mod oracle;
mod reason;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

pub use minimal::{is_minimal, minimal};
pub use oracle::Oracle;
pub use reason::Reason;

use super::consent::Setting;
use super::problem::Problem;

/// What can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A node: it isn't maintained.
    Node(u32),
    /// A budget: it allows everything.
    Budget(u32),
    /// A workload: its pods ask for nothing.
    Workload(u32),
    /// A setting of the plan: it consents.
    Setting(Setting),
}

impl Object {
    /// Nodes come first, the plan last.
    fn rank(self) -> u8 {
        match self {
            Self::Node(_) => 0,
            Self::Budget(_) => 1,
            Self::Workload(_) => 2,
            Self::Setting(_) => 3,
        }
    }
}

/// An object that takes part in a conflict, for people and machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its kind; `MaintenancePlan` for the plan itself.
    pub kind: String,
    /// Its namespace; empty for a node and the plan.
    pub namespace: String,
    /// Its name; empty for the plan.
    pub name: String,
    /// The field to change; of a node, that of the plan.
    pub field: String,
    /// What to change it to, in words.
    pub help: String,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.namespace.as_str(), self.name.as_str()) {
            ("", "") => f.write_str(&self.kind),
            ("", name) => write!(f, "{} {name}", self.kind),
            (namespace, name) => write!(f, "{} {namespace}/{name}", self.kind),
        }
    }
}

/// Objects that can't be maintained together, and of which none can be spared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// Why, in words, with names and numbers.
    pub why: String,
    /// Who takes part; leaving out any one resolves it.
    pub members: Vec<Member>,
}

/// Something that never works, and the nodes that it keeps from maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Never {
    /// Why, in words.
    pub why: String,
    /// The object to change, with the field and what would help.
    pub member: Member,
    /// Nodes that can't be maintained for it.
    pub nodes: Vec<String>,
}

/// All that never works, each once, by kind and name of the object to change.
pub fn nevers(problem: &Problem) -> Vec<Never> {
    let oracle = Oracle::new(problem);
    // By object and field to change; the words of the first node stand for all of its nodes.
    let mut found: BTreeMap<(String, String, String, String), Never> = BTreeMap::new();
    for reason in oracle.claims() {
        let member = words::member(problem, reason, words::culprit(problem, reason));
        let about = words::member(problem, reason, words::subject(problem, reason));
        let key = (about.kind, about.namespace, about.name, member.field.clone());
        let never = || Never { why: words::why(problem, reason), member, nodes: Vec::new() };
        let nodes = &mut found.entry(key).or_insert_with(never).nodes;
        let node = words::node(problem, reason);
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    found.into_values().collect()
}

/// A minimal conflict, or `None`: no proof that there is no schedule.
pub fn find(problem: &Problem) -> Option<Conflict> {
    let oracle = Oracle::new(problem);
    find_among(problem, &oracle, &vec![true; oracle.objects()]).map(|(conflict, _)| conflict)
}

/// Takes nodes out, each with the conflict that it takes part in, until no conflict is left among the others. Which nodes remain is
/// the same for the same problem.
pub fn sort_out(problem: &Problem) -> Vec<(String, Conflict)> {
    let oracle = Oracle::new(problem);
    let mut kept = vec![true; oracle.objects()];
    let mut taken = Vec::new();
    while let Some((conflict, node)) = find_among(problem, &oracle, &kept) {
        kept[oracle.id(Object::Node(node)) as usize] = false;
        taken.push((problem.instance.nodes.name[node as usize].clone(), conflict));
    }
    taken
}

/// A minimal conflict among what is kept, with its node: each has one.
fn find_among(problem: &Problem, oracle: &Oracle<'_>, kept: &[bool]) -> Option<(Conflict, u32)> {
    let reason = oracle.check(kept)?;
    let support = oracle.support(&reason);
    let support: Vec<u32> = support.into_iter().filter(|id| kept[*id as usize]).collect();
    let found = minimal(oracle.objects(), &support, |kept| oracle.check(kept).is_some())?;
    let mut only = vec![false; oracle.objects()];
    for id in &found {
        only[*id as usize] = true;
    }
    // What is left may stand for another reason than the whole did.
    let reason = oracle.check(&only)?;
    let mut objects: Vec<(Object, Member)> = found
        .iter()
        .map(|id| oracle.object(*id))
        .map(|object| (object, words::member(problem, &reason, object)))
        .collect();
    objects.sort_by_cached_key(|(object, m)| {
        (object.rank(), m.kind.clone(), m.namespace.clone(), m.name.clone())
    });
    let members = objects.into_iter().map(|(_, member)| member).collect();
    let why = words::why(problem, &reason);
    Some((Conflict { why, members }, words::node_id(&reason)))
}
