//! The planner: which nodes each group has and in which order groups and nodes are taken. Pure.
//!
//! # Why
//! The order is worked out once, from the plan and the inventory, and is the same for the rehearsal and the run. Groups are
//! a graph (petgraph); a dependency is the edge from what comes first.

pub mod conflict;
mod groups;
mod hosts;
pub mod instance;
pub mod problem;
#[cfg(test)]
mod stage;
mod warnings;

pub use groups::{GroupNodes, Misfit, resolve, resume};
pub use warnings::short_timeouts;
