//! Errors of loading an embedded cluster.

/// A cluster file that can't be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("can't read {file}: {why}")]
    Missing {
        /// File name.
        file: String,
        /// The system's words.
        why: String,
    },
    /// The text isn't YAML or JSON.
    #[error("{file}: document {document} can't be read: {why}")]
    Unreadable {
        /// File name.
        file: String,
        /// Number of the document, from 1.
        document: usize,
        /// The parser's words.
        why: String,
    },
    /// A document isn't a Kubernetes object.
    #[error("{file}: document {document}: {why}")]
    NotAnObject {
        /// File name.
        file: String,
        /// Number of the document, from 1.
        document: usize,
        /// What is missing.
        why: String,
    },
    /// An object can't be created.
    #[error("{file}: {kind} {name}: {why}")]
    Refused {
        /// File name.
        file: String,
        /// Kind.
        kind: String,
        /// Name.
        name: String,
        /// Why.
        why: String,
    },
    /// There is no node: nothing can run.
    #[error(
        "{file}: no Node among {objects} objects; a cluster needs at least one (kubectl get nodes -o yaml gives them)"
    )]
    NoNodes {
        /// File name.
        file: String,
        /// Objects in the file.
        objects: usize,
    },
}
