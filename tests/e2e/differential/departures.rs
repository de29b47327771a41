//! Where the embedded cluster answers otherwise than the real API server, on purpose. Each is told in
//! `docs/embedded-cluster.md`, too.

use serde_json::Value;

/// A departure: the answers that it covers, and why it is there.
pub struct Departure {
    pub reason: &'static str,
    /// Part of the story's name; empty: any.
    pub story: &'static str,
    /// Part of the request; empty: any.
    pub request: &'static str,
    /// The place in the answer begins so.
    pub place: &'static str,
    /// The real answer has this in it there; empty: any.
    pub real: &'static str,
}

impl Departure {
    pub fn covers(&self, story: &str, request: &str, place: &str, real: &Value, _ours: &Value) -> bool {
        story.contains(self.story)
            && request.contains(self.request)
            && place.starts_with(self.place)
            && real.to_string().contains(self.real)
    }
}

pub const DEPARTURES: &[Departure] = &[
    Departure {
        reason: "a patch that can't be decoded: the real message prints the whole object, managedFields and all",
        story: "",
        request: "PATCH",
        place: "/body/",
        real: "managedFields",
    },
    Departure {
        reason: "a change that isn't allowed: the real message goes on with the difference of two Go structs",
        story: "",
        request: "PATCH",
        place: "/body/",
        real: "\\n@@ -",
    },
    Departure {
        reason: "a value that is a struct: the real message prints it with the names and the order of Go's fields",
        story: "",
        request: "",
        place: "/body/",
        real: "alue: {\\\"",
    },
    Departure {
        reason: "a list in a message, printed with the order of Go's fields",
        story: "",
        request: "ownerReferences",
        place: "/body/",
        real: "Only one reference can have Controller set to true",
    },
    Departure {
        reason: "a continue token is opaque, and so is what is wrong with one",
        story: "lists: pages",
        request: "continue=nonsense",
        place: "/body/message",
        real: "invalid continue token: continue key is not valid",
    },
    Departure {
        reason: "a definition's status is its controller's, and controllers stand still in this suite",
        story: "custom:",
        request: "PATCH /apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        place: "/body/status",
        real: "",
    },
    Departure {
        reason: "CEL rules aren't evaluated, which a warning says when they are defined",
        story: "custom: rules in CEL",
        request: "POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        place: "/warnings",
        real: "<absent>",
    },
    Departure {
        reason: "what breaks a CEL rule is taken",
        story: "custom: rules in CEL",
        request: "\"low\":2",
        place: "/",
        real: "",
    },
    Departure {
        reason: "how large a request to etcd is, to the byte",
        story: "sizes:",
        request: "",
        place: "/body/message",
        real: "trying to send message larger than max",
    },
];
