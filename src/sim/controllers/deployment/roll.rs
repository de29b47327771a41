//! How many pods each set of a Deployment is asked for.

use super::{DESIRED, MOST, Rollout, SETS, annotation, asked, counted, revision};
use crate::sim::controllers::pods;
use crate::sim::json::json;
use crate::sim::store::{Key, Object, Store};

/// Asks a set for so many pods, and writes down what the Deployment wants. True if that is a change.
fn scale(store: &mut Store, rollout: &Rollout, set: &Object, replicas: i64) -> bool {
    let (desired, most) = (rollout.wanted(), rollout.wanted() + rollout.limits().0);
    store.modify(SETS, &Key::of(set), |set| {
        set["spec"]["replicas"] = json!(replicas.max(0));
        set["metadata"]["annotations"][DESIRED] = json!(desired.to_string());
        set["metadata"]["annotations"][MOST] = json!(most.to_string());
    });
    asked(set) != replicas
}

/// Pods of old sets that haven't ended, those on their way out included.
pub(super) fn is_old_running(store: &Store, rollout: &Rollout) -> bool {
    let over = |p: &Object| matches!(p["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    rollout.old.iter().any(|set| asked(set) > 0 || pods::of(store, set).iter().any(|p| !over(p)))
}

/// The Deployment wants another number than when its sets were asked the last time.
pub(super) fn is_scaled(rollout: &Rollout) -> bool {
    let active = rollout.all().filter(|s| asked(s) > 0);
    active.into_iter().any(|s| annotation(s, DESIRED).is_some_and(|desired| desired != rollout.wanted()))
}

/// Shares a changed number out among the sets that have pods.
pub(super) fn scale_all(store: &mut Store, rollout: &Rollout) {
    let wanted = rollout.wanted();
    let mut active: Vec<&Object> = rollout.all().filter(|s| asked(s) > 0).collect();
    if active.len() <= 1 {
        let newest = rollout.old.iter().max_by_key(|s| revision(s));
        if let Some(set) = active.first().copied().or(rollout.new.as_ref()).or(newest) {
            scale(store, rollout, set, wanted);
        }
        return;
    }
    let full = |s: &Object| {
        annotation(s, DESIRED) == Some(wanted)
            && asked(s) == wanted
            && counted(s, "availableReplicas") == wanted
    };
    if rollout.new.as_ref().is_some_and(full) {
        for set in rollout.old.iter().filter(|s| asked(s) > 0) {
            scale(store, rollout, set, 0);
        }
        return;
    }
    if rollout.deployment["spec"]["strategy"]["type"] == "Recreate" {
        return;
    }
    let allowed = if wanted > 0 { wanted + rollout.limits().0 } else { 0 };
    let more = allowed - rollout.asked_of_all();
    // The largest first; of equal ones the newer grows first, and the older shrinks first.
    let age = |s: &Object| s["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
    active.sort_by(|a, b| {
        let by_age = if more > 0 { age(b).cmp(&age(a)) } else { age(a).cmp(&age(b)) };
        asked(b).cmp(&asked(a)).then(by_age)
    });
    let mut added = 0;
    let mut sizes = Vec::new();
    for set in &active {
        let before = annotation(set, MOST)
            .filter(|n| *n > 0)
            .unwrap_or_else(|| counted(&rollout.deployment, "replicas"));
        let fraction = if wanted == 0 || before == 0 {
            -asked(set)
        } else {
            (2 * asked(set) * allowed + before).div_euclid(2 * before) - asked(set)
        };
        let left = more - added;
        let share = if more > 0 { fraction.min(left) } else { fraction.max(left) };
        added += share;
        sizes.push(asked(set) + share);
    }
    sizes[0] += more - added;
    for (set, size) in active.into_iter().zip(sizes) {
        scale(store, rollout, set, size);
    }
}

/// Recreate: all old pods end before the first new one begins.
pub(super) fn recreate(store: &mut Store, rollout: &Rollout) {
    for set in rollout.old.iter().filter(|s| asked(s) > 0) {
        scale(store, rollout, set, 0);
    }
    if let Some(new) = rollout.new.as_ref().filter(|_| !is_old_running(store, rollout)) {
        scale(store, rollout, new, rollout.wanted());
    }
}

/// One step of a rolling update: new pods first, as many as may be, then old ones go, as many as can be spared.
pub(super) fn update(store: &mut Store, rollout: &Rollout) {
    let Some(new) = &rollout.new else { return };
    let (surge, unavailable) = rollout.limits();
    let (wanted, total) = (rollout.wanted(), rollout.asked_of_all());
    let grown = if asked(new) > wanted {
        scale(store, rollout, new, wanted)
    } else {
        let room = (wanted + surge - total).clamp(0, wanted - asked(new));
        room > 0 && scale(store, rollout, new, asked(new) + room)
    };
    if grown || rollout.old.iter().all(|s| asked(s) == 0) {
        return;
    }
    let least = wanted - unavailable;
    let mut spare = total - least - (asked(new) - counted(new, "availableReplicas"));
    if spare <= 0 {
        return;
    }
    // Pods that aren't available go first.
    let mut left: Vec<(&Object, i64)> = Vec::new();
    for set in &rollout.old {
        let sick = (asked(set) - counted(set, "availableReplicas")).clamp(0, spare);
        spare -= sick;
        left.push((set, asked(set) - sick));
    }
    let available: i64 = rollout.all().map(|s| counted(s, "availableReplicas")).sum();
    let mut going = (available - least).max(0);
    for (set, size) in left {
        let share = going.min(size);
        going -= share;
        if size - share != asked(set) {
            scale(store, rollout, set, size - share);
        }
    }
}
