//! LimitRanges: what the containers of a new pod get where they ask for nothing, and what new pods and claims may ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::quantity;
use crate::sim::json::{Map, Value, json};
use crate::sim::scheduler::thousandths;
use crate::sim::store::{Key, Refusal, Store};

const RANGES: &str = "limitranges";
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// An amount, and whether it is written in powers of 1024.
#[derive(Clone, Copy, PartialEq)]
struct Amount {
    thousandths: i64,
    is_binary: bool,
}

impl Amount {
    fn read(value: &Value) -> Option<Self> {
        let text = value.as_str()?;
        Some(Self { thousandths: thousandths(text)?, is_binary: text.ends_with('i') })
    }

    fn text(self) -> String {
        let given = if self.is_binary && self.thousandths % 1_024_000 == 0 {
            format!("{}Ki", self.thousandths / 1_024_000)
        } else {
            format!("{}m", self.thousandths)
        };
        quantity::canonical(&given).unwrap_or(given)
    }
}

type Amounts = BTreeMap<String, Amount>;

fn amounts(map: &Value) -> Amounts {
    let entries = map.as_object().into_iter().flatten();
    entries.filter_map(|(what, amount)| Some((what.to_string(), Amount::read(amount)?))).collect()
}

fn items(range: &Value) -> impl Iterator<Item = &Value> {
    range["spec"]["limits"].as_array().into_iter().flatten()
}

/// Gives the containers of a new pod what the ranges of its namespace say, and says so in an annotation.
pub(super) fn fill(store: &Store, pod: &mut Value) {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let ranges: Vec<_> = store.list_in(RANGES, namespace).cloned().collect();
    for range in ranges {
        let mut said = Vec::new();
        for (list, title) in [("containers", "container"), ("initContainers", "init container")] {
            for container in pod["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                said.extend(fill_container(&range, container, title));
            }
        }
        if !said.is_empty() {
            pod["metadata"]["annotations"][ANNOTATION] =
                json!(format!("LimitRanger plugin set: {}", said.join("; ")));
        }
    }
}

fn fill_container(range: &Value, container: &mut Value, title: &str) -> Vec<String> {
    let name = container["name"].as_str().unwrap_or_default().to_owned();
    let mut said = Vec::new();
    for (part, field, word) in [("requests", "defaultRequest", "request"), ("limits", "default", "limit")] {
        let mut set = Vec::new();
        for item in items(range).filter(|i| i["type"] == "Container") {
            for (what, amount) in item[field].as_object().into_iter().flatten() {
                if container["resources"][part][what].is_null() {
                    container["resources"][part][what] = amount.clone();
                    set.push(what.as_str());
                }
            }
        }
        if !set.is_empty() {
            set.sort_unstable();
            said.push(format!("{} {word} for {title} {name}", set.join(", ")));
        }
    }
    said
}

/// Why a new pod or claim asks for too much or too little; its message says all that is wrong by one range.
pub(in crate::sim) fn refusal(store: &Store, resource: &str, object: &Value) -> Option<Refusal> {
    let (key, judge): (_, fn(&Value, &Value, &mut Judge)) = match resource {
        "pods" => (Key::of(object), Judge::pod),
        "persistentvolumeclaims" => (Key::of(object), Judge::claim),
        _ => return None,
    };
    for range in store.list_in(RANGES, &key.namespace) {
        let mut found = Judge::default();
        for item in items(range) {
            judge(item, object, &mut found);
        }
        // What several containers have in common is said once.
        let mut said = BTreeSet::new();
        found.0.retain(|why| said.insert(why.clone()));
        let why = match found.0.as_slice() {
            [] => continue,
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        return Some(Refusal::forbidden(resource, &key.name, &why));
    }
    None
}

/// What is wrong, in words.
#[derive(Default)]
struct Judge(Vec<String>);

impl Judge {
    fn claim(item: &Value, claim: &Value, found: &mut Self) {
        if item["type"] != "PersistentVolumeClaim" {
            return;
        }
        let asked = amounts(&claim["spec"]["resources"]["requests"]);
        found.least(item, &asked, &Amounts::new());
        for (what, most) in amounts(&item["max"]) {
            let title = format!("maximum {what} usage per PersistentVolumeClaim is {}", most.text());
            match asked.get(&what) {
                None => found.0.push(format!("{title}.  No request is specified")),
                Some(asked) => found.above(&title, "request", *asked, most),
            }
        }
    }

    fn pod(item: &Value, pod: &Value, found: &mut Self) {
        match item["type"].as_str() {
            Some("Container") => {
                for list in ["containers", "initContainers"] {
                    for container in pod["spec"][list].as_array().into_iter().flatten() {
                        let of = |part: &str| amounts(&container["resources"][part]);
                        found.all(item, &of("requests"), &of("limits"));
                    }
                }
            }
            Some("Pod") => found.all(item, &whole(pod, "requests"), &whole(pod, "limits")),
            _ => {}
        }
    }

    fn all(&mut self, item: &Value, requests: &Amounts, limits: &Amounts) {
        self.least(item, requests, limits);
        self.most(item, requests, limits);
        self.ratio(item, requests, limits);
    }

    fn least(&mut self, item: &Value, requests: &Amounts, limits: &Amounts) {
        let kind = item["type"].as_str().unwrap_or_default();
        for (what, least) in amounts(&item["min"]) {
            let title = format!("minimum {what} usage per {kind} is {}", least.text());
            let below = |amount: &&Amount| amount.thousandths < least.thousandths;
            match (requests.get(&what), limits.get(&what).filter(below)) {
                (None, _) => self.0.push(format!("{title}.  No request is specified")),
                (Some(asked), _) if below(&asked) => {
                    self.0.push(format!("{title}, but request is {}", asked.text()));
                }
                (_, Some(limit)) => self.0.push(format!("{title}, but limit is {}", limit.text())),
                _ => {}
            }
        }
    }

    fn most(&mut self, item: &Value, requests: &Amounts, limits: &Amounts) {
        let kind = item["type"].as_str().unwrap_or_default();
        for (what, most) in amounts(&item["max"]) {
            let title = format!("maximum {what} usage per {kind} is {}", most.text());
            match (limits.get(&what), requests.get(&what)) {
                (None, _) => self.0.push(format!("{title}.  No limit is specified")),
                (Some(limit), Some(asked)) if limit.thousandths <= most.thousandths => {
                    self.above(&title, "request", *asked, most);
                }
                (Some(limit), _) => self.above(&title, "limit", *limit, most),
            }
        }
    }

    fn above(&mut self, title: &str, word: &str, amount: Amount, most: Amount) {
        if amount.thousandths > most.thousandths {
            self.0.push(format!("{title}, but {word} is {}", amount.text()));
        }
    }

    fn ratio(&mut self, item: &Value, requests: &Amounts, limits: &Amounts) {
        let kind = item["type"].as_str().unwrap_or_default();
        for (what, most) in amounts(&item["maxLimitRequestRatio"]) {
            let mut why = format!("{what} max limit to request ratio per {kind} is {}, but ", most.text());
            let of = |amounts: &Amounts| amounts.get(&what).filter(|a| a.thousandths != 0).copied();
            match (of(requests), of(limits)) {
                (None, _) => why.push_str("no request is specified or request is 0"),
                (_, None) => why.push_str("no limit is specified or limit is 0"),
                (Some(asked), Some(limit)) => {
                    let (asked, limit) = (i128::from(asked.thousandths), i128::from(limit.thousandths));
                    if limit * 1000 <= i128::from(most.thousandths) * asked {
                        continue;
                    }
                    let _ = write!(why, "provided ratio is {}", six_places(limit, asked));
                }
            }
            self.0.push(why);
        }
    }
}

/// A quotient with six places, rounded.
fn six_places(dividend: i128, divisor: i128) -> String {
    let millionths = (dividend * 2_000_000 / divisor + 1) / 2;
    format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
}

/// What a pod requests or is limited to as a whole: its containers and sidecars, or what an init container needs beside the
/// sidecars before it, if that is more; what it says of itself instead. Without overhead.
fn whole(pod: &Value, part: &str) -> Amounts {
    let list = |field: &str| pod["spec"][field].as_array().into_iter().flatten();
    let mut total = Amounts::new();
    for container in list("containers") {
        add(&mut total, &amounts(&container["resources"][part]));
    }
    let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
    for container in list("initContainers") {
        let mut needed = amounts(&container["resources"][part]);
        if container["restartPolicy"] == "Always" {
            add(&mut total, &needed);
            add(&mut sidecars, &needed);
            needed = sidecars.clone();
        } else {
            add(&mut needed, &sidecars);
        }
        at_least(&mut most, needed);
    }
    at_least(&mut total, most);
    let own = pod["spec"]["resources"][part].as_object().into_iter().flatten();
    total.extend(own.filter_map(|(what, amount)| Some((what.to_string(), Amount::read(amount)?))));
    total
}

fn add(total: &mut Amounts, more: &Amounts) {
    for (what, amount) in more {
        let sum = total.entry(what.clone()).or_insert(Amount { thousandths: 0, ..*amount });
        sum.thousandths = sum.thousandths.saturating_add(amount.thousandths);
    }
}

fn at_least(total: &mut Amounts, other: Amounts) {
    for (what, amount) in other {
        let have = total.entry(what).or_insert(amount);
        if have.thousandths < amount.thousandths {
            *have = amount;
        }
    }
}

/// What a range's items get by themselves: a limit from the maximum, a request from the limit or the minimum.
pub(super) fn complete(range: &mut Value) {
    let items = range["spec"].get_mut("limits").and_then(Value::as_array_mut).into_iter().flatten();
    for item in items.filter(|i| i["type"] == "Container") {
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            let given: Map = item[from].as_object().cloned().unwrap_or_default();
            for (what, amount) in given {
                if item[to][&what].is_null() {
                    item[to][&what] = amount;
                }
            }
        }
    }
}
