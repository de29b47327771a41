//! Options in the query of a request: `dryRun`, `fieldValidation`, `fieldManager`, `propagationPolicy`.

use http::Method;

use super::service::Call;
use crate::sim::json::{Value, json};
use crate::sim::store::Refusal;

fn unsupported(kind: &str, field: &str, given: &str, supported: &[&str]) -> Refusal {
    let supported: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
    // A list of values in the query, printed as one.
    let given = if field == "dryRun" { format!("[{given:?}]") } else { format!("{given:?}") };
    let message = format!("Unsupported value: {given}: supported values: {}", supported.join(", "));
    invalid(kind, field, "FieldValueNotSupported", &message)
}

/// A refusal about an option.
pub(super) fn invalid(kind: &str, field: &str, reason: &str, message: &str) -> Refusal {
    let mut refusal =
        Refusal::new(422, "Invalid", format!("{kind}.meta.k8s.io \"\" is invalid: {field}: {message}"));
    let cause: Value = json!({"reason": reason, "message": message, "field": field});
    refusal.details = Some(json!({"group": "meta.k8s.io", "kind": kind, "causes": [cause]}));
    refusal
}

/// Reads a number as Go does.
///
/// # Errors
/// 400 for another text, or a number of more than 64 bits.
pub(super) fn whole_number(text: &str) -> Result<i64, Refusal> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse().map_err(|error: std::num::ParseIntError| {
        let why = match error.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        Refusal::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}"))
    })
}

/// Judges how a deletion shall go on to dependants.
///
/// # Errors
/// 422 for a policy that doesn't exist, or two at once.
pub(super) fn check_propagation(policy: Option<&str>, orphans: bool) -> Result<(), Refusal> {
    let Some(policy) = policy else { return Ok(()) };
    let field = "propagationPolicy";
    if !matches!(policy, "Foreground" | "Background" | "Orphan") {
        return Err(unsupported(
            "DeleteOptions",
            field,
            policy,
            &["Foreground", "Background", "Orphan", "nil"],
        ));
    }
    if orphans {
        let message =
            format!("Invalid value: {policy:?}: orphanDependents and deletionPropagation cannot be both set");
        return Err(invalid("DeleteOptions", field, "FieldValueInvalid", &message));
    }
    Ok(())
}

/// Refuses options that don't exist.
///
/// # Errors
/// 422 for each.
pub(super) fn check(call: &Call) -> Result<(), Refusal> {
    let kind = match call.method {
        Method::POST => "CreateOptions",
        Method::PUT => "UpdateOptions",
        Method::PATCH => "PatchOptions",
        Method::DELETE => "DeleteOptions",
        _ => return Ok(()),
    };
    let applies = call.content_type.starts_with("application/apply-patch");
    if call.method == Method::PATCH && !applies && call.query.contains_key("force") {
        let message = "Forbidden: may not be specified for non-apply patch";
        return Err(invalid(kind, "force", "FieldValueForbidden", message));
    }
    if let Some(value) = call.query.get("dryRun").filter(|v| !v.is_empty() && *v != "All") {
        return Err(unsupported(kind, "dryRun", value, &["All"]));
    }
    if call.query.get("fieldManager").is_some_and(|m| m.len() > 128) {
        let message = "Too long: may not be more than 128 bytes";
        return Err(invalid(kind, "fieldManager", "FieldValueTooLong", message));
    }
    if kind == "DeleteOptions" {
        return Ok(());
    }
    let allowed = ["", "Ignore", "Strict", "Warn"];
    match call.query.get("fieldValidation").filter(|v| !allowed.contains(&v.as_str())) {
        Some(value) => Err(unsupported(kind, "fieldValidation", value, &allowed)),
        None => Ok(()),
    }
}
