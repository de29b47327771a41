//! The kinds that stories speak of: where they are served, and the least manifest of each.

use serde::Deserialize;
use serde_json::Value;

/// A kind.
#[derive(Debug, Clone, Deserialize)]
pub struct Kind {
    pub plural: String,
    /// `api/v1`, `apis/apps/v1`.
    pub base: String,
    #[serde(default)]
    pub cluster: bool,
    /// Objects of this kind that can be created; names are `a`, or begin with the story's namespace where they aren't in one.
    pub least: Value,
}

/// All kinds of `kinds.yaml`.
#[derive(Debug)]
pub struct Kinds(pub Vec<Kind>);

impl Kinds {
    pub fn load() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/differential/kinds.yaml");
        let text = std::fs::read_to_string(path).expect("kinds.yaml");
        Self(serde_saphyr::from_str(&text).expect("kinds"))
    }

    pub fn get(&self, plural: &str) -> Option<&Kind> {
        self.0.iter().find(|k| k.plural == plural)
    }

    /// The path that a short one stands for: `pods/a/status?x=y`. One that begins with a slash is whole.
    pub fn path(&self, short: &str, namespace: &str) -> String {
        if short.starts_with('/') {
            return short.to_owned();
        }
        let end = short.find(['/', '?']).unwrap_or(short.len());
        let kind = self.get(&short[..end]).unwrap_or_else(|| panic!("no kind for {short}"));
        let place = if kind.cluster { String::new() } else { format!("namespaces/{namespace}/") };
        format!("/{}/{place}{short}", kind.base)
    }
}
