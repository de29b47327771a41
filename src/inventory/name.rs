//! Names of namespaced objects.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Namespace and name of an object; shown as `namespace/name`, as kubectl does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ObjectName {
    /// The namespace.
    pub namespace: String,
    /// The name within the namespace.
    pub name: String,
}

impl ObjectName {
    /// Namespace and name as they are compared.
    pub fn parts(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }

    /// Joins a namespace and a name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
