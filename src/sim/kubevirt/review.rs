//! virt-api's webhooks: evictions of launcher and attachment pods, and new migrations.

use kube::api::{Api, ListParams, Patch, PatchParams};

use super::caller::Caller;
use super::item::Item;
use super::settings::Version;
use super::world::{Kind, is_final, owners, text};
use super::{conditions, evacuation};
use crate::sim::extension::Webhook;
use crate::sim::json::{self, Value, json};

const LAUNCHERS: &str = "virt-launcher-eviction-interceptor.kubevirt.io";
const ATTACHMENTS: &str = "hotplug-pod-eviction-interceptor.kubevirt.io";
const MIGRATIONS: &str = "migration-create-validator.kubevirt.io";
/// Where the eviction webhook listens.
const EVICTION_PATH: &str = "/pod-eviction-validate";
/// Where the migrations' webhook listens.
const MIGRATION_PATH: &str = "/migration-validate-create";

/// What virt-api is asked about besides: whatever is written of these, it has to be there.
const GUARDED: [(&str, &str, &str, &[&str]); 3] = [
    (
        "virtualmachine-validator.kubevirt.io",
        "virtualmachines",
        "/virtualmachines-validate",
        &["CREATE", "UPDATE"],
    ),
    (
        "virtualmachineinstances-validator.kubevirt.io",
        "virtualmachineinstances",
        "/virtualmachineinstances-validate",
        &["CREATE", "UPDATE"],
    ),
    (
        "migration-update-validator.kubevirt.io",
        "virtualmachineinstancemigrations",
        "/migration-validate-update",
        &["UPDATE"],
    ),
];

/// A ValidatingWebhookConfiguration for the model at `https://HOST:PORT`, with the CA's certificate in base64.
pub fn webhook_configuration(url: &str, ca_bundle: &str, version: Version) -> serde_json::Value {
    let entry = |name: &str,
                 path: &str,
                 group: &str,
                 resources: &[String],
                 operations: &[&str],
                 fail: bool| {
        json!({
            "name": name, "failurePolicy": if fail { "Fail" } else { "Ignore" }, "timeoutSeconds": 10,
            "sideEffects": "NoneOnDryRun", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": format!("{url}{path}"), "caBundle": ca_bundle},
            "rules": [{
                "apiGroups": [group], "apiVersions": ["v1"], "operations": operations, "resources": resources,
            }],
        })
    };
    let closed = version.denies_always();
    let evictions = ["pods/eviction".to_owned()];
    let eviction = |name: &str, fail| entry(name, EVICTION_PATH, "", &evictions, &["*"], fail);
    let prefixed = |prefix: &str| json!([{"name": "by-name", "expression": format!("object.metadata.name.startsWith(\"{prefix}\")")}]);
    let mut launchers = eviction(LAUNCHERS, closed);
    if closed {
        launchers["matchConditions"] = prefixed("virt-launcher");
    }
    let migrations = ["virtualmachineinstancemigrations".to_owned()];
    let mut webhooks =
        vec![launchers, entry(MIGRATIONS, MIGRATION_PATH, "kubevirt.io", &migrations, &["CREATE"], true)];
    for (name, plural, path, operations) in GUARDED {
        let resources = [plural.to_owned(), format!("{plural}/status")];
        webhooks.push(entry(name, path, "kubevirt.io", &resources, operations, true));
    }
    if version.guards_hotplug() {
        let mut attachments = eviction(ATTACHMENTS, true);
        attachments["matchConditions"] = prefixed("hp-volume-");
        webhooks.push(attachments);
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "virt-api-validator"}, "webhooks": webhooks,
    })
    .into()
}

/// Those that the embedded cluster asks about a resource.
pub(super) fn webhooks(version: Version, resource: &str) -> Vec<Webhook> {
    let webhook = |name: &str, operations: &[&'static str], name_prefix: &str, fail_closed| {
        let (name, name_prefix) = (name.to_owned(), name_prefix.to_owned());
        Webhook {
            name,
            resource: resource.to_owned(),
            operations: operations.to_vec(),
            name_prefix,
            fail_closed,
        }
    };
    if resource == "pods/eviction" {
        let closed = version.denies_always();
        let prefix = if closed { "virt-launcher" } else { "" };
        let mut all = vec![webhook(LAUNCHERS, &["CREATE"], prefix, closed)];
        if version.guards_hotplug() {
            all.push(webhook(ATTACHMENTS, &["CREATE"], "hp-volume-", true));
        }
        return all;
    }
    let Some(plural) = resource.strip_suffix(".kubevirt.io") else { return Vec::new() };
    let migrations =
        (plural == "virtualmachineinstancemigrations").then(|| webhook(MIGRATIONS, &["CREATE"], "", true));
    let guarded = GUARDED.iter().filter(|(_, of, ..)| *of == plural);
    migrations
        .into_iter()
        .chain(guarded.map(|(name, _, _, operations)| webhook(name, operations, "", true)))
        .collect()
}

/// Answers an AdmissionReview.
pub(super) async fn review(caller: &Caller, pinned: Option<Version>, review: Value) -> Value {
    let request = &review["request"];
    let denial = match (text(&request["resource"]["resource"]), text(&request["operation"])) {
        ("virtualmachineinstancemigrations", "CREATE") => {
            let version = match pinned {
                Some(version) => version,
                None => installation(caller).await.1,
            };
            priority_denial(version, &request["object"]).or(migration_denial(caller, request).await)
        }
        ("pods", _) => eviction_denial(caller, pinned, request).await,
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

async fn vmi_named(caller: &Caller, namespace: &str, name: &str) -> Result<Value, kube::Error> {
    caller.get(Kind::Instance, namespace, name).await
}

async fn pod_named(caller: &Caller, namespace: &str, name: &str) -> Option<Value> {
    caller.get(Kind::Pod, namespace, name).await.ok()
}

/// The cluster's eviction strategy and version.
pub(super) async fn installation(caller: &Caller) -> (Option<String>, Version) {
    let listed = caller.list(Kind::KubeVirt, "", &ListParams::default()).await.unwrap_or_default();
    let object = &listed["items"][0];
    let strategy = object["spec"]["configuration"]["evictionStrategy"].as_str().map(str::to_owned);
    (strategy, Version::parse(text(&object["status"]["observedKubeVirtVersion"])))
}

/// The decisions of `kubevirt.md` §3, in their order.
async fn eviction_denial(caller: &Caller, pinned: Option<Version>, request: &Value) -> Option<Denial> {
    let (namespace, name) = (text(&request["namespace"]), text(&request["name"]));
    let pod = pod_named(caller, namespace, name).await?;
    let (cluster_wide, observed) = installation(caller).await;
    let version = pinned.unwrap_or(observed);
    let labels = &pod["metadata"]["labels"];
    if labels["kubevirt.io"] == "hotplug-disk" {
        return if version.guards_hotplug() { hotplug_denial(caller, namespace, &pod).await } else { None };
    }
    let domain = pod["metadata"]["annotations"]["kubevirt.io/domain"].as_str();
    if labels["kubevirt.io"] != "virt-launcher" || is_final(&pod) {
        return None;
    }
    let domain = domain?;
    let vmi = match vmi_named(caller, namespace, domain).await {
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
    mark(caller, version, request, &vmi, &pod).await
}

async fn hotplug_denial(caller: &Caller, namespace: &str, pod: &Value) -> Option<Denial> {
    let owner = owners(pod).find(|o| o["kind"] == "Pod")?;
    let launcher = pod_named(caller, namespace, text(&owner["name"])).await?;
    if launcher["metadata"]["labels"]["kubevirt.io"] != "virt-launcher" || is_final(&launcher) {
        return None;
    }
    let domain = launcher["metadata"]["annotations"]["kubevirt.io/domain"].as_str()?;
    vmi_named(caller, namespace, domain).await.ok()?;
    let name = text(&pod["metadata"]["name"]);
    too_many(format!(
        "cannot evict hotplug pod: {name} associated with running vmi: {domain} in namespace {namespace}"
    ))
}

/// Marks the VMI for evacuation, unless this is a dry run, and says so.
async fn mark(
    caller: &Caller,
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
        let api: Api<Item> =
            Api::namespaced_with(caller.client.clone(), namespace, &Kind::Instance.resource());
        let mut operations = vec![json!({"op": "add", "path": "/status/evacuationNodeName", "value": node})];
        operations.extend(source_of(request, vmi));
        let patch: Result<json_patch::Patch, _> = json::from_value(&json!(operations));
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

/// Whether the descheduler asks, by its account or by what it writes into its evictions.
fn is_by_descheduler(request: &Value) -> bool {
    let user = text(&request["userInfo"]["username"]);
    let by = text(&request["object"]["metadata"]["annotations"]["requested-by"]);
    user.contains(evacuation::DESCHEDULER) || by.contains(evacuation::DESCHEDULER)
}

/// Notes on the VMI that the descheduler asked, or that it no longer is the one who did.
fn source_of(request: &Value, vmi: &Value) -> Option<Value> {
    let annotations = &vmi["metadata"]["annotations"];
    let path = format!("/metadata/annotations/{}", evacuation::SOURCE.replace('/', "~1"));
    if is_by_descheduler(request) {
        return Some(if annotations.is_object() {
            json!({"op": "add", "path": path, "value": evacuation::DESCHEDULER})
        } else {
            let source = json!({(evacuation::SOURCE): evacuation::DESCHEDULER});
            json!({"op": "add", "path": "/metadata/annotations", "value": source})
        });
    }
    annotations[evacuation::SOURCE].is_string().then(|| json!({"op": "remove", "path": path}))
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
async fn migration_denial(caller: &Caller, request: &Value) -> Option<Denial> {
    let object = &request["object"];
    let namespace = text(&request["namespace"]);
    let name = text(&object["spec"]["vmiName"]);
    let Ok(vmi) = vmi_named(caller, namespace, name).await else {
        return deny(400, format!("the VMI \"{namespace}/{name}\" does not exist"));
    };
    if is_final(&vmi) {
        return deny(400, "Cannot migrate VMI in finalized state.".to_owned());
    }
    if let Some(condition) = conditions::get(&vmi, "LiveMigratable").filter(|c| c["status"] == "False") {
        let (reason, message) = (text(&condition["reason"]), text(&condition["message"]));
        return deny(400, format!("Cannot migrate VMI, Reason: {reason}, Message: {message}"));
    }
    let other = in_flight(caller, namespace, name).await?;
    let why = format!(
        "in-flight migration detected. Active migration job ({other}) is currently already in progress for VMI {name}."
    );
    deny(400, why)
}

/// The name of an unfinished migration of a VMI. Migrations carry the VMI's name as a label as soon as virt-controller has seen
/// them; the few that it hasn't seen yet are asked for apart, so that nobody lists a whole namespace's history.
async fn in_flight(caller: &Caller, namespace: &str, vmi: &str) -> Option<String> {
    let unfinished = |m: &&Value| m["spec"]["vmiName"] == vmi && !is_final(m);
    for selector in [format!("kubevirt.io/vmi-name={vmi}"), "!kubevirt.io/vmi-name".to_owned()] {
        let params = ListParams::default().labels(&selector);
        let listed = caller.list(Kind::Migration, namespace, &params).await.ok()?;
        let mut items = listed["items"].as_array().into_iter().flatten();
        if let Some(found) = items.find(unfinished) {
            return found["metadata"]["name"].as_str().map(str::to_owned);
        }
    }
    None
}
