//! Pseudonyms: names become words that say nothing, the same everywhere, so that selectors, owners and order stay as they are.
//!
//! # Why
//! Names are made of words between `-`, `.` and the like. Each word gets a pseudonym of its own, so that what is derived by
//! joining words (`db` and its pod `db-0`, a Deployment and its ReplicaSet) still is. Pseudonyms are given in the order of the
//! words, all equally long, so that lists by name keep their order. What isn't known to be an enumeration, a quantity, a time
//! or an id counts as a name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Letters of pseudonyms: no vowels, so that no words come about.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz";

/// Words of Kubernetes and KubeVirt themselves, which name nothing of anybody's.
const COMMON: &str = "
    app apps api arch amd64 arm64 s390x beta batch claim class cluster clusters cni component container containers control controller
    core cpu created critical csi data default deployment deployments disk dns domain evacuation false generation group hash host hostname
    hotplug hp index instance io job k8s kube kubelet kubernetes kubevirt launcher lease linux local managed manager master memory metadata
    migrate migration name namespace network node nodes os part persistent plane pod pods private pv pvc public release replica revision
    role root scheduler service set snapshot spec stateful storage system target template tier topology true user version virt vm vmi
    volume worker workers x z zone region org com net example virtroll dev compute init main proxy";

/// Domains of keys that are nobody's own.
const DOMAINS: [&str; 6] =
    ["kubernetes.io", "k8s.io", "kubevirt.io", "virtroll.dev", "openshift.io", "nvidia.com"];

/// Fields whose text is an enumeration, a quantity, a time, a version or an id.
const PLAIN: &str = "
    apiVersion kind uid type status reason phase operator effect protocol whenUnsatisfiable restartPolicy
    nodeAffinityPolicy nodeTaintsPolicy conditionType preemptionPolicy medium sizeLimit requests limits capacity allocatable
    accessModes volumeMode persistentVolumeReclaimPolicy reclaimPolicy volumeBindingMode qosClass
    podManagementPolicy whenDeleted whenScaled maxSurge maxUnavailable minAvailable unhealthyPodEvictionPolicy completionMode
    podReplacementPolicy completedIndexes bootID kernelVersion osImage architecture operatingSystem kubeletVersion
    containerRuntimeVersion evictionStrategy runStrategy printableStatus startStrategy migrationMethod migrationTransport mode
    abortStatus bandwidthPerMigration featureGates cpuModel machineType machine model bus cache memory guest clock policy reservation
    selinuxContext observedKubeVirtVersion targetKubeVirtVersion defaultArchitecture workloadUpdateMethods batchEvictionInterval
    defaultNetworkInterface domainAttachmentType vmRolloutStrategy action scope priority
    lastFailedVMIUID migrationUid finalizers
    at strategy timeout expected backoff soak onTimeout onUncordoned nonMigratable shutDown staysOff external onFailure onConflict
    optimizeFor steering by after surge condition jsonPath maxUnavailablePerZone cron timeZone duration gracePeriodSeconds url method";

/// Fields that map label keys to label values.
const LABELS: [&str; 10] = [
    "labels",
    "matchLabels",
    "nodeSelector",
    "addedNodeSelector",
    "virtualMachineInstanceSelector",
    "namespaceSelector",
    "requests",
    "limits",
    "capacity",
    "allocatable",
];

/// The pseudonyms of words.
#[derive(Debug, Default)]
pub struct Names {
    words: BTreeMap<String, String>,
}

impl Names {
    /// Takes in the words of an object.
    pub fn learn(&mut self, object: &Value) {
        if is_definition(object) {
            return;
        }
        let mut copy = object.clone();
        let mut learn = |word: &str| {
            self.words.entry(word.to_owned()).or_default();
            word.to_owned()
        };
        walk(&mut copy, "", &mut learn);
    }

    /// Gives all words that were learnt their pseudonyms.
    pub fn assign(&mut self) {
        let mut width = 3;
        while LETTERS.len().pow(width) <= self.words.len() {
            width += 1;
        }
        for (number, pseudonym) in self.words.values_mut().enumerate() {
            let digits = (0..width).rev().map(|place| number / LETTERS.len().pow(place) % LETTERS.len());
            *pseudonym = digits.map(|d| char::from(LETTERS[d])).collect();
        }
    }

    /// Replaces the names in an object.
    pub fn apply(&self, object: &mut Value) {
        if is_definition(object) {
            return;
        }
        let mut give = |word: &str| self.words.get(word).cloned().unwrap_or_else(|| "unknown".to_owned());
        walk(object, "", &mut give);
    }

    /// Words and their pseudonyms, for whoever has to read the answer.
    pub fn map(&self) -> &BTreeMap<String, String> {
        &self.words
    }
}

/// Definitions of kinds are public.
fn is_definition(object: &Value) -> bool {
    object["kind"] == "CustomResourceDefinition"
}

type Give<'a> = &'a mut dyn FnMut(&str) -> String;

fn is_listed(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|w| w == word)
}

fn walk(value: &mut Value, field: &str, give: Give<'_>) {
    match value {
        Value::Object(fields) if field == "annotations" => annotations(fields, give),
        Value::Object(fields) if LABELS.contains(&field) && fields.values().all(Value::is_string) => {
            let amounts = is_listed(PLAIN, field);
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(key, mut value)| {
                    if let Value::String(text) = &mut value
                        && !amounts
                    {
                        *text = renamed(text, give);
                    }
                    (renamed_key(&key, give), value)
                })
                .collect();
        }
        // An override's reason is somebody's own words, unlike a condition's.
        Value::Object(fields) if field == "overrides" => {
            for (name, value) in fields.iter_mut() {
                match value {
                    Value::String(text) if name == "reason" => *text = renamed(text, give),
                    other => walk(other, name, give),
                }
            }
        }
        // By the pods' names.
        Value::Object(fields) if field == "disruptedPods" => {
            *fields = std::mem::take(fields).into_iter().map(|(k, v)| (renamed(&k, give), v)).collect();
        }
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                walk(value, name, give);
            }
        }
        Value::Array(items) => {
            for item in items {
                walk(item, field, give);
            }
        }
        Value::String(text) => match field {
            "key" | "topologyKey" | "deviceName" | "matchLabelKeys" | "provisioner" | "driver"
            | "attacher" => {
                *text = renamed_key(text, give);
            }
            // Those without a domain are Kubernetes' or KubeVirt's own.
            "type" | "conditionType" | "finalizers" if text.contains('/') => *text = renamed_key(text, give),
            _ if is_listed(PLAIN, field) || field.ends_with("Timestamp") || field.ends_with("Time") => {}
            _ if field.ends_with("UID") || field == "timeAdded" || field == "startedAt" => {}
            _ => *text = renamed(text, give),
        },
        _ => {}
    }
}

/// Of the few annotations that a snapshot has, some hold names. virtroll's own, which belong to a campaign, go.
fn annotations(fields: &mut Map<String, Value>, give: Give<'_>) {
    const NAMES: [&str; 6] = [
        "kubevirt.io/domain",
        "kubevirt.io/evacuationMigration",
        "kubevirt.io/migrationJobName",
        "kubevirt.io/workloadUpdateMigration",
        "kubevirt.io/owner-vmi-name",
        "volume.kubernetes.io/selected-node",
    ];
    fields.retain(|key, _| !key.starts_with("virtroll.dev/"));
    for (key, value) in fields.iter_mut().filter(|(key, _)| NAMES.contains(&key.as_str())) {
        walk(value, key, give);
    }
}

/// `domain/name`: what belongs to Kubernetes, KubeVirt and their like stays, but for the roles that people make up.
fn renamed_key(key: &str, give: Give<'_>) -> String {
    let Some((domain, name)) = key.split_once('/') else {
        return if DOMAINS.contains(&key) { key.to_owned() } else { renamed(key, give) };
    };
    let known = DOMAINS.iter().any(|d| domain == *d || domain.ends_with(&format!(".{d}")));
    let own = matches!(domain, "node-role.kubernetes.io" | "node-restriction.kubernetes.io");
    if known && !own {
        return key.to_owned();
    }
    let domain = if known { domain.to_owned() } else { renamed(domain, give) };
    format!("{domain}/{}", renamed(name, give))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text
            .char_indices()
            .all(|(i, c)| if [8, 13, 18, 23].contains(&i) { c == '-' } else { c.is_ascii_hexdigit() })
}

/// Each word by its pseudonym; what joins them stays, and so do short numbers, which count replicas.
fn renamed(text: &str, give: Give<'_>) -> String {
    if is_uuid(text) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let number = word.len() <= 4 && word.chars().all(|c| c.is_ascii_digit());
        if word.is_empty() || number || is_listed(COMMON, word) {
            out.push_str(word);
        } else {
            out.push_str(&give(word));
        }
        let joint = after.chars().next().map_or(0, char::len_utf8);
        out.push_str(&after[..joint]);
        rest = &after[joint..];
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn anonymous(objects: &[Value]) -> Vec<Value> {
        let mut names = Names::default();
        for object in objects {
            names.learn(object);
        }
        names.assign();
        let rename = |o: &Value| {
            let mut copy = o.clone();
            names.apply(&mut copy);
            copy
        };
        objects.iter().map(rename).collect()
    }

    #[test]
    fn what_belongs_together_still_does_and_no_name_is_left() {
        let objects = [
            json!({"kind": "Node", "metadata": {"name": "acme-berlin-03", "uid": "11111111-2222-4333-8444-555555555555", "labels": {
                "kubernetes.io/hostname": "acme-berlin-03", "topology.kubernetes.io/zone": "berlin", "acme.example/rack": "acme-7",
                "node-role.kubernetes.io/acme-db": "", "node-role.kubernetes.io/control-plane": "", "kubernetes.io/os": "linux"}}}),
            json!({"kind": "Pod", "metadata": {"name": "ledger-0", "labels": {"app": "ledger"}}, "spec": {
                "nodeName": "acme-berlin-03", "nodeSelector": {"acme.example/rack": "acme-7"}, "restartPolicy": "Always",
                "tolerations": [{"key": "acme.example/ledger", "operator": "Exists", "effect": "NoSchedule"}],
                "containers": [{"name": "ledger", "image": "registry.acme.example/ledger:1.2", "resources": {"requests": {"cpu": "250m", "acme.example/fpga": "1"}}}],
                "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["ledger"]}]}}]}}}}),
            json!({"kind": "StatefulSet", "metadata": {"name": "ledger"}}),
        ];
        let hidden = anonymous(&objects);
        let text = serde_json::to_string(&hidden).expect("JSON");
        for name in ["acme", "berlin", "ledger", "rack", "fpga", "registry"] {
            assert!(!text.contains(name), "{name} in {text}");
        }
        let (node, pod, set) = (&hidden[0], &hidden[1], &hidden[2]);
        assert_eq!(pod["spec"]["nodeName"], node["metadata"]["name"]);
        assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], node["metadata"]["name"]);
        let (key, value) =
            pod["spec"]["nodeSelector"].as_object().and_then(|s| s.iter().next()).expect("a selector");
        assert_eq!(node["metadata"]["labels"][key], *value);
        let set_name = set["metadata"]["name"].as_str().expect("a name");
        assert_eq!(pod["metadata"]["name"], format!("{set_name}-0"));
        let values =
            &pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
        assert_eq!(values["labelSelector"]["matchExpressions"][0]["values"][0], set_name);
        // Kubernetes' own words, kinds, quantities and ids stay.
        for kept in [
            "\"linux\"",
            "\"Always\"",
            "\"250m\"",
            "control-plane",
            "NoSchedule",
            "11111111-2222-4333-8444-555555555555",
        ] {
            assert!(text.contains(kept), "{kept} is gone from {text}");
        }
    }

    #[test]
    fn order_by_name_stays() {
        let names = ["a-1", "a-b", "ab", "ab-c", "abc", "b", "web-2", "web-2-x", "web-3", "zz"];
        let objects: Vec<Value> = names.iter().map(|n| json!({"metadata": {"name": n}})).collect();
        let hidden = anonymous(&objects);
        let renamed: Vec<&str> = hidden.iter().filter_map(|o| o["metadata"]["name"].as_str()).collect();
        assert!(renamed.is_sorted(), "{renamed:?}");
        assert_eq!(renamed.len(), 10);
    }
}
