//! What cells are made of: ages, lists, selectors.

use jiff::Timestamp;

use crate::sim::clock::parse_time;
use crate::sim::json::Value;

/// Shown where there is nothing.
pub(super) const NONE: &str = "<none>";

/// An age as kubectl shows it: the larger the coarser.
pub(super) fn age_text(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |whole: i64, unit: &str, rest: i64, small: &str| {
        if rest == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{rest}{small}") }
    };
    match seconds {
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(s / MINUTE, "m", s % MINUTE, "s"),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(s / HOUR, "h", s % HOUR / MINUTE, "m"),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(s / DAY, "d", s % DAY / HOUR, "h"),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => two(s / YEAR, "y", s % YEAR / DAY, "d"),
        s => format!("{}y", s / YEAR),
    }
}

/// Time since one in the API's form.
pub(super) fn since(time: &Value, now: Timestamp) -> String {
    match time.as_str().and_then(parse_time) {
        Some(at) => age_text(now.duration_since(at).as_secs()),
        None => "<unknown>".to_owned(),
    }
}

/// How many entries a list or a map has.
pub(super) fn count(value: &Value) -> usize {
    value.as_array().map(Vec::len).or_else(|| value.as_object().map(crate::sim::json::Map::len)).unwrap_or(0)
}

/// The entries of a list.
pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A text, empty if it isn't one.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Any scalar as text.
pub(super) fn scalar(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.to_string(),
        other => other.to_string(),
    }
}

/// Joined by commas, or `<none>`.
pub(super) fn joined_or_none(parts: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = parts.collect();
    if all.is_empty() { NONE.to_owned() } else { all.join(",") }
}

/// The first three, and how many more there are.
pub(super) fn first_three(all: Vec<String>) -> String {
    let more = all.len().saturating_sub(3);
    let shown = all.into_iter().take(3).collect::<Vec<_>>().join(",");
    match (shown.is_empty(), more) {
        (true, _) => "<unset>".to_owned(),
        (false, 0) => shown,
        (false, more) => format!("{shown} + {more} more..."),
    }
}

/// A map of labels: `a=b,c=d`.
pub(super) fn labels(map: &Value) -> String {
    let pairs = map.as_object().into_iter().flatten();
    joined_or_none(pairs.map(|(key, value)| format!("{key}={}", text(value))))
}

/// A label selector as the API writes it.
pub(super) fn selector(selector: &Value) -> String {
    if selector.is_null() {
        return NONE.to_owned();
    }
    let pairs = selector["matchLabels"].as_object().into_iter().flatten();
    let equal = pairs.map(|(key, value)| format!("{key}={}", text(value)));
    let expressions = list(&selector["matchExpressions"]).map(|e| {
        let key = text(&e["key"]);
        let values = list(&e["values"]).map(text).collect::<Vec<_>>().join(",");
        match text(&e["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        }
    });
    joined_or_none(equal.chain(expressions))
}

/// Whether a condition is `True`.
pub(super) fn holds(object: &Value, kind: &str) -> bool {
    list(&object["status"]["conditions"]).any(|c| c["type"] == kind && c["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::json::json;

    #[test]
    fn ages_are_kubectls() {
        for (seconds, shown) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (3599, "59m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (86_400, "24h"),
            (172_800, "2d"),
            (176_400, "2d1h"),
            (8 * 86_400, "8d"),
            (800 * 86_400, "2y70d"),
        ] {
            assert_eq!(age_text(seconds), shown, "{seconds}");
        }
    }

    #[test]
    fn selectors_read_as_on_the_command_line() {
        let all = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"}]});
        assert_eq!(selector(&all), "app=web,tier in (a,b),!old");
        assert_eq!(selector(&json!({})), "<none>");
    }
}
