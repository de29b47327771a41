//! What this user may do, and how fast the cluster answers.

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::Instant;

use super::Error;

/// Whether this user may create evictions in all namespaces. Asking takes no rights of its own, and changes nothing.
///
/// # Errors
/// A refusal in words.
pub async fn may_evict(client: &Client) -> Result<bool, Error> {
    let attributes = ResourceAttributes {
        verb: Some("create".to_owned()),
        resource: Some("pods".to_owned()),
        subresource: Some("eviction".to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|e| Error::of("ask whether evictions are allowed", e))?;
    Ok(answer.status.is_some_and(|s| s.allowed))
}

/// How long a small request takes: the median of a few.
pub async fn latency(client: &Client) -> Option<Duration> {
    let mut took = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        if client.apiserver_version().await.is_ok() {
            took.push(began.elapsed());
        }
    }
    took.sort_unstable();
    took.get(took.len() / 2).copied()
}
