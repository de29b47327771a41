//! Fields and items by their name and number: `object["metadata"]["name"]`.

use std::ops::{Index, IndexMut};

use super::{Map, Value};

static NULL: Value = Value::Null;

/// What a value is asked by: the name of a field, the number of an item.
pub trait Place {
    /// What is there.
    fn find<'a>(&self, value: &'a Value) -> Option<&'a Value>;

    /// What is there, to be changed.
    fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value>;

    /// What is there; a field that isn't is made.
    fn make<'a>(&self, value: &'a mut Value) -> &'a mut Value;
}

impl Place for str {
    fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        value.as_object()?.get(self)
    }

    fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
        value.as_object_mut()?.get_mut(self)
    }

    #[allow(clippy::panic, reason = "as an index of a vector that is out of its bounds")]
    fn make<'a>(&self, value: &'a mut Value) -> &'a mut Value {
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        match value {
            Value::Object(fields) => fields.get_or_insert_with(self, || Value::Null),
            other => panic!("no field {self:?} can be set in {other}"),
        }
    }
}

/// Owned names are asked by as borrowed ones are.
macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl Place for $name {
            fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
                Place::find(self.as_str(), value)
            }

            fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
                self.as_str().find_mut(value)
            }

            fn make<'a>(&self, value: &'a mut Value) -> &'a mut Value {
                self.as_str().make(value)
            }
        }
    )*};
}

as_text!(String, super::Text);

impl Place for usize {
    fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        value.as_array()?.get(*self)
    }

    fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
        value.as_array_mut()?.get_mut(*self)
    }

    #[allow(clippy::panic, reason = "as an index of a vector that is out of its bounds")]
    fn make<'a>(&self, value: &'a mut Value) -> &'a mut Value {
        self.find_mut(value).unwrap_or_else(|| panic!("there is no item {self}"))
    }
}

impl<P: Place + ?Sized> Place for &P {
    fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        (**self).find(value)
    }

    fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
        (**self).find_mut(value)
    }

    fn make<'a>(&self, value: &'a mut Value) -> &'a mut Value {
        (**self).make(value)
    }
}

/// `null` for what isn't there.
impl<P: Place> Index<P> for Value {
    type Output = Value;

    fn index(&self, place: P) -> &Value {
        place.find(self).unwrap_or(&NULL)
    }
}

/// Makes a field that isn't there; `null` becomes an object.
impl<P: Place> IndexMut<P> for Value {
    fn index_mut(&mut self, place: P) -> &mut Value {
        place.make(self)
    }
}

/// `null` for what isn't there.
impl Index<&str> for Map {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&NULL)
    }
}

impl Value {
    /// A field or an item.
    pub fn get(&self, place: impl Place) -> Option<&Value> {
        place.find(self)
    }

    /// A field or an item, to be changed.
    pub fn get_mut(&mut self, place: impl Place) -> Option<&mut Value> {
        place.find_mut(self)
    }

    /// What a JSON pointer (RFC 6901) points at.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        if pointer.is_empty() {
            return Some(self);
        }
        let mut steps = pointer.strip_prefix('/')?.split('/');
        steps.try_fold(self, |value, step| match value {
            Value::Object(fields) if step.contains('~') => {
                fields.get(&step.replace("~1", "/").replace("~0", "~"))
            }
            Value::Object(fields) => fields.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }
}
