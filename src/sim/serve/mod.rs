//! The embedded cluster on a socket: HTTP/1.1 and HTTP/2 for any Kubernetes client.
//!
//! # Why
//! Only this room knows of sockets. It puts the same [`ApiServer`](super::api::ApiServer) that in-process clients have behind
//! a listener, so `kubectl` can't see anything that a simulation doesn't. There is no authentication, so it listens on
//! loopback addresses only, and answers only requests that were made to such a name: a web page that has its own name point
//! to this machine gets nothing.
//!
//! Time has to run here: behind a socket a paused clock would jump for days while a client thinks. What a client waits for by
//! its own clock (`timeoutSeconds` of a watch, bookmarks) passes in real time at any speed.

mod connection;
mod kubeconfig;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

use super::EmbeddedCluster;
pub use kubeconfig::{is_ours, kubeconfig};

/// How long open requests get to end when the server does. Watches would never.
const CLOSING: Duration = Duration::from_millis(500);

/// Reads an address to listen on: `127.0.0.1:8001`, `[::1]:0`, `localhost:8001`. Port 0 is any free one.
///
/// # Errors
/// Words: not an address, or one that others can reach.
pub fn loopback(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let address = local.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    let Some(address) = address.or_else(|| text.parse().ok()) else {
        return Err(
            "expected an address with a port, such as 127.0.0.1:8001 (port 0: any free one)".to_owned()
        );
    };
    if !address.ip().is_loopback() {
        return Err(format!(
            "{} can be reached from other machines, and the embedded cluster has no authentication; use 127.0.0.1, [::1] \
             or an SSH tunnel to one of them",
            address.ip()
        ));
    }
    Ok(address)
}

/// A listener that is open already: clients may connect, and are answered once it serves.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Opens the listener.
    ///
    /// # Errors
    /// Those of the socket: the port is taken.
    pub async fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves a cluster until `stop` is over; then open requests get a moment to end.
    pub async fn serve(self, cluster: &EmbeddedCluster, stop: impl Future<Output = ()>) {
        let graceful = GracefulShutdown::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => connection::open(stream, cluster.server(), &graceful),
                    // The client went away, or there are no file descriptors left: neither ends the server.
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
        drop(self.listener);
        let _ = tokio::time::timeout(CLOSING, graceful.shutdown()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_listened_on() {
        for good in ["127.0.0.1:8001", "127.8.9.1:0", "[::1]:8001", "localhost:8001"] {
            assert!(loopback(good).is_ok_and(|a| a.ip().is_loopback()), "{good}");
        }
        for open in ["0.0.0.0:8001", "10.1.2.3:8001", "[::]:8001"] {
            assert!(loopback(open).is_err_and(|e| e.contains("no authentication")), "{open}");
        }
        for nonsense in ["8001", "localhost", "example.org:80", "127.0.0.1:99999"] {
            assert!(loopback(nonsense).is_err_and(|e| e.contains("such as 127.0.0.1:8001")), "{nonsense}");
        }
    }
}
