//! What must hold of objects.

use serde::Deserialize;
use serde_json::Value;

use super::target::Target;

/// Something that must hold of an object, or of the objects of a kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// `kind/name`, or `kinds` or `kinds key=value`.
    pub of: String,
    /// Of several objects only those that look so are meant.
    #[serde(default, rename = "where")]
    pub filter: Option<Value>,
    /// How many there are: a number, `{atLeast: n}`, `{atMost: n}`.
    #[serde(default)]
    pub count: Option<Value>,
    /// What the object, or each of them, looks like.
    #[serde(default)]
    pub has: Option<Value>,
    /// The object isn't there.
    #[serde(default)]
    pub absent: bool,
}

impl Check {
    /// What is wrong with it as it is written.
    pub fn mistake(&self) -> Option<String> {
        let target = match Target::read(&self.of) {
            Ok(target) => target,
            Err(why) => return Some(why),
        };
        if self.count.is_none() && self.has.is_none() && !self.absent {
            return Some(format!("{}: nothing to check; say has, count or absent", self.of));
        }
        if target.name.is_some() && (self.count.is_some() || self.filter.is_some()) {
            return Some(format!("{}: count and where are for several objects", self.of));
        }
        None
    }

    /// Why it doesn't hold of these objects (those that `of` means); `None` if it does.
    pub fn fault(&self, objects: &[Value]) -> Option<String> {
        let meant: Vec<&Value> = objects
            .iter()
            .filter(|o| self.filter.as_ref().is_none_or(|f| misfit(f, o, "").is_none()))
            .collect();
        if self.absent {
            return (!meant.is_empty()).then(|| format!("{}: there", self.of));
        }
        if let Some(count) = &self.count {
            let actual = Value::from(meant.len());
            if let Some(why) = misfit(count, &actual, "") {
                let names: Vec<&str> = meant.iter().filter_map(|o| o["metadata"]["name"].as_str()).collect();
                return Some(format!("{} {}: {why} ({})", self.of, self.words(), names.join(", ")));
            }
        } else if meant.is_empty() {
            return Some(format!("{} {}: none is there", self.of, self.words()));
        }
        let has = self.has.as_ref()?;
        meant.iter().find_map(|o| {
            let name = o["metadata"]["name"].as_str().unwrap_or_default();
            misfit(has, o, "").map(|why| format!("{} ({name}): {why}", self.of))
        })
    }

    fn words(&self) -> String {
        self.filter.as_ref().map(|f| format!("where {f}")).unwrap_or_default()
    }
}

/// Where a value doesn't look as expected. A map is met by one with more fields; null means absent; of a list each expected
/// item must be there. `{atLeast: n}`, `{atMost: n}`, `{not: x}`, `{oneOf: [..]}` and `{contains: text}` compare.
pub fn misfit(expected: &Value, actual: &Value, path: &str) -> Option<String> {
    let differs = || Some(format!("{path} is {}, not {expected}", brief(actual)));
    match expected {
        Value::Object(fields) => {
            if let Some((operator, value)) = fields.iter().next().filter(|_| fields.len() == 1)
                && let Some(holds) = compare(operator, value, actual)
            {
                return if holds { None } else { differs() };
            }
            fields.iter().find_map(|(key, value)| misfit(value, &actual[key], &format!("{path}.{key}")))
        }
        Value::Array(items) => {
            let there = actual.as_array().map(Vec::as_slice).unwrap_or_default();
            if items.is_empty() {
                return if there.is_empty() { None } else { differs() };
            }
            let missing = items.iter().find(|item| !there.iter().any(|a| misfit(item, a, "").is_none()))?;
            Some(format!("{path} has no {missing}: {}", brief(actual)))
        }
        other => {
            if other == actual || (other == &Value::from(0) && actual.is_null()) {
                None
            } else {
                differs()
            }
        }
    }
}

fn compare(operator: &str, value: &Value, actual: &Value) -> Option<bool> {
    let number = |v: &Value| v.as_i64().unwrap_or(0);
    match operator {
        "atLeast" => Some(number(actual) >= number(value)),
        "atMost" => Some(number(actual) <= number(value)),
        "not" => Some(misfit(value, actual, "").is_some()),
        "oneOf" => Some(value.as_array().is_some_and(|all| all.contains(actual))),
        "contains" => Some(actual.as_str().unwrap_or_default().contains(value.as_str().unwrap_or_default())),
        _ => None,
    }
}

fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 400 { text } else { format!("{}…", text.chars().take(400).collect::<String>()) }
}
