//! The pure step: a view of the cluster, the plan, the record and `now` in; effects, holds and the next wake-up out.
//!
//! # Why
//! Everything that virtroll decides is decided here, synchronously and without a request, so that it can be tested by
//! tables, by properties and by simulation. A process killed between any two effects starts again from what it
//! observes: the node's annotation ([`NodeState`]) and the campaign's status are the only memory; the [`Ledger`] is soft.

mod admission;
mod begin;
mod carried;
mod decide;
pub mod drain;
mod effect;
mod groups;
mod hold;
mod hooks;
mod ledger;
mod node;
pub mod safety;
mod state;
mod steering;
pub mod verify;
mod view;
mod vms;

pub use crate::schedule::GroupNodes;
pub use admission::ZONE_LABEL;
pub use begin::Turns;
pub use carried::Carried;
pub use decide::decide;
pub use effect::{Effect, HookRunId, HookScope, NodePatch, StateChange};
pub use hold::{Hold, Prospect, Stage};
pub use ledger::{EvictionAnswer, EvictionAttempt, HookStatus, Ledger, ScaleRequest, VmRequest};
pub use state::{DrainedVm, HookProgress, NodePhase, NodeState, REBOOT_ANNOTATION, STATE_ANNOTATION};
pub use steering::STEERING_TAINT;
pub use view::{Decision, End, NodeProgress, View};

#[cfg(test)]
mod tests;
