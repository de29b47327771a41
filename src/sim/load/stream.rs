//! JSON from a file, item by item: a list of 150,000 pods is never in memory as text.

use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::sim::json::{Map, Value};

/// Reads JSON documents; what stands in a list's `items` comes one by one.
pub(super) fn documents(
    reader: impl Read,
    each: &mut dyn FnMut(Value) -> Result<(), String>,
) -> Result<(), String> {
    let mut stream = serde_json::Deserializer::from_reader(reader);
    loop {
        // Nothing but blanks is left.
        if stream.end().is_ok() {
            return Ok(());
        }
        (&mut stream).deserialize_map(Document { each: &mut *each }).map_err(|e| e.to_string())?;
    }
}

struct Document<'a> {
    each: &'a mut dyn FnMut(Value) -> Result<(), String>,
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a Kubernetes object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut fields = Map::new();
        let mut has_items = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "items" {
                map.next_value_seed(Items { each: &mut *self.each })?;
                has_items = true;
            } else {
                fields.insert(key, map.next_value()?);
            }
        }
        if has_items { Ok(()) } else { (self.each)(Value::Object(fields)).map_err(A::Error::custom) }
    }
}

struct Items<'a> {
    each: &'a mut dyn FnMut(Value) -> Result<(), String>,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a list of Kubernetes objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<Value>()? {
            (self.each)(item).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}
