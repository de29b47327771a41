//! What is said of virtual machines that can't migrate.

pub use crate::inventory::{Comeback, VmFate, comeback, fate, remedy};

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
