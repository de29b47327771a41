//! virtroll takes a Kubernetes cluster through maintenance, node by node, without breaking what runs on it.
//!
//! The rooms, in the direction in which data flows: [`plan`] and [`inventory`] → [`schedule`] → [`reconcile`] (decides what to
//! do, as effects) → [`cluster`] (carries them out and observes) → the next tick of the [`engine`]. [`journal`] holds what
//! happened, [`report`] shows it, [`cli`] is the command line, and [`sim`] is an embedded cluster that stands in for a real one.

pub mod check;
pub mod cli;
pub mod cluster;
pub mod engine;
pub mod inventory;
pub mod journal;
pub mod plan;
pub mod reconcile;
pub mod report;
pub mod schedule;
pub mod sim;
