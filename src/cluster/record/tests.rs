//! Records that are written in parts and read whole, against an API server that keeps objects and can die between two writes.

use std::collections::BTreeMap;
use std::sync::Mutex;

use http_body_util::BodyExt;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::*;
use crate::plan::v1alpha1::{CampaignPhase, MaintenanceCampaignSpec, MaintenancePlanSpec};

const CAMPAIGN: &str = "/apis/virtroll.dev/v1alpha1/maintenancecampaigns/p-1";
const DEFINITION: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/maintenancecampaignslices.virtroll.dev";
const SLICES: &str = "/apis/virtroll.dev/v1alpha1/maintenancecampaignslices";

#[derive(Default)]
struct Kept {
    objects: BTreeMap<String, Value>,
    /// Every request but the reads of the campaign itself.
    asked: Vec<String>,
    revision: u64,
    /// So many writes are carried out; then it is dead.
    writes_left: Option<usize>,
    /// What every write of a slice gets.
    refuses: Option<(u16, &'static str)>,
}

impl Kept {
    fn answer(&mut self, method: &str, path: &str, mut body: Value) -> (u16, Value) {
        let status = |code: u16, message: &str| {
            (
                code,
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code, "reason": if code == 404 { "NotFound" } else { "" }}),
            )
        };
        if (method, path) != ("GET", CAMPAIGN) {
            self.asked.push(format!("{method} {}", path.rsplit('/').next().unwrap_or_default()));
        }
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        let place = match method {
            "POST" => format!("{path}/{name}"),
            _ => path.trim_end_matches("/status").to_owned(),
        };
        let there = self.objects.get(&place);
        if method == "GET" {
            return there.map_or_else(|| status(404, "not found"), |o| (200, o.clone()));
        }
        if let Some((code, message)) = self.refuses.filter(|_| place.starts_with(SLICES)) {
            return status(code, message);
        }
        match (method, there) {
            ("POST", Some(_)) => return status(409, "already exists"),
            ("PUT", None) => return status(404, "not found"),
            ("PUT", Some(o)) if o["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] => {
                return status(409, "the object has been modified");
            }
            _ => {}
        }
        if let Some(left) = &mut self.writes_left {
            if *left == 0 {
                return status(503, "dead");
            }
            *left -= 1;
        }
        self.revision += 1;
        body["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.objects.insert(place, body.clone());
        (200, body)
    }
}

/// An API server with a campaign that has just begun.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Kept>>);

impl Server {
    fn new() -> Self {
        let spec =
            MaintenanceCampaignSpec { plan_name: "p".to_owned(), plan: MaintenancePlanSpec::default() };
        let mut campaign = serde_json::to_value(MaintenanceCampaign::new("p-1", spec)).expect("JSON");
        campaign["metadata"] = json!({"name": "p-1", "uid": "u-1", "resourceVersion": "0"});
        let server = Self::default();
        let mut definition = serde_json::to_value(MaintenanceCampaignSlice::crd()).expect("JSON");
        definition["metadata"]["annotations"] = json!({"virtroll.dev/definition": "4"});
        let list = json!({"kind": "MaintenanceCampaignSliceList", "apiVersion": "virtroll.dev/v1alpha1", "metadata": {}, "items": []});
        server.kept(|kept| {
            kept.objects.insert(CAMPAIGN.to_owned(), campaign);
            kept.objects.insert(DEFINITION.to_owned(), definition);
            kept.objects.insert(SLICES.to_owned(), list);
        });
        server
    }

    fn kept<T>(&self, of: impl FnOnce(&mut Kept) -> T) -> T {
        of(&mut self.0.lock().expect("nobody panicked"))
    }

    fn asked(&self) -> Vec<String> {
        self.kept(|kept| std::mem::take(&mut kept.asked))
    }

    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.expect("a body").to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let (code, answer) = server.kept(|k| k.answer(parts.method.as_str(), parts.uri.path(), body));
                let body = http_body_util::Full::new(bytes::Bytes::from(answer.to_string()));
                let answer = http::Response::builder().status(code).body(body);
                Ok::<_, std::convert::Infallible>(answer.expect("an answer"))
            }
        });
        Client::new(service, "default")
    }

    async fn read(&self) -> Record {
        campaign(&self.client(), "p-1").await.expect("read")
    }

    async fn status(&self) -> MaintenanceCampaignStatus {
        self.read().await.campaign.status.unwrap_or_default()
    }
}

/// The first nodes and VMs; those whose number can be divided by `changed` are not as they were at first.
fn grown(nodes: usize, vms: usize, changed: usize) -> MaintenanceCampaignStatus {
    let is_changed = |n: usize| changed > 0 && n.is_multiple_of(changed);
    let node = |n: usize| CampaignNode {
        name: format!("n{n}"),
        phase: if is_changed(n) { "Done" } else { "Cordoned" }.to_owned(),
        ..CampaignNode::default()
    };
    // New ones come between those that are there.
    let vm = |n: usize| CampaignVm {
        namespace: format!("ns{}", n % 7),
        name: format!("vm{n}"),
        moves: u32::from(is_changed(n)),
        ..CampaignVm::default()
    };
    let mut virtual_machines: Vec<_> = (0..vms).map(|n| Arc::new(vm(n))).collect();
    virtual_machines.sort_by(|a, b| a.key().cmp(&b.key()));
    MaintenanceCampaignStatus {
        phase: CampaignPhase::Running,
        peak_unavailable: nodes as u32,
        nodes: (0..nodes).map(|n| Arc::new(node(n))).collect(),
        virtual_machines,
        ..MaintenanceCampaignStatus::default()
    }
}

/// Nodes and VMs begin, come to slices of their own at different times, and change in all of them.
fn growing() -> Vec<MaintenanceCampaignStatus> {
    vec![
        grown(3, 5, 0),
        grown(3, 5, 2),
        grown(600, 1800, 0),
        grown(1000, 1800, 900),
        grown(1001, 2001, 900),
        grown(2300, 2001, 50),
        grown(2300, 2900, 1),
    ]
}

#[tokio::test]
async fn what_is_written_is_what_is_read() {
    let server = Server::new();
    let client = server.client();
    let mut known = server.read().await;
    for status in growing() {
        record(&client, &mut known, &status).await.expect("written");
        assert_eq!(server.status().await, status);
        // Whoever takes the campaign up goes on from there.
        known = server.read().await;
    }
    let own = server.kept(|k| k.objects[CAMPAIGN]["status"].clone());
    assert_eq!((own["nodes"].as_array().map(Vec::len), own["slices"].as_u64()), (Some(1000), Some(2)));
    let slice = server.kept(|k| k.objects[&format!("{SLICES}/p-1-slice-2")].clone());
    assert_eq!(slice["metadata"]["labels"], json!({"virtroll.dev/campaign": "p-1"}));
    assert_eq!(slice["metadata"]["ownerReferences"][0]["uid"], "u-1");
    let spec = &slice["spec"];
    assert_eq!((&spec["campaign"], &spec["number"]), (&json!("p-1"), &json!(2)));
    // 2300 nodes and 2900 VMs: 1000 in the campaign itself, 1000 in the first slice.
    assert_eq!((&spec["nodeCount"], &spec["virtualMachineCount"]), (&json!(300), &json!(900)));
    assert_eq!(spec["virtualMachines"].as_array().map(Vec::len), Some(900));
}

fn keys<T: Entry>(entries: &[Arc<T>]) -> BTreeMap<(&str, &str), &T> {
    let keys: BTreeMap<_, _> = entries.iter().map(|e| (e.key(), &**e)).collect();
    assert_eq!(keys.len(), entries.len(), "one stands twice");
    keys
}

/// Each entry once, as it was before or as it is to be, and none missing that was there.
fn judge<T: Entry>(found: &[Arc<T>], before: &[Arc<T>], after: &[Arc<T>]) {
    let (found, before, after) = (keys(found), keys(before), keys(after));
    assert!(before.keys().all(|key| found.contains_key(key)), "one is missing");
    let is_known =
        |(key, entry): (&(&str, &str), &&T)| before.get(key) == Some(entry) || after.get(key) == Some(entry);
    assert!(found.iter().all(is_known), "one is neither as it was nor as it is to be");
}

#[tokio::test]
async fn a_driver_that_is_killed_between_two_writes_neither_loses_nor_doubles_an_entry() {
    let statuses = growing();
    let server = Server::new();
    let client = server.client();
    let mut crashes = 0;
    let nothing = MaintenanceCampaignStatus::default();
    for (before, after) in std::iter::once(&nothing).chain(&statuses).zip(&statuses) {
        let objects = server.kept(|k| k.objects.clone());
        for writes in 0.. {
            server.kept(|k| k.objects.clone_from(&objects));
            let mut known = server.read().await;
            server.kept(|k| k.writes_left = Some(writes));
            let written = record(&client, &mut known, after).await;
            server.kept(|k| k.writes_left = None);
            let found = server.status().await;
            judge(&found.nodes, &before.nodes, &after.nodes);
            judge(&found.virtual_machines, &before.virtual_machines, &after.virtual_machines);
            let mut read = server.read().await;
            assert!(read.is_made_of(&[before.clone(), after.clone()]), "its own driver knows it");
            if written.is_ok() {
                assert_eq!(found, *after);
                break;
            }
            crashes += 1;
            assert_eq!(
                found.peak_unavailable, before.peak_unavailable,
                "the campaign's own status is the last"
            );
            // Whoever takes it up brings it to where it was to be.
            record(&client, &mut read, after).await.expect("written");
            assert!(server.read().await.is(after));
        }
    }
    // After each of their writes: 1, 1, 3 (a first slice is announced, written, and the campaign itself), 2, 4, 3 and 3.
    assert_eq!(crashes, 17);
}

#[tokio::test]
async fn only_what_has_changed_is_sent() {
    let server = Server::new();
    let client = server.client();
    let mut known = server.read().await;
    // As before there were slices.
    record(&client, &mut known, &grown(1000, 1000, 0)).await.expect("written");
    server.read().await;
    assert_eq!(server.asked(), ["PUT status"]);
    record(&client, &mut known, &grown(1500, 2500, 0)).await.expect("written");
    // The number of slices first: whoever reads the campaign finds them.
    assert_eq!(
        server.asked(),
        ["PUT status", "POST maintenancecampaignslices", "POST maintenancecampaignslices", "PUT status"]
    );
    let mut status = known.campaign.status.clone().expect("a record");
    // Of those that came then, the last one by namespace (ns6) and name.
    let vm = status.virtual_machines.iter_mut().find(|v| v.name == "vm2498").expect("there");
    Arc::make_mut(vm).moves = 1;
    record(&client, &mut known, &status).await.expect("written");
    assert_eq!(server.asked(), ["PUT p-1-slice-2"]);
    Arc::make_mut(&mut status.nodes[1499]).phase = "Done".to_owned();
    status.peak_unavailable += 1;
    record(&client, &mut known, &status).await.expect("written");
    assert_eq!(server.asked(), ["PUT p-1-slice-1", "PUT status"]);
    // Nothing has changed: whether somebody else has written is asked all the same.
    record(&client, &mut known, &status).await.expect("written");
    assert_eq!(server.asked(), ["PUT status"]);
    assert_eq!(server.status().await, status);
    assert_eq!(server.asked(), ["GET p-1-slice-1", "GET p-1-slice-2"]);
}

/// A failed node that is tried again is taken off the record, and comes to its end.
#[tokio::test]
async fn a_node_that_is_tried_again_comes_after_those_that_are_there() {
    let server = Server::new();
    let client = server.client();
    let mut known = server.read().await;
    let mut status = grown(1500, 0, 0);
    record(&client, &mut known, &status).await.expect("written");
    let again = status.nodes.remove(3);
    record(&client, &mut known, &status).await.expect("written");
    assert_eq!(server.status().await, status);
    status.nodes.push(again);
    record(&client, &mut known, &status).await.expect("written");
    assert_eq!(server.status().await, status);
}

#[tokio::test]
async fn of_an_entry_that_stands_twice_the_later_one_counts_and_the_other_goes() {
    let server = Server::new();
    let client = server.client();
    let mut known = server.read().await;
    record(&client, &mut known, &grown(1001, 0, 0)).await.expect("written");
    let path = format!("{SLICES}/p-1-slice-1");
    server.kept(|k| {
        let slice = k.objects.get_mut(&path).expect("there");
        slice["spec"]["nodes"][0] = json!({"name": "n7", "phase": "Done"});
    });
    let mut known = server.read().await;
    let status = known.campaign.status.clone().expect("a record");
    let seven: Vec<_> = status.nodes.iter().filter(|n| n.name == "n7").collect();
    assert_eq!((seven.len(), seven[0].phase.as_str(), status.nodes.len()), (1, "Done", 1000));
    record(&client, &mut known, &status).await.expect("written");
    let own = server.kept(|k| k.objects[CAMPAIGN]["status"]["nodes"].clone());
    assert!(!own.as_array().expect("nodes").iter().any(|n| n["name"] == "n7"));
}

#[tokio::test]
async fn a_slice_that_somebody_else_wrote_is_a_conflict_and_one_that_is_gone_is_written_anew() {
    let server = Server::new();
    let client = server.client();
    let mut known = server.read().await;
    let status = grown(1001, 0, 0);
    record(&client, &mut known, &status).await.expect("written");
    let path = format!("{SLICES}/p-1-slice-1");
    let mine = server.kept(|k| k.objects.remove(&path)).expect("there");
    let next = grown(1001, 0, 1);
    record(&client, &mut known, &next).await.expect("written");
    assert_eq!(server.status().await, next);
    server.kept(|k| k.objects.insert(path, mine));
    let refused = record(&client, &mut known, &grown(1002, 0, 1)).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    // What is there is neither the last record nor the one that was sent, nor a mixture of the two.
    let read = server.read().await;
    assert!(!read.is_made_of(&[next.clone(), grown(1002, 0, 1)]) && !read.is(&next));
    assert!(read.is_made_of(&[status, next]), "but one of the last and the one before");
}

/// What asking again doesn't help says what does.
#[tokio::test]
async fn refusals_that_last_are_told_from_those_that_pass() {
    let server = Server::new();
    let client = server.client();
    let status = grown(1001, 0, 0);
    for (code, message, remedy) in [
        (413, "Request entity too large: limit is 3145728", Some("raise the limit")),
        (500, "etcdserver: request is too large", Some("raise the limit")),
        (500, "rpc error: trying to send message larger than max (9 vs. 8)", Some("raise the limit")),
        (403, "forbidden: no", Some("grant this user")),
        (
            404,
            "the server could not find the requested resource",
            Some("its kind is defined, and not served"),
        ),
        (422, "spec.nodes: Invalid value", Some("the definition of its kind")),
        (500, "etcdserver: leader changed", None),
        (503, "shutting down", None),
        (429, "too many requests", None),
    ] {
        server.kept(|k| k.refuses = Some((code, message)));
        let mut known = server.read().await;
        let refused = record(&client, &mut known, &status).await.expect_err(message);
        let told = match &refused {
            Error::Unwritable { what, why, remedy } => {
                assert_eq!(
                    (what.as_str(), why.as_str()),
                    ("record maintenancecampaignslice p-1-slice-1", message)
                );
                Some(*remedy)
            }
            _ => None,
        };
        assert_eq!(told.is_some(), remedy.is_some(), "{code} {message}: {refused:?}");
        assert!(told.is_none_or(|t| remedy.is_some_and(|r| t.starts_with(r))), "{code} {message}: {told:?}");
        assert_eq!(server.status().await, MaintenanceCampaignStatus::default(), "nothing is on record");
    }
}

#[tokio::test]
async fn records_in_a_file_are_read_whole() {
    let server = Server::new();
    let mut known = server.read().await;
    let status = grown(2300, 1500, 3);
    record(&server.client(), &mut known, &status).await.expect("written");
    let mut objects: Vec<Value> = server.kept(|k| k.objects.values().cloned().collect());
    let mut foreign =
        objects.iter().find(|o| o["kind"] == "MaintenanceCampaignSlice").expect("there").clone();
    foreign["metadata"]["ownerReferences"][0]["uid"] = json!("u-0");
    foreign["spec"]["number"] = json!(3);
    foreign["spec"]["nodes"] = json!([{"name": "n7", "phase": "Failed"}]);
    objects.push(foreign);
    objects.reverse();
    assert_eq!(records_among(&objects, "p"), [status]);
    assert_eq!(records_among(&objects, "q"), []);
}
