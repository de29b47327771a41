//! How the model behaves: every duration, and the version of KubeVirt that it plays.

use std::time::Duration;

/// A minor release of KubeVirt 1.x; what differs between them is asked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    minor: u32,
}

impl Version {
    /// KubeVirt 1.`minor`.
    pub const fn minor(minor: u32) -> Self {
        Self { minor }
    }

    pub(super) fn number(self) -> u32 {
        self.minor
    }

    /// Reads `v1.9.0`; anything unreadable is the newest modelled, 1.9.
    pub fn parse(text: &str) -> Self {
        let minor = text.trim_start_matches('v').split('.').nth(1).and_then(|m| m.parse().ok());
        Self { minor: minor.unwrap_or(9) }
    }

    /// A PodDisruptionBudget guards each VMI (1.0 to 1.5).
    pub fn has_budgets(self) -> bool {
        self.minor <= 5
    }

    /// The first eviction is denied in words (from 1.3); before, it only marks, and the budget refuses.
    pub fn denies_in_words(self) -> bool {
        self.minor >= 3
    }

    /// Later evictions and those of target pods are denied in words, and the webhook fails closed (from 1.5).
    pub fn denies_always(self) -> bool {
        self.minor >= 5
    }

    /// A dry run that is stated in an eviction's `deleteOptions` only is taken for one (from 1.4); before, it marks the VMI.
    pub fn sees_dry_run_option(self) -> bool {
        self.minor >= 4
    }

    /// The subresource `evacuate/cancel` exists (from 1.7).
    pub fn cancels_evacuations(self) -> bool {
        self.minor >= 7
    }

    /// Migrations have a field `spec.priority`, which is KubeVirt's own to set (from 1.7).
    pub fn guards_priority(self) -> bool {
        self.minor >= 7
    }

    /// A disk with a persistent reservation (SCSI) migrates (from 1.9).
    pub fn moves_reservations(self) -> bool {
        self.minor >= 9
    }

    /// A backup of a guest under way blocks its migration (from 1.8).
    pub fn has_backups(self) -> bool {
        self.minor >= 8
    }

    /// A guest with a file system shared by virtiofs migrates (from 1.5).
    pub fn moves_virtiofs(self) -> bool {
        self.minor >= 5
    }

    /// Attachment pods are guarded, `EvictionRequested` is set (from 1.7).
    pub fn guards_hotplug(self) -> bool {
        self.minor >= 7
    }

    /// Seconds for each GiB of a migration before it is given up: 800, from 1.4 on 150.
    pub fn completion_timeout_per_gib(self) -> u64 {
        if self.minor <= 3 { 800 } else { 150 }
    }

    /// Migrations have priorities: always from 1.9, in 1.7 and 1.8 with a feature gate.
    pub fn has_priorities(self, gate: bool) -> bool {
        self.minor >= 9 || (self.minor >= 7 && gate)
    }

    /// No more evacuation migrations are created than can run (before 1.9; in 1.7 and 1.8 the gate removes it).
    pub fn caps_creation(self, gate: bool) -> bool {
        !self.has_priorities(gate)
    }
}

/// How long things take. Sources: KubeVirt's constants, as `docs/embedded-cluster.md` lists them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Seed of everything that varies.
    pub seed: u64,
    /// Version to play; `None`: what the KubeVirt object's status says.
    pub version: Option<Version>,
    /// From a change to a controller's reaction.
    pub reaction: Duration,
    /// From `Scheduled` to a running guest.
    pub boot: Duration,
    /// From the ACPI signal to a guest that is off, where it obeys.
    pub shutdown: Duration,
    /// One step of a migration that waits for nothing but virt-handler.
    pub step: Duration,
    /// What a migration moves in a second, bytes.
    pub bandwidth: u64,
    /// Memory is copied this many times, because the guest goes on writing.
    pub dirty_factor: f64,
    /// The probability that a migration fails half-way, whatever its guest says.
    pub migration_failures: f64,
    /// virt-handler's heartbeat: at least …
    pub heartbeat_min: Duration,
    /// … and at most.
    pub heartbeat_max: Duration,
    /// The longest that its device plugins take, after a start, before the first heartbeat.
    pub device_plugins: Duration,
    /// A heartbeat older than this makes a node unresponsive.
    pub unresponsive_after: Duration,
    /// How often the node controller looks.
    pub node_check: Duration,
    /// An unschedulable target pod is given up after this.
    pub unschedulable_timeout: Duration,
    /// Any pending target pod is given up after this.
    pub pending_timeout: Duration,
    /// A migration of a guest with utility volumes is given up after this, where the KubeVirt object doesn't say.
    pub utility_volumes_timeout: Duration,
    /// A migration that the caps keep back is looked at again after this, if none has ended before.
    pub capped_recheck: Duration,
    /// A pod for which a ResourceQuota leaves no room is tried again after this.
    pub quota_retry: Duration,
    /// From a completed migration to the end of a hotplug or change that needed it.
    pub settle: Duration,
    /// How often the pods of a node out of service are collected.
    pub collect_pods: Duration,
    /// virt-controller counts the volume of an attachment pod's service-account token, as it does: on a cluster whose API
    /// server adds none, it makes and deletes attachment pods for ever. Off: such a cluster is spared that.
    pub counts_token_volumes: bool,
    /// First wait after a failed evacuation; doubles with each further one.
    pub backoff: Duration,
    /// First wait before a VM that never ran is started again; grows with the square of the failures.
    pub start_backoff: Duration,
    /// Its longest.
    pub start_backoff_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            seed: 1,
            version: None,
            reaction: Duration::from_millis(30),
            boot: s(5),
            shutdown: s(6),
            step: Duration::from_millis(300),
            bandwidth: 500_000_000,
            dirty_factor: 1.4,
            migration_failures: 0.0,
            heartbeat_min: s(60),
            heartbeat_max: s(132),
            device_plugins: s(10),
            unresponsive_after: s(300),
            node_check: s(60),
            unschedulable_timeout: s(300),
            pending_timeout: s(900),
            utility_volumes_timeout: s(150),
            capped_recheck: s(5),
            quota_retry: s(1),
            settle: s(1),
            collect_pods: s(20),
            counts_token_volumes: false,
            backoff: s(20),
            start_backoff: s(10),
            start_backoff_max: s(300),
        }
    }
}

impl Settings {
    /// All durations times `factor`: for running beside a real control plane without its patience. The bandwidth grows
    /// accordingly. Grace periods and KubeVirt's own timeouts, which objects state, stay.
    pub fn scaled(&self, factor: f64) -> Self {
        let f = |d: Duration| d.mul_f64(factor);
        Self {
            seed: self.seed,
            version: self.version,
            reaction: f(self.reaction),
            boot: f(self.boot),
            shutdown: f(self.shutdown),
            step: f(self.step),
            bandwidth: (self.bandwidth as f64 / factor) as u64,
            dirty_factor: self.dirty_factor,
            migration_failures: self.migration_failures,
            heartbeat_min: f(self.heartbeat_min),
            heartbeat_max: f(self.heartbeat_max),
            device_plugins: f(self.device_plugins),
            unresponsive_after: f(self.unresponsive_after),
            node_check: f(self.node_check),
            unschedulable_timeout: f(self.unschedulable_timeout),
            pending_timeout: f(self.pending_timeout),
            utility_volumes_timeout: f(self.utility_volumes_timeout),
            capped_recheck: f(self.capped_recheck),
            quota_retry: f(self.quota_retry),
            settle: f(self.settle),
            collect_pods: f(self.collect_pods),
            counts_token_volumes: self.counts_token_volumes,
            backoff: f(self.backoff),
            start_backoff: f(self.start_backoff),
            start_backoff_max: f(self.start_backoff_max),
        }
    }
}
