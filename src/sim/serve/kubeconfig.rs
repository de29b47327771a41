//! The kubeconfig of a served cluster.

use crate::sim::json::Value;

/// Cluster, user and context.
const NAME: &str = "virtroll-sim";

/// A kubeconfig for a cluster at this address.
pub fn kubeconfig(url: &str) -> String {
    format!(
        "# An embedded cluster of virtroll; it ends when the command that serves it does.\n\
         apiVersion: v1\nkind: Config\ncurrent-context: {NAME}\n\
         clusters:\n- {{name: {NAME}, cluster: {{server: \"{url}\"}}}}\n\
         users:\n- {{name: {NAME}, user: {{}}}}\n\
         contexts:\n- {{name: {NAME}, context: {{cluster: {NAME}, user: {NAME}}}}}\n"
    )
}

/// Whether a file holds nothing but such a kubeconfig, so that nothing is lost with it.
pub fn is_ours(text: &str) -> bool {
    let Ok(config) = serde_saphyr::from_str::<Value>(text) else { return false };
    ["clusters", "users", "contexts"].iter().all(|list| {
        config[list].as_array().is_some_and(|l| l.len() == 1 && l.iter().all(|entry| entry["name"] == NAME))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_kubeconfig_is_told_from_anybody_elses() {
        assert!(is_ours(&kubeconfig("http://127.0.0.1:8001")));
        let other = "apiVersion: v1\nkind: Config\nclusters: [{name: prod}]\nusers: [{name: me}]\ncontexts: [{name: prod}]\n";
        assert!(!is_ours(other));
        assert!(!is_ours(&kubeconfig("http://127.0.0.1:8001").replace("users:", "users:\n- {name: me}")));
        assert!(!is_ours("notes: [to self]") && !is_ours("") && !is_ours("a: [b"));
    }
}
