//! How the value of a field is owned: as one, by its fields, by its items.

use crate::sim::api::types::{Merge, Shape, Types};
use crate::sim::json::{Map, Value, json};
use crate::sim::store::{ListType, Schema};

/// What is known of a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node<'a> {
    /// Of a built-in type.
    Built(&'static Shape, &'static Merge),
    /// A built-in struct, by index.
    Struct(usize),
    /// A custom object: its head is built in.
    Object(&'a Schema),
    /// Of a custom kind's schema.
    Custom(&'a Schema),
    /// Nothing: maps by field, everything else as one.
    Unknown,
}

/// How a value is owned.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form<'a> {
    One,
    Fields,
    /// Items are known by keys.
    Keyed(Keys<'a>, Node<'a>),
    /// Items are known by themselves.
    Set(Node<'a>),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Keys<'a> {
    Static(&'static [&'static str]),
    Custom(&'a [String]),
}

/// A value without parts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar {
    Text,
    Bool,
    Number,
}

impl<'a> Node<'a> {
    /// What kind of scalar the type is, if it takes just one.
    pub(super) fn scalar(self) -> Option<Scalar> {
        match self {
            Self::Built(Shape::Text(_) | Shape::Time | Shape::MicroTime | Shape::Bytes, _) => {
                Some(Scalar::Text)
            }
            Self::Built(Shape::Bool, _) => Some(Scalar::Bool),
            Self::Built(Shape::Integer(..) | Shape::Float, _) => Some(Scalar::Number),
            Self::Custom(schema) => match schema.types.as_slice() {
                [one] if one == "string" => Some(Scalar::Text),
                [one] if one == "boolean" => Some(Scalar::Bool),
                [one] if one == "integer" || one == "number" => Some(Scalar::Number),
                _ => None,
            },
            _ => None,
        }
    }

    /// The type has fields, known or not, even if it is owned as one.
    pub(super) fn is_fields(self) -> bool {
        match self {
            Self::Built(shape, _) => matches!(shape, Shape::Struct(_) | Shape::Map(_)),
            Self::Custom(schema) => schema.types.iter().any(|t| t == "object"),
            Self::Struct(_) | Self::Object(_) => true,
            Self::Unknown => false,
        }
    }

    /// The type has its fields and no others.
    pub(super) fn is_closed(self) -> bool {
        match self {
            Self::Struct(_) | Self::Built(Shape::Struct(_), _) => true,
            Self::Object(schema) | Self::Custom(schema) => !schema.preserves && schema.additional.is_none(),
            _ => false,
        }
    }

    /// The type of a list's items.
    pub(super) fn items(self) -> Self {
        match self {
            Self::Built(Shape::List(element), _) => Self::Built(element, &Merge::Granular),
            Self::Custom(schema) => schema.items.as_deref().map_or(Self::Unknown, Self::Custom),
            _ => Self::Unknown,
        }
    }

    /// The form of a value.
    pub(super) fn form(self, value: Option<&Value>) -> Form<'a> {
        match self {
            Self::Struct(_) | Self::Object(_) => Form::Fields,
            Self::Unknown => match value {
                Some(Value::Object(_)) => Form::Fields,
                _ => Form::One,
            },
            Self::Built(shape, merge) => built(shape, merge),
            Self::Custom(schema) => custom(schema, value),
        }
    }

    /// A field's node, and whether the type itself has that field.
    pub(super) fn field(self, name: &str) -> (Node<'a>, bool) {
        let types = Types::get();
        let of_struct = |index: usize| {
            let field = types.structure(index).field(name);
            field.map_or((Node::Unknown, matches!(name, "apiVersion" | "kind")), |f| {
                (Node::Built(&f.shape, &f.merge), true)
            })
        };
        match self {
            Self::Struct(index) => of_struct(index),
            Self::Built(Shape::Struct(index), _) => of_struct(*index),
            Self::Built(Shape::Map(element), _) => (Node::Built(element, &Merge::Granular), false),
            Self::Object(_) if matches!(name, "apiVersion" | "kind") => (Node::Unknown, true),
            Self::Object(_) if name == "metadata" => (Node::Struct(types.metadata()), true),
            Self::Object(schema) | Self::Custom(schema) => match schema.properties.get(name) {
                Some(inner) => (Node::Custom(inner), true),
                None => (schema.additional.as_deref().map_or(Node::Unknown, Node::Custom), false),
            },
            _ => (Node::Unknown, false),
        }
    }
}

fn built(shape: &'static Shape, merge: &'static Merge) -> Form<'static> {
    match (shape, merge) {
        (_, Merge::Atomic) => Form::One,
        (Shape::Struct(_) | Shape::Map(_), _) => Form::Fields,
        (Shape::List(element), Merge::Keys(keys)) => {
            // References are one value, wherever they stand.
            let one = matches!(**element, Shape::Struct(index) if is_reference(index));
            let merge = if one { &Merge::Atomic } else { &Merge::Granular };
            Form::Keyed(Keys::Static(keys), Node::Built(element, merge))
        }
        (Shape::List(element), Merge::Set) => Form::Set(Node::Built(element, &Merge::Granular)),
        _ => Form::One,
    }
}

fn is_reference(index: usize) -> bool {
    matches!(
        Types::get().structure(index).name.as_str(),
        "v1.OwnerReference" | "v1.LocalObjectReference" | "v1.ObjectReference"
    )
}

fn custom<'a>(schema: &'a Schema, value: Option<&Value>) -> Form<'a> {
    let is = |name: &str| schema.types.iter().any(|t| t == name);
    if is("array") {
        let item = schema.items.as_deref().map_or(Node::Unknown, Node::Custom);
        return match &schema.list {
            ListType::Atomic => Form::One,
            ListType::Set => Form::Set(item),
            ListType::Map(keys) => Form::Keyed(Keys::Custom(keys), item),
        };
    }
    if is("object") {
        return if schema.atomic_map { Form::One } else { Form::Fields };
    }
    if schema.types.is_empty() { Node::Unknown.form(value) } else { Form::One }
}

/// The step to an item.
pub(super) fn item_step(form: Form<'_>, item: &Value) -> String {
    match form {
        Form::Keyed(keys, node) => {
            let names: Vec<&str> = match keys {
                Keys::Static(keys) => keys.to_vec(),
                Keys::Custom(keys) => keys.iter().map(String::as_str).collect(),
            };
            let mut named = Map::new();
            for name in names {
                if let Some(value) = item.get(name).cloned().or_else(|| key_default(node, name)) {
                    named.insert(name.to_owned(), value);
                }
            }
            format!("k:{}", Value::Object(named))
        }
        _ => format!("v:{item}"),
    }
}

fn key_default(node: Node<'_>, name: &str) -> Option<Value> {
    match node {
        Node::Custom(schema) => schema.properties.get(name)?.default.clone(),
        _ if name == "protocol" => Some(json!("TCP")),
        _ => None,
    }
}
