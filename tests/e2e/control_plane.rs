//! A real control plane on loopback: etcd, kube-apiserver, controller manager, scheduler, and KWOK for the kubelets.
//! Every child is ended by its own id when the value is dropped.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing is added that belongs to controllers.
const ONLY_REQUESTS: &str = "--disable-admission-plugins=ServiceAccount,StorageObjectInUseProtection";

pub struct ControlPlane {
    folder: PathBuf,
    binaries: PathBuf,
    children: Vec<Child>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl ControlPlane {
    /// Starts one. The binaries are where `tests/control-plane/build.sh` said, in VIRTROLL_CONTROL_PLANE.
    pub fn start(name: &str) -> Self {
        let mut plane = Self::with_api_server(name, &[]);
        let config = plane.path("kubeconfig");
        let shared = ["--leader-elect=false", "--secure-port=0"];
        let key = plane.path("sa.key");
        let own =
            ["--use-service-account-credentials=false", "--service-account-private-key-file", key.as_str()];
        plane.spawn(
            "kube-controller-manager",
            &[&["--kubeconfig", config.as_str()], &own[..], &shared[..]].concat(),
        );
        plane.spawn("kube-scheduler", &[&["--kubeconfig", config.as_str()], &shared[..]].concat());
        let stages = root().join("tests/control-plane/stages.yaml").display().to_string();
        plane.spawn(
            "kwok",
            &[
                "--kubeconfig",
                &config,
                "--config",
                &stages,
                "--manage-all-nodes=true",
                "--node-lease-duration-seconds=40",
            ],
        );
        plane.wait("the default service account", |p| {
            p.kubectl(&["get", "serviceaccount", "default"]).status.success()
        });
        plane
    }

    /// etcd and the API server alone: nothing but requests changes anything. Two admission plugins are off, because what they
    /// add belongs to parts that aren't there: tokens of service accounts, and finalizers that controllers take away.
    pub fn api_only(name: &str) -> Self {
        Self::with_api_server(name, &[ONLY_REQUESTS])
    }

    /// The same, and what was is forgotten after two to four seconds, not minutes.
    pub fn forgetful(name: &str) -> Self {
        Self::with_api_server(name, &[ONLY_REQUESTS, "--etcd-compaction-interval=2s"])
    }

    /// etcd, the API server and the scheduler: nothing happens but that pods find a place. Admission plugins are off where
    /// what they add belongs to parts that aren't there.
    pub fn scheduler_only(name: &str) -> Self {
        let off =
            "--disable-admission-plugins=ServiceAccount,StorageObjectInUseProtection,TaintNodesByCondition";
        let mut plane = Self::with_api_server(name, &[off]);
        let config = plane.path("kubeconfig");
        plane.spawn(
            "kube-scheduler",
            &[
                "--kubeconfig",
                &config,
                "--leader-elect=false",
                "--secure-port=0",
                "--kube-api-qps=1000",
                "--kube-api-burst=1000",
            ],
        );
        plane
    }

    fn with_api_server(name: &str, more: &[&str]) -> Self {
        let binaries = std::env::var("VIRTROLL_CONTROL_PLANE")
            .expect("VIRTROLL_CONTROL_PLANE=$(tests/control-plane/build.sh)");
        let folder = std::env::temp_dir().join(format!("virtroll-e2e-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let mut plane = Self { folder, binaries: binaries.into(), children: Vec::new() };
        plane.keys();
        let (client, peer, api) = (free_port(), free_port(), free_port());
        plane.etcd(client, peer);
        plane.api_server(client, api, more);
        plane.kubeconfig(api);
        plane.wait("the API server", |p| p.kubectl(&["get", "--raw", "/readyz"]).status.success());
        plane
    }

    /// A client of its API server, as the administrator. Call it inside the runtime.
    pub async fn client(&self) -> kube::Client {
        let file = kube::config::Kubeconfig::read_from(self.path("kubeconfig")).expect("a kubeconfig");
        let options = kube::config::KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(file, &options).await.expect("a configuration");
        config.default_retry = false;
        kube::Client::try_from(config).expect("a client")
    }

    /// A file of this control plane's: `kubeconfig`, `audit.log`.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn keys(&self) {
        for arguments in [
            vec!["genrsa", "-out", &self.path("sa.key"), "2048"],
            vec!["rsa", "-in", &self.path("sa.key"), "-pubout", "-out", &self.path("sa.pub")],
        ] {
            let done =
                Command::new("openssl").args(arguments).stderr(Stdio::null()).status().expect("openssl");
            assert!(done.success());
        }
        // An administrator, and some whose rights a test grants.
        let users = ["reader", "half", "blind"].map(|u| format!("{u}-token,{u},{u}\n")).concat();
        let text = format!("admin-token,admin,1,\"system:masters\"\n{users}");
        fs::write(self.path("tokens"), text).expect("tokens");
    }

    fn etcd(&mut self, client: u16, peer: u16) {
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let (data, cluster) = (self.path("etcd"), format!("default={peer}"));
        self.spawn(
            "etcd",
            &[
                "--data-dir",
                &data,
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
                "--initial-cluster",
                &cluster,
                "--unsafe-no-fsync",
                "--log-level",
                "error",
            ],
        );
    }

    fn api_server(&mut self, etcd: u16, port: u16, more: &[&str]) {
        let policy = root().join("tests/control-plane/audit-policy.yaml").display().to_string();
        let (etcd, port) = (format!("http://127.0.0.1:{etcd}"), port.to_string());
        let files = ["certs", "sa.pub", "sa.key", "tokens", "audit.log"].map(|f| self.path(f));
        let own = [
            "--etcd-servers",
            &etcd,
            "--secure-port",
            &port,
            "--bind-address",
            "127.0.0.1",
            "--cert-dir",
            &files[0],
            "--service-account-key-file",
            &files[1],
            "--service-account-signing-key-file",
            &files[2],
            "--service-account-issuer",
            "https://virtroll.test",
            "--token-auth-file",
            &files[3],
            "--authorization-mode",
            "RBAC",
            "--service-cluster-ip-range",
            "10.0.0.0/24",
            "--audit-policy-file",
            &policy,
            "--audit-log-path",
            &files[4],
        ];
        self.spawn("kube-apiserver", &[&own[..], more].concat());
    }

    fn kubeconfig(&self, port: u16) {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: e2e\n\
             clusters: [{{name: e2e, cluster: {{server: 'https://127.0.0.1:{port}', insecure-skip-tls-verify: true}}}}]\n\
             users: [{{name: admin, user: {{token: admin-token}}}}]\n\
             contexts: [{{name: e2e, context: {{cluster: e2e, user: admin}}}}]\n"
        );
        fs::write(self.path("kubeconfig"), text).expect("kubeconfig");
    }

    fn spawn(&mut self, program: &str, arguments: &[&str]) {
        let log = File::create(self.folder.join(format!("{program}.log"))).expect("a log");
        let errors = log.try_clone().expect("a log");
        let child =
            Command::new(self.binaries.join(program)).args(arguments).stdout(log).stderr(errors).spawn();
        self.children.push(child.unwrap_or_else(|e| panic!("{program}: {e}")));
    }

    /// Waits at most two minutes.
    pub fn wait(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(120);
        while !holds(self) {
            assert!(Instant::now() < end, "{what}: not after two minutes; logs in {}", self.folder.display());
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.binaries.join("kubectl"));
        command.arg("--kubeconfig").arg(self.path("kubeconfig")).args(arguments).output().expect("kubectl")
    }

    pub fn virtroll(&self, arguments: &[&str]) -> Output {
        self.virtroll_command(arguments).output().expect("virtroll")
    }

    /// Starts virtroll, to be met while it runs.
    pub fn spawn_virtroll(&self, arguments: &[&str]) -> Child {
        let mut command = self.virtroll_command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("virtroll")
    }

    fn virtroll_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_virtroll"));
        command.current_dir(root()).env("KUBECONFIG", self.path("kubeconfig")).args(arguments);
        command
    }

    /// Creates objects from manifests.
    pub fn create(&self, manifests: &str) {
        let file = self.path("manifests.yaml");
        fs::write(&file, manifests).expect("written");
        let created = self.kubectl(&["create", "-f", &file]);
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    }

    pub fn get(&self, arguments: &[&str]) -> Value {
        let output = self.kubectl(&[&["get", "-o", "json"], arguments].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// Requests of clients whose user agent begins so that could have changed something, from the audit log: anything but
    /// reads, dry runs, and questions about the user's own rights.
    pub fn writes_of(&self, agent: &str) -> Vec<String> {
        let log = fs::read_to_string(self.path("audit.log")).unwrap_or_default();
        let events = log.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let mine = events.filter(|e| e["userAgent"].as_str().is_some_and(|a| a.starts_with(agent)));
        let is_write = |e: &Value| {
            let uri = e["requestURI"].as_str().unwrap_or_default();
            let reads = matches!(e["verb"].as_str(), Some("get" | "list" | "watch"));
            !reads && !uri.contains("dryRun=All") && !uri.contains("/selfsubjectaccessreviews")
        };
        mine.filter(is_write).map(|e| format!("{} {}", e["verb"], e["requestURI"])).collect()
    }

    /// Evictions so far in a namespace that were granted, by a deletion or by KubeVirt's word that it moves the guest.
    pub fn granted_in(log: &str, namespace: &str) -> usize {
        let events = log.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let granted = events.filter(|e| {
            let answer = &e["responseStatus"];
            let uri = e["requestURI"].as_str().unwrap_or_default();
            let moves =
                answer["message"].as_str().is_some_and(|m| m.contains("Eviction triggered evacuation"));
            e["verb"] == "create"
                && e["stage"] == "ResponseComplete"
                && e["objectRef"]["subresource"] == "eviction"
                && e["objectRef"]["namespace"] == namespace
                && !uri.contains("dryRun=All")
                && (answer["code"] == 201 || moves)
        });
        granted.count()
    }

    /// Eviction requests so far in a namespace, from the audit log.
    pub fn evictions_in(log: &str, namespace: &str) -> usize {
        let events = log.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let evictions = events.filter(|e| {
            e["verb"] == "create"
                && e["objectRef"]["subresource"] == "eviction"
                && e["objectRef"]["namespace"] == namespace
        });
        let ids: std::collections::BTreeSet<String> = evictions.map(|e| e["auditID"].to_string()).collect();
        ids.len()
    }

    /// Requests so far of clients whose user agent begins so, from the audit log.
    pub fn requests_of(&self, agent: &str) -> usize {
        let log = fs::read_to_string(self.path("audit.log")).unwrap_or_default();
        let events = log.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let mut ids: Vec<String> = events
            .filter(|e| e["userAgent"].as_str().is_some_and(|a| a.starts_with(agent)))
            .map(|e| e["auditID"].to_string())
            .collect();
        ids.sort();
        ids.dedup();
        ids.len()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
