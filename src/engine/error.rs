//! Errors of a run.

use crate::cluster;
use crate::schedule::{Misfit, NoSchedule};

/// Why a run could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Trouble with the cluster.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// The plan doesn't fit the cluster.
    #[error("{0}")]
    Plan(String),
    /// Groups of the plan don't fit the cluster; each with its place in the plan.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Groups(Vec<Misfit>),
    /// Something of virtroll itself broke.
    #[error("{0}")]
    Broken(String),
    /// It is proven that the plan's nodes can't all be maintained; nothing was touched.
    #[error("no schedule exists: {}", .0.conflict.why)]
    NoSchedule(Box<NoSchedule>),
}
