//! Stories: requests that follow one another, each arm with its own values from earlier answers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::arm::{Answer, Arm, Ask};
use super::compare::{Normal, Tally};
use super::kinds::Kinds;

/// A story: what it is about, and its steps.
#[allow(
    clippy::unsafe_derive_deserialize,
    reason = "the attribute of an async method's macro, not unsafe code of ours"
)]
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Story {
    pub story: String,
    /// managedFields are compared, too.
    #[serde(default)]
    pub managed: bool,
    /// Played on servers that soon forget what was.
    #[serde(default)]
    pub forgetful: bool,
    pub steps: Vec<Step>,
}

/// A request, or several that differ by what `each` merges into the body.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Method and path; `pods/a` is short for the kind's path in the story's namespace. `$ns` is that namespace, `${x.uid}`,
    /// `${x.rv}` and `${x.continue}` are of the answer that was kept as `x`.
    #[serde(rename = "do")]
    pub action: String,
    /// The kind whose least manifest the body is merged into.
    #[serde(default)]
    pub like: Option<String>,
    /// `$pad(N)` in it is a text of so many bytes.
    #[serde(default)]
    pub body: Option<Value>,
    /// A body as it is, instead.
    #[serde(default)]
    pub raw: Option<String>,
    /// `json`, `merge`, `strategic`, `apply`, or a content type.
    #[serde(default, rename = "type")]
    pub content: Option<String>,
    #[serde(default)]
    pub keep: Option<String>,
    /// A watch: how many events it should have.
    #[serde(default)]
    pub events: Option<usize>,
    /// The request is repeated until it is answered with this code: a definition isn't served at once.
    #[serde(default)]
    pub until: Option<u16>,
    #[serde(default)]
    pub each: Option<Vec<Value>>,
    /// The query or name, instead: the step's action with `$it` replaced by each of these.
    #[serde(default)]
    pub with: Option<Vec<String>>,
}

fn merge(target: &mut Value, patch: &Value) {
    match (target.as_object_mut(), patch.as_object()) {
        (Some(target), Some(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        // Unlike a merge patch, null is a value: the server shall see it.
        _ => *target = patch.clone(),
    }
}

fn content_type(short: &str) -> String {
    match short {
        "json" => "application/json-patch+json",
        "merge" => "application/merge-patch+json",
        "strategic" => "application/strategic-merge-patch+json",
        "apply" => "application/apply-patch+yaml",
        other => other,
    }
    .to_owned()
}

/// `$pad(N)` as a text of so many bytes.
fn padded(mut text: String) -> String {
    while let Some(at) = text.find("$pad(") {
        let end = at + text[at..].find(')').expect("$pad(N)");
        let size: usize = text[at + "$pad(".len()..end].parse().expect("$pad(N)");
        text.replace_range(at..=end, &"x".repeat(size));
    }
    text
}

impl Step {
    /// The step's requests, with placeholders.
    fn asks(&self, kinds: &Kinds, namespace: &str) -> Vec<Ask> {
        let bodies: Vec<Value> = self.each.clone().unwrap_or_else(|| vec![Value::Null]);
        let withs = self.with.clone().unwrap_or_else(|| vec![String::new()]);
        let mut asks = Vec::new();
        for with in &withs {
            for more in &bodies {
                let action = self.action.replace("$it", with);
                let (method, short) =
                    action.split_once(' ').unwrap_or_else(|| panic!("{action}: METHOD PATH"));
                let mut body = self.like.as_deref().map_or(Value::Null, |like| {
                    kinds.get(like).unwrap_or_else(|| panic!("no kind {like}")).least.clone()
                });
                if let Some(own) = &self.body {
                    merge(&mut body, own);
                }
                if self.each.is_some() {
                    merge(&mut body, more);
                }
                let text = if body.is_null() { String::new() } else { body.to_string() };
                asks.push(Ask {
                    method: method.to_owned(),
                    path: kinds.path(short.trim(), namespace),
                    content_type: content_type(self.content.as_deref().unwrap_or("application/json")),
                    body: padded(self.raw.clone().unwrap_or(text).replace("$it", with)),
                    events: self.events,
                });
            }
        }
        asks
    }
}

/// Values from earlier answers of one arm.
#[derive(Default)]
struct Kept(BTreeMap<String, String>);

impl Kept {
    fn keep(&mut self, name: &str, answer: &Answer) {
        for (short, field) in
            [("uid", "uid"), ("rv", "resourceVersion"), ("continue", "continue"), ("name", "name")]
        {
            let text = answer.body["metadata"][field].as_str().unwrap_or_default();
            self.0.insert(format!("${{{name}.{short}}}"), text.to_owned());
        }
    }

    fn fill(&self, text: &str, namespace: &str) -> String {
        let text = text.replace("$ns", namespace);
        self.0.iter().fold(text, |text, (key, value)| text.replace(key, value))
    }
}

impl Story {
    /// All story files, in order.
    pub fn load_all() -> Vec<Self> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/differential/stories");
        let mut files: Vec<_> =
            std::fs::read_dir(folder).expect(folder).filter_map(|f| f.ok().map(|f| f.path())).collect();
        files.sort();
        let read = |path: &std::path::PathBuf| -> Vec<Self> {
            let text = std::fs::read_to_string(path).expect("a story file");
            let stories: Vec<Self> =
                serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let topic = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            stories.into_iter().map(|s| Self { story: format!("{topic}: {}", s.story), ..s }).collect()
        };
        files.iter().flat_map(read).collect()
    }

    /// Plays it on both arms.
    pub async fn play(&self, arms: &[Arm; 2], kinds: &Kinds, namespace: &str) -> Tally {
        let mut tally = Tally::of(&self.story);
        let place = Step {
            action: "POST namespaces".to_owned(),
            body: Some(json!({"metadata": {"name": namespace}})),
            ..Step::default()
        };
        let mut kept = [Kept::default(), Kept::default()];
        let mut normal = [Normal::new(self.managed), Normal::new(self.managed)];
        for step in std::iter::once(&place).chain(&self.steps) {
            for ask in step.asks(kinds, namespace) {
                let filled = |kept: &Kept| Ask {
                    path: kept.fill(&ask.path, namespace),
                    body: kept.fill(&ask.body, namespace),
                    ..ask.clone()
                };
                let (first, second) = (filled(&kept[0]), filled(&kept[1]));
                let (real, ours) = tokio::join!(
                    arms[0].ask_until(&first, step.until),
                    arms[1].ask_until(&second, step.until)
                );
                for (kept, answer) in kept.iter_mut().zip([&real, &ours]) {
                    kept.keep("last", answer);
                    if let Some(name) = &step.keep {
                        kept.keep(name, answer);
                    }
                }
                let said = if ask.body.is_empty() { String::new() } else { format!(" {}", ask.body) };
                let request = format!("{} {}{said}", ask.method, ask.path);
                let real = normal[0].normalise(real, &first.body);
                let ours = normal[1].normalise(ours, &second.body);
                tally.compare(&request, &real, &ours);
            }
        }
        tally
    }
}
