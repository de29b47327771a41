//! KubeVirt's objects. Field meanings and defaults are those of KubeVirt 1.9.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{ObjectName, Owner};

/// The cluster's KubeVirt installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeVirt {
    /// `status.observedKubeVirtVersion`, such as `v1.9.0`.
    pub version: String,
    /// `status.phase`, `Deployed` when usable.
    pub phase: String,
    /// `spec.configuration.evictionStrategy`, for VMIs that name none.
    pub eviction_strategy: Option<String>,
    /// `migrations.nodeDrainTaintKey`.
    pub node_drain_taint_key: String,
    /// `migrations.parallelMigrationsPerCluster`.
    pub parallel_migrations_per_cluster: u32,
    /// `migrations.parallelOutboundMigrationsPerNode`.
    pub parallel_outbound_migrations_per_node: u32,
    /// `migrations.completionTimeoutPerGiB`, seconds.
    pub completion_timeout_per_gib: u64,
    /// `migrations.progressTimeout`, seconds.
    pub progress_timeout: u64,
    /// `migrations.bandwidthPerMigration`, bytes a second; 0 is unlimited.
    pub bandwidth_per_migration: u64,
}

impl Default for KubeVirt {
    /// KubeVirt's own defaults, for absent fields.
    fn default() -> Self {
        Self {
            version: String::new(),
            phase: String::new(),
            eviction_strategy: None,
            node_drain_taint_key: "kubevirt.io/drain".to_owned(),
            parallel_migrations_per_cluster: 5,
            parallel_outbound_migrations_per_node: 2,
            completion_timeout_per_gib: 150,
            progress_timeout: 150,
            bandwidth_per_migration: 0,
        }
    }
}

/// `spec.runStrategy` of a VirtualMachine (`spec.running: true` reads as `Always`, `false` or nothing as `Halted`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunStrategy {
    /// Runs always; comes back after any stop.
    Always,
    /// Comes back after a failure, stays off after an orderly shutdown.
    RerunOnFailure,
    /// Started and stopped by hand alone.
    Manual,
    /// Runs once.
    Once,
    /// Off.
    #[default]
    Halted,
}

impl RunStrategy {
    /// The name as KubeVirt writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::RerunOnFailure => "RerunOnFailure",
            Self::Manual => "Manual",
            Self::Once => "Once",
            Self::Halted => "Halted",
        }
    }
}

/// A VirtualMachine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VirtualMachine {
    /// Namespace and name.
    pub name: ObjectName,
    /// UID.
    pub uid: String,
    /// Run strategy in force.
    pub run_strategy: RunStrategy,
    /// `status.ready`.
    pub ready: bool,
    /// `status.created`: a VMI exists.
    pub created: bool,
    /// `status.printableStatus`.
    pub printable_status: String,
}

/// `status.phase` of a VMI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VmiPhase {
    /// Nothing has happened yet (also the empty phase).
    #[default]
    Pending,
    /// The launcher pod exists.
    Scheduling,
    /// The launcher pod is ready; virt-handler starts the guest.
    Scheduled,
    /// The guest runs.
    Running,
    /// The guest ended in order.
    Succeeded,
    /// The guest ended otherwise.
    Failed,
    /// Anything else.
    Unknown,
}

impl VmiPhase {
    /// True for `Succeeded` and `Failed`.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A condition of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Reason, one word.
    pub reason: String,
    /// Message for people.
    pub message: String,
}

/// `status.migrationState` of a VMI: its latest migration after handoff.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MigrationState {
    /// UID of the migration.
    pub migration_uid: String,
    /// Where it comes from.
    pub source_node: String,
    /// Where it goes to.
    pub target_node: String,
    /// When the transfer began.
    pub start: Option<Timestamp>,
    /// When the transfer ended.
    pub end: Option<Timestamp>,
    /// Ended, in success or failure.
    pub completed: bool,
    /// Ended in failure.
    pub failed: bool,
    /// Why it failed.
    pub failure_reason: String,
}

/// A VirtualMachineInstance: one running guest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VirtualMachineInstance {
    /// Namespace and name; the name is that of its VirtualMachine if it has one.
    pub name: ObjectName,
    /// UID; a restart gives a new one.
    pub uid: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Controlling owner: a VirtualMachine, a VirtualMachineInstanceReplicaSet, or none (a bare VMI).
    pub controller: Option<Arc<Owner>>,
    /// Being deleted.
    pub deleting: bool,
    /// `spec.evictionStrategy`, if named there.
    pub eviction_strategy: Option<String>,
    /// `spec.terminationGracePeriodSeconds`.
    pub grace_seconds: i64,
    /// Guest memory in bytes; 0 if not stated.
    pub memory_bytes: u64,
    /// `spec.domain.cpu.model`; `None` is KubeVirt's default, `host-model`.
    pub cpu_model: Option<String>,
    /// `status.phase`.
    pub phase: VmiPhase,
    /// `status.nodeName`; flips to the target before a migration has completed.
    pub node: Option<String>,
    /// `status.evacuationNodeName`: the mark that the eviction webhook sets.
    pub evacuation_node: Option<String>,
    /// Conditions by type: `LiveMigratable`, `Ready`, `EvictionRequested`, ….
    pub conditions: BTreeMap<String, Condition>,
    /// `status.migrationState`.
    pub migration_state: Option<MigrationState>,
    /// Label `kubevirt.io/migrationTargetNodeName`.
    pub migration_target_node: Option<String>,
}

impl VirtualMachineInstance {
    /// True if the guest has the CPU model of its node, so that its target must be able to play that one.
    pub fn has_host_model(&self) -> bool {
        self.cpu_model.as_deref().is_none_or(|model| model == "host-model")
    }

    /// The `LiveMigratable` condition; `None` until virt-handler has seen the guest.
    pub fn live_migratable(&self) -> Option<&Condition> {
        self.conditions.get("LiveMigratable")
    }
}

/// A VirtualMachineInstanceMigration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Migration {
    /// Namespace and name.
    pub name: ObjectName,
    /// UID.
    pub uid: String,
    /// Name of the VMI, same namespace.
    pub vmi: String,
    /// `status.phase`: empty, `Pending`, `Scheduling`, `Scheduled`, `PreparingTarget`, `TargetReady`, `Running`,
    /// `Succeeded`, `Failed`.
    pub phase: String,
    /// Annotation `kubevirt.io/evacuationMigration`: the node that it evacuates.
    pub evacuates: Option<String>,
    /// Being deleted, which is how a migration is aborted.
    pub deleting: bool,
    /// When the current phase began, if the status tells.
    pub phase_since: Option<Timestamp>,
    /// Conditions by type.
    pub conditions: BTreeMap<String, Condition>,
    /// `metadata.creationTimestamp`.
    pub created: Option<Timestamp>,
}

impl Migration {
    /// True for `Succeeded` and `Failed`.
    pub fn is_final(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }
}
