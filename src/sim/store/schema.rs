//! Structural schemas: what a CustomResourceDefinition says of its objects, read once.

use std::collections::BTreeMap;

use regex::Regex;

use crate::sim::json::{Map, Value};

/// How the items of a list belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ListType {
    /// One value.
    #[default]
    Atomic,
    /// No item twice.
    Set,
    /// Items are known by these fields.
    Map(Vec<String>),
}

/// The schema of a value.
#[derive(Debug, Default)]
pub struct Schema {
    /// Types that the value may have; empty: any.
    pub types: Vec<String>,
    /// Null is a value.
    pub nullable: bool,
    /// Fields that the schema doesn't know stay.
    pub preserves: bool,
    /// A whole object with a kind of its own.
    pub embedded: bool,
    /// A list's kind.
    pub list: ListType,
    /// A map that is one value.
    pub atomic_map: bool,
    /// Value of a field that isn't there.
    pub default: Option<Value>,
    /// Fields.
    pub properties: BTreeMap<String, Schema>,
    /// Every other field.
    pub additional: Option<Box<Schema>>,
    /// Items of a list.
    pub items: Option<Box<Schema>>,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// Values that there are.
    pub values: Vec<Value>,
    /// What a text must match, as written, and compiled where that is possible.
    pub pattern: Option<(String, Option<Regex>)>,
    /// Form of a text or number.
    pub format: String,
    /// Bounds, and whether they are themselves out of bounds.
    pub minimum: Option<(f64, bool)>,
    /// As `minimum`.
    pub maximum: Option<(f64, bool)>,
    /// Whole multiples of this.
    pub multiple_of: Option<f64>,
    /// Least and most characters.
    pub length: Range,
    /// Least and most items.
    pub count: Range,
    /// Least and most fields.
    pub fields: Range,
    /// Schemas that all must hold.
    pub all_of: Vec<Schema>,
    /// Schemas of which one must hold.
    pub any_of: Vec<Schema>,
    /// Schemas of which exactly one must hold.
    pub one_of: Vec<Schema>,
    /// A schema that must not hold.
    pub not: Option<Box<Schema>>,
    /// CEL rules stand here or below.
    pub has_rules: bool,
    /// Defaults stand here or below.
    pub has_defaults: bool,
    /// Lists that are sets or maps stand here or below.
    pub has_lists: bool,
    /// Whole objects with a kind of their own stand here or below.
    pub has_embedded: bool,
    /// Takes anything: nothing to look at.
    pub is_open: bool,
}

/// Least and most of something.
#[derive(Debug, Default, Clone, Copy)]
pub struct Range {
    /// Least.
    pub least: Option<u64>,
    /// Most.
    pub most: Option<u64>,
}

fn range(schema: &Value, least: &str, most: &str) -> Range {
    Range { least: schema[least].as_u64(), most: schema[most].as_u64() }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

impl Schema {
    /// Reads `openAPIV3Schema`.
    pub fn read(schema: &Value) -> Self {
        let empty = Map::new();
        let text = |field: &str| schema[field].as_str().unwrap_or_default();
        let is = |field: &str| schema[field] == true;
        let all = |field: &str| schema[field].as_array().into_iter().flatten().map(Self::read).collect();
        let one = |field: &str| schema.get(field).filter(|s| s.is_object()).map(|s| Box::new(Self::read(s)));
        let bound = |field: &str, exclusive: &str| schema[field].as_f64().map(|b| (b, is(exclusive)));
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        let mut read = Self {
            types: schema["type"].as_str().map(str::to_owned).into_iter().collect(),
            nullable: is("nullable"),
            preserves: is("x-kubernetes-preserve-unknown-fields"),
            embedded: is("x-kubernetes-embedded-resource"),
            list: match text("x-kubernetes-list-type") {
                "set" => ListType::Set,
                "map" => ListType::Map(texts(&schema["x-kubernetes-list-map-keys"])),
                _ => ListType::Atomic,
            },
            atomic_map: text("x-kubernetes-map-type") == "atomic",
            default: schema.get("default").filter(|d| !d.is_null()).cloned(),
            properties: properties.iter().map(|(name, s)| (name.to_string(), Self::read(s))).collect(),
            additional: match schema.get("additionalProperties") {
                Some(Value::Bool(true)) => Some(Box::new(Self { preserves: true, ..Self::default() })),
                Some(Value::Object(_)) => one("additionalProperties"),
                _ => None,
            },
            items: one("items"),
            required: texts(&schema["required"]),
            values: schema["enum"].as_array().cloned().unwrap_or_default(),
            pattern: schema["pattern"].as_str().map(|p| (p.to_owned(), Regex::new(p).ok())),
            format: text("format").to_owned(),
            minimum: bound("minimum", "exclusiveMinimum"),
            maximum: bound("maximum", "exclusiveMaximum"),
            multiple_of: schema["multipleOf"].as_f64(),
            length: range(schema, "minLength", "maxLength"),
            count: range(schema, "minItems", "maxItems"),
            fields: range(schema, "minProperties", "maxProperties"),
            all_of: all("allOf"),
            any_of: all("anyOf"),
            one_of: all("oneOf"),
            not: one("not"),
            has_rules: schema["x-kubernetes-validations"].as_array().is_some_and(|r| !r.is_empty()),
            ..Self::default()
        };
        if is("x-kubernetes-int-or-string") {
            read.types = vec!["integer".to_owned(), "string".to_owned()];
        }
        read.sum_up(schema);
        read
    }

    fn below(&self) -> impl Iterator<Item = &Self> {
        let lists = [&self.all_of, &self.any_of, &self.one_of].into_iter().flatten();
        let one = [&self.additional, &self.items].into_iter().flatten().map(|s| &**s);
        self.properties.values().chain(one).chain(lists)
    }

    /// What is known of everything below.
    fn sum_up(&mut self, schema: &Value) {
        let rules = self.below().any(|s| s.has_rules);
        self.has_rules |= rules;
        self.has_lists = self.list != ListType::Atomic || self.below().any(|s| s.has_lists);
        self.has_embedded = self.embedded || self.below().any(|s| s.has_embedded);
        self.has_defaults = self.default.is_some() || self.below().any(|s| s.has_defaults);
        let known = ["type", "description", "x-kubernetes-preserve-unknown-fields", "title"];
        self.is_open = self.preserves
            && schema.as_object().is_some_and(|s| s.keys().all(|key| known.contains(&key.as_str())));
    }

    /// The schema of a field.
    pub fn field(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(self.additional.as_deref())
    }
}

/// Where `/scale` finds its numbers; paths as the definition writes them.
#[derive(Debug)]
pub struct ScalePaths {
    /// Wanted replicas.
    pub spec: String,
    /// Replicas that there are.
    pub status: String,
    /// Label selector as a text; may be empty.
    pub selector: String,
}

/// A version of a custom kind.
#[derive(Debug)]
pub struct Version {
    /// Its schema.
    pub schema: Schema,
    /// Its scale subresource.
    pub scale: Option<ScalePaths>,
}

impl Version {
    pub(super) fn read(version: &Value) -> Self {
        let scale = &version["subresources"]["scale"];
        let text = |field: &str| scale[field].as_str().unwrap_or_default().to_owned();
        Self {
            schema: match &version["schema"]["openAPIV3Schema"] {
                // Older definitions may come without one: everything goes.
                Value::Null => Schema { preserves: true, is_open: true, ..Schema::default() },
                schema => Schema::read(schema),
            },
            scale: scale.is_object().then(|| ScalePaths {
                spec: text("specReplicasPath"),
                status: text("statusReplicasPath"),
                selector: text("labelSelectorPath"),
            }),
        }
    }
}
