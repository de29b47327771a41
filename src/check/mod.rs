//! Independent judges: they share no logic with what they judge.
//!
//! # Why
//! A planner that checks its own work repeats its own mistakes. The judge knows the problem's statement alone and replays the
//! schedule against it; every test of the planner passes through it.

pub mod schedule;
