//! Reading a cluster from manifests: plain YAML or JSON documents, `kind: List`, or a `kubectl get -o yaml` dump.

mod sick;
mod stream;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::api::fill_defaults;
use super::error::Error;
use super::kubevirt;
use super::store::{Key, Store};
use crate::sim::json::{Value, json};

/// Reads the objects of a file, in the order in which they can be created.
///
/// # Errors
/// The first document that can't be read or isn't an object, with its number.
pub fn read(file: &str, text: &str) -> Result<Vec<Value>, Error> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|e| Error::Unreadable {
        file: file.to_owned(),
        document: 1,
        why: e.without_snippet().to_string(),
    })?;
    let mut objects = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        flatten(file, index + 1, document, &mut objects)?;
    }
    in_order(file, objects)
}

/// Reads the objects of a file on disk. JSON, as `virtroll snapshot` writes it, is read item by item.
///
/// # Errors
/// Those of [`read`], and a file that can't be read.
pub fn read_file(path: &Path) -> Result<Vec<Value>, Error> {
    let file = path.display().to_string();
    let unreadable = |why: String| Error::Unreadable { file: file.clone(), document: 1, why };
    let opened =
        std::fs::File::open(path).map_err(|e| Error::Missing { file: file.clone(), why: e.to_string() })?;
    let mut reader = BufReader::new(opened);
    let start = reader.fill_buf().map_err(|e| Error::Missing { file: file.clone(), why: e.to_string() })?;
    if start.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        let mut text = String::new();
        reader.read_to_string(&mut text).map_err(|e| unreadable(e.to_string()))?;
        return read(&file, &text);
    }
    let mut objects = Vec::new();
    let mut bad = None;
    let read = stream::documents(reader, &mut |object| {
        flatten(&file, 1, object, &mut objects).map_err(|error| {
            bad = Some(error);
            String::new()
        })
    });
    match (bad, read) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => in_order(&file, objects),
        // YAML may begin with a brace as well.
        (None, Err(why)) => {
            drop(objects);
            let text = std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))?;
            self::read(&file, &text).map_err(|error| match error {
                Error::Unreadable { .. } => unreadable(why),
                other => other,
            })
        }
    }
}

fn in_order(file: &str, mut objects: Vec<Value>) -> Result<Vec<Value>, Error> {
    if !objects.iter().any(|o| o["kind"] == "Node") {
        return Err(Error::NoNodes { file: file.to_owned(), objects: objects.len() });
    }
    objects.sort_by_key(rank);
    Ok(objects)
}

fn flatten(file: &str, document: usize, mut value: Value, objects: &mut Vec<Value>) -> Result<(), Error> {
    if value.is_null() {
        return Ok(());
    }
    let bad = |why: &str| Error::NotAnObject { file: file.to_owned(), document, why: why.to_owned() };
    let Some(kind) = value["kind"].as_str().map(str::to_owned) else {
        return Err(bad("not a Kubernetes object: it has no kind"));
    };
    if value["apiVersion"].as_str().is_none() {
        return Err(bad(&format!("{kind} has no apiVersion")));
    }
    if kind.ends_with("List")
        && let Some(Value::Array(items)) = value.get_mut("items").map(Value::take)
    {
        for item in items {
            flatten(file, document, item, objects)?;
        }
        return Ok(());
    }
    if value["metadata"]["name"].as_str().is_none_or(str::is_empty)
        && value["metadata"]["generateName"].is_null()
    {
        return Err(bad(&format!("{kind} has no metadata.name")));
    }
    objects.push(value);
    Ok(())
}

/// What others refer to comes first; among equals the file's order stays.
fn rank(object: &Value) -> usize {
    const ORDER: [&str; 7] = [
        "CustomResourceDefinition",
        "Namespace",
        "PriorityClass",
        "StorageClass",
        "Node",
        "PersistentVolume",
        "PersistentVolumeClaim",
    ];
    let kind = object["kind"].as_str().unwrap_or_default();
    ORDER.iter().position(|k| *k == kind).unwrap_or(ORDER.len() + usize::from(kind == "Pod"))
}

/// KubeVirt's own object.
pub const KUBEVIRT: &str = "kubevirts.kubevirt.io";

/// A file with KubeVirt's objects is about a cluster with KubeVirt: what it leaves out of the installation is added.
fn add_kubevirt(objects: &mut Vec<Value>) {
    let of_kubevirt = |o: &Value| {
        o["apiVersion"]
            .as_str()
            .is_some_and(|v| v.split('/').next().is_some_and(|g| g.ends_with("kubevirt.io")))
    };
    if !objects.iter().any(of_kubevirt) {
        return;
    }
    let named = |name: &Value| {
        objects.iter().any(|o| o["kind"] == "CustomResourceDefinition" && o["metadata"]["name"] == *name)
    };
    let crds = kubevirt::crds().into_iter().map(Value::from);
    let mut added: Vec<Value> = crds.filter(|crd| !named(&crd["metadata"]["name"])).collect();
    if !objects.iter().any(|o| o["kind"] == "KubeVirt") {
        added.push(kubevirt::default_installation().into());
    }
    for object in objects.iter_mut().filter(|o| o["kind"] == "KubeVirt" && o["status"]["phase"].is_null()) {
        // A manifest says what is wanted; the operator has done it.
        object["status"] = Value::from(kubevirt::default_installation())["status"].clone();
    }
    added.append(objects);
    *objects = added;
    objects.sort_by_key(rank);
}

/// Creates the objects, with the status that they bring along.
///
/// # Errors
/// The first object that the embedded cluster refuses, or whose kind it doesn't know.
pub fn create(store: &mut Store, file: &str, mut objects: Vec<Value>) -> Result<(), Error> {
    add_kubevirt(&mut objects);
    for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        ensure_namespace(store, namespace);
    }
    sick::mark(&mut objects);
    let mut uids = BTreeSet::new();
    for mut object in objects {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let refused = |why: String| Error::Refused {
            file: file.to_owned(),
            kind: kind.clone(),
            name: name.clone(),
            why,
        };
        let api_version = object["apiVersion"].as_str().unwrap_or_default();
        let Some(resource) = store.resource_of(api_version, &kind).cloned() else {
            let why = format!(
                "the embedded cluster knows no kind {kind} in {api_version}; add its CustomResourceDefinition to the file"
            );
            return Err(refused(why));
        };
        let metadata = &mut object["metadata"];
        for field in [
            "resourceVersion",
            "managedFields",
            "selfLink",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            metadata.as_object_mut().map(|m| m.remove(field));
        }
        if resource.namespaced {
            if metadata["namespace"].is_null() {
                metadata["namespace"] = json!("default");
            }
            let namespace = metadata["namespace"].as_str().unwrap_or("default").to_owned();
            ensure_namespace(store, &namespace);
        } else {
            metadata.as_object_mut().map(|m| m.remove("namespace"));
        }
        drop_unplayed_finalizers(&mut object["metadata"]);
        remember(&mut uids, &object);
        if kind == "Namespace" && store.get("namespaces", "", &name).is_some() {
            continue;
        }
        fill_defaults(store, &resource.name, &mut object);
        store.create(&resource.name, object).map_err(|e| refused(e.message))?;
    }
    drop_dangling_owners(store, &uids);
    match_volumes(store, &uids);
    Ok(())
}

/// Finalizers of components that nobody plays here would hold their objects for ever: a detached volume.
fn drop_unplayed_finalizers(metadata: &mut Value) {
    const UNPLAYED: [&str; 4] = [
        "external-attacher/",
        "external-provisioner.volume.kubernetes.io/",
        "kubernetes.io/pv-protection",
        "kubernetes.io/pvc-protection",
    ];
    if let Some(list) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) {
        list.retain(|f| !f.as_str().is_some_and(|f| UNPLAYED.iter().any(|start| f.starts_with(start))));
    }
}

fn remember(uids: &mut BTreeSet<String>, object: &Value) {
    if let Some(uid) = object["metadata"]["uid"].as_str() {
        uids.insert(uid.to_owned());
    }
}

/// A dump of some kinds only names owners that aren't in it. Such a reference would have its object collected as
/// garbage at once; a pod without its owner is an unmanaged pod, which is the honest reading. A kind that the cluster
/// doesn't serve is another matter: an operator's resource, which a capture leaves out, and which counts as being there.
fn drop_dangling_owners(store: &mut Store, uids: &BTreeSet<String>) {
    let served: BTreeSet<(String, String)> =
        store.resources().map(|r| (r.group.clone(), r.kind.clone())).collect();
    let stays = |reference: &Value| {
        let text = |field: &str| reference[field].as_str().unwrap_or_default();
        let group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
        // Mirror pods name their node, by a UID of its own.
        text("kind") == "Node"
            || uids.contains(text("uid"))
            || !served.contains(&(group.to_owned(), text("kind").to_owned()))
    };
    let names: Vec<String> = store.resources().map(|r| r.name.clone()).collect();
    for resource in names {
        let dangling = |o: &Value| {
            let references = o["metadata"]["ownerReferences"].as_array();
            references.into_iter().flatten().any(|r| !stays(r))
        };
        let keys: Vec<Key> = store.list(&resource).filter(|o| dangling(o)).map(|o| Key::of(o)).collect();
        for key in keys {
            store.modify(&resource, &key, |object| {
                if let Some(references) = object["metadata"]["ownerReferences"].as_array_mut() {
                    references.retain(|r| stays(r));
                }
            });
        }
    }
}

/// A volume may name its claim by the UID that it had in another cluster. It is the claim's that names it here, or reserved for
/// one of that name; one that says of itself that it lost its claim stays as it is.
fn match_volumes(store: &mut Store, uids: &BTreeSet<String>) {
    const VOLUMES: &str = "persistentvolumes";
    let is_foreign = |volume: &Value| {
        let uid = volume["spec"]["claimRef"]["uid"].as_str();
        uid.is_some_and(|uid| !uids.contains(uid)) && volume["status"]["phase"] != "Released"
    };
    let foreign: Vec<Key> = store.list(VOLUMES).filter(|v| is_foreign(v)).map(|v| Key::of(v)).collect();
    for key in foreign {
        let claim = store.get_key(VOLUMES, &key).and_then(|volume| {
            let text = |field: &str| volume["spec"]["claimRef"][field].as_str().unwrap_or_default();
            let claim = store.get("persistentvolumeclaims", text("namespace"), text("name"))?;
            (claim["spec"]["volumeName"] == key.name.as_str()).then(|| claim["metadata"]["uid"].clone())
        });
        store.modify(VOLUMES, &key, |volume| match claim {
            Some(uid) => volume["spec"]["claimRef"]["uid"] = uid,
            None => {
                volume["spec"]["claimRef"].as_object_mut().map(|c| c.remove("uid"));
            }
        });
    }
}

fn ensure_namespace(store: &mut Store, name: &str) {
    if store.get("namespaces", "", name).is_none() {
        let labels = json!({"kubernetes.io/metadata.name": name});
        let mut namespace = json!({"metadata": {"name": name, "labels": labels}});
        fill_defaults(store, "namespaces", &mut namespace);
        // The name was free a moment ago, and nobody else writes while loading.
        let _ = store.create("namespaces", namespace);
    }
}
