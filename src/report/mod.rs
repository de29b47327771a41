//! The journal and the record, for people and for programs: plain lines, progress bars, the final tables, JSON, a page, a
//! graph.
//!
//! # Why
//! Displays read events and the record, never the cluster: what is shown is what happened. What matters stands first, every
//! wait has a reason, and nothing an operator needs scrolls away: the tables at the end repeat it. [`Story`] folds the
//! journal; [`Report`] is made of it and of the record; text, JSON, page and graph are made of the report alone.

mod course;
mod dot;
mod explain;
mod finding;
mod html;
mod lines;
mod outlook;
mod progress;
mod rehearsal;
mod story;
mod summary;
mod text;
mod windows;
mod words;

pub use course::{Constraint, HookRun, Interval, Move, MoveKind, PhaseSpan, Refusal, Wait};
pub use dot::dot;
pub use explain::{
    BudgetSeen, Carried, Forecast as PlanForecast, InCampaign, InPlan, MigrationSeen, NodeExplained, Planned,
    SoFar, VmCarried, VmExplained, WithoutRoom, planned,
};
pub use finding::{Finding, Level};
pub use html::{Error, html};
pub use lines::line;
pub use outlook::{LearnedOf, NotPlaced, Outlook, OutlookLearned, OutlookMove, OutlookNode, conflict_text};
pub use progress::Bars;
pub use rehearsal::{
    EvictionCheck, EvictionFinding, Forecast, Leaving, NotModelled, Percentiles, Rehearsal, Step, Variant,
    Variants,
};
pub use story::Story;
pub use summary::{About, ClusterSize, HeldBy, Planned as PlannedFigures, Report, ReportNode, ReportVm};
pub use text::{forecast, tables};
