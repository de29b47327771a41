//! The API server of the embedded cluster: a `tower::Service` that answers the Kubernetes API from the store.
//!
//! # Why
//! An unmodified `kube::Client` stands on it, so the engine can't tell it from a real cluster. What isn't modelled answers
//! 501 with a `Status` that names it, never silence.
//!
//! Tables, discovery, OpenAPI and protobuf bodies are for clients that people use; see [`crate::sim::serve`].
//!
//! Departures from the real one that a client could notice: no authentication or authorisation (every request is
//! allowed), versions of custom resources differ by `apiVersion` only and their CEL rules aren't evaluated, and objects have
//! `managedFields` from their first server-side apply on, unless [`ApiServer::tracking`] is set.

mod access;
mod admission;
mod body;
mod columns;
mod custom;
mod decode;
mod defaults;
mod discovery;
mod eviction;
pub(in crate::sim) mod handed;
mod labels;
pub(in crate::sim) mod limits;
mod list;
mod managed;
mod methods;
mod openapi;
mod options;
mod patch;
mod protobuf;
mod quantity;
mod route;
mod scale;
mod selector;
mod service;
pub(in crate::sim) mod size;
mod strategy;
mod table;
mod types;
mod validate;
mod watch;
mod write;

pub use defaults::fill as fill_defaults;
pub use eviction::selects;
pub use service::{ApiServer, ResponseBody};
