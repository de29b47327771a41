//! Campaigns as objects of the cluster: definitions, finding, beginning; and the Lease that says who drives.

use std::fmt::Debug;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ClusterResourceScope, ObjectMeta};
use kube::{Client, CustomResourceExt, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Error;
use crate::plan::v1alpha1::{
    MaintenanceCampaign, MaintenanceCampaignSlice, MaintenanceCampaignSpec, MaintenancePlan,
    MaintenancePlanSpec,
};

/// Seconds after which a driver that gave no sign of life may be replaced.
pub const LEASE_SECONDS: i32 = 30;
/// How often a driver gives a sign of life.
pub const RENEW_EVERY: Duration = Duration::from_secs(10);
/// Between looks at a kind whose storage is starting, and how many.
const STARTING: Duration = Duration::from_millis(100);
const STARTING_TRIES: u32 = 100;
/// Namespace of the Leases.
const LEASE_NAMESPACE: &str = "kube-system";

/// The annotation of a definition that says which version of it this is.
const DEFINITION: &str = "virtroll.dev/definition";
/// Raised whenever the schema of a plan or of a campaign's record changes.
const DEFINITION_VERSION: u32 = 4;

/// Creates the definitions of MaintenancePlan and MaintenanceCampaign where they are missing, brings older ones up to date, and
/// waits until they serve.
///
/// # Errors
/// A refusal in words.
pub async fn ensure_definitions(client: &Client) -> Result<(), Error> {
    for definition in [MaintenancePlan::crd(), MaintenanceCampaign::crd()] {
        ensure(client, definition).await?;
    }
    serves::<MaintenanceCampaign>(client).await
}

/// The same for MaintenanceCampaignSlice, which only a large campaign needs.
///
/// # Errors
/// A refusal in words.
pub async fn ensure_slices(client: &Client) -> Result<(), Error> {
    ensure(client, MaintenanceCampaignSlice::crd()).await?;
    serves::<MaintenanceCampaignSlice>(client).await
}

async fn ensure(client: &Client, definition: CustomResourceDefinition) -> Result<(), Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = definition.name_any();
    let known = api.get_opt(&name).await;
    let known = known.map_err(|e| Error::of(&format!("get CustomResourceDefinition {name}"), e))?;
    define(&api, definition, known).await
}

/// Waits until a kind is served, which is a moment after it was defined: the first list tells.
async fn serves<K: Kind>(client: &Client) -> Result<(), Error> {
    for _ in 0..STARTING_TRIES {
        if list::<K>(client, &ListParams::default().limit(1)).await?.is_some() {
            return Ok(());
        }
        tokio::time::sleep(STARTING).await;
    }
    Err(Error::Unreachable(format!("the new kind {} is not served after 10 s", K::kind(&()))))
}

/// Creates a definition, or brings an older virtroll's up to date: its schema would drop what this one writes. A newer one's stays.
async fn define(
    api: &Api<CustomResourceDefinition>,
    mut definition: CustomResourceDefinition,
    known: Option<CustomResourceDefinition>,
) -> Result<(), Error> {
    let name = definition.name_any();
    let written = known.as_ref().map(|k| k.annotations().get(DEFINITION).and_then(|v| v.parse::<u32>().ok()));
    definition.annotations_mut().insert(DEFINITION.to_owned(), DEFINITION_VERSION.to_string());
    let (what, done) = match written {
        Some(version) if version.unwrap_or(0) >= DEFINITION_VERSION => return Ok(()),
        Some(_) => {
            definition.metadata.resource_version = known.and_then(|k| k.metadata.resource_version);
            let replaced = api.replace(&name, &PostParams::default(), &definition).await;
            (format!("bring CustomResourceDefinition {name} up to date"), replaced)
        }
        None => {
            let created = api.create(&PostParams::default(), &definition).await;
            (format!("create CustomResourceDefinition {name}"), created)
        }
    };
    match done {
        Ok(_) => Ok(()),
        // Another virtroll did it at the same moment.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(Error::of(&what, error)),
    }
}

/// A kind of virtroll's own.
trait Kind: Resource<Scope = ClusterResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug {}

impl Kind for MaintenanceCampaign {}

impl Kind for MaintenanceCampaignSlice {}

/// Lists objects; `None` where the kind isn't served. A kind that was defined a moment ago answers 429 or 503 ("storage is
/// (re)initializing") until its storage is up: that is waited for, for a while.
async fn list<K: Kind>(client: &Client, params: &ListParams) -> Result<Option<Vec<K>>, Error> {
    let api: Api<K> = Api::all(client.clone());
    let mut tries = 0;
    loop {
        match api.list(params).await {
            Ok(list) => return Ok(Some(list.items)),
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
            Err(kube::Error::Api(status)) if [429, 503].contains(&status.code) && tries < STARTING_TRIES => {
                tries += 1;
                tokio::time::sleep(STARTING).await;
            }
            Err(error) => return Err(Error::of(&format!("list {}", K::plural(&())), error)),
        }
    }
}

/// All campaigns, those of one plan oldest first; none where the kind isn't served yet. Of their records what is in the campaigns
/// themselves: [`whole`](super::whole) reads the rest.
///
/// # Errors
/// A refusal in words.
pub async fn campaigns(client: &Client) -> Result<Vec<MaintenanceCampaign>, Error> {
    let mut all: Vec<MaintenanceCampaign> = list(client, &ListParams::default()).await?.unwrap_or_default();
    all.sort_by_key(|c| number(&c.name_any()));
    Ok(all)
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

fn leases(client: &Client) -> Api<Lease> {
    Api::namespaced(client.clone(), LEASE_NAMESPACE)
}

fn lease_name(campaign: &str) -> String {
    format!("virtroll-{campaign}")
}

/// Who drives a campaign, if somebody has given a sign of life lately.
///
/// # Errors
/// A refusal in words.
pub async fn driver_of(client: &Client, campaign: &str, now: Timestamp) -> Result<Option<String>, Error> {
    let name = lease_name(campaign);
    let what = format!("read lease {LEASE_NAMESPACE}/{name}");
    let lease = leases(client).get_opt(&name).await.map_err(|e| Error::of(&what, e))?;
    let spec = lease.and_then(|l| l.spec).unwrap_or_default();
    let alive = spec.renew_time.is_some_and(|t| now < t.0 + lasts());
    Ok(spec.holder_identity.filter(|holder| alive && !holder.is_empty()))
}

fn lasts() -> SignedDuration {
    SignedDuration::from_secs(LEASE_SECONDS.into())
}

/// How a Lease is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// For the first time: if it is free, or if its holder's last sign of life is still this one.
    Take(Option<Timestamp>),
    /// Again, by whoever holds it. One that was given back in between is lost: somebody else drove.
    Renew,
}

/// Takes or renews the Lease of a campaign.
///
/// # Errors
/// [`Error::Held`] if another driver holds it; [`Error::Lost`] if it can't be renewed; [`Error::Conflict`] if somebody else
/// reached for it at the same moment.
pub async fn hold(
    client: &Client,
    campaign: &str,
    driver: &str,
    now: Timestamp,
    claim: Claim,
) -> Result<(), Error> {
    let (api, name) = (leases(client), lease_name(campaign));
    let what = format!("hold lease {LEASE_NAMESPACE}/{name}");
    let spec = |transitions: i32, acquired: Timestamp| LeaseSpec {
        holder_identity: Some(driver.to_owned()),
        lease_duration_seconds: Some(LEASE_SECONDS),
        acquire_time: Some(MicroTime(acquired)),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    };
    let found = api.get_opt(&name).await.map_err(|e| Error::of(&what, e))?;
    let lost = || Error::Lost { campaign: campaign.to_owned() };
    let Some(mut lease) = found else {
        if claim == Claim::Renew {
            return Err(lost());
        }
        let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(spec(0, now)) };
        return api.create(&PostParams::default(), &lease).await.map(drop).map_err(|e| Error::of(&what, e));
    };
    let old = lease.spec.clone().unwrap_or_default();
    let holder = old.holder_identity.clone().unwrap_or_default();
    let renewed = old.renew_time.as_ref().map(|t| t.0);
    let ours = holder == driver;
    let is_free = match claim {
        Claim::Renew => ours,
        Claim::Take(over) => {
            let is_over = over.is_some_and(|at| renewed == Some(at));
            ours || holder.is_empty() || is_over || is_forgotten(renewed, now)
        }
    };
    if !is_free && holder.is_empty() {
        return Err(lost());
    }
    if !is_free {
        return Err(Error::Held { campaign: campaign.to_owned(), holder, renewed });
    }
    let transitions = old.lease_transitions.unwrap_or(0) + i32::from(!ours);
    let acquired = old.acquire_time.filter(|_| ours).map_or(now, |t| t.0);
    lease.spec = Some(spec(transitions, acquired));
    // With the resourceVersion that was read: of two that try, one wins.
    api.replace(&name, &PostParams::default(), &lease).await.map(drop).map_err(|e| Error::of(&what, e))
}

/// No sign of life for so long that no two clocks can differ by it.
fn is_forgotten(renewed: Option<Timestamp>, now: Timestamp) -> bool {
    renewed.is_none_or(|at| now > at + lasts() * 20)
}

/// Gives the Lease back, so that the next driver needn't wait.
pub async fn release(client: &Client, campaign: &str, driver: &str) {
    let (api, name) = (leases(client), lease_name(campaign));
    if let Ok(Some(lease)) = api.get_opt(&name).await
        && lease.spec.as_ref().and_then(|s| s.holder_identity.as_deref()) == Some(driver)
    {
        // As it was read: one that somebody took meanwhile stays theirs. If this fails, it runs out by itself.
        let version = lease.metadata.resource_version;
        let body = json!({"metadata": {"resourceVersion": version}, "spec": {"holderIdentity": null}});
        let _ = api.patch(&name, &PatchParams::default(), &Patch::Merge(body)).await;
    }
}
