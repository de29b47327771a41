//! The journal and the record, for people and for programs: plain lines, progress bars, the final tables, JSON.
//!
//! # Why
//! Displays read events and the record, never the cluster: what is shown is what happened. What matters stands first, every
//! wait has a reason, and nothing an operator needs scrolls away: the tables at the end repeat it.

mod lines;
mod progress;
mod rehearsal;
mod summary;
mod text;
mod waits;

pub use lines::line;
pub use progress::Bars;
pub use rehearsal::{
    EvictionCheck, Finding, Forecast, Leaving, NotModelled, Percentiles, Rehearsal, Step, Variant, Variants,
};
pub use summary::{Report, ReportNode, ReportVm};
pub use text::{forecast, tables};
pub use waits::Waits;
