//! Tests of the whole program, one module a subject.

mod bad_plans;
mod campaigns;
mod cli;
mod embedded;
mod layering;

#[path = "../scenarios/mod.rs"]
mod scenarios;
