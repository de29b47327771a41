//! Tests of the whole program, one module a subject.

#![allow(clippy::print_stdout, reason = "figures and progress are what the test log is for")]

mod bad_plans;
mod behaviour;
mod campaigns;
mod canaries;
mod cli;
mod embedded;
mod explain;
mod faults;
mod layering;
mod placement;
mod records;
mod recovery;
mod reorder;
mod report;
mod scene;
mod served;
mod snapshot;
mod surges;
mod troubled;
mod what_if;

#[path = "../scenarios/mod.rs"]
mod scenarios;
