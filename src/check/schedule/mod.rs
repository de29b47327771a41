//! Judges a schedule: replays it against limits, groups, slots, budgets and capacity, and adds up its figures anew.

mod course;
mod room;
mod shared;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::schedule::forecast::{Schedule, Visit};
use crate::schedule::instance::Instance;

/// One thing that is wrong with a schedule, in words.
pub type Finding = String;

/// What the parts of the judge read.
struct Case<'a> {
    instance: &'a Instance,
    schedule: &'a Schedule,
    /// By node.
    visits: BTreeMap<u32, &'a Visit>,
}

/// Everything that is wrong with the schedule; empty: nothing.
///
/// It judges visits and moves that are there; that none is missing too. A due node may be missing if it is named as unfinished.
pub fn judge(instance: &Instance, schedule: &Schedule) -> Vec<Finding> {
    let visits = schedule.visits.iter().map(|visit| (visit.node, visit)).collect();
    let case = Case { instance, schedule, visits };
    let mut findings = Vec::new();
    course::judge(&case, &mut findings);
    shared::judge(&case, &mut findings);
    room::judge(&case, &mut findings);
    findings
}
