//! Jobs: completions, parallelism, backoff, deadline, and cleaning up.
//!
//! Pods are counted once: each carries a finalizer until its end is in the Job's status, so that a pod which is deleted
//! first isn't forgotten. As in the real one, a pod that is deleted before it has succeeded counts as failed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{pods, until};
use crate::sim::clock::{parse_time, seconds_text};
use crate::sim::scheduler::set_condition;
use crate::sim::store::{DeleteOptions, Key, Object, Store};

/// First wait after a failed pod; doubles with each further one.
const BACKOFF: i64 = 10;
/// The longest wait.
const BACKOFF_LIMIT: i64 = 600;
const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// Failures since the last success and the time of the last, which the real controller keeps in memory.
const FAILURES: &str = "sim.virtroll.dev/failures";

type Verdict = (&'static str, &'static str, &'static str);

/// One round of a Job.
pub(super) fn reconcile(store: &mut Store, key: &Key, now: Timestamp) -> Option<Duration> {
    let Some(job) = store.get_key("jobs.batch", key).cloned() else {
        release_orphans(store, key);
        return None;
    };
    let ended = ended(&job);
    if ended || !job["metadata"]["deletionTimestamp"].is_null() {
        for pod in pods::of(store, &job) {
            release(store, &Key::of(&pod));
        }
        return if ended { clean_up(store, key, &job, now) } else { None };
    }
    let job = count(store, key, &job, now)?;
    let started = job["status"]["startTime"].as_str().and_then(parse_time).unwrap_or(now);
    let deadline =
        job["spec"]["activeDeadlineSeconds"].as_i64().map(|s| started + SignedDuration::from_secs(s));
    let verdict = verdict(&job, deadline, now);
    let mut again = deadline.map(|d| until(now, d));
    let active: Vec<Object> = pods::of(store, &job).into_iter().filter(|p| pods::is_active(p)).collect();
    let mut running = 0;
    if verdict.is_some() {
        for pod in active {
            let _ = store.delete("pods", &Key::of(&pod), &DeleteOptions::default());
        }
    } else {
        running = active.len() as i64;
        let room = number(&job, "parallelism", 1)
            .min(number(&job, "completions", 1) - counted(&job, "succeeded"))
            - running;
        match backoff(&job, now).filter(|_| room > 0) {
            Some(wait) => again = Some(again.map_or(wait, |a| a.min(wait))),
            None => running += (0..room).filter(|_| create(store, &job).is_some()).count() as i64,
        }
    }
    report(store, key, running, verdict, now);
    again
}

fn number(job: &Value, field: &str, default: i64) -> i64 {
    job["spec"][field].as_i64().unwrap_or(default)
}

fn counted(job: &Value, field: &str) -> i64 {
    job["status"][field].as_i64().unwrap_or(0)
}

fn create(store: &mut Store, job: &Value) -> Option<Object> {
    let mut pod = pods::from_template(job);
    pod["metadata"]["generateName"] =
        json!(format!("{}-", job["metadata"]["name"].as_str().unwrap_or_default()));
    pod["metadata"]["finalizers"] = json!([TRACKING]);
    pods::create(store, pod)
}

fn is_tracked(pod: &Value) -> bool {
    pod["metadata"]["finalizers"].as_array().is_some_and(|f| f.iter().any(|x| x == TRACKING))
}

fn release(store: &mut Store, pod: &Key) {
    store.modify("pods", pod, |pod| {
        if let Some(list) = pod["metadata"]["finalizers"].as_array_mut() {
            list.retain(|f| f != TRACKING);
        }
    });
}

/// The Job is gone: nobody counts its pods.
fn release_orphans(store: &mut Store, job: &Key) {
    let of_job = |pod: &Value| {
        pods::controller(pod).is_some_and(|c| c["kind"] == "Job" && c["name"] == job.name.as_str())
    };
    let orphans: Vec<Key> = store
        .list_in("pods", &job.namespace)
        .filter(|p| is_tracked(p) && of_job(p))
        .map(|p| Key::of(p))
        .collect();
    for pod in orphans {
        release(store, &pod);
    }
}

/// Failed, or deleted before it has succeeded; a policy that looks at failures waits for the end.
fn has_failed(job: &Value, pod: &Value) -> bool {
    if pod["status"]["phase"] == "Failed" {
        return true;
    }
    let waits = !job["spec"]["podFailurePolicy"].is_null() || job["spec"]["podReplacementPolicy"] == "Failed";
    !waits && !pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["phase"] != "Succeeded"
}

/// Adds the pods that have ended to the status, and lets them go.
fn count(store: &mut Store, key: &Key, job: &Object, now: Timestamp) -> Option<Object> {
    let tracked: Vec<Object> = pods::of(store, job).into_iter().filter(|p| is_tracked(p)).collect();
    let (succeeded, others): (Vec<&Object>, Vec<&Object>) =
        tracked.iter().partition(|p| p["status"]["phase"] == "Succeeded");
    let failed: Vec<&Object> = others.into_iter().filter(|p| has_failed(job, p)).collect();
    let (good, bad) = (succeeded.len() as i64, failed.len() as i64);
    let text = seconds_text(now);
    let counted_job = store.modify("jobs.batch", key, |job| {
        if job["status"]["startTime"].is_null() {
            job["status"]["startTime"] = json!(text);
        }
        for (field, more) in [("succeeded", good), ("failed", bad)] {
            job["status"][field] = json!(counted(job, field) + more);
        }
        if good > 0
            && let Some(annotations) = job["metadata"]["annotations"].as_object_mut()
        {
            annotations.remove(FAILURES);
        }
        if bad > 0 {
            let before = failures(job).map_or(0, |(count, _)| count);
            job["metadata"]["annotations"][FAILURES] = json!(format!("{} {text}", before + bad));
        }
    });
    for pod in succeeded.into_iter().chain(failed) {
        release(store, &Key::of(pod));
    }
    counted_job
}

fn failures(job: &Value) -> Option<(i64, Timestamp)> {
    let (count, last) = job["metadata"]["annotations"][FAILURES].as_str()?.split_once(' ')?;
    Some((count.parse().ok()?, parse_time(last)?))
}

fn verdict(job: &Value, deadline: Option<Timestamp>, now: Timestamp) -> Option<Verdict> {
    if counted(job, "succeeded") >= number(job, "completions", 1) {
        Some(("Complete", "CompletionsReached", "Reached expected number of succeeded pods"))
    } else if counted(job, "failed") > number(job, "backoffLimit", 6) {
        Some(("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"))
    } else if deadline.is_some_and(|d| now >= d) {
        Some(("Failed", "DeadlineExceeded", "Job was active longer than specified deadline"))
    } else {
        None
    }
}

fn report(store: &mut Store, key: &Key, running: i64, verdict: Option<Verdict>, now: Timestamp) {
    let now_text = seconds_text(now);
    store.modify("jobs.batch", key, |job| {
        let status = &mut job["status"];
        status["active"] = json!(running);
        if let Some((kind, reason, message)) = verdict {
            set_condition(status, kind, "True", reason, message, &now_text);
            if kind == "Complete" {
                status["completionTime"] = json!(now_text);
            }
        }
    });
}

fn ended(job: &Value) -> bool {
    ["Complete", "Failed"].iter().any(|kind| pods::condition(job, kind) == Some("True"))
}

/// How long to wait before the next pod, if the last one failed a moment ago.
fn backoff(job: &Value, now: Timestamp) -> Option<Duration> {
    let (failed, last) = failures(job)?;
    let wait = (BACKOFF << (failed - 1).clamp(0, 6)).min(BACKOFF_LIMIT);
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
