//! Questions about access: who am I, what may I do? There is no authentication and no authorisation, and the answers say so.

use http::Method;

use super::service::Call;
use crate::sim::json::{Value, json};
use crate::sim::store::Refusal;

/// The groups of these questions.
pub(super) const GROUPS: [&str; 2] = ["authentication.k8s.io", "authorization.k8s.io"];

/// Who every client is.
const USER: &str = "virtroll:anyone";

const KINDS: [(&str, &str, bool); 6] = [
    ("authentication.k8s.io", "SelfSubjectReview", false),
    ("authentication.k8s.io", "TokenReview", false),
    ("authorization.k8s.io", "LocalSubjectAccessReview", true),
    ("authorization.k8s.io", "SelfSubjectAccessReview", false),
    ("authorization.k8s.io", "SelfSubjectRulesReview", false),
    ("authorization.k8s.io", "SubjectAccessReview", false),
];

/// The kinds of a group, and whether they are asked in a namespace.
pub(super) fn kinds(group: &str) -> impl Iterator<Item = (&'static str, bool)> {
    KINDS.iter().filter(move |(g, ..)| *g == group).map(|&(_, kind, namespaced)| (kind, namespaced))
}

/// Answers a question; `None` if the request is none.
pub(super) fn answer(call: &Call) -> Option<Result<Value, Refusal>> {
    let rest = call.path.trim_matches('/').strip_prefix("apis/")?;
    if !GROUPS.iter().any(|group| rest.starts_with(group)) {
        return None;
    }
    let parts: Vec<&str> = rest.split('/').collect();
    let (group, plural) = match parts.as_slice() {
        [group, "v1", "namespaces", _, plural] | [group, "v1", plural] => (*group, *plural),
        _ => return None,
    };
    let (kind, _) = kinds(group).find(|(kind, _)| format!("{}s", kind.to_lowercase()) == plural)?;
    if call.method != Method::POST {
        let message = "the server does not allow this method on the requested resource";
        return Some(Err(Refusal::new(405, "MethodNotAllowed", message)));
    }
    Some(call.json().map(|question| answered(kind, question)))
}

fn answered(kind: &str, mut question: Value) -> Value {
    let groups = ["system:masters", "system:authenticated"];
    question["status"] = match kind {
        "SelfSubjectReview" => json!({"userInfo": {"username": USER, "groups": groups}}),
        "TokenReview" => json!({"authenticated": true, "user": {"username": USER, "groups": groups}}),
        "SelfSubjectRulesReview" => json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": false,
        }),
        _ => json!({"allowed": true, "reason": "the embedded cluster allows everything"}),
    };
    question
}
