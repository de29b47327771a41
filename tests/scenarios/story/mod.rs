//! Behaviour stories: YAML files in `tests/scenarios/behaviour` with nodes and manifests, then steps, then what must hold. One
//! runner plays them on the embedded cluster in virtual time and on the real control plane.
//!
//! A story has a namespace and nodes of its own, named after its file: `NAME` in the text. Pods are kept to its nodes by a
//! node selector that the runner adds. `tests/scenarios/behaviour/README.md` describes the format.

mod act;
mod check;
mod guard;
mod log;
mod play;
mod target;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

pub use check::Check;
pub use play::{Arm, play};

/// A story as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Story {
    /// What it tells, in a sentence.
    pub story: String,
    /// Its nodes, `NAME-1` and so on.
    pub nodes: Nodes,
    /// Why it can't be played on the real control plane.
    #[serde(default)]
    pub embedded_only_because: Option<String>,
    /// What is there at the beginning.
    #[serde(default)]
    pub manifests: Vec<Value>,
    /// What is done and what must hold, in order.
    pub steps: Vec<Step>,
    /// Name of the file without its extension.
    #[serde(skip)]
    pub name: String,
}

/// How many nodes, or each with what is special about it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Nodes {
    /// So many alike, alternating over the zones z0 and z1.
    Count(usize),
    /// Each with its own.
    Each(Vec<NodeSpec>),
}

/// What is special about a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    #[serde(default)]
    pub labels: serde_json::Map<String, Value>,
    #[serde(default)]
    pub annotations: serde_json::Map<String, Value>,
    #[serde(default)]
    pub taints: Vec<Value>,
    #[serde(default)]
    pub allocatable: serde_json::Map<String, Value>,
}

/// One step. `of` names an object as `kind/name`, or the first by name of a kind with these labels as `kind key=value`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Creates objects.
    Create(Vec<Value>),
    /// A merge patch.
    Patch(PatchStep),
    Scale(ScaleStep),
    Delete(DeleteStep),
    /// Evicts a pod by the eviction API.
    Evict(String),
    Cordon(String),
    Uncordon(String),
    /// Another node joins.
    Join(NodeSpec),
    /// A node says that it is (not) Ready: `True` or `False`.
    Report(ReportStep),
    /// The step is refused with this HTTP code.
    Refused(RefusedStep),
    /// Time passes.
    Wait(Span),
    /// All of it holds at the same time, before so long.
    Expect(ExpectStep),
    /// All of it goes on holding for so long.
    Stays(StaysStep),
    /// While the steps are taken, each holds after every change.
    During(DuringStep),
    /// What happened to pods, in this order, after what was told before.
    Happened(HappenedStep),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchStep {
    pub of: String,
    pub with: Value,
    /// `status`, if that is what is patched.
    #[serde(default)]
    pub subresource: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleStep {
    pub of: String,
    pub to: i64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteStep {
    pub of: String,
    /// Grace period in seconds.
    #[serde(default)]
    pub grace: Option<u32>,
    /// `Background`, `Foreground` or `Orphan`.
    #[serde(default)]
    pub propagation: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportStep {
    pub node: String,
    pub ready: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedStep {
    pub code: u16,
    /// Words of the message.
    #[serde(default)]
    pub says: Option<String>,
    pub step: Box<Step>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectStep {
    #[serde(default)]
    pub within: Span,
    pub that: Vec<Check>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaysStep {
    #[serde(rename = "for")]
    pub span: Span,
    pub that: Vec<Check>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DuringStep {
    pub always: Vec<Check>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HappenedStep {
    #[serde(default)]
    pub within: Span,
    pub in_order: Vec<String>,
    /// What has not happened before the last of them.
    #[serde(default)]
    pub without: Vec<String>,
}

/// A duration as humans write it; two minutes if nothing is said.
#[derive(Debug, Clone, Copy)]
pub struct Span(pub Duration);

impl Default for Span {
    fn default() -> Self {
        Self(Duration::from_secs(120))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Story {
    /// Reads a story.
    ///
    /// # Errors
    /// The file, the place and what is wrong there, in one line each.
    pub fn read(file: &str, text: &str) -> Result<Self, String> {
        let name = Path::new(file).file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let text = text.replace("NAME", &name);
        let mut story: Self = serde_saphyr::from_str(&text).map_err(|e| format!("{file}: {e}"))?;
        story.name = name;
        let mut mistakes = Vec::new();
        for (index, manifest) in story.manifests.iter().enumerate() {
            mistakes.extend(target::mistake(manifest).map(|m| format!("{file}: manifests[{index}]: {m}")));
        }
        for (index, step) in story.steps.iter().enumerate() {
            mistakes.extend(act::mistakes(step).into_iter().map(|m| format!("{file}: steps[{index}]: {m}")));
        }
        if story.embedded_only_because.as_deref().is_some_and(|why| why.trim().is_empty()) {
            mistakes.push(format!("{file}: embeddedOnlyBecause: no reason"));
        }
        if mistakes.is_empty() { Ok(story) } else { Err(mistakes.join("\n")) }
    }

    /// All stories of the repository, by name; those whose name contains the environment's STORY, if that is set.
    pub fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/behaviour");
        let files = std::fs::read_dir(&folder).expect("the folder of stories");
        let mut files: Vec<PathBuf> = files.map(|f| f.expect("a file").path()).collect();
        files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
        files.sort();
        let only = std::env::var("STORY").unwrap_or_default();
        let chosen = files.iter().filter(|f| f.to_string_lossy().contains(&only));
        chosen
            .map(|file| {
                let text = std::fs::read_to_string(file).expect("a story");
                Self::read(&file.file_name().expect("a name").to_string_lossy(), &text)
                    .unwrap_or_else(|e| panic!("{e}"))
            })
            .collect()
    }
}
