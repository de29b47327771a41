//! Acting: effects become requests, answers become words.

use k8s_openapi::api::core::v1::{Node as ApiNode, Pod as ApiPod};
use k8s_openapi::api::policy::v1::Eviction;
use kube::Client;
use kube::api::{
    Api, DeleteParams, DynamicObject, GetParams, Patch, PatchParams, PostParams, Preconditions, Request,
};
use kube::core::{ObjectMeta, Status};
use serde_json::{Value, json};

use super::lean::Lean;
use super::{Error, wire};
use crate::inventory::{Node, ObjectName, ScalableKind, ScalableName, Taint};
use crate::reconcile::{EvictionAnswer, NodePatch, STATE_ANNOTATION, StateChange};

/// Where nodes are.
const NODES: &str = "/api/v1/nodes";

/// Carries out effects.
#[derive(Clone)]
pub struct Actor {
    client: Client,
    dry_run: bool,
}

impl Actor {
    /// With `dry_run`, the API server is asked but persists nothing (`dryRun=All`).
    pub fn new(client: Client, dry_run: bool) -> Self {
        Self { client, dry_run }
    }

    /// Patches a node; the resourceVersion is a precondition. Gives the node as it is now.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it changed meanwhile.
    pub async fn patch_node(&self, patch: &NodePatch) -> Result<Node, Error> {
        let params = PatchParams { dry_run: self.dry_run, ..PatchParams::default() };
        let body = node_patch_body(patch);
        let request = Request::new(NODES).patch(&patch.node, &params, &Patch::Merge(&body));
        self.answered(request).await.map_err(|e| Error::of(&format!("patch node {}", patch.node), e))
    }

    /// A node as it is now.
    ///
    /// # Errors
    /// A refusal in words.
    pub async fn node(&self, name: &str) -> Result<Node, Error> {
        let request = Request::new(NODES).get(name, &GetParams::default());
        self.answered(request).await.map_err(|e| Error::of(&format!("read node {name}"), e))
    }

    /// The node that a request is answered with.
    async fn answered(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Node, kube::Error> {
        let Lean(node) = self.client.request(request.map_err(kube::Error::BuildRequest)?).await?;
        Ok(wire::node(&node))
    }

    /// Sets `spec.unschedulable` of a node, whatever else changed (`virtroll cordon`).
    ///
    /// # Errors
    /// A refusal in words.
    pub async fn set_unschedulable(&self, node: &str, unschedulable: bool) -> Result<(), Error> {
        let nodes: Api<ApiNode> = Api::all(self.client.clone());
        let params = PatchParams { dry_run: self.dry_run, ..PatchParams::default() };
        let body = json!({"spec": {"unschedulable": if unschedulable { json!(true) } else { Value::Null }}});
        nodes
            .patch(node, &params, &Patch::Merge(&body))
            .await
            .map_err(|e| Error::of(&format!("patch node {node}"), e))?;
        Ok(())
    }

    /// Asks the eviction API, with the UID as the precondition.
    pub async fn evict(&self, pod: &ObjectName, uid: &str, grace_seconds: Option<i64>) -> EvictionAnswer {
        // Not `Api::evict`: that loses the delete options (their JSON key is wrong there), the UID among them.
        let pods: Api<ApiPod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let preconditions = k8s_openapi::apimachinery::pkg::apis::meta::v1::Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        };
        let options = k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions {
            preconditions: Some(preconditions),
            grace_period_seconds: grace_seconds,
            ..Default::default()
        };
        let metadata = ObjectMeta {
            name: Some(pod.name.clone()),
            namespace: Some(pod.namespace.clone()),
            ..Default::default()
        };
        let eviction = Eviction { metadata, delete_options: Some(options) };
        // The dry run goes into the query: older KubeVirt webhooks overlook it anywhere else and mark the VMI for real.
        let params = PostParams { dry_run: self.dry_run, ..PostParams::default() };
        let answer =
            pods.create_subresource::<Eviction, Value>("eviction", &pod.name, &params, &eviction).await;
        match answer {
            Ok(_) => EvictionAnswer::Granted,
            Err(kube::Error::Api(status)) => classify(&status),
            Err(error) => EvictionAnswer::Trouble { message: super::error::chain(&error) },
        }
    }

    /// Deletes a pod, with the UID as the precondition.
    pub async fn delete_pod(
        &self,
        pod: &ObjectName,
        uid: &str,
        grace_seconds: Option<i64>,
    ) -> EvictionAnswer {
        let pods: Api<ApiPod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let params = DeleteParams {
            dry_run: self.dry_run,
            grace_period_seconds: grace_seconds.and_then(|g| u32::try_from(g).ok()),
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..DeleteParams::default()
        };
        match pods.delete(&pod.name, &params).await {
            Ok(_) => EvictionAnswer::Granted,
            Err(kube::Error::Api(status)) => classify(&status),
            Err(error) => EvictionAnswer::Trouble { message: super::error::chain(&error) },
        }
    }

    /// Changes the number of replicas of a Deployment or StatefulSet, if it is still the same object with as many replicas as
    /// were seen.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it isn't; other refusals in words.
    pub async fn scale(&self, workload: &ScalableName, uid: &str, from: u32, to: u32) -> Result<(), Error> {
        let (kind, plural) = match workload.kind {
            ScalableKind::Deployment => ("Deployment", "deployments"),
            ScalableKind::StatefulSet => ("StatefulSet", "statefulsets"),
        };
        let resource = kube::api::ApiResource {
            group: "apps".into(),
            version: "v1".into(),
            api_version: "apps/v1".into(),
            kind: kind.into(),
            plural: plural.into(),
        };
        let ObjectName { namespace, name } = &workload.name;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        // What matters is the number, not the revision, which each new status changes.
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "test", "path": "/spec/replicas", "value": from},
            {"op": "replace", "path": "/spec/replicas", "value": to},
        ]);
        let patch: json_patch::Patch = serde_json::from_value(patch).unwrap_or_default();
        let params = PatchParams { dry_run: self.dry_run, ..PatchParams::default() };
        let what = format!("scale {workload} from {from} to {to}");
        match api.patch_scale(name, &params, &Patch::Json::<()>(patch)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 422 => {
                Err(Error::Conflict(format!("{what}: it was changed by somebody else meanwhile")))
            }
            Err(error) => Err(Error::of(&what, error)),
        }
    }

    /// PUT to an action of KubeVirt's subresource API; empty answers are fine.
    async fn kubevirt_action(
        &self,
        kind: &str,
        name: &ObjectName,
        action: &str,
        body: &Value,
    ) -> Result<(), Error> {
        let path = format!(
            "/apis/subresources.kubevirt.io/v1/namespaces/{}/{kind}/{}/{action}",
            name.namespace, name.name
        );
        let what = format!("{action} vm {name}");
        let bytes = serde_json::to_vec(body).unwrap_or_default();
        let request = http::Request::put(path).header("content-type", "application/json").body(bytes);
        let request = request.map_err(|e| Error::Refused { what: what.clone(), why: e.to_string() })?;
        self.client.request_text(request).await.map(drop).map_err(|e| Error::of(&what, e))
    }

    /// Starts a VirtualMachine.
    ///
    /// # Errors
    /// A refusal in words.
    pub async fn start_vm(&self, vm: &ObjectName) -> Result<(), Error> {
        self.kubevirt_action("virtualmachines", vm, "start", &json!({})).await
    }

    /// Restarts a VM: by KubeVirt's `restart`, or by deleting its VMI.
    ///
    /// # Errors
    /// A refusal in words.
    pub async fn restart_vmi(&self, vmi: &ObjectName, uid: &str, by_subresource: bool) -> Result<(), Error> {
        if by_subresource {
            return self.kubevirt_action("virtualmachines", vmi, "restart", &json!({})).await;
        }
        self.delete_kubevirt("VirtualMachineInstance", "virtualmachineinstances", vmi, Some(uid)).await
    }

    async fn delete_kubevirt(
        &self,
        kind: &str,
        plural: &str,
        name: &ObjectName,
        uid: Option<&str>,
    ) -> Result<(), Error> {
        let resource = kubevirt_resource(kind, plural);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &name.namespace, &resource);
        let preconditions =
            uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        let params = DeleteParams { preconditions, dry_run: self.dry_run, ..DeleteParams::default() };
        match api.delete(&name.name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(Error::of(&format!("delete {plural} {name}"), error)),
        }
    }

    /// Takes the mark off a VMI, if it is still this one.
    async fn unmark(&self, vmi: &ObjectName, mark: &str) -> Result<(), Error> {
        let resource = kubevirt_resource("VirtualMachineInstance", "virtualmachineinstances");
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &vmi.namespace, &resource);
        let patch = json!([
            {"op": "test", "path": "/status/evacuationNodeName", "value": mark},
            {"op": "remove", "path": "/status/evacuationNodeName"},
        ]);
        let patch: json_patch::Patch = serde_json::from_value(patch).unwrap_or_default();
        match api.patch(&vmi.name, &PatchParams::default(), &Patch::Json::<()>(patch)).await {
            Ok(_) => Ok(()),
            // It is off already, or somebody else's.
            Err(kube::Error::Api(status)) if [404, 422].contains(&status.code) => Ok(()),
            Err(error) => Err(Error::of(&format!("take the evacuation mark off vm {vmi}"), error)),
        }
    }

    /// Cancels an evacuation: the mark first, then its unfinished migrations (the other way round KubeVirt makes new ones).
    ///
    /// # Errors
    /// A refusal in words.
    pub async fn cancel_evacuation(
        &self,
        vmi: &ObjectName,
        mark: &str,
        migrations: &[ObjectName],
    ) -> Result<(), Error> {
        let body = json!({"evacuationNodeName": mark});
        match self.kubevirt_action("virtualmachineinstances", vmi, "evacuate/cancel", &body).await {
            // Releases before 1.7 have no such action.
            Err(Error::NotFound(_)) => self.unmark(vmi, mark).await?,
            other => other?,
        }
        for migration in migrations {
            let plural = "virtualmachineinstancemigrations";
            self.delete_kubevirt("VirtualMachineInstanceMigration", plural, migration, None).await?;
        }
        Ok(())
    }
}

/// KubeVirt's kinds, as far as they are written.
fn kubevirt_resource(kind: &str, plural: &str) -> kube::api::ApiResource {
    kube::api::ApiResource {
        group: "kubevirt.io".into(),
        version: "v1".into(),
        api_version: "kubevirt.io/v1".into(),
        kind: kind.into(),
        plural: plural.into(),
    }
}

/// The merge patch of a node: resourceVersion, cordon and annotations in one body.
fn node_patch_body(patch: &NodePatch) -> Value {
    let mut metadata = json!({"resourceVersion": patch.resource_version});
    match &patch.state {
        StateChange::Keep => {}
        StateChange::Set(state) => {
            metadata["annotations"][STATE_ANNOTATION] =
                json!(serde_json::to_string(state).unwrap_or_default());
        }
        StateChange::Remove => metadata["annotations"][STATE_ANNOTATION] = Value::Null,
    }
    let mut body = json!({"metadata": metadata});
    if let Some(unschedulable) = patch.unschedulable {
        // The field is absent, not false, on a node that was never cordoned.
        body["spec"]["unschedulable"] = if unschedulable { json!(true) } else { Value::Null };
    }
    if let Some(taints) = &patch.taints {
        let taint = |t: &Taint| {
            let mut taint = json!({"key": t.key, "effect": t.effect});
            if !t.value.is_empty() {
                taint["value"] = json!(t.value);
            }
            if let Some(at) = t.time_added {
                taint["timeAdded"] = json!(at);
            }
            taint
        };
        // Absent, not empty, on a node without taints.
        let taints: Vec<Value> = taints.iter().map(taint).collect();
        body["spec"]["taints"] = if taints.is_empty() { Value::Null } else { json!(taints) };
    }
    body
}

/// What an answer to an eviction means.
fn classify(status: &Status) -> EvictionAnswer {
    let causes: Vec<&str> = status
        .details
        .iter()
        .flat_map(|d| &d.causes)
        .map(|c| c.message.as_str())
        .filter(|m| !m.is_empty())
        .collect();
    let reasons: Vec<&str> =
        status.details.iter().flat_map(|d| &d.causes).map(|c| c.reason.as_str()).collect();
    let message = match causes.as_slice() {
        [] => status.message.clone(),
        causes => format!("{} {}", status.message, causes.join("; ")),
    };
    match status.code {
        404 => EvictionAnswer::Gone,
        409 if status.message.contains("UID") => EvictionAnswer::Gone,
        403 if reasons.contains(&"NamespaceTerminating") => EvictionAnswer::NamespaceTerminating,
        403 => EvictionAnswer::Forbidden { message },
        429 => classify_429(status, message, &reasons),
        500 if status.message.contains("more than one PodDisruptionBudget") => {
            EvictionAnswer::ManyBudgets { message }
        }
        _ => EvictionAnswer::Trouble { message },
    }
}

/// KubeVirt's webhook answers 429 without a reason; budgets with one.
fn classify_429(status: &Status, message: String, reasons: &[&str]) -> EvictionAnswer {
    let denial = status.message.split_once(" denied the request: ").map(|(_, text)| text);
    let Some(denial) = denial.filter(|_| !reasons.contains(&"DisruptionBudget")) else {
        let retry_after = status.details.as_ref().map(|d| d.retry_after_seconds).filter(|s| *s > 0);
        return EvictionAnswer::BudgetRefused { message, retry_after };
    };
    // M2 contains M1's text, so it comes first.
    if denial.starts_with("Evacuation in progress:")
        || denial.starts_with("Eviction triggered evacuation of VMI")
    {
        EvictionAnswer::Evacuating
    } else if denial.contains("not live-migratable") {
        EvictionAnswer::NotMigratable { message: denial.to_owned() }
    } else if denial.starts_with("Eviction request for target Pod")
        || denial.starts_with("cannot evict hotplug pod")
    {
        EvictionAnswer::Wait { message: denial.to_owned() }
    } else {
        EvictionAnswer::Trouble { message: denial.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::{NodePhase, NodeState};

    fn status(text: &str) -> Status {
        serde_json::from_str(text).expect("a Status")
    }

    #[test]
    fn answers_to_an_eviction_are_told_apart() {
        let denied = |m: &str| {
            format!(
                r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","code":429,"message":"admission webhook \"virt-launcher-eviction-interceptor.kubevirt.io\" denied the request: {m}"}}"#
            )
        };
        for text in [
            r#"Eviction triggered evacuation of VMI \"shop/db\""#,
            r#"Evacuation in progress: Eviction triggered evacuation of VMI \"shop/db\""#,
        ] {
            assert_eq!(classify(&status(&denied(text))), EvictionAnswer::Evacuating, "{text}");
        }
        let stuck = "VMI db is configured with an eviction strategy but is not live-migratable";
        assert_eq!(
            classify(&status(&denied(stuck))),
            EvictionAnswer::NotMigratable { message: stuck.to_owned() }
        );
        let target = "Eviction request for target Pod";
        assert_eq!(classify(&status(&denied(target))), EvictionAnswer::Wait { message: target.to_owned() });
        let failed = "kubevirt failed getting the vmi: x";
        assert_eq!(
            classify(&status(&denied(failed))),
            EvictionAnswer::Trouble { message: failed.to_owned() }
        );
        let budget = r#"{"status":"Failure","code":429,"reason":"TooManyRequests","message":"Cannot evict pod as it would violate the pod's disruption budget.","details":{"retryAfterSeconds":10,"causes":[{"reason":"DisruptionBudget","message":"The disruption budget web needs 2 healthy pods and has 2 currently"}]}}"#;
        let words = "Cannot evict pod as it would violate the pod's disruption budget. The disruption budget web needs 2 healthy pods and has 2 currently";
        assert_eq!(
            classify(&status(budget)),
            EvictionAnswer::BudgetRefused { message: words.to_owned(), retry_after: Some(10) }
        );
        let many = r#"{"status":"Failure","code":500,"message":"This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."}"#;
        assert!(matches!(classify(&status(many)), EvictionAnswer::ManyBudgets { .. }));
        let uid = r#"{"status":"Failure","code":409,"reason":"Conflict","message":"Operation cannot be fulfilled on pods \"a\": Precondition failed: UID in precondition: x, UID in object meta: y"}"#;
        assert_eq!(classify(&status(uid)), EvictionAnswer::Gone);
        let terminating = r#"{"status":"Failure","code":403,"reason":"Forbidden","message":"no","details":{"causes":[{"reason":"NamespaceTerminating"}]}}"#;
        assert_eq!(classify(&status(terminating)), EvictionAnswer::NamespaceTerminating);
    }

    #[test]
    fn cordon_and_state_go_in_one_body() {
        let state = NodeState {
            campaign: "c".into(),
            phase: NodePhase::Cordoned,
            since: "2026-01-01T00:00:00Z".parse().ok(),
            ..NodeState::default()
        };
        let patch = NodePatch {
            node: "w1".into(),
            resource_version: "7".into(),
            unschedulable: Some(true),
            state: StateChange::Set(Box::new(state)),
            taints: None,
        };
        let body = node_patch_body(&patch);
        assert_eq!(body["metadata"]["resourceVersion"], "7");
        assert_eq!(body["spec"], json!({"unschedulable": true}));
        let text = body["metadata"]["annotations"]["virtroll.dev/maintenance"].as_str().expect("state");
        assert!(
            text.contains(r#""phase":"Cordoned""#) && text.contains(r#""wasUnschedulable":false"#),
            "{text}"
        );
        let back = NodePatch { unschedulable: Some(false), state: StateChange::Remove, ..patch };
        let body = node_patch_body(&back);
        assert_eq!(body["spec"]["unschedulable"], Value::Null);
        assert!(
            body["metadata"]["annotations"]
                .as_object()
                .is_some_and(|a| a["virtroll.dev/maintenance"].is_null())
        );
    }
}
