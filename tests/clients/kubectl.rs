//! Stock kubectl, an ordinary hour of it: on the embedded cluster and on the real control plane.

use std::process::Output;

use super::differences::{normal, shown};
use super::story::{Judged, Step, patiently, read};
use super::{Served, kubectl_command, root};
use crate::control_plane::ControlPlane;

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

struct Clusters {
    embedded: Served,
    real: Option<ControlPlane>,
}

impl Clusters {
    fn run(&self, real: bool, step: &Step) -> Output {
        let kubeconfig = match &self.real {
            Some(plane) if real => plane.path("kubeconfig"),
            _ => self.embedded.kubeconfig(),
        };
        let folder = self.embedded.folder.join(if real { "real" } else { "embedded" });
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut command = kubectl_command(&kubeconfig, &folder);
        let editor = root().join("tests/clients/kubectl/editor.sh");
        command.env("KUBE_EDITOR", editor).args(&step.arguments).output().expect("kubectl")
    }

    /// What is wrong with a step.
    fn judge(&self, step: &Step) -> Result<(), String> {
        match step.judged {
            Judged::Sync => {
                for real in [true, false].into_iter().filter(|real| !real || self.real.is_some()) {
                    let done = || {
                        let output = self.run(real, step);
                        if output.status.success() { Ok(()) } else { Err(text(&output)) }
                    };
                    let name = if real { "real" } else { "embedded" };
                    patiently(done).map_err(|why| format!("    {name} never succeeded: {why}"))?;
                }
                Ok(())
            }
            Judged::Same => self.compare(step),
            Judged::Refused | Judged::Shown => {
                let output = self.run(false, step);
                let said = text(&output);
                let as_expected = output.status.success() == (step.judged == Judged::Shown);
                if as_expected && said.contains(&step.words) {
                    return Ok(());
                }
                Err(format!("    exit {:?}, expected {:?} in: {said}", output.status.code(), step.words))
            }
        }
    }

    fn compare(&self, step: &Step) -> Result<(), String> {
        let told = |real| {
            let output = self.run(real, step);
            (output.status.code(), normal(&text(&output)))
        };
        if self.real.is_none() {
            let (code, said) = told(false);
            return if code == Some(0) { Ok(()) } else { Err(format!("    exit {code:?}: {said}")) };
        }
        let (real, embedded) = (told(true), told(false));
        if real == embedded {
            return Ok(());
        }
        let codes = if real.0 == embedded.0 {
            String::new()
        } else {
            format!("    exit {:?} and {:?}\n", real.0, embedded.0)
        };
        Err(codes + &shown(&real.1, &embedded.1))
    }

    fn tell(&self, story: &str) -> Vec<String> {
        let only = std::env::var("STORY_LINES").ok();
        let mut wrong = Vec::new();
        for step in read(story) {
            if let Err(why) = self.judge(&step) {
                let said = format!("line {}: kubectl {}\n{why}", step.line, step.arguments.join(" "));
                if only.is_some() {
                    println!("{said}");
                }
                wrong.push(said);
            }
        }
        wrong
    }
}

/// kubectl users can't tell the difference: what it prints, and how it ends, in an hour of ordinary use.
#[test]
fn kubectl_says_the_same_on_both_clusters() {
    let nodes = crate::nodes(4);
    let file = std::env::temp_dir().join(format!("virtroll-story-{}.yaml", std::process::id()));
    std::fs::write(&file, &nodes).expect("written");
    let embedded = Served::start("story", &file, 2);
    std::fs::remove_file(&file).expect("removed");
    let real = ControlPlane::start("story");
    real.create(&nodes);
    let clusters = Clusters { embedded, real: Some(real) };
    let mut wrong = clusters.tell(include_str!("kubectl/ordinary-hour.story"));
    wrong.extend(clusters.tell(include_str!("kubectl/second-hour.story")));
    wrong.extend(clusters.tell(include_str!("kubectl/third-hour.story")));
    wrong.extend(clusters.tell(include_str!("kubectl/fourth-hour.story")));
    wrong.extend(clusters.tell(include_str!("kubectl/fifth-hour.story")));
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// What only a cluster with KubeVirt shows, and what is refused because nothing real runs.
#[test]
fn kubectl_shows_virtual_machines_and_is_refused_what_needs_containers() {
    let embedded = Served::start("vms", &root().join("examples/clusters/homelab.yaml"), 20);
    let clusters = Clusters { embedded, real: None };
    let wrong = clusters.tell(include_str!("kubectl/virtual-machines.story"));
    assert!(wrong.is_empty(), "{} failures:\n{}", wrong.len(), wrong.join("\n"));
}
