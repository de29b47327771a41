//! Mistakes with their places, rendered with the line and a caret.

use std::ops::Range;

use codespan_reporting::diagnostic::{Diagnostic as Rendered, Label};
use codespan_reporting::files::SimpleFile;
use codespan_reporting::term;

/// One mistake, or one warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// Where, as bytes of the source; `None`: the whole file.
    pub span: Option<Range<usize>>,
    /// What was expected or what to do, beside the caret.
    pub hint: String,
    /// A warning doesn't stop anything.
    pub is_warning: bool,
}

/// What is wrong with a plan file, with its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    file: String,
    source: String,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// None yet.
    pub fn new(file: &str, source: &str) -> Self {
        Self { file: file.to_owned(), source: source.to_owned(), list: Vec::new() }
    }

    /// None yet, about the same file.
    pub(super) fn of_same_file(&self) -> Self {
        Self::new(&self.file, &self.source)
    }

    /// The source.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Adds a mistake.
    pub fn error(&mut self, span: Option<Range<usize>>, message: impl Into<String>, hint: impl Into<String>) {
        self.list.push(Diagnostic { message: message.into(), span, hint: hint.into(), is_warning: false });
    }

    /// Adds a warning.
    pub fn warning(
        &mut self,
        span: Option<Range<usize>>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.list.push(Diagnostic { message: message.into(), span, hint: hint.into(), is_warning: true });
    }

    /// All, in the order of their places.
    pub fn list(&self) -> Vec<&Diagnostic> {
        let mut list: Vec<&Diagnostic> = self.list.iter().collect();
        list.sort_by_key(|d| (d.span.as_ref().map_or(0, |s| s.start), d.message.clone()));
        list
    }

    /// True if there is a mistake among them.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| !d.is_warning)
    }

    /// The text for a terminal: for each its line with a caret under the place.
    pub fn render(&self) -> String {
        let file = SimpleFile::new(self.file.as_str(), self.source.as_str());
        let config = term::Config::default();
        let mut text = String::new();
        for diagnostic in self.list() {
            let rendered = if diagnostic.is_warning { Rendered::warning() } else { Rendered::error() };
            let span = diagnostic.span.clone().unwrap_or(0..0);
            let label = Label::primary((), span).with_message(&diagnostic.hint);
            let rendered = rendered.with_message(&diagnostic.message).with_labels(vec![label]);
            match term::emit_into_string(&config, &file, &rendered) {
                Ok(shown) => text.push_str(&shown),
                // Only a span outside the file could fail; the words matter more than the picture.
                Err(_) => {
                    text.push_str(&format!("{}: {} ({})\n", self.file, diagnostic.message, diagnostic.hint));
                }
            }
        }
        text
    }
}
