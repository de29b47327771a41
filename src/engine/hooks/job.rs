//! `job`: a Job in the cluster, at node points pinned to the node and tolerating its cordon.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use super::Context;
use super::patiently::patiently;
use super::wait_for::{until, until_gone};
use crate::plan::v1alpha1::{Duration, JobHook};

/// Where Jobs run unless the plan says otherwise.
const NAMESPACE: &str = "kube-system";

/// Creates the Job (or finds the one that an earlier driver created for this very run) and waits for its end.
pub(super) async fn run(context: &Context, hook: &JobHook) -> Result<(), String> {
    let namespace = hook.namespace.as_deref().unwrap_or(NAMESPACE);
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), namespace);
    let name = context.object_name();
    let job: Job = serde_json::from_value(manifest(context, hook, &name)).map_err(|e| e.to_string())?;
    match patiently(context, || async { jobs.create(&PostParams::default(), &job).await }).await {
        Ok(_) => {}
        // Its name is this run's alone: an earlier driver created it, or an answer was lost.
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => return Err(format!("can't create Job {namespace}/{name}: {error}")),
    }
    let holds = |job: &Value, kind: &str| {
        let conditions = job["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|c| c["type"] == kind && c["status"] == "True")
    };
    let ended = until(&jobs, &name, |job| holds(job, "Complete") || holds(job, "Failed")).await?;
    if holds(&ended, "Complete") {
        return Ok(());
    }
    let conditions = ended["status"]["conditions"].as_array();
    let failed = conditions.into_iter().flatten().find(|c| c["type"] == "Failed");
    let why = failed.and_then(|c| c["message"].as_str()).unwrap_or("no reason given").to_owned();
    Err(format!("Job {namespace}/{name} failed: {why}{}", last_exit(context, namespace, &name).await))
}

/// Deletes the Job of a run that was given up, and waits until its pods are gone: two tries never run at once.
pub(super) async fn stop(context: &Context, hook: &JobHook) -> Result<(), String> {
    let namespace = hook.namespace.as_deref().unwrap_or(NAMESPACE);
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), namespace);
    let name = context.object_name();
    match patiently(context, || async { jobs.delete(&name, &DeleteParams::foreground()).await }).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(format!("can't delete Job {namespace}/{name}: {error}")),
    }
    until_gone(&jobs, &name).await;
    Ok(())
}

/// How the Job's last pod ended, for the message.
async fn last_exit(context: &Context, namespace: &str, job: &str) -> String {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let params = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let Ok(list) = pods.list(&params).await else { return String::new() };
    let exits = list.items.iter().filter_map(|pod| {
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        let ended = statuses.first()?.state.as_ref()?.terminated.as_ref()?;
        let message = ended.message.as_deref().map(|m| format!(": {m}")).unwrap_or_default();
        Some(format!(" (its last pod: exit {}{message})", ended.exit_code))
    });
    exits.reduce(|_, last| last).unwrap_or_default()
}

fn manifest(context: &Context, hook: &JobHook, name: &str) -> Value {
    let mut env: Vec<Value> =
        context.variables().into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    env.extend(hook.env.iter().map(|(name, value)| json!({"name": name, "value": context.expand(value)})));
    let mut container = json!({"name": "hook", "image": hook.image, "env": env});
    if !hook.command.is_empty() {
        container["command"] = json!(hook.command);
    }
    if !hook.args.is_empty() {
        container["args"] = json!(hook.args.iter().map(|a| context.expand(a)).collect::<Vec<_>>());
    }
    let labels = json!({"app.kubernetes.io/managed-by": "virtroll", "virtroll.dev/hook": context.hook.name});
    let mut metadata = json!({"labels": labels});
    // A simulated kubelet can't know how long the real thing takes; the plan may.
    if let Some(expected) = context.hook.expected.filter(|_| context.play) {
        metadata["annotations"] = json!({"sim.virtroll.dev/runs-for": seconds(expected)});
    }
    let mut spec = json!({"restartPolicy": "Never", "containers": [container]});
    if let Some(account) = &hook.service_account_name {
        spec["serviceAccountName"] = json!(account);
    }
    if hook.privileged {
        spec["hostPID"] = json!(true);
        spec["hostNetwork"] = json!(true);
        spec["hostIPC"] = json!(true);
        spec["volumes"] = json!([{"name": "host", "hostPath": {"path": "/"}}]);
        spec["containers"][0]["securityContext"] = json!({"privileged": true});
        spec["containers"][0]["volumeMounts"] = json!([{"name": "host", "mountPath": "/host"}]);
    }
    if let Some(node) = context.node() {
        pin(&mut spec, node);
    }
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        // The plan's retries are virtroll's, so that each try is on record.
        "spec": {"backoffLimit": 0, "activeDeadlineSeconds": context.hook.timeout.0.as_secs().max(1), "ttlSecondsAfterFinished": 3600, "template": {"metadata": metadata, "spec": spec}},
    })
}

/// A duration as the simulated cluster's annotations take it.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{}s", duration.0.as_secs_f64())
}

/// Pins a pod to a node through the scheduler, and has it tolerate whatever taint the node carries.
pub(super) fn pin(spec: &mut Value, node: &str) {
    let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
    spec["affinity"] = json!({"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]},
    }});
    spec["tolerations"] = json!([{"operator": "Exists"}]);
}
