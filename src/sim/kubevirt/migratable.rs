//! Whether a VMI can live-migrate: the condition `LiveMigratable`, its reasons in virt-handler's order.

use super::world::text;
use crate::sim::json::Value;

/// What is said about a VMI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It can; with its disks' blocks copied if `blocks`.
    Yes {
        /// `migrationMethod: BlockMigration`.
        blocks: bool,
    },
    /// It can't: reason and message.
    No(&'static str, String),
}

const BRIDGE_ANNOTATION: &str = "kubevirt.io/allow-pod-bridge-network-live-migration";

/// What is asked about the cluster.
pub(super) struct Cluster<'a> {
    /// The access modes of a claim.
    pub claim_modes: &'a dyn Fn(&str) -> Vec<String>,
    /// `network.defaultNetworkInterface`.
    pub default_interface: &'a str,
    /// `network.binding`.
    pub bindings: &'a Value,
    /// Disks with persistent reservations migrate.
    pub moves_reservations: bool,
    /// File systems shared by virtiofs migrate.
    pub moves_virtiofs: bool,
    /// The model of the node's CPU is known, or of no node's.
    pub host_model: bool,
}

/// Judges a VMI.
pub(super) fn judge(vmi: &Value, cluster: &Cluster<'_>) -> Verdict {
    let domain = &vmi["spec"]["domain"];
    let no = |reason, message: &str| Verdict::No(reason, message.to_owned());
    if let Some(message) = pod_network(vmi, cluster.default_interface, cluster.bindings) {
        return Verdict::No("InterfaceNotLiveMigratable", message);
    }
    if !cluster.host_model && domain["cpu"]["model"].as_str().unwrap_or("host-model") == "host-model" {
        return no("CPUModeLiveMigratable", "the node does not allow migration with host-model");
    }
    let has_virtiofs = |fs: &Value| !fs["virtiofs"].is_null();
    if !cluster.moves_virtiofs
        && domain["devices"]["filesystems"].as_array().is_some_and(|f| f.iter().any(has_virtiofs))
    {
        return no("VirtIOFSNotLiveMigratable", "a file system is shared by virtiofs");
    }
    let has = |value: &Value| value.as_array().is_some_and(|a| !a.is_empty());
    if has(&domain["devices"]["hostDevices"]) || has(&domain["devices"]["gpus"]) {
        return no("HostDeviceNotLiveMigratable", "a device of the host is attached");
    }
    let security = &domain["launchSecurity"];
    if security.is_object() && !security["sev"].is_null() {
        return no("SEVNotLiveMigratable", "its memory is encrypted by SEV");
    }
    if security.is_object() && !security["tdx"].is_null() {
        return no("TDXNotLiveMigratable", "its memory is encrypted by TDX");
    }
    if security.is_object() && vmi["spec"]["architecture"] == "s390x" {
        return no("SecureExecutionNotLiveMigratable", "it runs under Secure Execution");
    }
    if domain["clock"]["timer"]["tsc"]["present"] == true
        && domain["cpu"]["features"].as_array().is_some_and(|f| f.iter().any(|f| f["name"] == "invtsc"))
    {
        return no("NoTSCFrequencyNotLiveMigratable", "it needs a TSC frequency that the node doesn't state");
    }
    if domain["features"]["hypervPassthrough"]["enabled"] == true {
        return no(
            "HypervPassthroughNotLiveMigratable",
            "all Hyper-V features of the host are passed through",
        );
    }
    let reserves = |disk: &Value| disk["lun"]["reservation"] == true;
    if !cluster.moves_reservations
        && domain["devices"]["disks"].as_array().is_some_and(|d| d.iter().any(reserves))
    {
        return no("PersistentReservationNotLiveMigratable", "a disk holds a persistent reservation");
    }
    disks(vmi, cluster.claim_modes)
}

/// Why the binding of the pod network stands against a migration.
fn pod_network(vmi: &Value, default_interface: &str, bindings: &Value) -> Option<String> {
    let devices = &vmi["spec"]["domain"]["devices"];
    if devices["autoattachPodInterface"] == false {
        return None;
    }
    let networks = vmi["spec"]["networks"].as_array().cloned().unwrap_or_default();
    let interfaces = devices["interfaces"].as_array().cloned().unwrap_or_default();
    let allowed = !vmi["metadata"]["annotations"][BRIDGE_ANNOTATION].is_null();
    if networks.is_empty() && interfaces.is_empty() {
        return (default_interface == "bridge" && !allowed).then(|| {
            "it names no interface, so the pod network is bound by bridge, the cluster's default".to_owned()
        });
    }
    let pod_network = networks.iter().find(|n| !n["pod"].is_null())?;
    let interface = interfaces.iter().find(|i| i["name"] == pod_network["name"])?;
    if !interface["masquerade"].is_null()
        || !interface["passt"].is_null()
        || !interface["passtBinding"].is_null()
    {
        return None;
    }
    if let Some(plugin) = interface["binding"]["name"].as_str() {
        let migrates = !bindings[plugin]["migration"].is_null();
        return (!migrates).then(|| format!("its network binding {plugin} declares no migration"));
    }
    if !interface["bridge"].is_null() && allowed {
        return None;
    }
    Some(format!("interface {} is not bound to the pod network by masquerade", text(&interface["name"])))
}

fn disks(vmi: &Value, claim_modes: &dyn Fn(&str) -> Vec<String>) -> Verdict {
    let mut blocks = false;
    let no = |message: String| Verdict::No("DisksNotLiveMigratable", message);
    for volume in vmi["spec"]["volumes"].as_array().into_iter().flatten() {
        let claim = volume["persistentVolumeClaim"]["claimName"]
            .as_str()
            .or_else(|| volume["dataVolume"]["name"].as_str());
        if let Some(claim) = claim {
            if !claim_modes(claim).iter().any(|m| m == "ReadWriteMany") {
                return no(format!(
                    "PVC {claim} is not shared: live migration needs the access mode ReadWriteMany"
                ));
            }
        } else if !volume["hostDisk"].is_null() && volume["hostDisk"]["shared"] != true {
            return no(format!("host disk {} is not shared", text(&volume["name"])));
        } else {
            let local = [
                "containerDisk",
                "cloudInitNoCloud",
                "cloudInitConfigDrive",
                "emptyDisk",
                "ephemeral",
                "sysprep",
            ];
            blocks |= local.iter().any(|kind| !volume[*kind].is_null());
        }
    }
    Verdict::Yes { blocks }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::json::json;

    fn judged(spec: Value) -> Verdict {
        judged_on(spec, true)
    }

    fn judged_on(spec: Value, host_model: bool) -> Verdict {
        let modes =
            |claim: &str| vec![if claim == "shared" { "ReadWriteMany" } else { "ReadWriteOnce" }.to_owned()];
        let bindings = json!({"plug": {"migration": {}}, "fixed": {}});
        let cluster = Cluster {
            claim_modes: &modes,
            default_interface: "bridge",
            bindings: &bindings,
            moves_reservations: false,
            moves_virtiofs: false,
            host_model,
        };
        judge(&json!({"spec": spec}), &cluster)
    }

    fn reason(spec: Value) -> &'static str {
        match judged(spec) {
            Verdict::Yes { .. } => "",
            Verdict::No(reason, _) => reason,
        }
    }

    #[test]
    fn the_pod_network_decides_first() {
        let interface = |binding: Value| {
            let mut interface = json!({"name": "default"});
            for (key, value) in binding.as_object().into_iter().flatten() {
                interface[key] = value.clone();
            }
            json!({"domain": {"devices": {"interfaces": [interface]}}, "networks": [{"name": "default", "pod": {}}]})
        };
        for (spec, expected) in [
            // The shape that the node-maintenance guide shows.
            (json!({"domain": {"devices": {"disks": []}}}), "InterfaceNotLiveMigratable"),
            (json!({"domain": {"devices": {"autoattachPodInterface": false}}}), ""),
            (interface(json!({"masquerade": {}})), ""),
            (interface(json!({"bridge": {}})), "InterfaceNotLiveMigratable"),
            (interface(json!({"binding": {"name": "plug"}})), ""),
            (interface(json!({"binding": {"name": "fixed"}})), "InterfaceNotLiveMigratable"),
        ] {
            assert_eq!(reason(spec.clone()), expected, "{spec}");
        }
    }

    #[test]
    fn devices_and_disks_decide_next() {
        let with = |domain: Value, volumes: Value| {
            let mut domain = domain;
            domain["devices"]["autoattachPodInterface"] = json!(false);
            json!({"domain": domain, "volumes": volumes})
        };
        let claim = |name: &str| json!([{"name": "d", "persistentVolumeClaim": {"claimName": name}}]);
        for (spec, expected) in [
            (
                with(json!({"devices": {"gpus": [{"deviceName": "x/y"}]}}), json!([])),
                "HostDeviceNotLiveMigratable",
            ),
            (with(json!({"launchSecurity": {"sev": {}}}), json!([])), "SEVNotLiveMigratable"),
            (with(json!({}), claim("own")), "DisksNotLiveMigratable"),
            (
                with(json!({"devices": {"disks": [{"name": "d", "lun": {"reservation": true}}]}}), json!([])),
                "PersistentReservationNotLiveMigratable",
            ),
            (with(json!({}), claim("shared")), ""),
            (with(json!({}), json!([{"name": "h", "hostDisk": {"path": "/x"}}])), "DisksNotLiveMigratable"),
        ] {
            assert_eq!(reason(spec.clone()), expected, "{spec}");
        }
        let disk = with(json!({}), json!([{"name": "c", "containerDisk": {"image": "fedora"}}]));
        assert_eq!(judged(disk), Verdict::Yes { blocks: true });
    }
}
