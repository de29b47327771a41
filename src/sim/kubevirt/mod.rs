//! KubeVirt, modelled: virt-controller, virt-handler with the guests, and the parts of virt-api that a drain meets.
//!
//! # Why
//! An ordinary client of the Kubernetes API: it watches, decides and writes as KubeVirt does, and answers the eviction
//! webhook and the subresources. So the same code runs inside the embedded cluster and beside the real control plane.
//! One task, one ordered queue, one seed: the history is a function of the requests.
//!
//! What a guest does is said by annotations on the VMI (on a VirtualMachine: in its template), all under
//! `sim.virtroll.dev/`; see [`Guest`]. Every number of seconds is a field of [`Settings`].
//!
//! Not modelled: snapshots, exports, pools, instance types, workload updates, who begins and ends a backup, the accounts that
//! requests come from, and everything inside a guest.

mod caller;
mod component;
mod conditions;
mod crds;
mod evacuation;
mod extension;
mod guest;
mod handler;
mod index;
mod instance;
mod item;
mod launcher;
mod migratable;
mod migration;
mod migration_queue;
mod node;
mod obstacle;
mod old_budget;
mod policy;
mod replica_set;
mod review;
mod run;
mod settings;
mod signs;
mod subresource;
mod transfer;
mod virtual_machine;
mod watch;
mod world;

pub use crds::{crds, default_installation};
pub use extension::Model;
pub use guest::Guest;
pub use review::webhook_configuration;
pub use settings::{Settings, Version};

#[cfg(test)]
mod tests;
