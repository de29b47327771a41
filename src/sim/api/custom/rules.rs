//! What of a definition isn't modelled: it is told when the definition is written, never passed over in silence.

use crate::sim::json::Value;

/// A warning for each version whose CEL rules or selectable fields won't be looked at.
pub(in crate::sim::api) fn warnings(definition: &Value) -> Vec<String> {
    let mut told = Vec::new();
    for version in definition["spec"]["versions"].as_array().into_iter().flatten() {
        let name = version["name"].as_str().unwrap_or_default();
        let mut places = Vec::new();
        ruled(&version["schema"]["openAPIV3Schema"], "", &mut places);
        if let [first, others @ ..] = places.as_slice() {
            let first = if first.is_empty() { "the object" } else { first };
            let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
            told.push(format!(
                "version {name}: the embedded cluster does not evaluate CEL rules (x-kubernetes-validations of {first}{more})"
            ));
        }
        if version["selectableFields"].as_array().is_some_and(|f| !f.is_empty()) {
            told.push(format!("version {name}: the embedded cluster does not model selectableFields"));
        }
    }
    told
}

/// The paths of a schema that have rules.
fn ruled(schema: &Value, path: &str, places: &mut Vec<String>) {
    if schema["x-kubernetes-validations"].as_array().is_some_and(|r| !r.is_empty()) {
        places.push(path.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        ruled(property, &format!("{path}.{name}"), places);
    }
    for (within, mark) in [("items", "[*]"), ("additionalProperties", "[*]")] {
        if schema[within].is_object() {
            ruled(&schema[within], &format!("{path}{mark}"), places);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::warnings;
    use crate::sim::json::json;

    #[test]
    fn rules_and_selectable_fields_are_told_by_version_and_place() {
        let rule = json!([{"rule": "self > 1"}]);
        let definition = json!({"spec": {"versions": [
            {"name": "v1", "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"properties": {
                    "list": {"items": {"x-kubernetes-validations": rule}},
                    "map": {"additionalProperties": {"x-kubernetes-validations": rule}},
                }},
            }}}},
            {"name": "v2", "schema": {"openAPIV3Schema": {"x-kubernetes-validations": rule}}},
            {"name": "v3", "schema": {"openAPIV3Schema": {"x-kubernetes-validations": []}},
             "selectableFields": [{"jsonPath": ".spec.a"}]},
        ]}});
        let cel = "the embedded cluster does not evaluate CEL rules (x-kubernetes-validations of";
        let expected = [
            format!("version v1: {cel} .spec.list[*] and 1 more)"),
            format!("version v2: {cel} the object)"),
            "version v3: the embedded cluster does not model selectableFields".to_owned(),
        ];
        assert_eq!(warnings(&definition), expected);
    }
}
