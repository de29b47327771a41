//! Clients in other languages: Python's `kubernetes` and Go's client-go with its informers. Each asserts by itself.

use std::path::PathBuf;
use std::process::Command;

use super::{Served, root};

/// A cluster of three nodes, twenty times as fast as real time.
fn served(name: &str) -> Served {
    let file = std::env::temp_dir().join(format!("virtroll-{name}-{}.yaml", std::process::id()));
    std::fs::write(&file, crate::nodes(3)).expect("written");
    let served = Served::start(name, &file, 20);
    std::fs::remove_file(&file).expect("removed");
    served
}

fn cache() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let caches = set("XDG_CACHE_HOME").unwrap_or_else(|| set("HOME").expect("HOME").join(".cache"));
    set("VIRTROLL_CACHE").unwrap_or_else(|| caches.join("virtroll"))
}

fn run(command: &mut Command, says: &str) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains(says), "{command:?}: {said}");
}

/// Its packages are in an environment of their own, outside the repository, made once for each list of requirements.
#[test]
fn a_python_client_works_with_it_as_with_any_cluster() {
    let folder = root().join("tests/clients/python");
    let requirements = std::fs::read_to_string(folder.join("requirements.txt")).expect("requirements");
    let environment = cache().join("python").join(requirements.trim().replace([' ', '\n'], "-"));
    let complete = environment.join("complete");
    if !complete.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment), "");
        let pip = environment.join("bin/pip");
        run(Command::new(pip).args(["install", "--quiet", "-r"]).arg(folder.join("requirements.txt")), "");
        std::fs::write(complete, "").expect("written");
    }
    let served = served("python");
    let python = environment.join("bin/python");
    let mut client = Command::new(python);
    run(client.arg(folder.join("client.py")).arg(served.kubeconfig()), "python: listed, watched");
}

#[test]
fn a_go_client_with_informers_works_with_it_as_with_any_cluster() {
    let binary = cache().join("go-client");
    let folder = root().join("tests/clients/go");
    run(Command::new("go").current_dir(&folder).args(["build", "-o"]).arg(&binary).arg("."), "");
    let served = served("go");
    run(Command::new(binary).arg(served.kubeconfig()), "go: cached, created in protobuf");
}
