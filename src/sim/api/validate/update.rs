//! What of the kinds' own fields may change, and what new values have to be.

use std::collections::BTreeSet;

use super::{Causes, kinds, pod_update, service, workload};
use crate::sim::json::{Map, Value};
use crate::sim::store::Resource;

fn immutable(old: &Value, new: &Value, at: &str, causes: &mut Causes) {
    if old != new {
        causes.invalid(at, new, "field is immutable");
    }
}

/// Judges what an update makes of an object.
pub(super) fn changed(resource: &Resource, old: &Value, new: &Value, causes: &mut Causes) {
    match resource.name.as_str() {
        "pods" => {
            kinds::whole(resource, new, causes);
            pod_update::changed(old, new, causes);
        }
        "deployments.apps" | "replicasets.apps" | "daemonsets.apps" => {
            kinds::whole(resource, new, causes);
            immutable(&old["spec"]["selector"], &new["spec"]["selector"], "spec.selector", causes);
        }
        "statefulsets.apps" => {
            workload::stateful_set(&new["spec"], causes);
            stateful_set(&old["spec"], &new["spec"], causes);
        }
        "jobs.batch" => {
            kinds::whole(resource, new, causes);
            immutable(&old["spec"]["selector"], &new["spec"]["selector"], "spec.selector", causes);
            immutable(&old["spec"]["template"], &new["spec"]["template"], "spec.template", causes);
            for field in ["completions", "completionMode"] {
                immutable(&old["spec"][field], &new["spec"][field], &format!("spec.{field}"), causes);
            }
        }
        "priorityclasses.scheduling.k8s.io" => {
            if old["value"] != new["value"] {
                causes.forbidden("value", "may not be changed in an update.");
            }
            immutable(&old["preemptionPolicy"], &new["preemptionPolicy"], "preemptionPolicy", causes);
        }
        "storageclasses.storage.k8s.io" => {
            for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
                immutable(&old[field], &new[field], field, causes);
            }
        }
        "persistentvolumeclaims" => {
            kinds::whole(resource, new, causes);
            claim(old, &old["spec"], &new["spec"], causes);
        }
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            if old["roleRef"] != new["roleRef"] {
                causes.invalid("roleRef", &new["roleRef"], "cannot change roleRef");
            }
        }
        "nodes" => {
            kinds::whole(resource, new, causes);
            let before = old["spec"]["providerID"].as_str().unwrap_or_default();
            if !before.is_empty() && new["spec"]["providerID"] != before {
                let why = "node updates may not change providerID except from \"\" to valid";
                causes.forbidden("spec.providerID", why);
            }
        }
        "services" => {
            service::changed(&old["spec"], &new["spec"], causes);
            kinds::whole(resource, new, causes);
        }
        "resourcequotas" => {
            kinds::whole(resource, new, causes);
            immutable_scopes(&old["spec"]["scopes"], &new["spec"]["scopes"], causes);
        }
        "configmaps" | "secrets" => {
            kinds::whole(resource, new, causes);
            frozen(resource, old, new, causes);
        }
        _ => kinds::whole(resource, new, causes),
    }
}

/// A claim's spec, but for its volume, which is given once, and its size, once it is bound.
fn claim(old: &Value, before: &Value, after: &Value, causes: &mut Causes) {
    let mut munged = after.clone();
    if before["volumeName"].as_str().is_none_or(str::is_empty)
        && let Some(spec) = munged.as_object_mut()
    {
        spec.remove("volumeName");
    }
    if old["status"]["phase"] == "Bound" {
        munged["resources"]["requests"] = before["resources"]["requests"].clone();
    }
    if munged != *before {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        causes.forbidden("spec", why);
    }
}

fn stateful_set(old: &Value, new: &Value, causes: &mut Causes) {
    const MAY: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let rest = |v: &Value| -> Map {
        let fields = v.as_object().into_iter().flatten();
        fields.filter(|(k, _)| !MAY.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    if rest(old) != rest(new) {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
                   'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        causes.forbidden("spec", why);
    }
}

/// What a quota is for stays; the order in which it says so may change.
fn immutable_scopes(old: &Value, new: &Value, causes: &mut Causes) {
    let names = |scopes: &Value| -> BTreeSet<String> {
        let all = scopes.as_array().into_iter().flatten();
        all.filter_map(|s| s.as_str().map(str::to_owned)).collect()
    };
    if names(old) != names(new) {
        causes.invalid("spec.scopes", new, "field is immutable");
    }
}

/// An immutable ConfigMap or Secret.
fn frozen(resource: &Resource, old: &Value, new: &Value, causes: &mut Causes) {
    if resource.plural == "secrets" {
        immutable(&old["type"], &new["type"], "type", causes);
    }
    if old["immutable"] != true {
        return;
    }
    if new["immutable"] != true {
        causes.forbidden("immutable", "field is immutable when `immutable` is set");
    }
    for part in ["data", "binaryData"] {
        if old[part] != new[part] {
            causes.forbidden(part, "field is immutable when `immutable` is set");
        }
    }
}
