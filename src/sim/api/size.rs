//! How large things may be: the body of a request for the API server, an object for etcd behind it.

use super::service::Call;
use crate::sim::json::Value;
use crate::sim::store::Refusal;

/// The API server's own limit of a request's body.
pub(in crate::sim) const MOST_OF_A_BODY: usize = 3 * 1024 * 1024;
/// etcd's limit of a request, which is little more than the object.
const MOST_OF_AN_OBJECT: usize = 1536 * 1024;
/// The most that the API server sends to etcd at all.
const MOST_OF_A_MESSAGE: usize = 2 * 1024 * 1024;
/// A smaller body makes no object of its own that is too large.
const SMALL: usize = MOST_OF_AN_OBJECT / 8;
/// What surrounds an object in a request to etcd: its key, several times, and the version that it replaces.
const AROUND: usize = 128;

/// Whether a body is one that the API server reads to its end.
///
/// # Errors
/// 413.
pub(in crate::sim) fn check_body(body: &[u8]) -> Result<(), Refusal> {
    if body.len() > MOST_OF_A_BODY { Err(body_too_large()) } else { Ok(()) }
}

/// What a larger body gets.
pub(in crate::sim) fn body_too_large() -> Refusal {
    let message = format!("Request entity too large: limit is {MOST_OF_A_BODY}");
    Refusal::new(413, "RequestEntityTooLarge", message)
}

/// Whether etcd takes an object that a request created.
///
/// # Errors
/// 500, in etcd's words or those of the line to it.
pub(super) fn check_new(call: &Call, object: &Value) -> Result<(), Refusal> {
    if call.body.len() < SMALL { Ok(()) } else { check(object) }
}

/// Whether etcd takes an object that a request changed. A small request may add to an object that is large already.
///
/// # Errors
/// Those of [`check_new`].
pub(super) fn check_changed(call: &Call, old: &Value, object: &Value) -> Result<(), Refusal> {
    // What was handed over comes from the embedded KubeVirt, whose objects don't grow.
    let is_small = call.takes_values || (call.body.len() < SMALL && weight(object, SMALL) < SMALL);
    if is_small || old == object { Ok(()) } else { check(object) }
}

fn check(object: &Value) -> Result<(), Refusal> {
    let mut stored = Vec::new();
    // Writing to memory doesn't fail.
    drop(serde_json::to_writer(&mut stored, object));
    let size = stored.len() + AROUND;
    if size <= MOST_OF_AN_OBJECT {
        return Ok(());
    }
    let message = if size <= MOST_OF_A_MESSAGE {
        "etcdserver: request is too large".to_owned()
    } else {
        format!(
            "rpc error: code = ResourceExhausted desc = trying to send message larger than max ({size} vs. {MOST_OF_A_MESSAGE})"
        )
    };
    Err(Refusal::new(500, "", message))
}

/// About the length of a value as a text, without writing it: exact enough to tell small from large. Not counted further than
/// to `most`.
fn weight(value: &Value, most: usize) -> usize {
    match value {
        Value::String(text) => text.len() + 3,
        Value::Array(items) => {
            let mut sum = 2;
            for item in items {
                if sum >= most {
                    break;
                }
                sum += weight(item, most - sum);
            }
            sum
        }
        Value::Object(fields) => {
            let mut sum = 2;
            for (name, value) in fields {
                if sum >= most {
                    break;
                }
                sum += name.len() + 3 + weight(value, most - sum);
            }
            sum
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 5,
    }
}
