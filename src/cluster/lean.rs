//! Objects without what nobody here looks at: on a real cluster most of an object's text is that, and it is passed over while the
//! object is read. What is left is looked at once, and dropped: it is kept as is cheapest to make.

use std::fmt;
use std::ops::Index;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::Number;
use smol_str::SmolStr;

/// A JSON value; the fields of an object in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Value {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    /// Short ones, as most are, need no memory of their own.
    Text(SmolStr),
    List(Vec<Value>),
    Object(Vec<(SmolStr, Value)>),
}

static NULL: Value = Value::Null;

impl Value {
    /// Of an object at hand, reduced as if it were read from the API.
    pub(super) fn of(object: &serde_json::Value) -> Self {
        Part::Object.deserialize(object).unwrap_or_default()
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(super) fn is_string(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    pub(super) fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// The fields of an object; none of anything else.
    pub(super) fn fields(&self) -> &[(SmolStr, Value)] {
        match self {
            Self::Object(fields) => fields,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(&self) -> &[Value] {
        self.as_array().unwrap_or_default()
    }
}

/// `null` for what isn't there.
impl Index<&str> for Value {
    type Output = Self;

    fn index(&self, name: &str) -> &Self {
        self.fields().iter().find(|(n, _)| n == name).map_or(&NULL, |(_, value)| value)
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, text: &&str) -> bool {
        self.as_str() == Some(text)
    }
}

impl PartialEq<bool> for Value {
    fn eq(&self, value: &bool) -> bool {
        *self == Self::Bool(*value)
    }
}

/// An object as it is read from the API.
#[derive(Debug, Clone)]
pub(super) struct Lean(pub Value);

impl<'de> Deserialize<'de> for Lean {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Part::Object.deserialize(deserializer).map(Self)
    }
}

/// Which part of an object is read.
#[derive(Debug, Clone, Copy)]
enum Part {
    Object,
    Metadata,
    Spec,
    Status,
    /// A guest's hardware.
    Domain,
    /// Of each container of a list.
    Container,
    /// Of each volume of a list.
    Volume,
    /// Of each condition of a list.
    Condition,
    Other,
}

impl Part {
    /// What a field of this part is; `None`: nobody looks at it.
    fn field(self, name: &str) -> Option<Self> {
        match self {
            Self::Object => match name {
                "metadata" => Some(Self::Metadata),
                "spec" => Some(Self::Spec),
                "status" => Some(Self::Status),
                _ => None,
            },
            Self::Metadata => {
                (!matches!(name, "managedFields" | "generateName" | "selfLink")).then_some(Self::Other)
            }
            Self::Spec => Self::of_spec(name),
            Self::Status => Self::of_status(name),
            Self::Condition => {
                (!matches!(name, "lastProbeTime" | "lastHeartbeatTime" | "observedGeneration"))
                    .then_some(Self::Other)
            }
            Self::Container => matches!(name, "resources" | "ports" | "restartPolicy").then_some(Self::Other),
            Self::Volume => matches!(name, "emptyDir" | "persistentVolumeClaim").then_some(Self::Other),
            Self::Domain => matches!(name, "cpu" | "memory" | "resources").then_some(Self::Other),
            Self::Other => Some(Self::Other),
        }
    }

    fn of_spec(name: &str) -> Option<Self> {
        match name {
            "containers" | "initContainers" => Some(Self::Container),
            "volumes" => Some(Self::Volume),
            "domain" => Some(Self::Domain),
            "dnsPolicy"
            | "enableServiceLinks"
            | "ephemeralContainers"
            | "networks"
            | "podCIDRs"
            | "preemptionPolicy"
            | "priority"
            | "schedulerName"
            | "securityContext"
            | "serviceAccount"
            | "serviceAccountName"
            | "template" => None,
            _ => Some(Self::Other),
        }
    }

    fn of_status(name: &str) -> Option<Self> {
        match name {
            "conditions" => Some(Self::Condition),
            "activePods"
            | "addresses"
            | "capacity"
            | "containerStatuses"
            | "ephemeralContainerStatuses"
            | "guestOSInfo"
            | "hostIP"
            | "hostIPs"
            | "images"
            | "initContainerStatuses"
            | "interfaces"
            | "podIP"
            | "podIPs"
            | "qosClass"
            | "startTime"
            | "volumeStatus"
            | "volumesAttached"
            | "volumesInUse" => None,
            _ => Some(Self::Other),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// The name of a field of this part, if anybody looks at it, and what it is.
struct Name(Part);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<(SmolStr, Part)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<(SmolStr, Part)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.field(name).map(|part| (name.into(), part)))
    }
}

/// Where an object is expected, or a list of containers, anything else is as if it weren't there.
impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_key_seed(Name(self))? {
            match field {
                Some((name, part)) => fields.push((name, map.next_value_seed(part)?)),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.into()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_looks_at_is_passed_over_and_nothing_else() {
        let text = json!({
            "kind": "Pod",
            "metadata": {
                "name": "a", "labels": {"template": "kept", "images": "kept"},
                "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": {
                "nodeName": "n", "template": {"spec": {}}, "domain": {"memory": {"guest": "1Gi"}, "devices": {}},
                "containers": [{
                    "name": "c", "image": "i", "env": [{"name": "A"}], "ports": [{"hostPort": 1}],
                    "resources": {"requests": {"cpu": "1"}},
                }],
                "initContainers": null,
                "volumes": [{"name": "template", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "t", "projected": {}}],
                "replicas": 1.5, "unschedulable": true,
            },
            "status": {
                "phase": "Running", "containerStatuses": [{"ready": true}],
                "conditions": [{"type": "Ready", "lastProbeTime": null, "lastTransitionTime": "t"}],
            },
        });
        let Lean(read) = serde_json::from_value(text.clone()).expect("an object");
        let kept = json!({
            "metadata": {"name": "a", "labels": {"template": "kept", "images": "kept"}},
            "spec": {
                "nodeName": "n", "domain": {"memory": {"guest": "1Gi"}},
                "containers": [{"ports": [{"hostPort": 1}], "resources": {"requests": {"cpu": "1"}}}],
                "initContainers": null,
                "volumes": [{"emptyDir": {"sizeLimit": "1Gi"}}, {}],
                "replicas": 1.5, "unschedulable": true,
            },
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "lastTransitionTime": "t"}]},
        });
        assert_eq!(plain(&read), kept);
        assert_eq!(Value::of(&text), read);
    }

    /// The same value as others know it.
    fn plain(value: &Value) -> serde_json::Value {
        match value {
            Value::Null => json!(null),
            Value::Bool(value) => json!(value),
            Value::Number(number) => json!(number),
            Value::Text(text) => json!(text.as_str()),
            Value::List(items) => items.iter().map(plain).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.to_string(), plain(value))).collect()
            }
        }
    }

    #[test]
    fn fields_are_found_by_name_and_what_is_not_there_is_null() {
        let read = Value::of(&json!({"spec": {"a": "1", "b": 2, "c": false, "d": [3]}}));
        let spec = &read["spec"];
        assert!(spec["a"] == "1" && spec["c"] == false && spec["d"].is_null().eq(&false));
        assert_eq!((spec["b"].as_u64(), spec["b"].as_i64(), spec["a"].as_u64()), (Some(2), Some(2), None));
        assert_eq!(spec["d"].items().iter().map(Value::as_u64).collect::<Vec<_>>(), [Some(3)]);
        assert!(spec["e"]["f"].is_null() && spec["a"]["f"].is_null());
    }
}
