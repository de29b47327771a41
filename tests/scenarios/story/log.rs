//! What happens to the pods of a story, as a list of short sentences: `created db-0`, `ready db-0`, `deleting db-0`, `gone db-0`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use kube::Client;
use kube::runtime::watcher::{self, watcher};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::target::Target;

/// What happened so far, and how much of it was told already.
pub struct Log {
    entries: Arc<Mutex<Vec<String>>>,
    told: usize,
    task: JoinHandle<()>,
}

impl Log {
    /// Begins to watch.
    pub fn of(client: &Client, namespace: &str) -> Self {
        let pods = Target::read("pods").expect("known").api(client, namespace);
        let entries = Arc::new(Mutex::new(Vec::new()));
        let written = entries.clone();
        let task = tokio::spawn(async move {
            let mut known: BTreeMap<String, Value> = BTreeMap::new();
            let mut events = std::pin::pin!(watcher(pods, watcher::Config::default()));
            while let Some(event) = events.next().await {
                let (pod, gone) = match event {
                    Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => (pod, false),
                    Ok(watcher::Event::Delete(pod)) => (pod, true),
                    _ => continue,
                };
                let pod = serde_json::to_value(pod).expect("JSON");
                let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                let before = known.remove(&name);
                let mut entries = written.lock().expect("a log");
                entries.extend(sentences(before.as_ref(), &pod, gone).iter().map(|s| format!("{s} {name}")));
                if !gone {
                    known.insert(name, pod);
                }
            }
        });
        Self { entries, told: 0, task }
    }

    /// Looks for sentences in order, after those that were told before. `Err` says what is missing or what was too much.
    pub fn tell(&mut self, in_order: &[String], without: &[String]) -> Result<(), String> {
        let entries = self.entries.lock().expect("a log");
        let mut at = self.told;
        for wanted in in_order {
            let found = entries[at..].iter().position(|entry| meets(entry, wanted));
            at += found.ok_or_else(|| {
                format!("{wanted:?} didn't follow; since then: {:?}", &entries[self.told..])
            })? + 1;
        }
        let between = &entries[self.told..at];
        if let Some(entry) = between.iter().find(|entry| without.iter().any(|w| meets(entry, w))) {
            return Err(format!("{entry:?} came between: {between:?}"));
        }
        self.told = at;
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Equal, or equal up to a `*` at the end.
fn meets(entry: &str, wanted: &str) -> bool {
    wanted.strip_suffix('*').map_or(entry == wanted, |start| entry.starts_with(start))
}

fn sentences(before: Option<&Value>, pod: &Value, gone: bool) -> Vec<&'static str> {
    let ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    let is = |pod: Option<&Value>, test: &dyn Fn(&Value) -> bool| pod.is_some_and(test);
    let mut sentences = Vec::new();
    let mut became = |what: &'static str, test: &dyn Fn(&Value) -> bool| {
        if test(pod) && !is(before, test) {
            sentences.push(what);
        }
    };
    became("created", &|_| true);
    became("bound", &|p| p["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty()));
    became("ready", &ready);
    if before.is_some() {
        became("unready", &|p| !ready(p) && p["status"]["phase"] == "Running");
    }
    became("succeeded", &|p| p["status"]["phase"] == "Succeeded");
    became("failed", &|p| p["status"]["phase"] == "Failed");
    became("deleting", &|p| !p["metadata"]["deletionTimestamp"].is_null());
    if gone {
        sentences.push("gone");
    }
    sentences
}
