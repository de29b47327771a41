//! Durations and counts as the plan writes them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time in humantime's form: `30s`, `5m`, `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Duration(pub std::time::Duration);

impl Duration {
    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// As a signed duration, for arithmetic with timestamps.
    pub fn signed(self) -> jiff::SignedDuration {
        jiff::SignedDuration::try_from(self.0).unwrap_or(jiff::SignedDuration::MAX)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map_err(de::Error::custom)
    }
}

/// Reads a duration.
///
/// # Errors
/// Words that say what was expected.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim()).map(Duration).map_err(|_| {
        format!("{text:?} is not a duration: want a number with a unit, such as 30s, 5m or 1h 30m")
    })
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "duration" })
    }
}

/// A count of nodes: a whole number, or a percentage of a total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntOrPercent {
    /// So many.
    Int(u32),
    /// So many of a hundred.
    Percent(u32),
}

impl IntOrPercent {
    /// The count out of `total`. A percentage rounds down, as Kubernetes rounds a rollout's `maxUnavailable`, but never
    /// to 0: a plan that allows some of the nodes allows one.
    pub fn of(self, total: usize) -> usize {
        match self {
            Self::Int(n) => n as usize,
            Self::Percent(0) => 0,
            Self::Percent(p) => (total * p as usize / 100).max(1),
        }
    }
}

impl fmt::Display for IntOrPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => n.fmt(f),
            Self::Percent(p) => write!(f, "{p}%"),
        }
    }
}

impl Serialize for IntOrPercent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(n) => serializer.serialize_u32(*n),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for IntOrPercent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = IntOrPercent;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number of nodes or a percentage from 1% to 100%")
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<IntOrPercent, E> {
                u32::try_from(n).map(IntOrPercent::Int).map_err(|_| E::custom("more nodes than there can be"))
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<IntOrPercent, E> {
                u32::try_from(n)
                    .map(IntOrPercent::Int)
                    .map_err(|_| E::custom("a count of nodes can't be negative"))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<IntOrPercent, E> {
                parse_int_or_percent(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Reads `3` or `10%`.
///
/// # Errors
/// Words that say what was expected.
pub(crate) fn parse_int_or_percent(text: &str) -> Result<IntOrPercent, String> {
    let wanted =
        || format!("{text:?} is no count: want a whole number such as 2, or a percentage such as 10%");
    match text.trim().strip_suffix('%') {
        Some(percent) => {
            let percent: u32 = percent.trim().parse().map_err(|_| wanted())?;
            if percent > 100 {
                return Err(format!("{percent}% is more than all nodes: want a percentage from 1% to 100%"));
            }
            Ok(IntOrPercent::Percent(percent))
        }
        None => text.trim().parse().map(IntOrPercent::Int).map_err(|_| wanted()),
    }
}

impl JsonSchema for IntOrPercent {
    fn schema_name() -> Cow<'static, str> {
        "IntOrPercent".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_down_but_never_to_nothing() {
        for (text, total, expected) in [
            ("10%", 200, 20),
            ("10%", 15, 1),
            ("10%", 5, 1),
            ("50%", 5, 2),
            ("100%", 3, 3),
            ("4", 2, 4),
            ("0", 9, 0),
        ] {
            assert_eq!(parse_int_or_percent(text).expect(text).of(total), expected, "{text} of {total}");
        }
    }

    #[test]
    fn durations_are_humantimes() {
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert!(parse_duration("30").is_err());
        assert!(parse_duration("soon").is_err());
    }
}
