//! From text to a plan, or to everything that is wrong with it.

use serde_json::Value;

use super::diagnostic::Diagnostics;
use super::tree::{Located, Tree};
use super::v1alpha1::MaintenancePlan;
use super::{schema, semantics, structure};

/// A plan that can be carried out as far as the text alone tells, with its warnings.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The plan.
    pub plan: MaintenancePlan,
    /// Warnings, if any.
    pub warnings: Diagnostics,
    tree: Located,
}

impl Loaded {
    /// The text about mistakes that only a cluster shows: for each the path of the field, the message, the hint.
    pub fn render<'a>(&self, mistakes: impl Iterator<Item = (&'a [String], &'a str, &'a str)>) -> String {
        let mut found = self.warnings.of_same_file();
        for (path, message, hint) in mistakes {
            found.error(Some(self.place(path)), message, hint);
        }
        found.render()
    }

    /// The text of a warning that only a cluster gives cause for.
    pub fn render_warning(&self, path: &[String], message: &str, hint: &str) -> String {
        let mut found = self.warnings.of_same_file();
        found.warning(Some(self.place(path)), message, hint);
        found.render()
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        self.warnings.source()
    }

    fn place(&self, path: &[String]) -> std::ops::Range<usize> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        self.tree.place(&path)
    }
}

/// Reads a plan file. `file` is its name, for messages.
///
/// # Errors
/// Every mistake at once, each with its place.
pub fn load(file: &str, text: &str) -> Result<Loaded, Diagnostics> {
    let mut found = Diagnostics::new(file, text);
    let Some(tree) = parse(text, &mut found) else { return Err(found) };
    head(&tree, &mut found);
    let mut editor = schema();
    // apiVersion, kind and metadata are judged above, in better words.
    if let Some(required) = editor["required"].as_array_mut() {
        required.retain(|r| r == "spec");
    }
    structure::check(&editor, &tree, "", &mut found);
    if found.has_errors() {
        return Err(found);
    }
    let plan: MaintenancePlan = match serde_path_to_error::deserialize(tree.json()) {
        Ok(plan) => plan,
        Err(error) => {
            let path = error.path().to_string();
            let parts: Vec<&str> = path.split(['.', '[', ']']).filter(|p| !p.is_empty()).collect();
            found.error(Some(tree.place(&parts)), format!("{path}: {}", error.inner()), "");
            return Err(found);
        }
    };
    semantics::check(&plan.spec, &tree, &mut found);
    if found.has_errors() { Err(found) } else { Ok(Loaded { plan, warnings: found, tree }) }
}

fn parse(text: &str, found: &mut Diagnostics) -> Option<Located> {
    match serde_saphyr::from_multiple::<Located>(text) {
        Ok(documents) => {
            let mut documents = documents.into_iter();
            let (first, second) = (documents.next(), documents.next());
            if let Some(second) = second {
                found.error(Some(second.span.clone()), "the file holds several documents", "one plan a file");
                return None;
            }
            match first.filter(|d| !matches!(d.tree, Tree::Scalar(Value::Null))) {
                Some(document) => Some(document),
                None => {
                    found.error(None, "the file is empty", "expected a MaintenancePlan");
                    None
                }
            }
        }
        Err(error) => {
            let place = error.location().map(|at| {
                let span = at.span();
                let start = span.byte_offset().unwrap_or(span.offset()) as usize;
                let end = start + span.byte_len().unwrap_or(span.len()) as usize;
                start.min(text.len())..end.clamp(start.min(text.len()), text.len())
            });
            let words = error.without_snippet().to_string();
            let words = words.lines().next().unwrap_or_default();
            // The parser's advice to programmers is none to operators.
            let words = words.split(", set DuplicateKeyPolicy").next().unwrap_or_default();
            found.error(place, format!("this is not readable YAML: {words}"), "");
            None
        }
    }
}

/// apiVersion, kind and name.
fn head(tree: &Located, found: &mut Diagnostics) {
    if !matches!(tree.tree, Tree::Map(_)) {
        return;
    }
    let value = tree.json();
    for (field, wanted) in [("apiVersion", "virtroll.dev/v1alpha1"), ("kind", "MaintenancePlan")] {
        match value.get(field) {
            None => found.error(
                Some(tree.span.start..tree.span.start),
                format!("the file has no {field}"),
                format!("{field}: {wanted}"),
            ),
            Some(given) if given != wanted => {
                let message = format!("{field} is {}", given.as_str().unwrap_or("no text"));
                found.error(Some(tree.place(&[field])), message, format!("expected {wanted}"));
            }
            Some(_) => {}
        }
    }
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() {
        found.error(Some(tree.place(&["metadata"])), "the plan has no name", "metadata: {name: …}");
    } else if !name.chars().all(legal) || name.starts_with('-') || name.ends_with('-') || name.len() > 52 {
        let hint = "lower-case letters, digits and `-`, at most 52";
        found.error(
            Some(tree.place(&["metadata", "name"])),
            format!("`{name}` can't be the name of a plan"),
            hint,
        );
    }
}

/// What a `Value` of an empty plan looks like, for tests and documentation.
#[cfg(test)]
pub(super) fn smallest() -> Value {
    serde_json::json!({
        "apiVersion": "virtroll.dev/v1alpha1", "kind": "MaintenancePlan", "metadata": {"name": "p"},
        "spec": {"groups": [{"name": "all", "nodes": {"selector": {}}}]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        match load("plan.yaml", text) {
            Ok(_) => Vec::new(),
            Err(found) => found.list().iter().map(|d| format!("{} | {}", d.message, d.hint)).collect(),
        }
    }

    #[test]
    fn the_smallest_plan_loads() {
        let text = serde_json::to_string(&smallest()).expect("json");
        assert_eq!(messages(&text), Vec::<String>::new());
    }

    #[test]
    fn all_mistakes_are_reported_at_once_with_their_places() {
        let text = "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: p}\nspec:\n  concurency: {maxUnavailable: 1}\n  strategy: rolling\n  groups:\n  - name: a\n    nodes: {names: [n1]}\n    soak: soon\n    concurrency: {maxUnavailable: 120%}\n";
        let found = load("plan.yaml", text).expect_err("mistakes");
        assert_eq!(
            messages(text),
            [
                "unknown field `concurency` | in spec; did you mean `concurrency`?",
                "spec.strategy: `rolling` is none of Rolling, Waves | did you mean `Rolling`?",
                "spec.groups[0].soak: \"soon\" is not a duration: want a number with a unit, such as 30s, 5m or 1h 30m | ",
                "spec.groups[0].concurrency.maxUnavailable: 120% is more than all nodes: want a percentage from 1% to 100% | ",
            ]
        );
        let shown = found.render();
        assert!(
            shown.contains("plan.yaml:5:3") && shown.contains("^^^^^^^^^^ in spec; did you mean"),
            "{shown}"
        );
    }

    #[test]
    fn a_cycle_is_named_in_order() {
        let text = "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: p}\nspec:\n  groups:\n  - {name: a, nodes: {names: [n1]}, dependsOn: [b]}\n  - {name: b, nodes: {names: [n2]}, dependsOn: [c]}\n  - {name: c, nodes: {names: [n3]}, dependsOn: [a]}\n";
        assert_eq!(
            messages(text),
            ["dependsOn goes round in a circle: a → b → c → a | one of these must not depend on the next"]
        );
    }
}
