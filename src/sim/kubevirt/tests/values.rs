//! In one process with the API server: values in place of texts, and the same answers.

use futures::StreamExt;
use kube::api::{ListParams, WatchParams};

use super::super::caller::Caller;
use super::super::world::Kind;
use super::lab::{self, Lab, MOVES};
use crate::sim::json::{Value, json};

fn callers(lab: &Lab) -> [Caller; 2] {
    [true, false].map(|hands_over| Caller { client: lab.client.clone(), hands_over })
}

fn code(answer: Result<Value, kube::Error>) -> u16 {
    match answer {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("no refusal: {other:?}"),
    }
}

#[test]
fn paths_are_those_of_the_api() {
    assert_eq!(Kind::Pod.path("d", "p"), "/api/v1/namespaces/d/pods/p");
    assert_eq!(Kind::Node.path("", "n1"), "/api/v1/nodes/n1");
    assert_eq!(Kind::Vm.path("", ""), "/apis/kubevirt.io/v1/virtualmachines");
    assert_eq!(Kind::Budget.path("d", ""), "/apis/policy/v1/namespaces/d/poddisruptionbudgets");
}

#[tokio::test(start_paused = true)]
async fn a_value_is_answered_as_a_text_is() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, ""), 9, "").await;
    for caller in callers(&lab) {
        let found = caller.get(Kind::Instance, "default", "g").await.expect("found");
        assert_eq!(found, lab.vmi("g").await);
        assert_eq!(code(caller.get(Kind::Instance, "default", "h").await), 404);
        let listed = caller.list(Kind::Pod, "", &ListParams::default()).await.expect("listed");
        let names: Vec<&Value> =
            listed["items"].as_array().into_iter().flatten().map(|p| &p["metadata"]["name"]).collect();
        let pods = lab.list(Kind::Pod).await;
        assert!(!pods.is_empty());
        assert_eq!(names, pods.iter().map(|p| &p["metadata"]["name"]).collect::<Vec<_>>());
        let mut stale = found.clone();
        stale["metadata"]["resourceVersion"] = json!("1");
        let path = Kind::Instance.path("default", "g");
        assert_eq!(code(caller.send(http::Method::PUT, &path, Some(stale)).await), 409);
        let other = json!({"preconditions": {"uid": "another"}});
        assert_eq!(code(caller.send(http::Method::DELETE, &path, Some(other)).await), 409);
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_handed_over_in_their_order() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, ""), 9, "").await;
    let [caller, _] = callers(&lab);
    let listed = caller.list(Kind::Node, "", &ListParams::default()).await.expect("listed");
    let version = listed["metadata"]["resourceVersion"].as_str().expect("a version");
    let params = WatchParams::default().fields("metadata.name=n2");
    let mut events = caller.events(Kind::Node, &params, version).await.expect("begun");
    for value in ["1", "2"] {
        lab.patch(Kind::Node, "n2", json!({"metadata": {"labels": {"asked": value}}})).await;
    }
    lab.api(Kind::Node).delete("n2", &Default::default()).await.expect("deleted");
    let mut seen = Vec::new();
    while seen.last().is_none_or(|(kind, _)| *kind != "DELETED") {
        let event = events.next().await.expect("an event");
        seen.push((event.kind, event.object["metadata"]["labels"]["asked"].clone()));
    }
    // A heartbeat may come in between.
    seen.dedup();
    assert_eq!(seen, [("MODIFIED", json!("1")), ("MODIFIED", json!("2")), ("DELETED", json!("2"))]);
    let mut late = caller.events(Kind::Node, &WatchParams::default(), "0").await.expect("begun");
    let first = late.next().await.expect("an event");
    assert_eq!((first.kind, &first.object["metadata"]["name"]), ("ADDED", &json!("n1")));
}
