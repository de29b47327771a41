//! `virtroll sim`: the embedded cluster behind a socket, in real time.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

struct Served {
    child: Child,
    url: String,
    kubeconfig: PathBuf,
}

impl Served {
    fn start(name: &str, more: &[&str]) -> Self {
        let kubeconfig = std::env::temp_dir().join(format!("virtroll-it-{name}-{}", std::process::id()));
        let mut child = Command::new(env!("CARGO_BIN_EXE_virtroll"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["sim", "examples/clusters/homelab.yaml", "--for", "120s", "--write-kubeconfig"])
            .arg(&kubeconfig)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("virtroll");
        let mut url = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut url).expect("its address");
        Self { child, url: url.trim().to_owned(), kubeconfig }
    }

    async fn client(&self) -> kube::Client {
        let text = std::fs::read_to_string(&self.kubeconfig).expect("a kubeconfig");
        let config = kube::config::Kubeconfig::from_yaml(&text).expect("well-formed");
        let config =
            kube::Config::from_custom_kubeconfig(config, &Default::default()).await.expect("complete");
        kube::Client::try_from(config).expect("a client")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.kubeconfig);
    }
}

fn pod(name: &str, starts_after: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": {"sim.virtroll.dev/starts-after": starts_after}},
        "spec": {"containers": [{"name": "c", "image": "c"}]},
    }))
    .expect("a pod")
}

fn condition_time(pod: &Pod, kind: &str) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|c| c.type_ == kind && c.status == "True")?;
    found.last_transition_time.as_ref().map(|t| t.0)
}

/// A pod that takes ten minutes to start does so in some six seconds at speed 100, and says that it took ten minutes.
#[tokio::test]
async fn time_passes_faster_behind_the_socket_and_watches_see_it() {
    let served = Served::start("fast", &["--speed", "100"]);
    let client = served.client().await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    pods.create(&PostParams::default(), &pod("slow", "10m")).await.expect("created");
    let watched = async {
        use futures::{StreamExt, TryStreamExt};
        let watch = pods.watch(&WatchParams::default().timeout(100), "0").await.expect("watches");
        let mut watch = watch.boxed();
        while let Some(event) = watch.try_next().await.expect("an event") {
            if let WatchEvent::Modified(pod) | WatchEvent::Added(pod) = event
                && let (Some(bound), Some(ready)) =
                    (condition_time(&pod, "PodScheduled"), condition_time(&pod, "Ready"))
            {
                return (bound, ready);
            }
        }
        panic!("the watch ended without a ready pod");
    };
    // Generous, and far less than the ten minutes.
    let (bound, ready) = tokio::time::timeout(Duration::from_secs(90), watched).await.expect("in time");
    let took = ready.duration_since(bound).as_secs();
    assert!((600..660).contains(&took), "{took} s");
    let now = Timestamp::now();
    assert!(ready > now, "its clock runs ahead of ours: {ready}, {now}");
}

/// What was loaded is at rest when clients come, and the clock shows the time of day.
#[tokio::test]
async fn it_opens_at_rest_with_the_time_of_day_and_only_for_its_owner() {
    let mut served = Served::start("rest", &[]);
    let client = served.client().await;
    let nodes: Api<Node> = Api::all(client.clone());
    assert_eq!(nodes.list(&ListParams::default()).await.expect("listed").items.len(), 6);
    let pods = Api::<Pod>::all(client.clone()).list(&ListParams::default()).await.expect("listed").items;
    let ready = pods.iter().filter(|p| condition_time(p, "Ready").is_some()).count();
    assert!(ready == pods.len() && ready >= 20, "{ready} of {}", pods.len());
    let fresh: Pod = Api::namespaced(client.clone(), "default")
        .create(&PostParams::default(), &pod("fresh", "1s"))
        .await
        .expect("created");
    let created = fresh.metadata.creation_timestamp.expect("a time").0;
    let off = Timestamp::now().duration_since(created).as_secs();
    assert!((-5..60).contains(&off), "{off} s behind");
    let mode = std::fs::metadata(&served.kubeconfig).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A page that a browser loaded from elsewhere can't use it.
    let foreign = reqwest(&served.url, &[("host", "example.org")]).await;
    assert_eq!((foreign["code"].as_u64(), foreign["reason"].as_str()), (Some(403), Some("Forbidden")));
    // Ctrl-C ends it, in order.
    let pid = rustix::process::Pid::from_raw(served.child.id().cast_signed()).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("interrupted");
    assert_eq!(served.child.wait().expect("ends").code(), Some(0));
    let mut said = String::new();
    served.child.stderr.take().expect("stderr").read_to_string(&mut said).expect("text");
    assert!(said.contains("6 nodes, 20 pods, 3 virtual machines") && said.contains("Stopped"), "{said}");
}

/// The columns that kubectl prints are the server's.
#[tokio::test]
async fn tables_have_the_columns_of_the_kind() {
    let served = Served::start("tables", &[]);
    let table = async |path: &str| {
        reqwest(
            &format!("{}{path}", served.url),
            &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")],
        )
        .await
    };
    let names = |table: &Value| -> Vec<String> {
        let columns = table["columnDefinitions"].as_array().into_iter().flatten();
        columns
            .filter(|c| c["priority"] == 0)
            .map(|c| c["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let pods = table("/api/v1/namespaces/shop/pods?includeObject=Object").await;
    assert_eq!(pods["kind"], "Table");
    assert_eq!(names(&pods), ["Name", "Ready", "Status", "Restarts", "Age"]);
    let row = &pods["rows"][0];
    assert_eq!(
        (&row["cells"][0], &row["cells"][1], &row["cells"][2]),
        (&json!("db-0"), &json!("1/1"), &json!("Running"))
    );
    assert_eq!(row["object"]["spec"]["containers"][0]["name"], "db");
    let vmis = table("/apis/kubevirt.io/v1/virtualmachineinstances").await;
    assert_eq!(names(&vmis), ["Name", "Age", "Phase", "IP", "NodeName", "Ready"]);
    assert_eq!(vmis["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(vmis["rows"][0]["cells"][2], "Running");
}

async fn reqwest(url: &str, headers: &[(&str, &str)]) -> Value {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut request = client.get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let text = request.send().await.expect("answered").text().await.expect("a body");
    serde_json::from_str(&text).expect("JSON")
}
