//! What the API server looks at before it looks at a body: whether a path takes the method, and the forms of body and answer.

use http::Method;

use super::route::Route;
use super::service::Call;
use crate::sim::store::Refusal;

const FORMS: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// Refuses what a path doesn't take.
///
/// # Errors
/// 404 for a place where the kind isn't and for a subresource that it hasn't, 405 for a method, 400 for a custom object without a name.
pub(super) fn check(call: &Call, route: &Route) -> Result<(), Refusal> {
    let kind = &route.resource;
    let read = call.method == Method::GET && route.name.is_none();
    let nowhere = !kind.namespaced && !route.namespace.is_empty();
    let everywhere = kind.namespaced && route.namespace.is_empty();
    if kind.is_custom && (nowhere || everywhere && !read) {
        return Err(Refusal::no_such_page());
    }
    if nowhere || everywhere && route.name.is_some() {
        return Err(Refusal::no_such_resource());
    }
    if !route.has_subresource() {
        return Err(route.no_subresource());
    }
    let takes = match (route.name.is_some(), route.subresource.as_deref()) {
        (false, _) if everywhere => read,
        (false, _) => match call.method {
            Method::DELETE => kind.name != "namespaces",
            Method::PUT | Method::PATCH if kind.is_custom => {
                return Err(Refusal::bad_request("name must be provided"));
            }
            _ => [Method::GET, Method::POST].contains(&call.method),
        },
        (true, Some("eviction" | "binding")) if kind.name == "pods" => call.method == Method::POST,
        (true, Some("status" | "scale")) => [Method::GET, Method::PUT, Method::PATCH].contains(&call.method),
        (true, None) => [Method::GET, Method::PUT, Method::PATCH, Method::DELETE].contains(&call.method),
        (true, Some(_)) => true,
    };
    if takes { Ok(()) } else { Err(Refusal::method_not_allowed()) }
}

/// Refuses forms that aren't spoken.
///
/// # Errors
/// 415 for a body, 406 for an answer.
pub(super) fn check_forms(call: &Call, route: &Route) -> Result<(), Refusal> {
    let bare = |media: &str| media.split(';').next().unwrap_or_default().trim().to_owned();
    let accepts = |media: &str| {
        let media = bare(media);
        matches!(media.as_str(), "" | "*/*" | "application/*") || FORMS.contains(&media.as_str())
    };
    if !call.accept.split(',').any(accepts) {
        let forms = FORMS.join(", ");
        if route.resource.is_custom {
            let message = format!("only the following media types are accepted: {forms}");
            return Err(Refusal::new(406, "NotAcceptable", message));
        }
        let streams = if call.method == Method::GET && route.name.is_none() {
            ", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
        } else {
            ""
        };
        let message = format!("406: Not Acceptable\n\nAvailable representations: {forms}{streams}");
        let mut refusal = Refusal::new(406, "NotAcceptable", message);
        refusal.details = Some(crate::sim::json::json!({}));
        return Err(refusal);
    }
    let reads = match call.method {
        Method::POST | Method::PUT => true,
        Method::DELETE => !call.body.is_empty(),
        _ => false,
    };
    if reads && !FORMS.contains(&bare(&call.content_type).as_str()) {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            FORMS.join(", ")
        );
        return Err(Refusal::new(415, "UnsupportedMediaType", message));
    }
    Ok(())
}

/// Refuses a `timeout` that isn't one of Go's durations. A watch isn't ended by it.
///
/// # Errors
/// 400.
pub(super) fn check_timeout(call: &Call) -> Result<(), Refusal> {
    let watches = call.query.get("watch").is_some_and(|v| v == "true" || v == "1");
    let Some(text) = call.query.get("timeout").filter(|t| !t.is_empty() && !watches) else { return Ok(()) };
    let Some(why) = not_a_duration(text) else { return Ok(()) };
    Err(Refusal::bad_request(format!("invalid timeout specified in the request URL - time: {why}")))
}

/// Why a text isn't a duration: numbers with their units, one after the other.
fn not_a_duration(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return None;
    }
    let invalid = || Some(format!("invalid duration {text:?}"));
    if rest.is_empty() {
        return invalid();
    }
    while !rest.is_empty() {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = &rest[..rest.len() - after.len()];
        if number.parse::<f64>().is_err() {
            return invalid();
        }
        rest = after.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '.');
        match &after[..after.len() - rest.len()] {
            "" => return Some(format!("missing unit in duration {text:?}")),
            "ns" | "us" | "µs" | "ms" | "s" | "m" | "h" => {}
            unit => return Some(format!("unknown unit {unit:?} in duration {text:?}")),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for fine in ["0", "5s", "-1s", "1.5h10m", ".5s", "100ms", "1h2m3s4ms"] {
            assert_eq!(not_a_duration(fine), None, "{fine}");
        }
        for (wrong, why) in [
            ("zz", "invalid duration \"zz\""),
            ("-", "invalid duration \"-\""),
            ("1.2.3s", "invalid duration \"1.2.3s\""),
            ("5", "missing unit in duration \"5\""),
            ("1h5", "missing unit in duration \"1h5\""),
            ("5d", "unknown unit \"d\" in duration \"5d\""),
        ] {
            assert_eq!(not_a_duration(wrong).as_deref(), Some(why));
        }
    }
}
