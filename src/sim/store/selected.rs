//! Which budgets (PodDisruptionBudgets) and Services select which pods, without holding every one against every other.

use std::collections::{BTreeSet, HashMap};

use super::collection::Place;
use super::{Key, Object, Store, index};
use crate::sim::api::selects;
use crate::sim::controllers::Facts;
use crate::sim::json::{Text, Value};

/// The kind of budgets.
pub(super) const BUDGETS: &str = "poddisruptionbudgets.policy";

/// The kind of Services.
pub(super) const SERVICES: &str = "services";

/// The labels that a budget, or a Service, requires of pods.
fn required<'a>(resource: &str, object: &'a Value) -> &'a Value {
    let selector = &object["spec"]["selector"];
    if resource == SERVICES { selector } else { &selector["matchLabels"] }
}

/// Whether a pod with these labels is behind a Service. One without a selector has its endpoints from somebody else.
fn serves(service: &Value, labels: &Value) -> bool {
    let selector = service["spec"]["selector"].as_object().filter(|s| !s.is_empty());
    selector.is_some_and(|s| s.iter().all(|(key, value)| labels[key] == *value))
}

/// A label in a namespace; with an empty key, none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Label {
    namespace: Text,
    key: Text,
    value: Text,
}

impl Label {
    /// The first of those that a selector requires.
    fn required(namespace: &Text, labels: &Value) -> Self {
        let first = labels.as_object().and_then(|l| l.iter().next());
        let first = first.and_then(|(k, v)| Some((k.clone(), v.as_text()?.clone())));
        let (key, value) = first.unwrap_or_default();
        Self { namespace: namespace.clone(), key, value }
    }

    /// One that an object has.
    fn of(namespace: &Text, (key, value): (&Text, &Value)) -> Self {
        let value = value.as_text().cloned().unwrap_or_default();
        Self { namespace: namespace.clone(), key: key.clone(), value }
    }
}

/// A label is all that a selector requires.
fn is_one_label(selector: &Value) -> bool {
    let one = selector["matchLabels"].as_object().is_some_and(|labels| labels.len() == 1);
    one && selector["matchLabels"].as_object().is_some_and(|l| l.values().all(Value::is_string))
        && selector["matchExpressions"].is_null()
}

/// Budgets and Services by a label that their selectors require, and the pods that have such a label. Nothing goes through the
/// maps.
#[derive(Debug, Default)]
pub(super) struct Selected {
    budgets: HashMap<Label, BTreeSet<Key>>,
    services: HashMap<Label, BTreeSet<Key>>,
    pods: HashMap<Label, Vec<(Key, Place)>>,
}

impl Selected {
    /// Takes in that a budget or a Service has changed. True if pods have to be looked through for a label that none was asked for
    /// yet.
    fn selecting(&mut self, resource: &str, key: &Key, old: Option<&Value>, new: Option<&Value>) -> bool {
        let label = |object: &Value| Label::required(&key.namespace, required(resource, object));
        let (old, new) = (old.map(label), new.map(label));
        if old == new {
            return false;
        }
        let by_label = if resource == SERVICES { &mut self.services } else { &mut self.budgets };
        if let Some(names) = old.as_ref().and_then(|old| by_label.get_mut(old)) {
            names.remove(key);
        }
        let Some(new) = new else { return false };
        by_label.entry(new.clone()).or_default().insert(key.clone());
        let is_unknown = !new.key.is_empty() && !self.pods.contains_key(&new);
        if is_unknown {
            self.pods.insert(new, Vec::new());
        }
        is_unknown
    }

    /// Takes in that a pod has changed.
    pub(super) fn pod(&mut self, (key, place): (&Key, Place), old: Option<&Value>, new: Option<&Value>) {
        if let Some((old, new)) = old.zip(new)
            && old["metadata"]["labels"] == new["metadata"]["labels"]
        {
            return;
        }
        for (pod, present) in [(old, false), (new, true)] {
            let labels = pod.and_then(|p| p["metadata"]["labels"].as_object()).into_iter().flatten();
            for label in labels {
                if let Some(pods) = self.pods.get_mut(&Label::of(&key.namespace, label)) {
                    index::put(pods, (key.clone(), place), present);
                }
            }
        }
    }

    fn candidates<'a>(
        by_label: &'a HashMap<Label, BTreeSet<Key>>,
        namespace: &Text,
        labels: &Value,
    ) -> Vec<&'a Key> {
        let of = |label: &Label| by_label.get(label).into_iter().flatten();
        let anybody = of(&Label { namespace: namespace.clone(), ..Label::default() });
        let named =
            labels.as_object().into_iter().flatten().flat_map(|label| of(&Label::of(namespace, label)));
        let mut keys: Vec<&Key> = anybody.chain(named).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

impl Store {
    /// The budgets that select a pod with these labels, in order of their names.
    pub fn budgets_of(&self, namespace: &str, labels: &Value) -> impl Iterator<Item = &Object> {
        let candidates = Selected::candidates(&self.selected.budgets, &Text::new(namespace), labels);
        let budgets = candidates.into_iter().filter_map(|key| self.get_key(BUDGETS, key));
        budgets.filter(|b| selects(&b["spec"]["selector"], labels))
    }

    /// The Services that a pod with these labels is behind, in order of their names.
    pub(in crate::sim) fn services_of(
        &self,
        namespace: &str,
        labels: &Value,
    ) -> impl Iterator<Item = &Object> {
        let candidates = Selected::candidates(&self.selected.services, &Text::new(namespace), labels);
        let services = candidates.into_iter().filter_map(|key| self.get_key(SERVICES, key));
        services.filter(|service| serves(service, labels))
    }

    /// The pods behind a Service, in order of their names.
    pub(in crate::sim) fn behind(&self, service: &Value) -> Vec<Object> {
        let label = Label::required(&Key::of(service).namespace, required(SERVICES, service));
        let places = self.selected.pods.get(&label).into_iter().flatten().map(|(_, place)| *place);
        let pods = self.pods_at(places).filter(|(_, facts)| serves(service, &facts.labels));
        pods.map(|(pod, _)| pod.clone()).collect()
    }

    /// The pods that a budget selects, in order of their names, with their facts.
    pub(in crate::sim) fn selected_by(&self, budget: &Value) -> Vec<(Object, Facts)> {
        let (namespace, selector) = (Key::of(budget).namespace, &budget["spec"]["selector"]);
        let owned = |(pod, facts): (&Object, &Facts)| (pod.clone(), facts.clone());
        match self.selected.pods.get(&Label::required(&namespace, required(BUDGETS, budget))) {
            Some(pods) => {
                let all = is_one_label(selector);
                let pods = self.pods_at(pods.iter().map(|(_, place)| *place));
                pods.filter(|(_, facts)| all || selects(selector, &facts.labels)).map(owned).collect()
            }
            None => {
                let pods = self.list_in("pods", &namespace);
                let selected = pods.filter(|p| selects(selector, &p["metadata"]["labels"]));
                selected.map(|p| (p.clone(), Facts::of(p))).collect()
            }
        }
    }

    /// Keeps the indexes of this file.
    pub(super) fn note_selected(
        &mut self,
        resource: &str,
        (key, place): (&Key, Place),
        old: Option<&Value>,
        new: Option<&Value>,
    ) {
        match resource {
            "pods" => self.selected.pod((key, place), old, new),
            BUDGETS | SERVICES if self.selected.selecting(resource, key, old, new) => {
                let new = new.unwrap_or(&Value::Null);
                let label = Label::required(&key.namespace, required(resource, new));
                let has = |p: &&Object| p["metadata"]["labels"][&label.key] == label.value.as_str();
                let keys = self.list_in("pods", &key.namespace).filter(has).map(|p| Key::of(p));
                let pods = self.collections.get("pods");
                let placed = keys.filter_map(|key| Some((pods?.place(&key)?, key)));
                let members = placed.map(|(place, key)| (key, place)).collect();
                self.selected.pods.insert(label, members);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::json::json;

    use super::*;
    use crate::sim::clock::Clock;
    use crate::sim::store::DeleteOptions;

    fn pod(name: &str, labels: Value) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop", "labels": labels}, "spec": {}})
    }

    fn budget(name: &str, selector: Value) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"selector": selector}})
    }

    fn names<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Vec<String> {
        objects.into_iter().map(|o| Key::of(o).name.to_string()).collect()
    }

    #[test]
    fn budgets_and_pods_find_each_other_whoever_comes_first_and_whatever_changes() {
        let mut store = Store::new(Clock::starting_at(jiff::Timestamp::UNIX_EPOCH), 1, 100);
        store.create("pods", pod("early", json!({"app": "web", "tier": "front"}))).expect("stored");
        for (name, selector) in [
            ("two", json!({"matchLabels": {"app": "web", "tier": "front"}})),
            ("all", json!({})),
            ("none", Value::Null),
            ("by-expression", json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]})),
        ] {
            store.create(BUDGETS, budget(name, selector)).expect("stored");
        }
        store.create("pods", pod("late", json!({"app": "web", "tier": "front"}))).expect("stored");
        store.create("pods", pod("other", json!({"app": "web"}))).expect("stored");
        let of = |store: &Store, labels: Value| names(store.budgets_of("shop", &labels));
        assert_eq!(of(&store, json!({"app": "web", "tier": "front"})), ["all", "by-expression", "two"]);
        assert_eq!(of(&store, json!({"app": "web"})), ["all"]);
        assert_eq!(of(&store, Value::Null), ["all"]);
        let by = |store: &Store, name: &str| {
            let budget = store.get(BUDGETS, "shop", name).expect("a budget").clone();
            names(store.selected_by(&budget).iter().map(|(pod, _)| pod))
        };
        assert_eq!(by(&store, "two"), ["early", "late"]);
        assert_eq!(by(&store, "all"), ["early", "late", "other"]);
        assert_eq!(by(&store, "none"), Vec::<String>::new());
        // Labels of a pod change, a pod goes, a selector changes, a budget goes.
        store
            .modify("pods", &Key::new("shop", "other"), |p| p["metadata"]["labels"]["tier"] = json!("front"));
        let at_once = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
        store.delete("pods", &Key::new("shop", "early"), &at_once).expect("deleted");
        assert_eq!(by(&store, "two"), ["late", "other"]);
        store.modify(BUDGETS, &Key::new("shop", "two"), |b| {
            b["spec"]["selector"] = json!({"matchLabels": {"tier": "back"}});
        });
        assert_eq!(by(&store, "two"), Vec::<String>::new());
        assert_eq!(of(&store, json!({"tier": "back"})), ["all", "by-expression", "two"]);
        assert_eq!(of(&store, json!({"app": "web"})), ["all"]);
        store.delete(BUDGETS, &Key::new("shop", "two"), &DeleteOptions::default()).expect("deleted");
        assert_eq!(of(&store, json!({"tier": "back"})), ["all", "by-expression"]);
    }
}
