//! Objects without what nobody here looks at: on a real cluster most of an object's text is that, and it is passed over while the
//! object is read.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Map, Value};

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
    Other,
}

impl Part {
    /// What a field of this part is; `None`: nobody looks at it.
    fn field(self, name: &str) -> Option<Self> {
        match (self, name) {
            (Self::Object, "metadata") => Some(Self::Metadata),
            (Self::Object, "spec") => Some(Self::Spec),
            (Self::Object, "status") => Some(Self::Status),
            (Self::Spec, "containers" | "initContainers") => Some(Self::Container),
            (Self::Spec, "domain") => Some(Self::Domain),
            (Self::Metadata, "managedFields")
            | (Self::Spec, "template" | "podCIDRs" | "networks" | "ephemeralContainers")
            | (
                Self::Status,
                "addresses"
                | "capacity"
                | "images"
                | "volumesAttached"
                | "volumesInUse"
                | "containerStatuses"
                | "initContainerStatuses"
                | "ephemeralContainerStatuses"
                | "podIPs"
                | "hostIPs"
                | "interfaces"
                | "volumeStatus"
                | "guestOSInfo"
                | "activePods",
            ) => None,
            (Self::Container, name) => {
                matches!(name, "resources" | "ports" | "restartPolicy").then_some(Self::Other)
            }
            (Self::Domain, name) => matches!(name, "cpu" | "memory" | "resources").then_some(Self::Other),
            _ => Some(Self::Other),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Self::Other => Value::deserialize(deserializer),
            _ => deserializer.deserialize_any(self),
        }
    }
}

/// Where an object is expected, or a list of containers, anything else is as if it weren't there.
impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            match self.field(&name) {
                Some(part) => {
                    fields.insert(name, map.next_value_seed(part)?);
                }
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
        Ok(Value::Array(items))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
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
                "volumes": [{"name": "template", "emptyDir": {}}],
            },
            "status": {"phase": "Running", "containerStatuses": [{"ready": true}], "conditions": [{"type": "Ready"}]},
        });
        let Lean(read) = serde_json::from_value(text).expect("an object");
        let kept = json!({
            "kind": "Pod",
            "metadata": {"name": "a", "labels": {"template": "kept", "images": "kept"}},
            "spec": {
                "nodeName": "n", "domain": {"memory": {"guest": "1Gi"}},
                "containers": [{"ports": [{"hostPort": 1}], "resources": {"requests": {"cpu": "1"}}}],
                "initContainers": null,
                "volumes": [{"name": "template", "emptyDir": {}}],
            },
            "status": {"phase": "Running", "conditions": [{"type": "Ready"}]},
        });
        assert_eq!(read, kept);
    }
}
