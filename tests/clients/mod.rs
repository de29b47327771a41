//! Clients of a served embedded cluster: stock kubectl, Python, Go; kubectl beside the real control plane.

mod differences;
mod kubectl;
mod languages;
mod story;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `virtroll sim` in the background. Ended by its own id when dropped, and by itself after a while.
pub struct Served {
    folder: PathBuf,
    child: Child,
}

impl Served {
    /// Serves a cluster file and waits until clients can connect.
    pub fn start(name: &str, cluster: &Path, speed: u32) -> Self {
        let folder = std::env::temp_dir().join(format!("virtroll-served-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let kubeconfig = folder.join("kubeconfig");
        let mut child = Command::new(env!("CARGO_BIN_EXE_virtroll"))
            .arg("sim")
            .arg(cluster)
            .args([
                "--listen",
                "127.0.0.1:0",
                "--for",
                "15m",
                "--speed",
                &speed.to_string(),
                "--write-kubeconfig",
            ])
            .arg(&kubeconfig)
            .stdout(Stdio::piped())
            .spawn()
            .expect("virtroll");
        let mut url = String::new();
        let stdout = child.stdout.take().expect("stdout");
        BufReader::new(stdout).read_line(&mut url).expect("its address");
        assert!(url.starts_with("http://127.0.0.1:"), "{url:?}");
        Self { folder, child }
    }

    pub fn kubeconfig(&self) -> String {
        self.folder.join("kubeconfig").display().to_string()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The kubectl of the control plane's build, with a cache of its own.
fn kubectl_command(kubeconfig: &str, folder: &Path) -> Command {
    let binaries = std::env::var("VIRTROLL_CONTROL_PLANE")
        .expect("VIRTROLL_CONTROL_PLANE=$(tests/control-plane/build.sh)");
    let mut command = Command::new(Path::new(&binaries).join("kubectl"));
    command.env("HOME", folder).env("KUBECONFIG", kubeconfig).env_remove("KUBECTL_EXTERNAL_DIFF");
    command.current_dir(root().join("tests/clients/kubectl"));
    command
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
