//! What the API's built-in types look like: which fields a struct has, of what type, which are left out when empty, and how
//! patches and server-side apply merge them. Read once, when it is first asked for, from `types.txt`, which
//! `tests/control-plane/types` prints from the API's own Go types.

use std::collections::HashMap;
use std::sync::OnceLock;

const TABLE: &str = include_str!("types.txt");

/// The type of a field's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// A text; the name of its Go type.
    Text(String),
    /// A whole number of so many bits; the name of its Go type.
    Integer(u32, String),
    /// True or false.
    Bool,
    /// A number with a fraction.
    Float,
    /// A time in seconds.
    Time,
    /// A time in microseconds.
    MicroTime,
    /// A quantity.
    Quantity,
    /// A number or a percentage.
    IntOrString,
    /// Anything.
    Raw,
    /// Base64.
    Bytes,
    /// A list.
    List(Box<Shape>),
    /// A map from text.
    Map(Box<Shape>),
    /// A struct, by its index.
    Struct(usize),
}

/// How a strategic merge patch merges a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patch {
    /// Not: the new list replaces the old one.
    Replace,
    /// By this key.
    Key(&'static str),
    /// As a set.
    Set,
}

/// How server-side apply owns a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Merge {
    /// By its fields; a list as one.
    Granular,
    /// As one.
    Atomic,
    /// A list by its items, which are known by these keys.
    Keys(Vec<&'static str>),
    /// A list by its items, which are known by themselves.
    Set,
}

/// A field of a struct.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub name: &'static str,
    pub shape: Shape,
    pub pointer: bool,
    pub omit_empty: bool,
    pub omit_zero: bool,
    /// How a strategic merge patch merges a list.
    pub patch: Patch,
    /// How server-side apply owns the value.
    pub merge: Merge,
}

impl Field {
    /// Whether something is written for it although it isn't set.
    pub(super) fn is_always_written(&self) -> bool {
        if self.pointer {
            return !self.omit_empty;
        }
        let is_never_empty = matches!(
            self.shape,
            Shape::Struct(_)
                | Shape::Time
                | Shape::MicroTime
                | Shape::Raw
                | Shape::Quantity
                | Shape::IntOrString
        );
        !self.omit_zero && (is_never_empty || !self.omit_empty)
    }
}

/// A struct.
#[derive(Debug, Default)]
pub(super) struct Struct {
    /// Its Go name, `v1.PodSpec`.
    pub name: String,
    pub fields: Vec<Field>,
    /// Those that are always written.
    always: Vec<usize>,
    by_name: HashMap<&'static str, usize>,
}

impl Struct {
    /// The field of that name.
    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.by_name.get(name).map(|i| &self.fields[*i])
    }

    /// The fields for which something is written although they aren't set.
    pub(super) fn always(&self) -> impl Iterator<Item = &Field> {
        self.always.iter().map(|i| &self.fields[*i])
    }
}

/// All types.
#[derive(Debug, Default)]
pub(super) struct Types {
    structs: Vec<Struct>,
    kinds: HashMap<(&'static str, &'static str), usize>,
    names: HashMap<&'static str, usize>,
    metadata: usize,
}

impl Types {
    /// The table.
    pub(super) fn get() -> &'static Self {
        static TYPES: OnceLock<Types> = OnceLock::new();
        TYPES.get_or_init(Self::read)
    }

    /// The struct of a kind, by `apiVersion` and `kind`.
    pub(super) fn kind(&self, api_version: &str, kind: &str) -> Option<usize> {
        self.kinds.get(&(api_version, kind)).copied()
    }

    /// The struct of that name, such as `core/v1.PodSpec`.
    pub(super) fn named(&self, name: &str) -> Option<&Struct> {
        self.names.get(name).map(|i| &self.structs[*i])
    }

    /// The struct with that index.
    pub(super) fn structure(&self, index: usize) -> &Struct {
        &self.structs[index]
    }

    /// The struct of every object's metadata.
    pub(super) fn metadata(&self) -> usize {
        self.metadata
    }

    fn read() -> Self {
        let mut types = Self::default();
        let mut indexes: HashMap<&'static str, usize> = HashMap::new();
        for line in TABLE.lines().filter(|l| !l.starts_with(' ') && !l.starts_with("kind ")) {
            indexes.insert(line, types.structs.len());
            let name = line.rsplit('/').next().unwrap_or(line).to_owned();
            types.structs.push(Struct { name, ..Struct::default() });
        }
        let mut current = 0;
        for line in TABLE.lines() {
            if let Some(kind) = line.strip_prefix("kind ") {
                let mut words = kind.split(' ');
                if let (Some(version), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) {
                    types.kinds.insert((version, kind), indexes.get(name).copied().unwrap_or(0));
                }
            } else if let Some(field) = line.strip_prefix(' ') {
                if let Some(field) = read_field(field, &indexes) {
                    let all = &mut types.structs[current];
                    all.by_name.insert(field.name, all.fields.len());
                    if field.is_always_written() {
                        all.always.push(all.fields.len());
                    }
                    all.fields.push(field);
                }
            } else {
                current = indexes.get(line).copied().unwrap_or(0);
            }
        }
        types.metadata = indexes.get("meta/v1.ObjectMeta").copied().unwrap_or(0);
        types.names = indexes;
        types
    }
}

fn read_field(line: &'static str, indexes: &HashMap<&'static str, usize>) -> Option<Field> {
    let mut words = line.split(' ').filter(|w| !w.is_empty());
    let (name, shape) = (words.next()?, shape(words.next()?, indexes));
    let mut field = Field {
        name,
        shape,
        pointer: false,
        omit_empty: false,
        omit_zero: false,
        patch: Patch::Replace,
        merge: Merge::Granular,
    };
    for word in words {
        if let Some(patch) = word.strip_prefix("patch=") {
            let (strategy, key) = patch.split_once(':').map_or((patch, None), |(s, k)| (s, Some(k)));
            field.patch = match key {
                _ if !strategy.split(',').any(|s| s == "merge") => Patch::Replace,
                Some(key) => Patch::Key(key),
                None => Patch::Set,
            };
        } else if let Some(keys) = word.strip_prefix("keys=") {
            field.merge = Merge::Keys(keys.split(',').collect());
        } else if word == "set" {
            field.merge = Merge::Set;
        } else if word == "atomic" {
            field.merge = Merge::Atomic;
        } else {
            field.pointer = word.contains('*');
            field.omit_empty = word.contains('o');
            field.omit_zero = word.contains('z');
        }
    }
    Some(field)
}

fn shape(text: &str, indexes: &HashMap<&'static str, usize>) -> Shape {
    if let Some(element) = text.strip_prefix('[') {
        return Shape::List(Box::new(shape(element, indexes)));
    }
    if let Some(element) = text.strip_prefix('{') {
        return Shape::Map(Box::new(shape(element, indexes)));
    }
    if let Some(name) = text.strip_prefix('@') {
        return indexes.get(name).map_or(Shape::Raw, |i| Shape::Struct(*i));
    }
    let (kind, name) = text.split_once(':').unwrap_or((text, ""));
    let named = |kind: &str| match name {
        "" => kind.to_owned(),
        "UID" => "types.UID".to_owned(),
        name => format!("v1.{name}"),
    };
    match kind {
        "bool" => Shape::Bool,
        "int32" => Shape::Integer(32, named(kind)),
        "int64" => Shape::Integer(64, named(kind)),
        "float64" => Shape::Float,
        "time" => Shape::Time,
        "microtime" => Shape::MicroTime,
        "quantity" => Shape::Quantity,
        "intorstring" => Shape::IntOrString,
        "bytes" => Shape::Bytes,
        "string" => Shape::Text(named(kind)),
        _ => Shape::Raw,
    }
}
