//! The planner: which nodes each group has, in which order groups and nodes are taken, and when everything happens. Pure.
//!
//! Its core knows no Kubernetes. An [`instance`] states the problem; [`bounds`] proves what no schedule can beat; [`decode`] plays a
//! campaign in a given order by the rules of the engine; [`search`] looks for the order, and [`search::plan`] is the way in. Every
//! schedule ([`forecast`]) is judged in tests by a judge that shares no logic with it (the room `check`). [`policies`] are other
//! tools' ways on the same model, [`generate`] makes clusters for benchmarks.
//!
//! # Why
//! The order is worked out once, from the plan and the inventory, and is the same for the rehearsal and the run. Groups are
//! a graph (petgraph); a dependency is the edge from what comes first.
//!
//! List scheduling with a searched order, and not a solver for integers: the forecast then follows the same rules as the run,
//! a node that takes longer than expected changes the order and never the safety, and 5,000 nodes take about a second. How far
//! from the best it is, the bounds say for each plan.

pub mod bounds;
pub mod canonical;
pub mod conflict;
pub mod consent;
pub mod decode;
pub mod facts;
pub mod forecast;
pub mod generate;
mod groups;
mod hosts;
pub mod instance;
pub mod model;
mod overrides;
mod planned;
pub mod policies;
pub mod problem;
pub mod search;
pub mod spread;
#[cfg(test)]
mod stage;
mod turn;
mod warnings;

pub use groups::{GroupNodes, Misfit, resolve, resume};
pub use overrides::{overridable, override_of};
pub use planned::{NoSchedule, Planned, TakenOut};
pub use turn::{Guide, Wait};
pub use warnings::short_timeouts;
