//! Connecting.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::Error;

/// Which cluster, as kubectl's flags say it.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
}

/// A client, and the name of the cluster for people.
///
/// The client retries nothing by itself: kube's own retry would repeat refused evictions inside the client, out of sight.
///
/// # Errors
/// [`Error::NoCluster`], if the configuration doesn't lead to one.
pub async fn connect(target: &Target) -> Result<(Client, String), Error> {
    // One provider for the whole process; when it is installed already (by a program that uses this library), that stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let no = |e: &dyn std::error::Error| Error::NoCluster(super::error::chain(e));
    let options = KubeConfigOptions { context: target.context.clone(), ..KubeConfigOptions::default() };
    let (mut config, name) = match &target.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|e| no(&e))?;
            let name = target.context.clone().or_else(|| file.current_context.clone());
            (Config::from_custom_kubeconfig(file, &options).await.map_err(|e| no(&e))?, name)
        }
        None => match Config::from_kubeconfig(&options).await {
            Ok(config) => {
                let current = Kubeconfig::read().ok().and_then(|k| k.current_context);
                (config, target.context.clone().or(current))
            }
            Err(e) if target.context.is_none() => (Config::incluster().map_err(|_| no(&e))?, None),
            Err(e) => return Err(no(&e)),
        },
    };
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(10));
    // A watch is silent for long; the API server ends each after at most 5 minutes by our own timeoutSeconds.
    config.read_timeout = Some(Duration::from_secs(330));
    config.write_timeout = Some(Duration::from_secs(30));
    config.headers.push((
        http::header::USER_AGENT,
        http::HeaderValue::from_static(concat!("virtroll/", env!("CARGO_PKG_VERSION"))),
    ));
    let name = name.unwrap_or_else(|| config.cluster_url.to_string());
    let client = Client::try_from(config).map_err(|e| no(&e))?;
    Ok((client, name))
}
