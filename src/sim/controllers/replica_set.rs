//! ReplicaSets, and ReplicationControllers, which do the same.

use serde_json::json;

use super::pods;
use crate::sim::store::{DeleteOptions, Key, Object, Store};

/// Makes as many pods as are wanted, or deletes the surplus; counts them.
pub(super) fn reconcile(store: &mut Store, resource: &str, key: &Key) {
    let Some(set) = store.get_key(resource, key).cloned() else {
        return;
    };
    if !set["metadata"]["deletionTimestamp"].is_null() {
        return;
    }
    let mut active: Vec<Object> = pods::of(store, &set).into_iter().filter(|p| pods::is_active(p)).collect();
    let wanted = set["spec"]["replicas"].as_i64().unwrap_or(1).max(0) as usize;
    for _ in active.len()..wanted {
        let mut pod = pods::from_template(&set);
        pod["metadata"]["generateName"] = json!(format!("{}-", key.name));
        pods::create(store, pod);
    }
    if active.len() > wanted {
        pods::surplus_order(&mut active);
        for pod in &active[..active.len() - wanted] {
            let _ = store.delete("pods", &Key::of(pod), &DeleteOptions::default());
        }
    }
    let active: Vec<Object> = pods::of(store, &set).into_iter().filter(|p| pods::is_active(p)).collect();
    let ready = active.iter().filter(|p| pods::is_ready(p)).count();
    store.modify(resource, key, |set| {
        set["status"] = json!({
            "replicas": active.len(), "fullyLabeledReplicas": active.len(), "readyReplicas": ready,
            "availableReplicas": ready, "observedGeneration": set["metadata"]["generation"],
        });
    });
}
