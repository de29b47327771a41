//! virt-api's subresources: start, stop, restart, migrate, and the end of an evacuation.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use kube::api::{Api, Patch, PatchParams, PostParams};

use super::caller::Caller;
use super::evacuation;
use super::item::Item;
use super::review;
use super::settings::Version;
use super::virtual_machine::run_strategy;
use super::world::{Kind, is_final, text, uid};
use crate::sim::json::{Value, json};

const PREFIX: &str = "/apis/subresources.kubevirt.io";

/// What KubeVirt has below a VM or VMI, and this model hasn't.
const NOT_MODELLED: [&str; 20] = [
    "addvolume",
    "console",
    "expand-spec",
    "filesystemlist",
    "freeze",
    "guestosinfo",
    "memorydump",
    "objectgraph",
    "pause",
    "portforward",
    "removememorydump",
    "removevolume",
    "reset",
    "softreboot",
    "unfreeze",
    "unpause",
    "usbredir",
    "userlist",
    "vnc",
    "vsock",
];

/// What a request is about.
struct Call {
    caller: Caller,
    namespace: String,
    name: String,
    body: Value,
}

/// Refused: code and message.
type Refusal = (u16, String);

fn refused(error: &kube::Error) -> Refusal {
    match error {
        kube::Error::Api(status) => (status.code, status.message.clone()),
        other => (500, other.to_string()),
    }
}

fn respond(code: u16, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(serde_json::to_vec(body).unwrap_or_default()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn refuse((code, message): Refusal) -> Response<Bytes> {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        400 => "BadRequest",
        501 => "NotImplemented",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message,
    });
    respond(code, &status)
}

/// True if the path belongs to the subresource API.
pub(super) fn is_ours(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// What is answered while virt-api is down.
pub(super) fn unavailable() -> Response<Bytes> {
    refuse((503, "service unavailable".to_owned()))
}

/// Serves a request below the subresource API.
pub(super) async fn serve(
    caller: Caller,
    pinned: Option<Version>,
    request: http::Request<Bytes>,
) -> Response<Bytes> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    if request.method() == Method::GET && parts.len() <= 3 {
        return respond(200, &discovery(version_of(&caller, pinned).await));
    }
    let nothing = || (404, "the server could not find the requested resource".to_owned());
    let (namespace, plural, name, action) = match parts.as_slice() {
        ["apis", _, _, "namespaces", namespace, plural, name, action @ ..] => {
            (namespace, plural, name, action)
        }
        _ => return refuse(nothing()),
    };
    let kind = match *plural {
        "virtualmachines" => Kind::Vm,
        "virtualmachineinstances" => Kind::Instance,
        _ => return refuse(nothing()),
    };
    let body = serde_json::from_slice(request.body()).unwrap_or_default();
    let call = Call { caller, namespace: (*namespace).to_owned(), name: (*name).to_owned(), body };
    let answer = match (request.method(), kind, action) {
        (&Method::PUT, Kind::Vm, ["start"]) => call.start().await.map(|()| 202),
        (&Method::PUT, Kind::Vm, ["stop"]) => call.stop().await.map(|()| 202),
        (&Method::PUT, Kind::Vm, ["restart"]) => call.restart().await.map(|()| 202),
        (&Method::PUT, Kind::Vm, ["migrate"]) => call.migrate().await.map(|()| 202),
        (&Method::PUT, _, ["evacuate", "cancel"])
            if version_of(&call.caller, pinned).await.cancels_evacuations() =>
        {
            call.cancel_evacuation().await.map(|()| 200)
        }
        (_, _, [action, ..]) if NOT_MODELLED.contains(action) => {
            let what = format!("{plural}/{action} of subresources.kubevirt.io");
            Err((501, format!("the model of KubeVirt has no {what}")))
        }
        _ => Err(nothing()),
    };
    match answer {
        Ok(code) => respond(code, &Value::Null),
        Err(refusal) => refuse(refusal),
    }
}

async fn version_of(caller: &Caller, pinned: Option<Version>) -> Version {
    match pinned {
        Some(version) => version,
        None => review::installation(caller).await.1,
    }
}

fn discovery(version: Version) -> Value {
    let action = |kind: &str, plural: &str, action: &str| json!({"name": format!("{plural}/{action}"), "singularName": "", "namespaced": true, "kind": kind, "verbs": ["update"]});
    let mut resources: Vec<Value> = ["start", "stop", "restart", "migrate"]
        .map(|a| action("VirtualMachine", "virtualmachines", a))
        .into();
    if version.cancels_evacuations() {
        resources.push(action("VirtualMachine", "virtualmachines", "evacuate/cancel"));
        resources.push(action("VirtualMachineInstance", "virtualmachineinstances", "evacuate/cancel"));
    }
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "subresources.kubevirt.io/v1",
        "resources": resources,
    })
}

impl Call {
    fn api(&self, kind: Kind) -> Api<Item> {
        Api::namespaced_with(self.caller.client.clone(), &self.namespace, &kind.resource())
    }

    async fn object(&self, kind: Kind) -> Result<Value, Refusal> {
        match self.api(kind).get(&self.name).await {
            Ok(object) => Ok(object.value),
            Err(error) => Err(refused(&error)),
        }
    }

    /// Changes some fields, whoever else is writing the object: virt-api patches, so nobody gets a conflict.
    async fn change(&self, kind: Kind, fields: Value) -> Result<(), Refusal> {
        let (api, patch) = (self.api(kind), Patch::Merge(&fields));
        let params = PatchParams::default();
        let changed = if kind.has_status() && fields["status"].is_object() {
            api.patch_status(&self.name, &params, &patch).await
        } else {
            api.patch(&self.name, &params, &patch).await
        };
        changed.map(drop).map_err(|error| refused(&error))
    }

    async fn ask(&self, requests: Value) -> Result<(), Refusal> {
        self.change(Kind::Vm, json!({"status": {"stateChangeRequests": requests}})).await
    }

    /// Sets what stands in the spec: `runStrategy`, or `running`.
    async fn run(&self, vm: &Value, running: bool) -> Result<(), Refusal> {
        let strategy = if running { "Always" } else { "Halted" };
        let spec = if vm["spec"]["runStrategy"].is_string() {
            json!({"runStrategy": strategy})
        } else {
            json!({"running": running})
        };
        self.change(Kind::Vm, json!({"spec": spec})).await
    }

    async fn vmi(&self) -> Option<Value> {
        self.object(Kind::Instance).await.ok().filter(|v| !is_final(v))
    }

    async fn start(&self) -> Result<(), Refusal> {
        let vm = self.object(Kind::Vm).await?;
        if self.vmi().await.is_some() {
            return Err((409, "VM is already running".to_owned()));
        }
        match run_strategy(&vm) {
            "Halted" => self.run(&vm, true).await,
            "Manual" | "RerunOnFailure" => self.ask(json!([{"action": "Start"}])).await,
            other => Err((409, format!("{other} does not support manual start requests"))),
        }
    }

    async fn stop(&self) -> Result<(), Refusal> {
        let vm = self.object(Kind::Vm).await?;
        let Some(vmi) = self.vmi().await else {
            return Err((409, "VM is not running".to_owned()));
        };
        match run_strategy(&vm) {
            "Manual" | "RerunOnFailure" => self.ask(json!([{"action": "Stop", "uid": uid(&vmi)}])).await,
            _ => self.run(&vm, false).await,
        }
    }

    async fn restart(&self) -> Result<(), Refusal> {
        let vm = self.object(Kind::Vm).await?;
        let strategy = run_strategy(&vm).to_owned();
        if matches!(strategy.as_str(), "Halted" | "Once") {
            return Err((409, format!("RunStategy {strategy} does not support manual restart requests")));
        }
        let Some(vmi) = self.vmi().await else {
            return Err((409, "VM is not running".to_owned()));
        };
        self.ask(json!([{"action": "Stop", "uid": uid(&vmi)}, {"action": "Start"}])).await
    }

    async fn migrate(&self) -> Result<(), Refusal> {
        self.object(Kind::Vm).await?;
        if self.vmi().await.is_none() {
            return Err((409, "VM is not running".to_owned()));
        }
        let object = json!({
            "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration",
            "metadata": {
                "generateName": "kubevirt-migrate-vm-", "namespace": self.namespace,
                "labels": {"kubevirt.io/vmi-name": self.name},
            },
            "spec": {"vmiName": self.name},
        });
        // A refusal by the webhook reaches the user as 500.
        self.api(Kind::Migration)
            .create(&PostParams::default(), &object.into())
            .await
            .map(drop)
            .map_err(|e| (500, format!("Internal error occurred: {e}")))
    }

    /// Takes the mark away, if the body names it.
    async fn cancel_evacuation(&self) -> Result<(), Refusal> {
        let vmi = self.object(Kind::Instance).await?;
        if let Some(key) = self.drain_taint(text(&vmi["status"]["nodeName"])).await {
            let node = text(&vmi["status"]["nodeName"]);
            return Err((
                400,
                format!(
                    "Node {node:?} has NodeDrainTaintKey \"&Taint{{Key:{key},Value:,Effect:NoSchedule,TimeAdded:<nil>,}}\""
                ),
            ));
        }
        let Some(mark) = vmi["status"]["evacuationNodeName"].as_str() else { return Ok(()) };
        if self.body["evacuationNodeName"] != mark {
            let why =
                "Internal error occurred: the server rejected our request due to an error in our request";
            return Err((500, why.to_owned()));
        }
        self.change(Kind::Instance, json!({"status": {"evacuationNodeName": null}})).await
    }

    async fn drain_taint(&self, node: &str) -> Option<String> {
        let kubevirts: Api<Item> = Api::all_with(self.caller.client.clone(), &Kind::KubeVirt.resource());
        let first = kubevirts.list(&kube::api::ListParams::default()).await.ok()?.items.into_iter().next()?;
        let configured = &first.value["spec"]["configuration"]["migrations"]["nodeDrainTaintKey"];
        let key = configured.as_str().unwrap_or(evacuation::DRAIN_TAINT);
        let nodes: Api<Item> = Api::all_with(self.caller.client.clone(), &Kind::Node.resource());
        let node = nodes.get(node).await.ok()?;
        evacuation::has_taint(&node.value, key).then(|| key.to_owned())
    }
}
