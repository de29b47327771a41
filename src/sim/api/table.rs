//! Tables and bare metadata: the forms in which `kubectl get` and metadata caches ask for objects.
//!
//! # Why
//! kubectl knows no kind's columns: it prints what the server puts into a `Table`. The cells here are those of the API
//! server for its own kinds, `additionalPrinterColumns` for custom ones. Ages count by the cluster's clock, which may be
//! faster than the client's.

use std::borrow::Cow;

use jiff::Timestamp;

use super::columns::{Column, of_kind, of_scale};
use super::route::Route;
use crate::sim::clock::Clock;
use crate::sim::json::{Value, json};
use crate::sim::store::Store;

/// What a row says of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Included {
    None,
    Metadata,
    Object,
}

/// In which form a client wants its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Table(Included),
    Metadata,
}

/// Puts objects into the form that was asked for.
#[derive(Debug, Clone)]
pub(super) struct Presenter {
    form: Form,
    columns: Vec<Column>,
    /// Kind and version of the objects, which those in a list leave out.
    kind: (String, String),
    /// Only the first event of a watch carries the headers.
    headers: bool,
    clock: Clock,
}

impl Presenter {
    /// `None` if the client takes the objects as they are.
    pub fn of(store: &Store, route: &Route, accept: &str, include: Option<&str>) -> Option<Self> {
        let form = accept.split(',').map(str::trim).find_map(|media| asked(media, include))?;
        let columns = match form {
            Form::Table(_) if route.subresource.as_deref() == Some("scale") && !route.resource.is_custom => {
                of_scale()
            }
            Form::Table(_) => of_kind(store, &route.resource, &route.version),
            Form::Metadata => Vec::new(),
            Form::Plain => return None,
        };
        let kind = (route.resource.kind.clone(), route.resource.api_version_of(&route.version));
        Some(Self { form, columns, kind, headers: true, clock: store.clock() })
    }

    /// An object or a list, as the client wants it. A `Status` stays what it is.
    pub fn present(&self, value: &Value) -> Value {
        let now = self.clock.now();
        if value["kind"] == "Status" && value["apiVersion"] == "v1" {
            return value.clone();
        }
        let items = value["items"].as_array();
        match (self.form, items) {
            (Form::Plain, _) => value.clone(),
            (Form::Metadata, None) => bare(value),
            (Form::Metadata, Some(items)) => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"],
                "items": items.iter().map(bare).collect::<Vec<_>>(),
            }),
            (Form::Table(included), None) => {
                let metadata = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
                self.table(&metadata, std::slice::from_ref(value), included, now)
            }
            (Form::Table(included), Some(items)) => self.table(&value["metadata"], items, included, now),
        }
    }

    /// As [`Presenter::present`], for the next event of a watch.
    pub fn present_next(&mut self, value: &Value) -> Value {
        let shown = self.present(value);
        self.headers = false;
        shown
    }

    fn table(&self, metadata: &Value, objects: &[Value], included: Included, now: Timestamp) -> Value {
        let rows: Vec<Value> = objects.iter().map(|object| self.row(object, included, now)).collect();
        let headers = self.headers.then(|| self.columns.iter().map(Column::header).collect::<Vec<_>>());
        json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "columnDefinitions": headers, "rows": rows,
        })
    }

    fn row(&self, object: &Value, included: Included, now: Timestamp) -> Value {
        let object = &self.whole(object);
        let cells: Vec<Value> = self.columns.iter().map(|column| column.cell(object, now)).collect();
        let mut row = json!({"cells": cells});
        match included {
            Included::None => {}
            Included::Metadata => row["object"] = bare(object),
            Included::Object => row["object"] = object.clone().into_owned(),
        }
        if let Some(conditions) = completed(object) {
            row["conditions"] = conditions;
        }
        row
    }

    /// An object that says what it is: a client reads it by itself.
    fn whole<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        if object.get("kind").is_some() {
            return Cow::Borrowed(object);
        }
        let mut whole = object.clone();
        whole["kind"] = json!(self.kind.0);
        whole["apiVersion"] = json!(self.kind.1);
        Cow::Owned(whole)
    }
}

/// `kubectl get` can leave out pods that have ended.
fn completed(pod: &Value) -> Option<Value> {
    if pod["kind"] != "Pod" || pod["apiVersion"] != "v1" {
        return None;
    }
    let (reason, message) = match pod["status"]["phase"].as_str()? {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

/// The form that a media type asks for; `None` if it isn't served.
fn asked(media: &str, include: Option<&str>) -> Option<Form> {
    let mut parts = media.split(';').map(str::trim);
    if !matches!(parts.next(), Some("application/json" | "*/*" | "application/*")) {
        return None;
    }
    let mut form = Some(Form::Plain);
    for part in parts {
        match part.split_once('=') {
            Some(("as", "Table")) => {
                form = Some(Form::Table(match include {
                    Some("None") => Included::None,
                    Some("Object") => Included::Object,
                    _ => Included::Metadata,
                }));
            }
            Some(("as", "PartialObjectMetadata" | "PartialObjectMetadataList")) => {
                form = Some(Form::Metadata);
            }
            // Only the current version of these forms is served; the client names others it takes.
            Some(("as", _)) => return None,
            Some(("v", version)) if version != "v1" => return None,
            _ => {}
        }
    }
    form
}

fn bare(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_is_served_is_taken() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(kubectl.split(',').find_map(|m| asked(m, None)), Some(Form::Table(Included::Metadata)));
        assert_eq!(asked("application/json;as=Table;v=v1beta1;g=meta.k8s.io", None), None);
        let plain = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(plain.split(',').find_map(|m| asked(m, None)), Some(Form::Plain));
        let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        assert_eq!(asked(metadata, None), Some(Form::Metadata));
        let whole = asked("application/json;as=Table;v=v1;g=meta.k8s.io", Some("Object"));
        assert_eq!(whole, Some(Form::Table(Included::Object)));
    }
}
