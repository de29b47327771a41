//! Campaigns as objects of the cluster: definitions, finding, beginning, recording; and the Lease that says who drives.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Client, CustomResourceExt, ResourceExt};
use serde_json::json;

use super::Error;
use crate::plan::v1alpha1::{
    MaintenanceCampaign, MaintenanceCampaignSpec, MaintenanceCampaignStatus, MaintenancePlan,
    MaintenancePlanSpec,
};

/// Seconds after which a driver that gave no sign of life may be replaced.
pub const LEASE_SECONDS: i32 = 30;
/// How often a driver gives a sign of life.
pub const RENEW_EVERY: Duration = Duration::from_secs(10);
/// Namespace of the Leases.
const LEASE_NAMESPACE: &str = "kube-system";

/// Creates the definitions of MaintenancePlan and MaintenanceCampaign where they are missing, and waits until they serve.
///
/// # Errors
/// A refusal in words.
pub async fn ensure_definitions(client: &Client) -> Result<(), Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in [MaintenancePlan::crd(), MaintenanceCampaign::crd()] {
        let name = definition.name_any();
        let what = format!("create CustomResourceDefinition {name}");
        if api
            .get_opt(&name)
            .await
            .map_err(|e| Error::of(&format!("get CustomResourceDefinition {name}"), e))?
            .is_some()
        {
            continue;
        }
        match api.create(&PostParams::default(), &definition).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(Error::of(&what, error)),
        }
    }
    // Served a moment later: the first list tells.
    let campaigns: Api<MaintenanceCampaign> = Api::all(client.clone());
    for _ in 0..100 {
        match campaigns.list(&ListParams::default().limit(1)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(Error::of("list maintenancecampaigns", error)),
        }
    }
    Err(Error::Unreachable("the new kind MaintenanceCampaign is not served after 10 s".to_owned()))
}

/// The campaigns of a plan, oldest first.
///
/// # Errors
/// A refusal in words.
pub async fn of_plan(client: &Client, plan: &str) -> Result<Vec<MaintenanceCampaign>, Error> {
    let api: Api<MaintenanceCampaign> = Api::all(client.clone());
    let list =
        api.list(&ListParams::default()).await.map_err(|e| Error::of("list maintenancecampaigns", e))?;
    let mut mine: Vec<_> = list.items.into_iter().filter(|c| c.spec.plan_name == plan).collect();
    mine.sort_by_key(|c| number(&c.name_any()));
    Ok(mine)
}

/// A campaign as it is now.
///
/// # Errors
/// A refusal in words.
pub async fn campaign(client: &Client, name: &str) -> Result<MaintenanceCampaign, Error> {
    let api: Api<MaintenanceCampaign> = Api::all(client.clone());
    api.get(name).await.map_err(|e| Error::of(&format!("read campaign {name}"), e))
}

fn number(name: &str) -> u64 {
    name.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Begins a campaign: `PLAN-N`, N one more than the last.
///
/// # Errors
/// A refusal in words.
pub async fn begin(
    client: &Client,
    plan: &str,
    spec: &MaintenancePlanSpec,
    last: Option<&MaintenanceCampaign>,
) -> Result<MaintenanceCampaign, Error> {
    let api: Api<MaintenanceCampaign> = Api::all(client.clone());
    let name = format!("{plan}-{}", last.map_or(0, |c| number(&c.name_any())) + 1);
    let spec = MaintenanceCampaignSpec { plan_name: plan.to_owned(), plan: spec.clone() };
    let campaign = MaintenanceCampaign::new(&name, spec);
    api.create(&PostParams::default(), &campaign)
        .await
        .map_err(|e| Error::of(&format!("create campaign {name}"), e))
}

/// Writes a campaign's record.
///
/// # Errors
/// A refusal in words.
pub async fn record(
    client: &Client,
    campaign: &str,
    status: &MaintenanceCampaignStatus,
) -> Result<(), Error> {
    let api: Api<MaintenanceCampaign> = Api::all(client.clone());
    // A JSON patch of the whole: with a merge, what is no longer there would stay.
    let body = json!([{"op": "add", "path": "/status", "value": status}]);
    let patch: json_patch::Patch = serde_json::from_value(body).unwrap_or_default();
    let what = format!("record campaign {campaign}");
    api.patch_status(campaign, &PatchParams::default(), &Patch::Json::<()>(patch))
        .await
        .map_err(|e| Error::of(&what, e))?;
    Ok(())
}

/// Takes or renews the Lease of a campaign.
///
/// # Errors
/// [`Error::Held`] if another driver holds it and has given a sign of life lately.
pub async fn hold(client: &Client, campaign: &str, driver: &str, now: Timestamp) -> Result<(), Error> {
    let api: Api<Lease> = Api::namespaced(client.clone(), LEASE_NAMESPACE);
    let name = format!("virtroll-{campaign}");
    let what = format!("hold lease {LEASE_NAMESPACE}/{name}");
    let spec = |transitions: i32, acquired: Timestamp| LeaseSpec {
        holder_identity: Some(driver.to_owned()),
        lease_duration_seconds: Some(LEASE_SECONDS),
        acquire_time: Some(MicroTime(acquired)),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    };
    let Some(mut lease) = api.get_opt(&name).await.map_err(|e| Error::of(&what, e))? else {
        let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(spec(0, now)) };
        return api.create(&PostParams::default(), &lease).await.map(drop).map_err(|e| Error::of(&what, e));
    };
    let old = lease.spec.clone().unwrap_or_default();
    let holder = old.holder_identity.clone().unwrap_or_default();
    let renewed = old.renew_time.as_ref().map(|t| t.0);
    let lasts =
        jiff::SignedDuration::from_secs(i64::from(old.lease_duration_seconds.unwrap_or(LEASE_SECONDS)));
    let alive = renewed.is_some_and(|at| now < at + lasts);
    let ours = holder == driver;
    if !ours && !holder.is_empty() && alive {
        return Err(Error::Held { campaign: campaign.to_owned(), holder, renewed });
    }
    let transitions = old.lease_transitions.unwrap_or(0) + i32::from(!ours);
    let acquired = old.acquire_time.filter(|_| ours).map_or(now, |t| t.0);
    lease.spec = Some(spec(transitions, acquired));
    // With the resourceVersion that was read: of two that try, one wins.
    api.replace(&name, &PostParams::default(), &lease).await.map(drop).map_err(|e| Error::of(&what, e))
}

/// Gives the Lease back, so that the next driver needn't wait.
pub async fn release(client: &Client, campaign: &str, driver: &str) {
    let api: Api<Lease> = Api::namespaced(client.clone(), LEASE_NAMESPACE);
    let name = format!("virtroll-{campaign}");
    if let Ok(Some(lease)) = api.get_opt(&name).await
        && lease.spec.as_ref().and_then(|s| s.holder_identity.as_deref()) == Some(driver)
    {
        // If this fails, the lease runs out by itself.
        let _ = api
            .patch(&name, &PatchParams::default(), &Patch::Merge(json!({"spec": {"holderIdentity": null}})))
            .await;
    }
}
