//! CronJobs: a Job at each scheduled time, by the concurrency policy; old Jobs go.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{pods, until};
use crate::sim::api::fill_defaults;
use crate::sim::clock::{parse_time, seconds_text};
use crate::sim::json::{Value, json};
use crate::sim::store::{DeleteOptions, Key, Object, Store};

const CRONS: &str = "cronjobs.batch";
const JOBS: &str = "jobs.batch";

/// One round of a CronJob.
pub(super) fn reconcile(store: &mut Store, key: &Key, now: Timestamp) -> Option<Duration> {
    let cron = store.get_key(CRONS, key).cloned()?;
    if !cron["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    forget(store, &cron);
    let active = active(store, &cron);
    let (due, next) = times(&cron, now)?;
    let suspended = cron["spec"]["suspend"] == true;
    if let Some(due) = due.filter(|_| !suspended) {
        let policy = cron["spec"]["concurrencyPolicy"].as_str().unwrap_or("Allow");
        if policy == "Forbid" && !active.is_empty() {
            report(store, key, None);
            return Some(until(now, next));
        }
        if policy == "Replace" {
            for job in &active {
                let _ = store.delete(JOBS, &Key::of(job), &DeleteOptions::default());
            }
        }
        create(store, &cron, due);
        report(store, key, Some(due));
    } else {
        report(store, key, None);
    }
    Some(until(now, next))
}

/// The latest time that has passed without its Job, and the next one.
fn times(cron: &Value, now: Timestamp) -> Option<(Option<Timestamp>, Timestamp)> {
    let schedule: croner::Cron = cron["spec"]["schedule"].as_str()?.parse().ok()?;
    let zone =
        cron["spec"]["timeZone"].as_str().and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
    let after = |time: Timestamp| {
        let next = schedule.find_next_occurrence(&time.to_zoned(zone.clone()), false).ok()?;
        Some(next.timestamp())
    };
    let born = cron["metadata"]["creationTimestamp"].as_str().and_then(parse_time)?;
    let mut from = cron["status"]["lastScheduleTime"].as_str().and_then(parse_time).unwrap_or(born);
    if let Some(seconds) = cron["spec"]["startingDeadlineSeconds"].as_i64() {
        from = from.max(now - SignedDuration::from_secs(seconds));
    }
    let mut due = None;
    let mut next = after(from)?;
    while next <= now {
        due = Some(next);
        next = after(next)?;
    }
    Some((due, next))
}

fn jobs(store: &Store, cron: &Value) -> Vec<Object> {
    let uid = cron["metadata"]["uid"].as_str().unwrap_or_default();
    store.owned_by(uid, JOBS).cloned().collect()
}

fn ended(job: &Value) -> bool {
    ["Complete", "Failed"].iter().any(|kind| pods::condition(job, kind) == Some("True"))
}

/// One that somebody made by hand from the template isn't among them, though the CronJob owns it.
fn active(store: &Store, cron: &Value) -> Vec<Object> {
    let by_hand = |j: &Object| j["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual";
    jobs(store, cron)
        .into_iter()
        .filter(|j| !ended(j) && !by_hand(j) && j["metadata"]["deletionTimestamp"].is_null())
        .collect()
}

/// The Job of a time is named after it, so that there is one at most.
fn create(store: &mut Store, cron: &Value, due: Timestamp) {
    let name = cron["metadata"]["name"].as_str().unwrap_or_default();
    let template = &cron["spec"]["jobTemplate"];
    let mut metadata = template["metadata"].clone();
    if !metadata.is_object() {
        metadata = json!({});
    }
    metadata["name"] = json!(format!("{name}-{}", due.as_second() / 60));
    metadata["namespace"] = cron["metadata"]["namespace"].clone();
    metadata["ownerReferences"] = json!([pods::reference(cron)]);
    metadata["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] = json!(seconds_text(due));
    let mut job =
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]});
    fill_defaults(store, JOBS, &mut job);
    let _ = store.create(JOBS, job);
}

/// Ended Jobs beyond the history that is kept go, the oldest first.
fn forget(store: &mut Store, cron: &Value) {
    let all = jobs(store, cron);
    for (kind, field, default) in
        [("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1)]
    {
        let kept = cron["spec"][field].as_i64().unwrap_or(default).max(0) as usize;
        let mut of_kind: Vec<&Object> =
            all.iter().filter(|j| pods::condition(j, kind) == Some("True")).collect();
        of_kind.sort_by_key(|j| j["status"]["startTime"].to_string());
        let surplus = of_kind.len().saturating_sub(kept);
        for job in of_kind.into_iter().take(surplus) {
            let _ = store.delete(JOBS, &Key::of(job), &DeleteOptions::default());
        }
    }
}

fn report(store: &mut Store, key: &Key, scheduled: Option<Timestamp>) {
    let Some(cron) = store.get_key(CRONS, key).cloned() else { return };
    let reference = |job: &Object| {
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"],
            "namespace": job["metadata"]["namespace"], "uid": job["metadata"]["uid"],
        })
    };
    let active: Vec<Value> = active(store, &cron).iter().map(reference).collect();
    let ended = jobs(store, &cron);
    let last = ended.iter().filter_map(|j| j["status"]["completionTime"].as_str()).max().map(str::to_owned);
    store.modify(CRONS, key, |cron| {
        let status = &mut cron["status"];
        if active.is_empty() {
            status.as_object_mut().map(|s| s.remove("active"));
        } else {
            status["active"] = json!(active);
        }
        if let Some(scheduled) = scheduled {
            status["lastScheduleTime"] = json!(seconds_text(scheduled));
        }
        if let Some(last) = last {
            status["lastSuccessfulTime"] = json!(last);
        }
    });
}
