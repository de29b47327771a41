//! Errors of a run.

use crate::cluster;

/// Why a run could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Trouble with the cluster.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// The plan doesn't fit the cluster.
    #[error("{0}")]
    Plan(String),
}
