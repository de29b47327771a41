//! Capturing: a live cluster's objects, for a rehearsal on the embedded one or for a file. Reads only.
//!
//! # Why
//! A list of the fields that the model reads (`fields.rs`) decides what leaves the cluster. Secrets and ConfigMaps are never asked
//! for. Objects go on one by one, so that a capture holds a page of a list and nothing more.

mod anonymize;
mod fields;
mod file;
mod keep;
mod kinds;

use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::Value;

use super::Error;
pub use anonymize::Names;
pub use file::{Destination, Written, write_private, write_snapshot};
pub use kinds::redact;
use kinds::{DEFINED, KINDS, Kind};

/// Objects asked for at once.
const PAGE: u32 = 500;

/// What a capture could not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// As RBAC names it: `jobs.batch`.
    pub resource: String,
    /// What isn't modelled without it.
    pub lacking: String,
}

/// Reads everything that a rehearsal needs, object by object, each stripped to what the model reads; objects that are on their
/// way out are left out. Gives what this user may not read.
///
/// # Errors
/// A kind without which a rehearsal would mislead, and the first failure of `each`.
pub async fn capture(
    client: &Client,
    each: &mut dyn FnMut(Value) -> Result<(), Error>,
) -> Result<Vec<Unread>, Error> {
    let groups =
        client.list_api_groups().await.map_err(|e| Error::of("discover the cluster's API groups", e))?;
    let serves = |group: &str| groups.groups.iter().any(|g| g.name == group);
    let mut unread: Vec<Unread> = Vec::new();
    let mut forbidden = Vec::new();
    for kind in KINDS.iter().filter(|k| k.is_asked(serves)) {
        let undefined = unread.iter().any(|u| u.resource.starts_with("customresourcedefinitions"));
        // Without its definition the embedded cluster doesn't know the kind.
        if kind.is_record() && undefined {
            continue;
        }
        match list(client, kind, each).await {
            Ok(()) => {}
            // An older virtroll defined campaigns, and knows no slices of them.
            Err(Error::NotFound(_)) if kind.is_record() => {}
            Err(Error::Forbidden(_)) => match kind.lacking {
                Some(lacking) => {
                    unread.push(Unread { resource: kind.full_name(), lacking: lacking.to_owned() });
                }
                None => forbidden.push(kind.full_name()),
            },
            Err(other) => return Err(other),
        }
    }
    if forbidden.is_empty() { Ok(unread) } else { Err(Error::Unreadable(forbidden)) }
}

async fn list(
    client: &Client,
    kind: &Kind,
    each: &mut dyn FnMut(Value) -> Result<(), Error>,
) -> Result<(), Error> {
    let resource = kind.resource();
    let keep = kind.keep();
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = match api.list(&params).await {
            Ok(page) => page,
            // The list took longer than the API server keeps its past: it goes on from the same place, as things are now.
            Err(kube::Error::Api(status)) if status.code == 410 && params.continue_token.is_some() => {
                let next = status.metadata.as_ref().and_then(|m| m.continue_.clone());
                if next.is_none() || next == params.continue_token {
                    return Err(Error::of(&format!("list {}", resource.plural), kube::Error::Api(status)));
                }
                params.continue_token = next;
                continue;
            }
            Err(error) => return Err(Error::of(&format!("list {}", resource.plural), error)),
        };
        for object in page.items {
            let mut value = serde_json::to_value(object).unwrap_or_default();
            value["apiVersion"] = resource.api_version.clone().into();
            value["kind"] = resource.kind.clone().into();
            if matters(&value) {
                let reboots = kinds::asks_for_reboot(&value);
                let mut kept = keep.of(value);
                kinds::tidy(&mut kept, reboots);
                each(kept)?;
            }
        }
        match page.metadata.continue_.filter(|c| !c.is_empty()) {
            Some(next) => params.continue_token = Some(next),
            None => return Ok(()),
        }
    }
}

/// Definitions of other kinds, migrations that are over and objects on their way out decide nothing.
fn matters(object: &Value) -> bool {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return false;
    }
    match object["kind"].as_str() {
        Some("CustomResourceDefinition") => {
            object["spec"]["group"].as_str().is_some_and(|group| DEFINED.contains(&group))
        }
        Some("VirtualMachineInstanceMigration") => {
            !matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unfinished_migrations_and_policies_are_captured() {
        let migration =
            |phase: &str| json!({"kind": "VirtualMachineInstanceMigration", "status": {"phase": phase}});
        for (phase, expected) in [
            ("Pending", true),
            ("Scheduling", true),
            ("Running", true),
            ("Succeeded", false),
            ("Failed", false),
        ] {
            assert_eq!(matters(&migration(phase)), expected, "{phase}");
        }
        assert!(matters(&json!({"kind": "VirtualMachineInstanceMigration"})), "just created");
        let definition = |group: &str| json!({"kind": "CustomResourceDefinition", "spec": {"group": group}});
        assert!(matters(&definition("migrations.kubevirt.io")) && matters(&definition("kubevirt.io")));
        assert!(matters(&definition("virtroll.dev")));
        assert!(!matters(&definition("cdi.kubevirt.io")));
        let asked: Vec<&str> = KINDS.iter().map(|k| k.kind).collect();
        assert!(asked.contains(&"MigrationPolicy") && asked.contains(&"VirtualMachineInstanceMigration"));
        assert!(!asked.contains(&"Secret") && !asked.contains(&"ConfigMap"));
    }

    /// A served cluster of many pods: the next page is asked for when the last has gone on, so no more than a page is held.
    #[tokio::test]
    async fn a_capture_holds_a_page() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};

        const PODS: usize = 20_000;
        let (seen, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (gone_on, served) = (seen.clone(), sent.clone());
        let server = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let number = |name: &str| {
                let value = query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('='));
                value.and_then(|v| v.parse::<usize>().ok()).unwrap_or(0)
            };
            let (limit, from) = (number("limit"), number("continue"));
            let body = match request.uri().path() {
                "/apis" => json!({"kind": "APIGroupList", "groups": []}),
                "/api/v1/pods" => {
                    assert_eq!((limit, served.load(Ordering::SeqCst)), (500, gone_on.load(Ordering::SeqCst)));
                    let items: Vec<Value> = (from..(from + limit).min(PODS))
                        .map(|n| json!({"metadata": {"name": format!("p{n}"), "namespace": "d", "managedFields": [{"manager": "m"}]}}))
                        .collect();
                    served.fetch_add(items.len(), Ordering::SeqCst);
                    let next = (from + limit < PODS).then(|| (from + limit).to_string());
                    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": next}, "items": items})
                }
                _ => json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": []}),
            };
            let body = http_body_util::Full::new(bytes::Bytes::from(body.to_string()));
            async move { Ok::<_, std::convert::Infallible>(http::Response::new(body)) }
        });
        let client = Client::new(server, "default");
        let mut each = |_| {
            seen.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        let unread = capture(&client, &mut each).await.expect("captured");
        assert_eq!(
            (unread, sent.load(Ordering::SeqCst), seen.load(Ordering::SeqCst)),
            (Vec::new(), PODS, PODS)
        );
    }

    #[test]
    fn slices_of_a_record_are_kept_without_free_text() {
        let owner = json!([{"apiVersion": "virtroll.dev/v1alpha1", "kind": "MaintenanceCampaign", "name": "p-1", "uid": "u-1"}]);
        let slice = |reason: &str| {
            json!({
                "kind": "MaintenanceCampaignSlice", "metadata": {"name": "p-1-slice-1", "ownerReferences": owner},
                "spec": {
                    "campaign": "p-1", "number": 1, "nodes": [{"name": "w1", "phase": "Failed", "reason": reason}],
                    "virtualMachines": [{"namespace": "shop", "name": "db"}],
                },
            })
        };
        let kind = KINDS.iter().find(|k| k.kind == "MaintenanceCampaignSlice").expect("slices");
        let mut kept = kind.keep().of(slice("token abc"));
        redact(&mut kept);
        assert_eq!(kept, slice("left out of the snapshot"));
    }

    #[test]
    fn a_reboot_under_way_goes_on_in_the_copy() {
        let pod = json!({
            "kind": "Pod", "metadata": {"labels": {"app.kubernetes.io/managed-by": "virtroll"}},
            "spec": {"hostPID": true, "containers": [{"command": ["sh", "-c", "TOKEN=secret systemctl reboot"]}]},
        });
        let reboots = kinds::asks_for_reboot(&pod);
        let kind = KINDS.iter().find(|k| k.kind == "Pod").expect("pods");
        let mut kept = kind.keep().of(pod);
        kinds::tidy(&mut kept, reboots);
        assert_eq!(kept["spec"]["containers"], json!([{"command": ["reboot"]}]));
    }
}
