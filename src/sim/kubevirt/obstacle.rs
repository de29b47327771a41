//! What keeps a migration Pending before it is its turn: a backup of the guest under way, and utility volumes.

use std::time::Duration;

use jiff::SignedDuration;

use super::conditions;
use super::handler::left;
use super::migration;
use super::world::{Kind, is_deleting};
use super::world::{Object, Trouble, World, text, uid};
use crate::sim::clock::parse_time;
use crate::sim::json::{Value, json};
use crate::sim::store::Key;

const BACKUP: &str = "migrationBlockedByBackup";
const UTILITY: &str = "migrationBlockedByUtilityVolumes";

/// Releases before 1.8 know no backups.
fn is_backed_up(world: &World, vmi: &Value) -> bool {
    let backup = &vmi["status"]["changedBlockTracking"]["backupStatus"];
    world.version().has_backups() && backup.is_object() && backup["completed"] != true
}

fn has_utility_volumes(vmi: &Value) -> bool {
    vmi["spec"]["utilityVolumes"].as_array().is_some_and(|volumes| !volumes.is_empty())
}

/// Whether anything of this stands against a migration of the VMI.
pub(super) fn stands(world: &World, vmi: &Value) -> bool {
    is_backed_up(world, vmi) || has_utility_volumes(vmi)
}

/// What a pending migration says of it. A migration by an evacuation ends the backup; utility volumes are waited for, for so
/// long. `Some`: look again then.
pub(super) async fn report(
    world: &mut World,
    key: &Key,
    migration: &Value,
    vmi: &Object,
) -> Result<Option<Duration>, Trouble> {
    let (backup, utility) = (is_backed_up(world, vmi), has_utility_volumes(vmi));
    let now = world.now_text();
    world
        .update(Kind::Migration, key, |m| {
            let status = &mut m["status"];
            for (stands, kind, reason) in
                [(backup, BACKUP, "BackupInProgress"), (utility, UTILITY, "UtilityVolumesAttached")]
            {
                if stands {
                    conditions::set(status, kind, "True", reason, "", &now);
                } else {
                    conditions::remove(status, kind);
                }
            }
        })
        .await?;
    if backup {
        return end_backup(world, migration, vmi).await;
    }
    if !utility {
        return Ok(None);
    }
    let limit =
        world.migration_limit("utilityVolumesTimeout", world.settings.utility_volumes_timeout.as_secs());
    let created = parse_time(text(&migration["metadata"]["creationTimestamp"])).unwrap_or(world.now());
    let over = created + SignedDuration::from_secs(i64::try_from(limit).unwrap_or(i64::MAX));
    match Duration::try_from(over.duration_since(world.now())) {
        Ok(wait) if !wait.is_zero() => Ok(Some(wait)),
        _ => {
            migration::fail_before_handoff(world, key, vmi).await?;
            Ok(None)
        }
    }
}

/// A drain doesn't wait for a backup, where migrations have priorities.
async fn end_backup(world: &mut World, migration: &Value, vmi: &Object) -> Result<Option<Duration>, Trouble> {
    let ranks = world.version().has_priorities(world.gate("MigrationPriorityQueue"));
    if !ranks || migration["spec"]["priority"] != "system-critical" || is_deleting(vmi) {
        return Ok(None);
    }
    let since = world.since(uid(migration), "ending-backup");
    if let Some(wait) = left(since, world.settings.step) {
        return Ok(Some(wait));
    }
    let now = world.now_text();
    world
        .update(Kind::Instance, &Key::of(vmi), |vmi| {
            let backup = &mut vmi["status"]["changedBlockTracking"]["backupStatus"];
            backup["completed"] = json!(true);
            backup["failed"] = json!(true);
            backup["endTimestamp"] = json!(now);
            backup["backupMsg"] = json!("aborted by a migration");
        })
        .await?;
    Ok(None)
}
