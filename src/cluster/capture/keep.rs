//! What is kept of an object: a tree of fields, grown from a list of paths.
//!
//! # Why
//! A list of what may leave the cluster fails safe: a field that nobody thought of stays behind.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The fields of an object that are kept.
#[derive(Debug, Default)]
pub(super) struct Keep {
    fields: BTreeMap<String, Keep>,
    /// Everything below is kept.
    whole: bool,
    /// Only that the field is there.
    mark: bool,
}

impl Keep {
    /// Takes in a list of paths below `prefix`, separated by spaces: `a.b` keeps `b` with all that is in it, `a[].b` looks into
    /// each item of a list, `a.*.b` into each field, `a=` keeps only that there is an `a`, and `{a,b}` stands for either.
    pub(super) fn add(&mut self, prefix: &str, paths: &str) {
        for path in paths.split_whitespace().flat_map(expand) {
            let mut at = &mut *self;
            let mark = path.ends_with('=');
            let full = format!("{prefix}{}", path.trim_end_matches('='));
            for step in full.replace("[]", ".[]").split('.') {
                at = at.fields.entry(step.to_owned()).or_default();
            }
            at.whole = !mark;
            at.mark = mark;
        }
    }

    /// The value without what isn't kept.
    pub(super) fn of(&self, value: Value) -> Value {
        if self.whole {
            return value;
        }
        match value {
            Value::Object(_) if self.mark => Value::Object(Map::new()),
            Value::Object(fields) => {
                let kept = fields.into_iter().filter_map(|(name, value)| {
                    let keep = self.fields.get(&name).or_else(|| self.fields.get("*"))?;
                    let value = keep.of(value);
                    (!value.is_null()).then_some((name, value))
                });
                Value::Object(kept.collect())
            }
            Value::Array(items) => match self.fields.get("[]") {
                Some(keep) => Value::Array(items.into_iter().map(|item| keep.of(item)).collect()),
                None => Value::Null,
            },
            // A plain value where something larger was expected is nothing that the model could read.
            _ => Value::Null,
        }
    }
}

/// `a.{b,c}.d` is `a.b.d` and `a.c.d`.
fn expand(path: &str) -> Vec<String> {
    let parts = path.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?)));
    let Some((head, (choices, tail))) = parts else { return vec![path.to_owned()] };
    choices.split(',').flat_map(|choice| expand(&format!("{head}{choice}{tail}"))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_listed_stays() {
        let mut keep = Keep::default();
        keep.add("", "metadata.name status.state.*.reason");
        keep.add("spec.", "{containers,initContainers}[].{name,resources} volumes[].{secret=,name} nodeName");
        let object = json!({
            "metadata": {"name": "p", "annotations": {"a": "secret"}},
            "spec": {
                "nodeName": "w1", "hostname": "secret",
                "containers": [{"name": "c", "env": [{"value": "secret"}], "resources": {"requests": {"cpu": "1"}}}],
                "initContainers": "secret",
                "volumes": [{"name": "v", "secret": {"secretName": "secret"}}, {"name": "w", "nfs": {"server": "secret"}}],
            },
            "status": {"state": {"waiting": {"reason": "Pulling", "message": "secret"}}, "more": ["secret"]},
        });
        let expected = json!({
            "metadata": {"name": "p"},
            "spec": {
                "nodeName": "w1",
                "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}],
                "volumes": [{"name": "v", "secret": {}}, {"name": "w"}],
            },
            "status": {"state": {"waiting": {"reason": "Pulling"}}},
        });
        assert_eq!(keep.of(object), expected);
    }
}
