//! Label selectors: matching and reading kubectl's text form.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// True if the labels satisfy every part of the selector. An empty selector matches everything.
pub fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let by_labels = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    by_labels && selector.match_expressions.iter().flatten().all(|requirement| holds(requirement, labels))
}

fn holds(requirement: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let actual = labels.get(&requirement.key);
    let listed = |value: &String| requirement.values.iter().flatten().any(|v| v == value);
    match requirement.operator.as_str() {
        "In" => actual.is_some_and(listed),
        // As in the API server: an object without the key satisfies NotIn.
        "NotIn" => !actual.is_some_and(listed),
        "Exists" => actual.is_some(),
        "DoesNotExist" => actual.is_none(),
        // Validation refuses any other operator; one that slipped through must not select anything.
        _ => false,
    }
}

/// Reads kubectl's text form: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
///
/// # Errors
/// The part that can't be read, in words.
pub fn parse(text: &str) -> Result<LabelSelector, String> {
    let mut selector = LabelSelector::default();
    let expressions = selector.match_expressions.get_or_insert_default();
    for part in split_outside_parentheses(text) {
        let part = part.trim();
        if part.is_empty() {
            return Err(format!("empty requirement in selector {text:?}"));
        }
        expressions.push(parse_requirement(part)?);
    }
    Ok(selector)
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_requirement(part: &str) -> Result<LabelSelectorRequirement, String> {
    let requirement = |key: &str, operator: &str, values: Option<Vec<String>>| {
        let key = key.trim();
        if key.is_empty() || key.contains(|c: char| c.is_whitespace() || "()=!".contains(c)) {
            return Err(format!(
                "{part:?} is not a selector requirement: want key, !key, key=value, key!=value, key in (a,b) or key notin (a,b)"
            ));
        }
        Ok(LabelSelectorRequirement { key: key.to_owned(), operator: operator.to_owned(), values })
    };
    let set = |text: &str| -> Option<Vec<String>> {
        let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|v| v.trim().to_owned()).collect())
    };
    if let Some((key, values)) = part
        .split_once(" notin ")
        .or_else(|| part.split_once(" notin(").map(|(k, _)| (k, &part[k.len() + 6..])))
    {
        return requirement(
            key,
            "NotIn",
            Some(set(values).ok_or_else(|| format!("{part:?}: want notin (a,b)"))?),
        );
    }
    if let Some((key, values)) =
        part.split_once(" in ").or_else(|| part.split_once(" in(").map(|(k, _)| (k, &part[k.len() + 3..])))
    {
        return requirement(key, "In", Some(set(values).ok_or_else(|| format!("{part:?}: want in (a,b)"))?));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return requirement(key, "NotIn", Some(vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return requirement(key, "In", Some(vec![value.trim().to_owned()]));
    }
    match part.strip_prefix('!') {
        Some(key) => requirement(key, "DoesNotExist", None),
        None => requirement(part, "Exists", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn text_form_selects_as_kubectl_does() {
        let vm = labels(&[("kubevirt.io", "virt-launcher"), ("app", "db")]);
        for (text, expected) in [
            ("kubevirt.io=virt-launcher", true),
            ("kubevirt.io==virt-launcher,app=db", true),
            ("kubevirt.io!=virt-launcher", false),
            ("tier!=front", true),
            ("app in (db, web)", true),
            ("app notin (db,web)", false),
            ("tier notin (front)", true),
            ("app", true),
            ("!app", false),
            ("!tier,app in(db)", true),
        ] {
            assert_eq!(matches(&parse(text).expect(text), &vm), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in ["a=b,", "=x", "a in b", "a b", "a in (x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
