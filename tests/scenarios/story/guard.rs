//! Watches that something holds after every change while steps are taken.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use kube::Client;
use kube::runtime::watcher::{self, watcher};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::check::Check;
use super::target::Target;

/// One check under watch.
pub struct Guard {
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    began: bool,
    changes: usize,
    fault: Option<String>,
}

impl Guard {
    /// Begins to watch, and has seen what is there when it returns.
    pub async fn set(client: &Client, namespace: &str, check: Check) -> Self {
        let target = Target::read(&check.of).expect("checked before");
        let api = target.api(client, namespace);
        let config = match &target.name {
            Some(name) => watcher::Config::default().fields(&format!("metadata.name={name}")),
            None => watcher::Config::default().labels(&target.labels),
        };
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            let mut known: BTreeMap<String, Value> = BTreeMap::new();
            let mut events = std::pin::pin!(watcher(api, config));
            while let Some(event) = events.next().await {
                let mut state = shared.lock().expect("a state");
                let value = |o| serde_json::to_value(o).expect("JSON");
                let name = |v: &Value| v["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                match event {
                    Ok(watcher::Event::InitApply(object)) => {
                        let object = value(object);
                        known.insert(name(&object), object);
                        continue;
                    }
                    Ok(watcher::Event::InitDone) => state.began = true,
                    Ok(watcher::Event::Apply(object)) => {
                        let object = value(object);
                        known.insert(name(&object), object);
                    }
                    Ok(watcher::Event::Delete(object)) => {
                        known.remove(&name(&value(object)));
                    }
                    _ => continue,
                }
                state.changes += 1;
                let objects: Vec<Value> = known.values().cloned().collect();
                if state.fault.is_none() {
                    state.fault = check.fault(&objects);
                }
            }
        });
        while !state.lock().expect("a state").began {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Self { state, task }
    }

    /// Ends it: how many changes were judged, or what was wrong at one of them.
    pub fn lift(self) -> Result<usize, String> {
        self.task.abort();
        let state = self.state.lock().expect("a state");
        state.fault.clone().map_or(Ok(state.changes), Err)
    }
}
