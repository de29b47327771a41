//! Requests of hooks: an API server that restarts (maybe by this very maintenance) is no reason for a hook to fail.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use super::Context;

/// Sends a request until it is answered, with growing waits; the hook's own timeout is its end.
///
/// # Errors
/// An answer that another try would get again.
pub(super) async fn patiently<T, F>(context: &Context, request: impl FnMut() -> F) -> Result<T, kube::Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let waits = ExponentialBuilder::new()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(Duration::from_secs(15))
        .without_max_times();
    request.retry(waits).when(is_passing).notify(|error, _| context.remember(error)).await
}

/// Another try may be answered otherwise: no answer at all, an overloaded or broken server.
pub(super) fn is_passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code >= 500 || status.code == 429,
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}
