//! Lists: selectors, pages, versions.

use std::fmt::Write;

use super::route::Route;
use super::selector::Selector;
use super::service::Call;
use crate::sim::json::{Value, json};
use crate::sim::store::{Key, Object, Refusal, Store, section};

/// Where a page begins: after this object, in the list as it was at that revision.
struct Token {
    revision: u64,
    after: Key,
}

impl Token {
    /// A text that means nothing to clients.
    fn text(&self) -> String {
        let plain = format!("{}\u{1f}{}\u{1f}{}", self.revision, self.after.namespace, self.after.name);
        plain.bytes().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    fn read(text: &str) -> Option<Self> {
        let digits = |at: usize| text.get(at..at + 2).and_then(|d| u8::from_str_radix(d, 16).ok());
        let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(digits).collect();
        let plain = String::from_utf8(bytes?).ok()?;
        let mut parts = plain.split('\u{1f}');
        let revision = parts.next()?.parse().ok()?;
        Some(Self { revision, after: Key::new(parts.next()?, parts.next()?) })
    }
}

fn check(call: &Call) -> Result<(), Refusal> {
    let text = |key: &str| call.query.get(key).map_or("", String::as_str);
    let (version, matching) = (text("resourceVersion"), text("resourceVersionMatch"));
    let mut causes = Vec::new();
    let forbidden = |causes: &mut Vec<_>, field: &'static str, why: &str| {
        causes.push(("FieldValueForbidden", field, format!("Forbidden: {why}")));
    };
    if matches!(text("sendInitialEvents"), "true" | "1") {
        forbidden(&mut causes, "sendInitialEvents", "sendInitialEvents is forbidden for list");
        return refuse(causes);
    }
    if matching.is_empty() {
        return Ok(());
    }
    let field = "resourceVersionMatch";
    if !text("continue").is_empty() {
        forbidden(&mut causes, field, "resourceVersionMatch is forbidden when continue is provided");
    }
    if version.is_empty() {
        forbidden(&mut causes, field, "resourceVersionMatch is forbidden unless resourceVersion is provided");
    }
    if !matches!(matching, "Exact" | "NotOlderThan") {
        let supported = "\"Exact\", \"NotOlderThan\", \"\"";
        let message = format!("Unsupported value: {matching:?}: supported values: {supported}");
        causes.push(("FieldValueNotSupported", field, message));
    }
    if matching == "Exact" && version == "0" {
        forbidden(
            &mut causes,
            field,
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        );
    }
    refuse(causes)
}

/// 422 for options of a list or watch.
pub(super) fn refuse(causes: Vec<(&'static str, &'static str, String)>) -> Result<(), Refusal> {
    if causes.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = causes.iter().map(|(_, field, message)| format!("{field}: {message}")).collect();
    let told = if told.len() == 1 { told.concat() } else { format!("[{}]", told.join(", ")) };
    let mut refusal =
        Refusal::new(422, "Invalid", format!("ListOptions.meta.k8s.io \"\" is invalid: {told}"));
    let causes: Vec<Value> = causes
        .into_iter()
        .map(|(reason, field, message)| json!({"reason": reason, "message": message, "field": field}))
        .collect();
    refusal.details = Some(json!({"group": "meta.k8s.io", "kind": "ListOptions", "causes": causes}));
    Err(refusal)
}

/// A resource version out of a query.
///
/// # Errors
/// 400 if it is none.
pub(super) fn version(text: &str) -> Result<u64, Refusal> {
    match text {
        "" => Ok(0),
        text => text.parse().map_err(|_| {
            let why = format!("Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax");
            let mut refusal = Refusal::new(400, "BadRequest", format!("resourceVersion: {why}"));
            refusal.details = None;
            refusal
        }),
    }
}

/// A number out of a query.
///
/// # Errors
/// 400 if it is none.
pub(super) fn number(call_text: Option<&String>) -> Result<Option<i64>, Refusal> {
    let Some(text) = call_text.filter(|t| !t.is_empty()) else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|_| Refusal::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))
}

fn expired(token: &Token) -> Refusal {
    let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list \
                   without the continue parameter, or use the continue token in this response to retrieve the remainder of \
                   the results. Continuing with the provided token results in an inconsistent list - objects that were \
                   created, modified, or deleted between the time the first chunk was returned and now may show up in the \
                   list.";
    let mut refusal = Refusal::expired(message);
    refusal.metadata = json!({"continue": Token { revision: 0, after: token.after.clone() }.text()});
    refusal
}

/// A page of a list. Later pages see the moment of the first.
pub(super) fn list(store: &Store, call: &Call, route: &Route) -> Result<Value, Refusal> {
    check(call)?;
    let text = |key: &str| call.query.get(key).map_or("", String::as_str);
    let selector = Selector::read(&route.resource, text("labelSelector"), text("fieldSelector"))?;
    let limit = number(call.query.get("limit"))?.unwrap_or(0);
    let limit = usize::try_from(limit).ok().filter(|l| *l > 0).unwrap_or(usize::MAX);
    let asked = version(text("resourceVersion")).map_err(|mut refusal| {
        refusal.message = format!("invalid resource version: {}", refusal.message);
        refusal
    })?;
    let token = match text("continue") {
        "" => None,
        given => Some(Token::read(given).ok_or_else(|| {
            Refusal::bad_request(
                "invalid continue token: continue key is not valid: it is none of this server's",
            )
        })?),
    };
    if token.is_some() && !matches!(text("resourceVersion"), "" | "0") {
        return Err(Refusal::bad_request("specifying resource version is not allowed when using continue"));
    }
    store.reaches(asked)?;
    // A first page of a version that is given is a page of just that one.
    let exact = match text("resourceVersionMatch") {
        "" => limit < usize::MAX && asked > 0,
        matching => matching == "Exact",
    };
    let revision = match &token {
        Some(token) if token.revision > 0 => token.revision,
        _ if exact => asked,
        _ => store.revision(),
    };
    let name = route.resource.name.as_str();
    let then = match (&token, revision < store.revision()) {
        (_, false) => None,
        (Some(token), true) => store.objects_at(name, revision).map_err(|_| expired(token))?,
        (None, true) => store.objects_at(name, revision)?,
    };
    let (after, namespace) = (token.map(|t| t.after), route.namespace.as_str());
    let is_on_page = |o: &&Object| {
        let key = Key::of(o);
        (namespace.is_empty() || key.namespace == namespace) && after.as_ref().is_none_or(|a| key > *a)
    };
    let objects: Box<dyn Iterator<Item = &Object>> =
        match (&then, selector.node_name().filter(|_| name == "pods")) {
            (Some(then), _) => Box::new(section(then, namespace, after.as_ref())),
            (None, Some(node)) => Box::new(store.pods_on(node).filter(is_on_page)),
            (None, None) => store.list_after(name, namespace, after.as_ref()),
        };
    let mut rest = objects.peekable();
    let page: Vec<&Object> = rest.by_ref().filter(|o| selector.matches(o)).take(limit).collect();
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    // A full page is followed by another, even if nothing that is left is selected.
    if rest.peek().is_some() {
        let after = page.last().map(|o| Key::of(o)).unwrap_or_default();
        metadata["continue"] = json!(Token { revision, after }.text());
        if selector.is_empty() {
            metadata["remainingItemCount"] = json!(rest.count());
        }
    }
    let items: Vec<Value> = page.into_iter().map(|o| item(route, o)).collect();
    if route.resource.is_custom && metadata.get("continue").is_none() {
        metadata["continue"] = json!("");
    }
    Ok(json!({
        "kind": format!("{}List", route.resource.kind), "apiVersion": route.resource.api_version(),
        "metadata": metadata, "items": items,
    }))
}

/// An object in a list: the list says the kind, but for custom resources.
fn item(route: &Route, object: &Value) -> Value {
    let Some(fields) = object.as_object().filter(|_| !route.resource.is_custom) else {
        return object.clone();
    };
    let kept = fields.iter().filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind"));
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
}
