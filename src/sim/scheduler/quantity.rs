//! Resource quantities in exact integers: CPU in thousandths, everything else in units.

use std::collections::BTreeMap;

use crate::sim::json::{Text, Value};

/// What a node has or a pod asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// In thousandths.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Ephemeral storage, bytes.
    pub storage: i64,
    /// All else but pods, by name.
    pub others: BTreeMap<Text, i64>,
}

/// What a container that asks for no CPU counts as in scores, and for no memory.
const NOTHING_ASKED: (i64, i64) = (100, 200 << 20);

impl Resources {
    /// Reads a map of quantities.
    pub fn read(map: &Value) -> Self {
        let mut read = Self::default();
        for (resource, value) in map.as_object().into_iter().flatten().filter(|(r, _)| *r != "pods") {
            if let Some(amount) = amount(resource, value) {
                *read.slot(resource) = amount;
            }
        }
        read
    }

    fn slot(&mut self, resource: &Text) -> &mut i64 {
        match resource.as_str() {
            "cpu" => &mut self.cpu,
            "memory" => &mut self.memory,
            "ephemeral-storage" => &mut self.storage,
            _ => self.others.entry(resource.clone()).or_default(),
        }
    }

    fn combine(&mut self, other: &Self, how: impl Fn(i64, i64) -> i64) {
        self.cpu = how(self.cpu, other.cpu);
        self.memory = how(self.memory, other.memory);
        self.storage = how(self.storage, other.storage);
        for (resource, amount) in &other.others {
            match self.others.get_mut(resource) {
                Some(have) => *have = how(*have, *amount),
                None => drop(self.others.insert(resource.clone(), how(0, *amount))),
            }
        }
    }

    /// Adds another's amounts.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, |a, b| a + b);
    }

    /// Takes them away.
    pub fn remove(&mut self, other: &Self) {
        self.combine(other, |a, b| a - b);
    }

    fn at_least(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    /// Nothing at all.
    pub fn is_nothing(&self) -> bool {
        self.cpu == 0 && self.memory == 0 && self.storage == 0 && self.others.is_empty()
    }
}

/// Reads `500m`, `2`, `1.5Gi`, `1024M`, `1e3`; `None` if it is none. The result is in thousandths, rounded up, and at most what
/// fits (eight Pi).
pub fn thousandths(text: &str) -> Option<i64> {
    let digits =
        text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-' || c == '+')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (factor, divisor): (i128, i128) = match suffix {
        "n" => (1, 1_000_000),
        "u" => (1, 1000),
        suffix => (factor(suffix)?, 1),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut value = whole.checked_mul(factor)?;
    if !fraction.is_empty() {
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        value += fraction.parse::<i128>().ok()?.checked_mul(factor)? / scale;
    }
    let rounded = value.div_euclid(divisor) + i128::from(value.rem_euclid(divisor) > 0);
    Some(i64::try_from(rounded).unwrap_or(i64::MAX))
}

/// Thousandths of one of a suffix.
fn factor(suffix: &str) -> Option<i128> {
    Some(match suffix {
        "m" => 1,
        "" => 1000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "P" => 1_000_000_000_000_000_000,
        "E" => 1_000_000_000_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        "Pi" => 1000 << 50,
        "Ei" => 1000 << 60,
        exponent => {
            let power: u32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            1000_i128.checked_mul(10_i128.checked_pow(power)?)?
        }
    })
}

fn amount(resource: &str, value: &Value) -> Option<i64> {
    let exact = match value {
        Value::String(text) => thousandths(text)?,
        Value::Number(number) => thousandths(&number.to_string())?,
        _ => return None,
    };
    // Up to the next whole unit, as the API rounds; CPU stays in thousandths.
    Some(if resource == "cpu" {
        exact
    } else {
        exact.div_euclid(1000) + i64::from(exact.rem_euclid(1000) > 0)
    })
}

/// The number of pods that a node takes.
pub fn pods(allocatable: &Value) -> i64 {
    amount("pods", &allocatable["pods"]).unwrap_or(0)
}

/// What a pod asks for: the sum of its containers and sidecars, or what an init container needs beside the sidecars before
/// it if that is more; what the pod asks for as a whole instead; plus overhead.
pub fn requests(pod: &Value) -> Resources {
    summed(pod, "requests", |container| Resources::read(&container["resources"]["requests"]))
}

/// CPU and memory as scores count them: a container that doesn't say counts for something.
pub fn weight(pod: &Value) -> (i64, i64) {
    let total = summed(pod, "requests", |container| {
        let asked = &container["resources"]["requests"];
        let mut read = Resources::read(asked);
        if asked["cpu"].is_null() {
            read.cpu = NOTHING_ASKED.0;
        }
        if asked["memory"].is_null() {
            read.memory = NOTHING_ASKED.1;
        }
        read
    });
    (total.cpu, total.memory)
}

/// What a pod requests, or is limited to (`limits`), by resource and in thousandths.
pub fn requests_of(pod: &Value, which: &str) -> BTreeMap<String, i64> {
    let total = summed(pod, which, |container| Resources::read(&container["resources"][which]));
    let own =
        [("cpu", total.cpu), ("memory", total.memory * 1000), ("ephemeral-storage", total.storage * 1000)];
    let own =
        own.into_iter().filter(|(_, amount)| *amount > 0).map(|(name, amount)| (name.to_owned(), amount));
    own.chain(total.others.into_iter().map(|(name, amount)| (name.to_string(), amount * 1000))).collect()
}

fn summed(pod: &Value, which: &str, of: impl Fn(&Value) -> Resources) -> Resources {
    let list = |field: &str| pod["spec"][field].as_array().into_iter().flatten();
    let mut total = Resources::default();
    for container in list("containers") {
        total.add(&of(container));
    }
    let (mut sidecars, mut most) = (Resources::default(), Resources::default());
    for container in list("initContainers") {
        let mut needed = of(container);
        if container["restartPolicy"] == "Always" {
            total.add(&needed);
            sidecars.add(&needed);
            needed = sidecars.clone();
        } else {
            needed.add(&sidecars);
        }
        most.at_least(&needed);
    }
    total.at_least(&most);
    for (resource, value) in pod["spec"]["resources"][which].as_object().into_iter().flatten() {
        if let Some(amount) = amount(resource, value) {
            *total.slot(resource) = amount;
        }
    }
    total.add(&Resources::read(&pod["spec"]["overhead"]));
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::json::json;

    #[test]
    fn quantities_are_exact() {
        for (text, expected) in [
            ("500m", Some(500)),
            ("2", Some(2000)),
            ("1.5", Some(1500)),
            ("1Ki", Some(1_024_000)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("1024M", Some(1_024_000_000_000)),
            ("1e3", Some(1_000_000)),
            ("x", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }

    #[test]
    fn a_pod_asks_for_its_containers_or_its_largest_init_container() {
        let pod = json!({"spec": {
            "containers": [{"resources": {"requests": {"cpu": "100m", "memory": "1Gi"}}}, {"resources": {"requests": {"cpu": "1"}}}],
            "initContainers": [{"resources": {"requests": {"cpu": "2", "memory": "1Mi"}}}],
        }});
        let asked = requests(&pod);
        assert_eq!((asked.cpu, asked.memory), (2000, 1 << 30));
    }
}
