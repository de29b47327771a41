//! Jobs: completions, parallelism, backoff, deadline, and cleaning up.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{pods, until};
use crate::sim::clock::{parse_time, seconds_text};
use crate::sim::scheduler::set_condition;
use crate::sim::store::{DeleteOptions, Key, Object, Store};

/// First wait after a failed pod; doubles with each further one, up to six minutes.
const BACKOFF: i64 = 10;

/// One round of a Job.
pub(super) fn reconcile(store: &mut Store, key: &Key, now: Timestamp) -> Option<Duration> {
    let job = store.get_key("jobs.batch", key).cloned()?;
    if !job["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    if ended(&job) {
        return clean_up(store, key, &job, now);
    }
    let mine = pods::of(store, &job);
    let phase = |wanted: &str| mine.iter().filter(|p| p["status"]["phase"] == wanted).count() as i64;
    let (succeeded, failed) = (phase("Succeeded"), phase("Failed"));
    let active: Vec<&Object> = mine.iter().filter(|p| pods::is_active(p)).collect();
    let number = |field: &str, default: i64| job["spec"][field].as_i64().unwrap_or(default);
    let started = job["status"]["startTime"].as_str().and_then(parse_time).unwrap_or(now);
    let deadline =
        job["spec"]["activeDeadlineSeconds"].as_i64().map(|s| started + SignedDuration::from_secs(s));
    let verdict = if succeeded >= number("completions", 1) {
        Some(("Complete", "CompletionsReached", "Reached expected number of succeeded pods"))
    } else if failed > number("backoffLimit", 6) {
        Some(("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"))
    } else if deadline.is_some_and(|d| now >= d) {
        Some(("Failed", "DeadlineExceeded", "Job was active longer than specified deadline"))
    } else {
        None
    };
    let mut again = deadline.map(|d| until(now, d));
    let mut running = active.len() as i64;
    if verdict.is_some() {
        for pod in active {
            let _ = store.delete("pods", &Key::of(pod), &DeleteOptions::default());
        }
    } else {
        let room = number("parallelism", 1).min(number("completions", 1) - succeeded) - running;
        match backoff(&mine, failed, now).filter(|_| room > 0) {
            Some(wait) => again = Some(again.map_or(wait, |a| a.min(wait))),
            None => {
                for _ in 0..room {
                    let mut pod = pods::from_template(&job);
                    pod["metadata"]["generateName"] = json!(format!("{}-", key.name));
                    pods::create(store, pod);
                    running += 1;
                }
            }
        }
    }
    let now_text = seconds_text(now);
    store.modify("jobs.batch", key, |job| {
        let status = &mut job["status"];
        status["startTime"] = json!(seconds_text(started));
        status["succeeded"] = json!(succeeded);
        status["failed"] = json!(failed);
        status["active"] = json!(if verdict.is_some() { 0 } else { running });
        if let Some((kind, reason, message)) = verdict {
            set_condition(status, kind, "True", reason, message, &now_text);
            if kind == "Complete" {
                status["completionTime"] = json!(now_text);
            }
        }
    });
    again
}

fn ended(job: &Value) -> bool {
    ["Complete", "Failed"].iter().any(|kind| pods::condition(job, kind) == Some("True"))
}

/// How long to wait before the next pod, if the last one failed a moment ago.
fn backoff(pods: &[Object], failed: i64, now: Timestamp) -> Option<Duration> {
    let finished = |p: &Object| {
        p["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"].as_str().and_then(parse_time)
    };
    let last = pods.iter().filter(|p| p["status"]["phase"] == "Failed").filter_map(finished).max()?;
    let wait = (BACKOFF << (failed - 1).clamp(0, 6)).min(360);
    let due = last + SignedDuration::from_secs(wait);
    (due > now).then(|| until(now, due))
}

fn clean_up(store: &mut Store, key: &Key, job: &Value, now: Timestamp) -> Option<Duration> {
    let ttl = job["spec"]["ttlSecondsAfterFinished"].as_i64()?;
    let conditions = job["status"]["conditions"].as_array()?;
    let at = conditions.iter().filter_map(|c| c["lastTransitionTime"].as_str().and_then(parse_time)).max()?;
    let due = at + SignedDuration::from_secs(ttl);
    if now < due {
        return Some(until(now, due));
    }
    let _ = store.delete("jobs.batch", key, &DeleteOptions::default());
    None
}
