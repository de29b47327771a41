//! §1: the API's surface: which subresources there are, and what they answer.

use super::lab::{self, Lab, MOVES, SLOW};
use crate::sim::json::json;
use crate::sim::kubevirt::world::Kind;

/// §1: the end of an evacuation can be asked for from 1.7 on.
#[tokio::test(start_paused = true)]
async fn evacuations_are_cancelled_from_1_7_on() {
    for (version, code) in [(6, 404), (7, 200)] {
        let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, SLOW), version, "").await;
        assert_eq!(lab.evict_vmi("g").await.0, 429);
        for kind in ["virtualmachines", "virtualmachineinstances"] {
            let body = json!({"evacuationNodeName": "n1"});
            assert_eq!(lab.act(kind, "g", "evacuate/cancel", body).await.0, code, "1.{version} {kind}");
        }
        assert_eq!(lab.vmi("g").await["status"]["evacuationNodeName"].is_string(), code == 404);
    }
}

/// §1: `migrate` is answered 202 and makes a migration by its own name.
#[tokio::test(start_paused = true)]
async fn migrate_makes_a_migration() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, SLOW), 9, "").await;
    assert_eq!(lab.act("virtualmachines", "g", "migrate", json!({})).await, (202, String::new()));
    let name = lab.list(Kind::Migration).await[0]["metadata"]["name"].clone();
    assert!(name.as_str().is_some_and(|n| n.starts_with("kubevirt-migrate-vm-")), "{name}");
}

/// A VMI has no status subresource: its status is written with the rest; that of a VM has one.
#[tokio::test(start_paused = true)]
async fn a_vmis_status_is_written_on_the_main_resource() {
    let lab = Lab::new(1, &lab::vm("g", "Always", "", ""), 9, "").await;
    let patch = kube::api::Patch::Merge(json!({"status": {"guestAgent": "seen"}}));
    let refused = lab.api(Kind::Instance).patch_status("g", &Default::default(), &patch).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code >= 404));
    lab.patch(Kind::Instance, "g", json!({"status": {"guestAgent": "seen"}})).await;
    assert_eq!(lab.vmi("g").await["status"]["guestAgent"], "seen");
    lab.patch(Kind::Vm, "g", json!({"status": {"seen": true}})).await;
    assert!(lab.get(Kind::Vm, "g").await["status"]["seen"].is_null(), "it goes by /status alone");
    lab.patch_status(Kind::Vm, "g", json!({"seen": true})).await;
    assert_eq!(lab.get(Kind::Vm, "g").await["status"]["seen"], true);
}

/// Where nothing is configured the fields are absent, not zero: clients take the defaults for them.
#[tokio::test(start_paused = true)]
async fn a_fresh_installation_is_deployed_and_says_nothing_else() {
    let kubevirt = crate::sim::json::Value::from(crate::sim::kubevirt::default_installation());
    assert_eq!(kubevirt["spec"], json!({"configuration": {}}));
    assert_eq!(kubevirt["status"]["phase"], "Deployed");
    assert_eq!(kubevirt["status"]["observedKubeVirtVersion"], "v1.9.0");
}
