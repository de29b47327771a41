//! The planner: which nodes each group has and in which order groups and nodes are taken. Pure.
//!
//! # Why
//! The order is worked out once, from the plan and the inventory, and is the same for the rehearsal and the run. Groups are
//! a graph (petgraph); a dependency is the edge from what comes first.

pub mod bounds;
pub mod canonical;
pub mod conflict;
pub mod decode;
pub mod facts;
pub mod forecast;
pub mod generate;
mod groups;
mod hosts;
pub mod instance;
pub mod model;
pub mod policies;
pub mod problem;
pub mod search;
pub mod spread;
#[cfg(test)]
mod stage;
mod warnings;

pub use groups::{GroupNodes, Misfit, resolve, resume};
pub use warnings::short_timeouts;
