//! Indexes of an Indexed Job: which have succeeded, as the status writes them (`0,2-4`), and the marks on its pods.

use std::collections::BTreeSet;

use crate::sim::json::{Value, json};

const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// The index of a pod.
pub(super) fn of(pod: &Value) -> Option<i64> {
    pod["metadata"]["annotations"][INDEX].as_str()?.parse().ok()
}

/// Makes a pod that of an index.
pub(super) fn mark(pod: &mut Value, job: &str, index: i64) {
    pod["metadata"]["generateName"] = json!(format!("{job}-{index}-"));
    pod["metadata"]["annotations"][INDEX] = json!(index.to_string());
    pod["metadata"]["labels"][INDEX] = json!(index.to_string());
    pod["spec"]["hostname"] = json!(format!("{job}-{index}"));
}

/// A set of indexes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Indexes(BTreeSet<i64>);

impl Indexes {
    /// Those that a Job's status says have succeeded.
    pub fn completed(job: &Value) -> Self {
        let text = job["status"]["completedIndexes"].as_str().unwrap_or_default();
        let ranges = text.split(',').filter_map(|part| match part.split_once('-') {
            Some((first, last)) => Some(first.parse::<i64>().ok()?..=last.parse().ok()?),
            None => part.parse::<i64>().ok().map(|i| i..=i),
        });
        Self(ranges.flatten().collect())
    }

    /// True if it is new.
    pub fn insert(&mut self, index: i64) -> bool {
        self.0.insert(index)
    }

    /// Those below `completions` that aren't in it.
    pub fn missing(&self, completions: i64) -> Vec<i64> {
        (0..completions).filter(|i| !self.0.contains(i)).collect()
    }

    /// As the status writes them.
    pub fn text(&self) -> String {
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        for &index in &self.0 {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == index => *last = index,
                _ => ranges.push((index, index)),
            }
        }
        let parts: Vec<String> = ranges
            .into_iter()
            .map(|(first, last)| match last - first {
                0 => first.to_string(),
                1 => format!("{first},{last}"),
                _ => format!("{first}-{last}"),
            })
            .collect();
        parts.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_written_as_ranges() {
        for text in ["", "0", "0,1", "0-2,4,6,7,9-12"] {
            assert_eq!(Indexes::completed(&json!({"status": {"completedIndexes": text}})).text(), text);
        }
        let some = Indexes::completed(&json!({"status": {"completedIndexes": "1,3-5"}}));
        assert_eq!(some.missing(8), [0, 2, 6, 7]);
    }
}
