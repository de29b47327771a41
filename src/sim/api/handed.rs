//! Objects handed over as they are, where client and server are in one process: nobody writes a text for the other to read.

use crate::sim::json::Value;

/// In a request's extensions: its body, in place of a text; the answer is then handed over, too, unless it is a refusal. In a
/// response's: the answer.
#[derive(Clone)]
pub(in crate::sim) struct Handed(pub Value);
