//! virtroll takes a Kubernetes or KubeVirt cluster through maintenance, node by node, without breaking what runs on it.
//!
//! Data flows one way: plan + inventory → schedule → reconcile (effects) → cluster → observation → the next tick.

pub mod check;
pub mod cli;
pub mod cluster;
pub mod engine;
pub mod inventory;
pub mod journal;
pub mod plan;
pub mod reconcile;
pub mod report;
pub mod schedule;
pub mod sim;
