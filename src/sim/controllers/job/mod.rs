//! Jobs: completions, parallelism, indexes, suspension, backoff, deadline, failure policy, and cleaning up.
//!
//! Pods are counted once: each carries a finalizer until its end is in the Job's status, so that a pod which is deleted
//! first isn't forgotten. As in the real one, a pod that is deleted before it has succeeded counts as failed, and a Job is
//! complete or failed only when the last of its pods has ended.

mod indexes;
mod policy;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::garbage::drop_finalizer;
use super::{pods, until};
use crate::sim::clock::{parse_time, seconds_text};
use crate::sim::json::{Value, json};
use crate::sim::scheduler::set_condition;
use crate::sim::store::{DeleteOptions, Key, Object, Store};
use indexes::Indexes;

/// First wait after a failed pod; doubles with each further one.
const BACKOFF: i64 = 10;
/// The longest wait.
const BACKOFF_LIMIT: i64 = 600;
const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// Failures since the last success and the time of the last, which the real controller keeps in memory.
const FAILURES: &str = "sim.virtroll.dev/failures";

/// How a Job ends: `Complete` or `Failed`, why, and in words.
#[derive(Debug, Clone, PartialEq)]
struct Verdict {
    complete: bool,
    reason: String,
    message: String,
}

impl Verdict {
    fn new(complete: bool, reason: &str, message: &str) -> Self {
        Self { complete, reason: reason.to_owned(), message: message.to_owned() }
    }

    /// The conditions that say so: while its last pods end, and afterwards.
    fn conditions(&self) -> [&'static str; 2] {
        if self.complete { ["SuccessCriteriaMet", "Complete"] } else { ["FailureTarget", "Failed"] }
    }

    /// What the status says already.
    fn written(job: &Value) -> Option<Self> {
        let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
        let mut open = conditions.filter(|c| c["status"] == "True");
        let found = open.find(|c| c["type"] == "SuccessCriteriaMet" || c["type"] == "FailureTarget")?;
        let text = |field: &str| found[field].as_str().unwrap_or_default();
        Some(Self::new(found["type"] == "SuccessCriteriaMet", text("reason"), text("message")))
    }
}

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
    let suspended = job["spec"]["suspend"] == true;
    let failing = policy::failing(store, &job);
    let job = count(store, key, &job, now)?;
    let started = job["status"]["startTime"].as_str().and_then(parse_time).filter(|_| !suspended);
    let allowed = job["spec"]["activeDeadlineSeconds"].as_i64().map(SignedDuration::from_secs);
    let deadline = started.zip(allowed).map(|(started, allowed)| started + allowed);
    let verdict = Verdict::written(&job).or(failing).or_else(|| verdict(store, &job, deadline, now));
    let mut again = deadline.filter(|d| *d > now).map(|d| until(now, d));
    if verdict.is_some() || suspended {
        for pod in pods::of(store, &job).iter().filter(|p| pods::is_active(p)) {
            let _ = store.delete("pods", &Key::of(pod), &DeleteOptions::default());
        }
    } else if let Some(wait) = fill(store, &job, now) {
        again = Some(again.map_or(wait, |a| a.min(wait)));
    }
    report(store, key, verdict, suspended, now);
    again
}

/// On its way out, and not ended yet.
fn is_terminating(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
        && !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// A pod is replaced only when it has ended.
fn waits_for_the_end(job: &Value) -> bool {
    job["spec"]["podReplacementPolicy"] == "Failed"
        || (!job["spec"]["podFailurePolicy"].is_null() && job["spec"]["podReplacementPolicy"].is_null())
}

/// Makes the pods that are missing, or takes away those that are too many. Returns how long to wait before the next.
fn fill(store: &mut Store, job: &Value, now: Timestamp) -> Option<Duration> {
    let all = pods::of(store, job);
    let active: Vec<&Object> = all.iter().filter(|p| pods::is_active(p)).collect();
    let leaving = all.iter().filter(|p| is_terminating(p)).count() as i64;
    let held = active.len() as i64 + if waits_for_the_end(job) { leaving } else { 0 };
    let parallelism = number(job, "parallelism", 1);
    let succeeded = counted(job, "succeeded");
    let wanted = match job["spec"]["completions"].as_i64() {
        Some(completions) => parallelism.min(completions - succeeded),
        // A queue of work: when one has found it empty, nobody new begins.
        None if succeeded > 0 => active.len() as i64,
        None => parallelism,
    };
    if (active.len() as i64) > wanted {
        let mut surplus: Vec<Object> = active.into_iter().cloned().collect();
        pods::surplus_order(&mut surplus);
        for pod in &surplus[..surplus.len() - wanted.max(0) as usize] {
            let _ = store.delete("pods", &Key::of(pod), &DeleteOptions::default());
        }
        return None;
    }
    let room = wanted - held;
    if room <= 0 {
        return None;
    }
    if let Some(wait) = backoff(job, now) {
        return Some(wait);
    }
    if job["spec"]["completionMode"] == "Indexed" {
        let taken = |p: &&Object| pods::is_active(p) || (waits_for_the_end(job) && is_terminating(p));
        let taken: Vec<i64> = all.iter().filter(taken).filter_map(|p| indexes::of(p)).collect();
        let completions = job["spec"]["completions"].as_i64().unwrap_or(0);
        let missing = Indexes::completed(job).missing(completions);
        for index in missing.into_iter().filter(|i| !taken.contains(i)).take(room as usize) {
            if create(store, job, Some(index)).is_none() {
                break;
            }
        }
    } else {
        for _ in 0..room {
            if create(store, job, None).is_none() {
                break;
            }
        }
    }
    None
}

fn number(job: &Value, field: &str, default: i64) -> i64 {
    job["spec"][field].as_i64().unwrap_or(default)
}

fn counted(job: &Value, field: &str) -> i64 {
    job["status"][field].as_i64().unwrap_or(0)
}

fn create(store: &mut Store, job: &Value, index: Option<i64>) -> Option<Object> {
    let mut pod = pods::from_template(job);
    let name = job["metadata"]["name"].as_str().unwrap_or_default();
    pod["metadata"]["generateName"] = json!(format!("{name}-"));
    pod["metadata"]["finalizers"] = json!([TRACKING]);
    if let Some(index) = index {
        indexes::mark(&mut pod, name, index);
    }
    pods::create(store, pod)
}

fn is_tracked(pod: &Value) -> bool {
    pod["metadata"]["finalizers"].as_array().is_some_and(|f| f.iter().any(|x| x == TRACKING))
}

fn release(store: &mut Store, pod: &Key) {
    store.modify("pods", pod, |pod| {
        drop_finalizer(pod, TRACKING);
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
    pod["status"]["phase"] == "Failed" || (!waits_for_the_end(job) && is_terminating(pod))
}

/// Adds the pods that have ended to the status, and lets them go.
fn count(store: &mut Store, key: &Key, job: &Object, now: Timestamp) -> Option<Object> {
    let tracked: Vec<Object> = pods::of(store, job).into_iter().filter(|p| is_tracked(p)).collect();
    let (succeeded, others): (Vec<&Object>, Vec<&Object>) =
        tracked.iter().partition(|p| p["status"]["phase"] == "Succeeded");
    let failed: Vec<&Object> = others.into_iter().filter(|p| has_failed(job, p)).collect();
    let bad = failed.iter().filter(|p| !policy::is_ignored(job, p)).count() as i64;
    let indexed = job["spec"]["completionMode"] == "Indexed";
    let mut completed = Indexes::completed(job);
    let mut good = 0;
    for pod in &succeeded {
        good += match indexes::of(pod).filter(|_| indexed) {
            Some(index) => i64::from(completed.insert(index)),
            None => i64::from(!indexed),
        };
    }
    let text = seconds_text(now);
    let suspended = job["spec"]["suspend"] == true;
    let counted_job = store.modify("jobs.batch", key, |job| {
        if job["status"]["startTime"].is_null() && !suspended {
            job["status"]["startTime"] = json!(text);
        }
        for (field, more) in [("succeeded", good), ("failed", bad)] {
            if more > 0 {
                job["status"][field] = json!(counted(job, field) + more);
            }
        }
        if indexed && good > 0 {
            job["status"]["completedIndexes"] = json!(completed.text());
        }
        if good > 0
            && let Some(annotations) = job["metadata"].get_mut("annotations").and_then(Value::as_object_mut)
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

fn verdict(store: &Store, job: &Value, deadline: Option<Timestamp>, now: Timestamp) -> Option<Verdict> {
    let succeeded = counted(job, "succeeded");
    let complete = match job["spec"]["completions"].as_i64() {
        Some(completions) => succeeded >= completions,
        None => succeeded > 0 && !pods::of(store, job).iter().any(|p| pods::is_active(p)),
    };
    if counted(job, "failed") > number(job, "backoffLimit", 6) {
        Some(Verdict::new(false, "BackoffLimitExceeded", "Job has reached the specified backoff limit"))
    } else if deadline.is_some_and(|d| now >= d) {
        Some(Verdict::new(false, "DeadlineExceeded", "Job was active longer than specified deadline"))
    } else if complete {
        Some(Verdict::new(true, "CompletionsReached", "Reached expected number of succeeded pods"))
    } else {
        None
    }
}

/// Writes a condition. That of a Job says, too, when it was looked at.
fn said(status: &mut Value, kind: &str, value: &str, reason: &str, message: &str, now: &str) {
    set_condition(status, kind, value, reason, message, now);
    let conditions = status["conditions"].as_array_mut().into_iter().flatten();
    for condition in conditions.filter(|c| c["type"] == kind && c["lastProbeTime"].is_null()) {
        condition["lastProbeTime"] = json!(now);
    }
}

fn report(store: &mut Store, key: &Key, verdict: Option<Verdict>, suspended: bool, now: Timestamp) {
    let Some(job) = store.get_key("jobs.batch", key).cloned() else { return };
    let all = pods::of(store, &job);
    let active = all.iter().filter(|p| pods::is_active(p)).count();
    let ready = all.iter().filter(|p| pods::is_active(p) && pods::is_ready(p)).count();
    let terminating = all.iter().filter(|p| is_terminating(p)).count();
    let text = seconds_text(now);
    store.modify("jobs.batch", key, |job| {
        let was_suspended = pods::condition(job, "Suspended").map(str::to_owned);
        let status = &mut job["status"];
        for (field, count) in [("ready", ready), ("terminating", terminating)] {
            status[field] = json!(count);
        }
        // Left out where it is none, as by its type.
        status.as_object_mut().map(|s| s.remove("active"));
        if active > 0 {
            status["active"] = json!(active);
        }
        status["uncountedTerminatedPods"] = json!({});
        if let Some(verdict) = verdict {
            let [first, last] = verdict.conditions();
            said(status, first, "True", &verdict.reason, &verdict.message, &text);
            if active + terminating == 0 {
                said(status, last, "True", &verdict.reason, &verdict.message, &text);
                if verdict.complete {
                    status["completionTime"] = json!(text);
                }
            }
        } else if suspended {
            status.as_object_mut().map(|s| s.remove("startTime"));
            said(status, "Suspended", "True", "JobSuspended", "Job suspended", &text);
        } else if was_suspended.as_deref() == Some("True") {
            said(status, "Suspended", "False", "JobResumed", "Job resumed", &text);
            status["startTime"] = json!(text);
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
