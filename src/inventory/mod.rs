//! What is known of a cluster at one moment: nodes, pods, budgets (PodDisruptionBudgets), virtual machines and volume
//! attachments, as slim values.
//!
//! An [`Inventory`] is filled by whoever observes (the `cluster` room from watches, tests by hand) and read by the pure
//! rooms. It keeps the indexes that deciding asks by: pods by node, pods by namespace, VMIs by node.
//!
//! # Why
//! * Slim types: a reflector of 150,000 typed Pods needs 4.2 GB, the fields below 34 to 400 MB.
//! * `BTreeMap` everywhere: the same observations must give the same decisions, so nothing iterates a hash map.
//! * Pods of a workload have the same labels and owner and need the same of a node, and share them: of 150,000 pods there are some
//!   thousand.
//! * One inventory is one consistent picture: a decision is a function of it, never of a later request.

mod budget;
mod changes;
mod fate;
mod index;
mod kubevirt;
mod load;
mod lookup;
mod name;
mod needs;
mod node;
mod pod;
mod scalable;
mod shared;
mod table;
mod volume;

pub use budget::{Budget, UnhealthyPodEvictionPolicy};
pub use fate::{Comeback, VmFate, comeback, fate, is_settled, remedy};
pub use index::{Inventory, Workload};
pub use kubevirt::{
    Condition, KubeVirt, Migration, MigrationState, RunStrategy, VirtualMachine, VirtualMachineInstance,
    VmiPhase,
};
pub use load::Load;
pub use lookup::Lookup;
pub use name::ObjectName;
pub use needs::{
    HostPort, Needs, NodeTerm, PodTerm, Requirement, Resources, Selector, Spread, Test, Toleration,
};
pub use node::{Node, Readiness, Taint, ZONE};
pub use pod::{Owner, Pod, PodPhase};
pub use scalable::{Scalable, ScalableKind, ScalableName};
pub use volume::{Volume, VolumeAttachment};
