//! §5.4: which migrations are admitted.

use super::lab::{self, Lab, MOVES, pass, phase};
use crate::sim::json::json;
use crate::sim::kubevirt::world::Kind;

/// §5.4: refusals in words; a VMI that is booting passes, and its migration waits until it runs.
#[tokio::test(start_paused = true)]
async fn admission_refuses_in_kubevirts_words() {
    let text = [
        lab::vm("over", "Once", "", ""),
        lab::vm("stuck", "Always", "", "").replace("masquerade", "bridge"),
        lab::vm("boots", "Always", "", "sim.virtroll.dev/boots-after: 60s"),
    ];
    let lab = Lab::new(2, &text.concat(), 9, "").await;
    assert_eq!(lab.evict_vmi("over").await.0, 201);
    pass(10).await;
    let (code, message) = lab.migrate("a", "over").await.expect_err("it is over");
    assert!(code == 400 && message.ends_with("Cannot migrate VMI in finalized state."), "{message}");
    let (code, message) = lab.migrate("b", "stuck").await.expect_err("it can't");
    assert!(
        code == 400 && message.contains("Cannot migrate VMI, Reason: InterfaceNotLiveMigratable, Message: "),
        "{message}"
    );
    assert_eq!(lab.vmi("boots").await["status"]["phase"], "Scheduled");
    lab.migrate("c", "boots").await.expect("the condition is absent");
    pass(10).await;
    assert_eq!(phase(&lab, "c").await, "Pending");
    pass(60).await;
    assert_eq!(phase(&lab, "c").await, "Succeeded");
}

/// §5.4: an unfinished migration is found whether virt-controller has labelled it yet or not; finished ones don't count.
#[tokio::test(start_paused = true)]
async fn one_migration_at_a_time() {
    let text = lab::vm("g", "Always", MOVES, "") + &lab::vm("h", "Always", MOVES, "");
    let lab = Lab::new(2, &text, 9, "").await;
    lab.migrate("first", "g").await.expect("admitted");
    lab.migrate("others", "h").await.expect("another VMI's");
    let words = "in-flight migration detected. Active migration job (first) is currently already in progress for VMI g.";
    for waits in [0, 3] {
        pass(waits).await;
        let (code, message) = lab.migrate("second", "g").await.expect_err("one is unfinished");
        assert!(code == 400 && message.ends_with(words), "{message}");
        assert_eq!(lab.act("virtualmachines", "g", "migrate", json!({})).await.0, 500);
    }
    pass(30).await;
    lab.migrate("second", "g").await.expect("the first is over");
    let (code, message) = lab.migrate("x", "nobody").await.expect_err("no such VMI");
    assert!(code == 400 && message.ends_with("the VMI \"default/nobody\" does not exist"), "{message}");
}

/// The refusals have neither a reason nor details.
#[tokio::test(start_paused = true)]
async fn a_refusal_has_no_reason() {
    let lab = Lab::new(1, &lab::vm("g", "Halted", "", ""), 9, "").await;
    let migration = json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration",
        "metadata": {"name": "m", "namespace": "default"}, "spec": {"vmiName": "g"},
    });
    let object = serde_json::from_value(migration.into()).expect("an object");
    match lab.api(Kind::Migration).create(&Default::default(), &object).await {
        Err(kube::Error::Api(status)) => {
            assert_eq!((status.code, status.reason.as_str(), status.details.is_none()), (400, "", true));
        }
        other => panic!("{other:?}"),
    }
}
