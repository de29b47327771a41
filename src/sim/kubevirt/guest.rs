//! What a guest does, as annotations on its VMI say.

use std::time::Duration;

use jiff::SignedDuration;

use super::settings::Settings;
use crate::sim::json::Value;

/// How a guest answers the ACPI shutdown signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// It is off after this.
    After(Duration),
    /// It ignores the signal, and is destroyed when its grace is over.
    Never,
    /// It crashes at once.
    Crash,
}

/// Which of its migrations fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationFailures {
    /// The first so many.
    First(u32),
    /// All.
    Always,
}

/// A guest's behaviour. Annotations under `sim.virtroll.dev/`: `boots-after`, `guest-shutdown` (a duration, `never` or
/// `crash`), `migration-takes`, `migration-fails` (a number, or `always`), `migration-stalls-after`, `dirty-factor`, and
/// `local-disks` (a quantity: disks that are copied, beside those of type emptyDisk).
#[derive(Debug, Clone, PartialEq)]
pub struct Guest {
    /// From `Scheduled` to running.
    pub boots_after: Duration,
    /// Answer to ACPI.
    pub shutdown: Shutdown,
    /// How long its migration takes, if that doesn't follow from memory and bandwidth.
    pub migration_takes: Option<Duration>,
    /// Failing migrations.
    pub migration_fails: MigrationFailures,
    /// How often its memory is copied.
    pub dirty_factor: f64,
    /// The transfer makes no progress from then on.
    pub migration_stalls: Option<Duration>,
}

/// Reads `90s`, `2m`, `1m30s`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    Duration::try_from(text.parse::<SignedDuration>().ok()?).ok()
}

impl Guest {
    /// Of a VMI.
    pub fn of(vmi: &Value, settings: &Settings) -> Self {
        let said = |name: &str| vmi["metadata"]["annotations"][format!("sim.virtroll.dev/{name}")].as_str();
        Self {
            boots_after: said("boots-after").and_then(duration).unwrap_or(settings.boot),
            shutdown: match said("guest-shutdown") {
                Some("never") => Shutdown::Never,
                Some("crash") => Shutdown::Crash,
                other => Shutdown::After(other.and_then(duration).unwrap_or(settings.shutdown)),
            },
            migration_takes: said("migration-takes").and_then(duration),
            migration_fails: match said("migration-fails") {
                Some("always") => MigrationFailures::Always,
                other => MigrationFailures::First(other.and_then(|n| n.parse().ok()).unwrap_or(0)),
            },
            migration_stalls: said("migration-stalls-after").and_then(duration),
            dirty_factor: said("dirty-factor").and_then(|f| f.parse().ok()).unwrap_or(settings.dirty_factor),
        }
    }
}

/// Guest memory in bytes: `memory.guest`, else the memory request; 0 if neither is stated.
pub(super) fn memory(vmi: &Value) -> u64 {
    let domain = &vmi["spec"]["domain"];
    let stated = [&domain["memory"]["guest"], &domain["resources"]["requests"]["memory"]];
    stated.into_iter().find_map(bytes).unwrap_or(0)
}

/// Bytes of disks that a migration copies: none, unless it copies blocks. The size of an emptyDisk is in the spec; those of
/// others, such as containerDisks, are in their images, so the annotation `sim.virtroll.dev/local-disks` has to say them.
pub(super) fn copied_disks(vmi: &Value) -> u64 {
    if vmi["status"]["migrationMethod"] != "BlockMigration" {
        return 0;
    }
    let volumes = vmi["spec"]["volumes"].as_array().into_iter().flatten();
    let empty: u64 = volumes.filter_map(|v| bytes(&v["emptyDisk"]["capacity"])).sum();
    empty + bytes(&vmi["metadata"]["annotations"]["sim.virtroll.dev/local-disks"]).unwrap_or(0)
}

/// A quantity in whole units.
pub(super) fn bytes(quantity: &Value) -> Option<u64> {
    let text = quantity.as_str().map_or_else(|| quantity.to_string(), str::to_owned);
    u64::try_from(crate::sim::scheduler::thousandths(&text)? / 1000).ok()
}
