//! The engine: observes, decides, acts, and waits for what comes next.
//!
//! # Why
//! Level-triggered: each round decides anew from what is observed, so that a lost message, a crash or somebody else's change
//! needs no special path. The loop waits in one `select!` with a fixed order, and for a decision as long as the clock says, so that a
//! simulated run is repeatable.

mod campaign;
mod clock;
mod decider;
mod drain;
mod drive;
mod error;
mod hooks;
mod lease;
mod patience;
mod planning;
mod preflight;
mod refused;
mod tasks;
mod told;

pub use campaign::{Outcome, Run, prepare, run_campaign};
pub use clock::Clock;
pub use drain::{Drain, DrainReport, drain_nodes};
pub use error::Error;
pub use preflight::{Preflight, preflight};

/// Where events go.
pub type Sink<'a> = &'a mut dyn FnMut(crate::journal::Event);

/// How far a stop has been asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stop {
    /// Not at all.
    #[default]
    No,
    /// Nothing new is started; what runs is awaited.
    Gently,
}
