//! What is said of virtual machines that can't migrate.

pub use crate::inventory::{Comeback, VmFate, comeback, fate};

/// What an operator can do about a VM that can't migrate, by the reason that KubeVirt gives.
pub fn remedy(reason: &str) -> &'static str {
    match reason {
        "InterfaceNotLiveMigratable" => {
            "give its pod-network interface the masquerade binding (a VMI that names no interface gets bridge, which does not migrate)"
        }
        "DisksNotLiveMigratable" => "move its disks to ReadWriteMany volumes",
        "HostDeviceNotLiveMigratable" => "detach the host device or GPU",
        "CPUModeLiveMigratable" => "choose a CPU model that other nodes have instead of host-model",
        _ => "stop it beforehand, set evictionStrategy: None",
    }
}

/// The sentence about a VM that can't migrate, with the remedy; in a campaign (`comeback`: what a restart would come to)
/// with the plan's own way, too. A restart is no remedy for a bare instance: it would be lost.
pub fn not_migratable_text(node: &str, reason: &str, message: &str, comeback: Option<&Comeback>) -> String {
    let message = if message.is_empty() { String::new() } else { format!(" ({message})") };
    let otherwise = match comeback {
        None => "",
        Some(Comeback::BareInstance) => {
            ", or make it a VirtualMachine (restarted as a bare VirtualMachineInstance it would be lost, which takes \
             virtualMachines.nonMigratable: Restart with staysOff: Allow)"
        }
        Some(Comeback::ByItself | Comeback::StaysOff(_)) => ", or set virtualMachines.nonMigratable: Restart",
    };
    format!(
        "on {node} cannot live-migrate: {reason}{message}; waiting will not help: {}{otherwise}",
        remedy(reason)
    )
}
