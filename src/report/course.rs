//! The pieces of a report that have a beginning and an end.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use crate::journal::{Cause, CauseKind};

/// From one time to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// Its beginning.
    pub started_at: Timestamp,
    /// Its end.
    pub finished_at: Timestamp,
}

/// A phase of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseSpan {
    /// `Cordoned`, `Draining`, …; `Earlier` for work that an earlier run of virtroll did.
    pub phase: String,
    /// Its beginning.
    pub started_at: Timestamp,
    /// Its end.
    pub finished_at: Timestamp,
}

/// A node's wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wait {
    /// For what.
    #[serde(flatten, serialize_with = "without_words")]
    pub cause: Cause,
    /// In words, as they were when it began.
    pub words: String,
    /// Its beginning.
    pub started_at: Timestamp,
    /// Its end.
    pub finished_at: Option<Timestamp>,
}

/// The cause's own words are those of the constraint.
fn without_words<S: serde::Serializer>(cause: &Cause, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap;
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry("kind", &cause.kind)?;
    map.serialize_entry("subject", &cause.subject)?;
    map.end()
}

/// One try of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HookRun {
    /// Name of the hook.
    pub hook: String,
    /// `node w1`, `group workers`, `the campaign`.
    pub scope: String,
    /// The try, from 1.
    pub attempt: u32,
    /// Its beginning.
    pub started_at: Timestamp,
    /// Its end.
    pub finished_at: Option<Timestamp>,
    /// How it failed; `None` if it didn't.
    pub error: Option<String>,
}

/// How a VM came away from a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum MoveKind {
    /// It live-migrated.
    Migrated,
    /// It was shut down and started elsewhere, or moved after it had been.
    Restarted,
    /// A replica: another one stands in for it.
    Replaced,
    /// It was shut down.
    Stopped,
}

/// A VM's move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// How.
    pub kind: MoveKind,
    /// Node that it left.
    pub from: Option<String>,
    /// Node that it came to.
    pub to: Option<String>,
    /// When its eviction was granted; `None` if it wasn't an eviction that moved it.
    pub started_at: Option<Timestamp>,
    /// When it ran on the other node, or was seen to be off.
    pub finished_at: Timestamp,
}

/// Something that held nodes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Constraint {
    /// Its kind.
    pub kind: CauseKind,
    /// The object or limit; empty if the kind says all.
    pub subject: String,
    /// In words.
    pub words: String,
    /// Most nodes that it held at one moment.
    pub peak_nodes: u32,
    /// The time that it held nodes, added up over them, seconds.
    pub node_seconds: i64,
    /// When it held at least one node.
    pub intervals: Vec<Interval>,
}

/// Evictions that were refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// The budgets that refused; empty if it was something else.
    pub budgets: Vec<String>,
    /// The first answer, in the server's words.
    pub words: String,
    /// How often.
    pub count: u32,
    /// Some of the pods.
    pub pods: Vec<String>,
    /// The nodes.
    pub nodes: BTreeSet<String>,
    /// The first time.
    pub started_at: Timestamp,
    /// The last time.
    pub finished_at: Timestamp,
}
