//! Validation: what the API server says of objects that are well-formed but wrong. Not everything that the real one checks:
//! names, labels and the other metadata of every kind, and of the kinds' own fields what people get wrong when they write
//! manifests, and what may not change.

mod cause;
mod kinds;
mod limits;
mod metadata;
pub(super) mod names;
mod pod;
mod pod_update;
mod service;
mod update;
mod workload;

pub(super) use cause::{Causes, refuse};

use super::custom;
use crate::sim::json::Value;
use crate::sim::store::{Refusal, Resource};

/// Judges a new object.
///
/// # Errors
/// 422 with all causes.
pub(super) fn new(resource: &Resource, version: &str, object: &Value) -> Result<(), Refusal> {
    let mut causes = Causes::default();
    metadata::metadata(resource, object, &mut causes);
    kinds::whole(resource, object, &mut causes);
    if resource.name == "cronjobs.batch" {
        kinds::cron_job_name(&object["metadata"], &mut causes);
    }
    custom::judge(resource, version, None, object, None, &mut causes);
    refuse(resource, object["metadata"]["name"].as_str().unwrap_or_default(), causes)
}

/// Judges an object that replaces another.
///
/// # Errors
/// 422 with all causes.
pub(super) fn changed(
    resource: &Resource,
    version: &str,
    old: &Value,
    object: &Value,
    subresource: Option<&str>,
) -> Result<(), Refusal> {
    let mut causes = Causes::default();
    metadata::metadata(resource, object, &mut causes);
    metadata::changed(old, object, &mut causes);
    if subresource.is_none() {
        update::changed(resource, old, object, &mut causes);
    }
    custom::judge(resource, version, Some(old), object, subresource, &mut causes);
    refuse(resource, old["metadata"]["name"].as_str().unwrap_or_default(), causes)
}
