//! The Kubernetes API, as far as virtroll uses it: `kube::Client` in, inventory values out; effects in, answers out.
//!
//! # Why
//! Everything that knows wire formats, status codes and KubeVirt's texts is here, so that deciding knows none of it. Besides
//! inventory and effects, this room knows the plan's custom resources, because the record is one.

mod apply;
mod at_hand;
mod campaigns;
mod capture;
mod connect;
mod error;
mod event;
mod lean;
mod may;
mod observe;
mod record;
mod wire;

pub use apply::Actor;
pub use at_hand::{inventory_of, node_of};
pub use campaigns::{
    Claim, LEASE_SECONDS, RENEW_EVERY, begin, campaigns, driver_of, ensure_definitions, ensure_slices, hold,
    release,
};
pub use capture::{Destination, Names, Unread, Written, capture, redact, write_private, write_snapshot};
pub use connect::{Target, connect};
pub use error::{Error, chain};
pub use may::{latency, may_evict};
pub use observe::{Observed, Observer, Scope};
pub use record::{MOST_ENTRIES, Record, campaign, record, records_among, whole};
