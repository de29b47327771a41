//! Resource quantities in exact integers: CPU in thousandths, everything else in units.

use std::collections::BTreeMap;

use serde_json::Value;

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, i64>;

/// Reads `500m`, `2`, `1.5Gi`, `1024M`, `1e3`; `None` if it is none. The result is in thousandths.
pub fn thousandths(text: &str) -> Option<i64> {
    let digits =
        text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-' || c == '+')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let factor: i128 = match suffix {
        "m" => 1,
        "" => 1000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        exponent => {
            let power: u32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            1000 * 10_i128.checked_pow(power)?
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut value = whole.checked_mul(factor)?;
    if !fraction.is_empty() {
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        value += fraction.parse::<i128>().ok()?.checked_mul(factor)? / scale;
    }
    i64::try_from(value).ok()
}

fn amount(resource: &str, value: &Value) -> Option<i64> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let exact = thousandths(&text)?;
    // Up to the next whole unit, as the API rounds; CPU stays in thousandths.
    Some(if resource == "cpu" {
        exact
    } else {
        exact.div_euclid(1000) + i64::from(exact.rem_euclid(1000) > 0)
    })
}

/// Reads a map of quantities.
pub fn amounts(map: &Value) -> Amounts {
    let entries = map.as_object().into_iter().flatten();
    entries.filter_map(|(resource, value)| Some((resource.clone(), amount(resource, value)?))).collect()
}

fn add(total: &mut Amounts, more: &Amounts) {
    for (resource, amount) in more {
        *total.entry(resource.clone()).or_default() += amount;
    }
}

/// What a pod asks for: the sum of its containers (and of sidecars), or the largest init container if that is more, plus
/// overhead, plus one pod.
pub fn requests(pod: &Value) -> Amounts {
    let of = |container: &Value| amounts(&container["resources"]["requests"]);
    let list = |field: &str| pod["spec"][field].as_array().cloned().unwrap_or_default();
    let mut total = Amounts::new();
    for container in list("containers") {
        add(&mut total, &of(&container));
    }
    for container in list("initContainers") {
        if container["restartPolicy"] == "Always" {
            add(&mut total, &of(&container));
        } else {
            for (resource, amount) in of(&container) {
                let have = total.entry(resource).or_default();
                *have = (*have).max(amount);
            }
        }
    }
    add(&mut total, &amounts(&pod["spec"]["overhead"]));
    total.insert("pods".to_owned(), 1);
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        assert_eq!((asked["cpu"], asked["memory"], asked["pods"]), (2000, 1 << 30, 1));
    }
}
