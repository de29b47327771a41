//! Of Deployments, told from their ReplicaSets, of Jobs, and of workloads whose pods are refused.

use super::{Told, controller, controller_reference, list, reference, text};
use crate::sim::json::{Value, json};
use crate::sim::store::{Change, ChangeKind, Refused};

/// A ReplicaSet whose number changed was scaled by its Deployment.
pub(super) fn tell_of_replica_set(change: &Change, told: &mut Vec<Told>) {
    if change.kind == ChangeKind::Deleted {
        return;
    }
    let set = &*change.object;
    let Some(owner) = controller(set).filter(|o| o["kind"] == "Deployment") else { return };
    let replicas = |o: &Value| o["spec"]["replicas"].as_i64().unwrap_or(0);
    let (before, now) = (change.old.as_deref().map_or(0, replicas), replicas(set));
    if before == now {
        return;
    }
    let way = if now > before { "up" } else { "down" };
    let message =
        format!("Scaled {way} replica set {} from {before} to {now}", text(&set["metadata"]["name"]));
    let deployment = controller_reference(set, owner);
    told.push(Told::normal(deployment, "deployment-controller", "ScalingReplicaSet", message));
}

fn ended(job: &Value, kind: &str) -> bool {
    list(&job["status"]["conditions"]).any(|c| c["type"] == kind && c["status"] == "True")
}

/// What a CronJob has to do with a Job: made it at its time, sees its end, or finds that somebody else made it.
pub(super) fn tell_of_cron_job(change: &Change, told: &mut Vec<Told>) {
    const FROM: &str = "cronjob-controller";
    let job = &*change.object;
    let Some(owner) = controller(job).filter(|o| o["kind"] == "CronJob") else { return };
    let name = text(&job["metadata"]["name"]);
    let is_its_own =
        !job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"].is_null();
    let cron_job = controller_reference(job, owner);
    match (change.kind, change.old.as_deref()) {
        (ChangeKind::Added, _) if is_its_own => {
            told.push(Told::normal(cron_job, FROM, "SuccessfulCreate", format!("Created job {name}")));
        }
        (ChangeKind::Added, _) => {
            let message = format!("Saw a job that the controller did not create or forgot: {name}");
            told.push(Told::warning(cron_job, FROM, "UnexpectedJob", message));
        }
        (ChangeKind::Modified, Some(old)) if is_its_own => {
            let over = ["Complete", "Failed"].into_iter().find(|kind| ended(job, kind) && !ended(old, kind));
            let Some(condition) = over else { return };
            let message = format!("Saw completed job: {name}, condition: {condition}");
            told.push(Told::normal(cron_job, FROM, "SawCompletedJob", message));
        }
        _ => {}
    }
}

/// A Job that came to its end.
pub(super) fn tell_of_job(change: &Change, told: &mut Vec<Told>) {
    let Some(old) = change.old.as_deref().filter(|_| change.kind == ChangeKind::Modified) else { return };
    let job = &*change.object;
    if ended(job, "Complete") && !ended(old, "Complete") {
        told.push(Told::normal(reference(job), "job-controller", "Completed", "Job completed"));
    }
    if ended(job, "Failed") && !ended(old, "Failed") {
        let failed = list(&job["status"]["conditions"]).find(|c| c["type"] == "Failed");
        let reason = match failed.map(|c| text(&c["reason"])) {
            Some("DeadlineExceeded") => "DeadlineExceeded",
            _ => "BackoffLimitExceeded",
        };
        let message = failed.map(|c| text(&c["message"])).unwrap_or_default();
        told.push(Told::warning(reference(job), "job-controller", reason, message));
    }
}

/// A pod that a quota or a LimitRange doesn't let in.
pub(super) fn of_refusal(refused: &Refused) -> Option<Told> {
    let owner = &refused.owner;
    let (name, pod, why) = (text(&owner["name"]), text(&refused.name), &refused.message);
    let from = match text(&owner["kind"]) {
        "ReplicaSet" => "replicaset-controller",
        "ReplicationController" => "replication-controller",
        "StatefulSet" => "statefulset-controller",
        "DaemonSet" => "daemonset-controller",
        "Job" => "job-controller",
        _ => return None,
    };
    let message = if owner["kind"] == "StatefulSet" {
        format!("create Pod {pod} in StatefulSet {name} failed error: {why}")
    } else {
        format!("Error creating: {why}")
    };
    let about = json!({
        "kind": owner["kind"], "apiVersion": owner["apiVersion"], "name": owner["name"], "uid": owner["uid"],
        "namespace": refused.namespace,
    });
    Some(Told::warning(about, from, "FailedCreate", message))
}
