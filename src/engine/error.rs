//! Errors of a run.

use crate::cluster;
use crate::schedule::Misfit;

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
}
