//! virt-api's webhooks: evictions of launcher and attachment pods, and new migrations.

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::settings::Version;
use super::world::{Kind, is_final, owners, text};
use super::{conditions, evacuation};
use crate::sim::extension::Webhook;

const LAUNCHERS: &str = "virt-launcher-eviction-interceptor.kubevirt.io";
const ATTACHMENTS: &str = "hotplug-pod-eviction-interceptor.kubevirt.io";
const MIGRATIONS: &str = "migration-create-validator.kubevirt.io";
/// Where the eviction webhook listens.
const EVICTION_PATH: &str = "/pod-eviction-validate";
/// Where the migrations' webhook listens.
const MIGRATION_PATH: &str = "/migration-validate-create";

/// The configuration of a ValidatingWebhookConfiguration for the model at `https://HOST:PORT`, with the CA's certificate
/// in base64.
pub fn webhook_configuration(url: &str, ca_bundle: &str, version: Version) -> Value {
    let entry = |name: &str, path: &str, resource: &str, group: &str, fail: bool| {
        json!({
            "name": name, "failurePolicy": if fail { "Fail" } else { "Ignore" }, "timeoutSeconds": 10,
            "sideEffects": "NoneOnDryRun", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": format!("{url}{path}"), "caBundle": ca_bundle},
            "rules": [{"apiGroups": [group], "apiVersions": ["v1"], "operations": ["*"], "resources": [resource]}],
        })
    };
    let closed = version.denies_always();
    let mut launchers = entry(LAUNCHERS, EVICTION_PATH, "pods/eviction", "", closed);
    let prefixed = |prefix: &str| json!([{"name": "by-name", "expression": format!("object.metadata.name.startsWith(\"{prefix}\")")}]);
    if closed {
        launchers["matchConditions"] = prefixed("virt-launcher");
    }
    let mut migrations =
        entry(MIGRATIONS, MIGRATION_PATH, "virtualmachineinstancemigrations", "kubevirt.io", true);
    migrations["rules"][0]["operations"] = json!(["CREATE"]);
    let mut webhooks = vec![launchers, migrations];
    if version.guards_hotplug() {
        let mut attachments = entry(ATTACHMENTS, EVICTION_PATH, "pods/eviction", "", true);
        attachments["matchConditions"] = prefixed("hp-volume-");
        webhooks.push(attachments);
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "virt-api-validator"}, "webhooks": webhooks,
    })
}

/// The same for the embedded cluster; with them, that nothing of KubeVirt's can be written while virt-api is down.
pub(super) fn webhooks(version: Version) -> Vec<Webhook> {
    let webhook =
        |name: &str, resource: &str, operations: &[&'static str], name_prefix: &str, fail_closed| Webhook {
            name: name.to_owned(),
            resource: resource.to_owned(),
            operations: operations.to_vec(),
            name_prefix: name_prefix.to_owned(),
            fail_closed,
        };
    let closed = version.denies_always();
    let prefix = if closed { "virt-launcher" } else { "" };
    let mut all = vec![
        webhook(LAUNCHERS, "pods/eviction", &["CREATE"], prefix, closed),
        webhook(MIGRATIONS, "virtualmachineinstancemigrations.kubevirt.io", &["CREATE"], "", true),
        webhook(
            "migration-update-validator.kubevirt.io",
            "virtualmachineinstancemigrations.kubevirt.io",
            &["UPDATE"],
            "",
            true,
        ),
        webhook(
            "virtualmachine-validator.kubevirt.io",
            "virtualmachines.kubevirt.io",
            &["CREATE", "UPDATE"],
            "",
            true,
        ),
        webhook(
            "virtualmachineinstances-validator.kubevirt.io",
            "virtualmachineinstances.kubevirt.io",
            &["CREATE", "UPDATE"],
            "",
            true,
        ),
    ];
    if version.guards_hotplug() {
        all.push(webhook(ATTACHMENTS, "pods/eviction", &["CREATE"], "hp-volume-", true));
    }
    all
}

/// Answers an AdmissionReview.
pub(super) async fn review(client: &Client, pinned: Option<Version>, review: Value) -> Value {
    let request = &review["request"];
    let denial = match (text(&request["resource"]["resource"]), text(&request["operation"])) {
        ("virtualmachineinstancemigrations", "CREATE") => {
            let version = match pinned {
                Some(version) => version,
                None => installation(client).await.1,
            };
            priority_denial(version, &request["object"]).or(migration_denial(client, request).await)
        }
        ("pods", _) => eviction_denial(client, pinned, request).await,
        _ => None,
    };
    let mut response = json!({"uid": request["uid"], "allowed": denial.is_none()});
    if let Some(Denial { code, message, field }) = denial {
        response["status"] = json!({"code": code, "message": message});
        if let Some(field) = field {
            let cause = json!({"field": field, "message": message});
            response["status"]["reason"] = json!("Invalid");
            response["status"]["details"] = json!({"causes": [cause]});
        }
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

/// A refusal in words.
struct Denial {
    code: u16,
    message: String,
    /// The field that is to blame, where one is.
    field: Option<&'static str>,
}

fn deny(code: u16, message: String) -> Option<Denial> {
    Some(Denial { code, message, field: None })
}

fn too_many(message: String) -> Option<Denial> {
    deny(429, message)
}

/// What the API server said, without the client's own words around it.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

async fn vmi_named(client: &Client, namespace: &str, name: &str) -> Result<Value, kube::Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &Kind::Instance.resource());
    Ok(serde_json::to_value(api.get(name).await?).unwrap_or_default())
}

async fn pod_named(client: &Client, namespace: &str, name: &str) -> Option<Value> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    serde_json::to_value(api.get_opt(name).await.ok()??).ok()
}

/// The cluster's eviction strategy and version.
pub(super) async fn installation(client: &Client) -> (Option<String>, Version) {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &Kind::KubeVirt.resource());
    let first =
        api.list(&kube::api::ListParams::default()).await.ok().and_then(|l| l.items.into_iter().next());
    let object = first.and_then(|o| serde_json::to_value(o).ok()).unwrap_or_default();
    let strategy = object["spec"]["configuration"]["evictionStrategy"].as_str().map(str::to_owned);
    (strategy, Version::parse(text(&object["status"]["observedKubeVirtVersion"])))
}

/// The decisions of `kubevirt.md` §3, in their order.
async fn eviction_denial(client: &Client, pinned: Option<Version>, request: &Value) -> Option<Denial> {
    let (namespace, name) = (text(&request["namespace"]), text(&request["name"]));
    let pod = pod_named(client, namespace, name).await?;
    let (cluster_wide, observed) = installation(client).await;
    let version = pinned.unwrap_or(observed);
    let labels = &pod["metadata"]["labels"];
    if labels["kubevirt.io"] == "hotplug-disk" {
        return if version.guards_hotplug() { hotplug_denial(client, namespace, &pod).await } else { None };
    }
    let domain = pod["metadata"]["annotations"]["kubevirt.io/domain"].as_str();
    if labels["kubevirt.io"] != "virt-launcher" || is_final(&pod) {
        return None;
    }
    let domain = domain?;
    let vmi = match vmi_named(client, namespace, domain).await {
        Ok(vmi) => vmi,
        Err(error) => return too_many(format!("kubevirt failed getting the vmi: {}", words(&error))),
    };
    let strategy = vmi["spec"]["evictionStrategy"].as_str().map(str::to_owned).or(cluster_wide);
    let migratable = conditions::is_true(&vmi, "LiveMigratable");
    match strategy.as_deref() {
        Some("LiveMigrate") if !migratable => {
            return too_many(format!(
                "VMI {domain} is configured with an eviction strategy but is not live-migratable"
            ));
        }
        Some("LiveMigrateIfPossible") if !migratable => return None,
        Some("LiveMigrate" | "LiveMigrateIfPossible" | "External") => {}
        _ => return None,
    }
    mark(client, version, request, &vmi, &pod).await
}

async fn hotplug_denial(client: &Client, namespace: &str, pod: &Value) -> Option<Denial> {
    let owner = owners(pod).find(|o| o["kind"] == "Pod")?;
    let launcher = pod_named(client, namespace, text(&owner["name"])).await?;
    if launcher["metadata"]["labels"]["kubevirt.io"] != "virt-launcher" || is_final(&launcher) {
        return None;
    }
    let domain = launcher["metadata"]["annotations"]["kubevirt.io/domain"].as_str()?;
    vmi_named(client, namespace, domain).await.ok()?;
    let name = text(&pod["metadata"]["name"]);
    too_many(format!(
        "cannot evict hotplug pod: {name} associated with running vmi: {domain} in namespace {namespace}"
    ))
}

/// Marks the VMI for evacuation, unless this is a dry run, and says so.
async fn mark(
    client: &Client,
    version: Version,
    request: &Value,
    vmi: &Value,
    pod: &Value,
) -> Option<Denial> {
    let namespace = text(&vmi["metadata"]["namespace"]);
    let name = text(&vmi["metadata"]["name"]);
    let evacuates = format!("Eviction triggered evacuation of VMI \"{namespace}/{name}\"");
    let node = &pod["spec"]["nodeName"];
    if vmi["status"]["evacuationNodeName"].is_string() {
        return if version.denies_always() {
            too_many(format!("Evacuation in progress: {evacuates}"))
        } else {
            None
        };
    }
    if vmi["status"]["nodeName"] != *node {
        let target = "Eviction request for target Pod".to_owned();
        return if version.denies_always() { too_many(target) } else { None };
    }
    let dry = request["dryRun"] == true
        || (version.sees_dry_run_option()
            && request["object"]["deleteOptions"]["dryRun"].as_array().is_some_and(|d| !d.is_empty()));
    if !dry {
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), namespace, &Kind::Instance.resource());
        let patch: Result<json_patch::Patch, _> = serde_json::from_value(
            json!([{"op": "add", "path": "/status/evacuationNodeName", "value": node}]),
        );
        let patched = match patch {
            Ok(patch) => api
                .patch(name, &PatchParams::default(), &Patch::<Value>::Json(patch))
                .await
                .map_err(|e| words(&e)),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = patched {
            return too_many(format!("kubevirt failed marking the vmi for eviction: {error}"));
        }
    }
    if version.denies_in_words() { too_many(evacuates) } else { None }
}

/// Priorities are KubeVirt's own to give. Where nobody is named, its own migrations are known by their shape.
fn priority_denial(version: Version, migration: &Value) -> Option<Denial> {
    let metadata = &migration["metadata"];
    let is_own = metadata["generateName"] == evacuation::NAME
        && metadata["annotations"]["kubevirt.io/evacuationMigration"].is_string();
    if !version.guards_priority() || migration["spec"]["priority"].is_null() || is_own {
        return None;
    }
    let field = "spec.migrationPriority";
    Some(Denial {
        code: 422,
        message: format!("{field}: only KubeVirt itself sets the priority of a migration"),
        field: Some(field),
    })
}

/// Refuses migrations that can't be, as virt-api does.
async fn migration_denial(client: &Client, request: &Value) -> Option<Denial> {
    let object = &request["object"];
    let namespace = text(&request["namespace"]);
    let name = text(&object["spec"]["vmiName"]);
    let Ok(vmi) = vmi_named(client, namespace, name).await else {
        return deny(400, format!("the VMI \"{namespace}/{name}\" does not exist"));
    };
    if is_final(&vmi) {
        return deny(400, "Cannot migrate VMI in finalized state.".to_owned());
    }
    if let Some(condition) = conditions::get(&vmi, "LiveMigratable").filter(|c| c["status"] == "False") {
        let (reason, message) = (text(&condition["reason"]), text(&condition["message"]));
        return deny(400, format!("Cannot migrate VMI, Reason: {reason}, Message: {message}"));
    }
    let other = in_flight(client, namespace, name).await?;
    let why = format!(
        "in-flight migration detected. Active migration job ({other}) is currently already in progress for VMI {name}."
    );
    deny(400, why)
}

/// The name of an unfinished migration of a VMI. Migrations carry the VMI's name as a label as soon as virt-controller has seen
/// them; the few that it hasn't seen yet are asked for apart, so that nobody lists a whole namespace's history.
async fn in_flight(client: &Client, namespace: &str, vmi: &str) -> Option<String> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &Kind::Migration.resource());
    let unfinished = |m: &DynamicObject| m.data["spec"]["vmiName"] == vmi && !is_final(&m.data);
    for selector in [format!("kubevirt.io/vmi-name={vmi}"), "!kubevirt.io/vmi-name".to_owned()] {
        let listed = api.list(&kube::api::ListParams::default().labels(&selector)).await.ok()?;
        if let Some(found) = listed.items.into_iter().find(unfinished) {
            return found.metadata.name;
        }
    }
    None
}
