//! Entries of `managedFields`.

use super::set::Set;
use crate::sim::json::{Value, json};

/// What one manager owns by one way of writing.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub manager: String,
    pub operation: String,
    pub api_version: String,
    pub subresource: String,
    pub time: Option<String>,
    pub set: Set,
}

impl Entry {
    /// Whether the other is an entry of the same manager. Who applies is known without the version.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == "Apply" || self.api_version == other.api_version)
    }

    /// How a conflict names the manager.
    pub(super) fn title(&self) -> String {
        let mut title = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            title = format!("{title} with subresource {:?}", self.subresource);
        }
        if self.operation == "Update" {
            title = format!("{title} using {}", self.api_version);
        }
        title
    }

    fn of(entry: &Value) -> Option<Self> {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let (operation, api_version) = (text("operation"), text("apiVersion"));
        if !matches!(operation.as_str(), "Apply" | "Update")
            || api_version.is_empty()
            || entry["fieldsType"] != "FieldsV1"
        {
            return None;
        }
        Some(Self {
            manager: text("manager"),
            operation,
            api_version,
            subresource: text("subresource"),
            time: entry["time"].as_str().map(str::to_owned),
            set: Set::read(&entry["fieldsV1"]),
        })
    }

    fn written(self) -> Value {
        let mut entry = json!({
            "manager": self.manager, "operation": self.operation, "apiVersion": self.api_version,
            "fieldsType": "FieldsV1", "fieldsV1": self.set.write(),
        });
        if let Some(time) = self.time {
            entry["time"] = json!(time);
        }
        if !self.subresource.is_empty() {
            entry["subresource"] = json!(self.subresource);
        }
        entry
    }
}

/// The entries of a list; none if one can't be read.
pub(super) fn read(list: &Value) -> Option<Vec<Entry>> {
    list.as_array()?.iter().map(Entry::of).collect()
}

/// The list of these entries: appliers first, then by time.
pub(super) fn write(mut entries: Vec<Entry>) -> Option<Value> {
    if entries.is_empty() {
        return None;
    }
    let key = |e: &Entry| {
        (e.operation.clone(), e.time.clone(), e.manager.clone(), e.api_version.clone(), e.subresource.clone())
    };
    entries.sort_by_key(key);
    Some(Value::Array(entries.into_iter().map(Entry::written).collect()))
}
