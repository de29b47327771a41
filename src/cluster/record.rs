//! A campaign's record as the cluster holds it: in the campaign's own status, and what doesn't fit there in slices.
//!
//! etcd takes no object of more than 1.5 MiB. An entry stays where it was first written, so that a driver that is killed between
//! two of the requests of one record neither loses nor doubles any.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, PostParams};
use kube::core::ObjectMeta;
use kube::{Client, Resource, ResourceExt};

use super::Error;
use crate::plan::v1alpha1::{
    CampaignNode, CampaignVm, MaintenanceCampaign, MaintenanceCampaignSlice, MaintenanceCampaignSliceSpec,
    MaintenanceCampaignStatus,
};

/// So many nodes, and as many VMs, are in one object at the most: together about 0.5 MiB.
pub const MOST_ENTRIES: usize = 1000;
/// The label of a slice that names its campaign.
const CAMPAIGN_LABEL: &str = "virtroll.dev/campaign";
/// A label's value is no longer.
const LONGEST_LABEL: usize = 63;

/// Nodes and VMs that are in one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Part {
    nodes: Vec<Arc<CampaignNode>>,
    virtual_machines: Vec<Arc<CampaignVm>>,
}

/// One slice.
#[derive(Debug, Clone, Default)]
struct Slice {
    /// As last read or written; `None` while it isn't there.
    metadata: Option<ObjectMeta>,
    part: Part,
}

/// A campaign with its record, as last read or written.
#[derive(Debug, Clone)]
pub struct Record {
    /// The campaign; its status is the record, whole.
    pub campaign: MaintenanceCampaign,
    /// The status as it is in the campaign's own object.
    own: MaintenanceCampaignStatus,
    slices: Vec<Slice>,
}

/// What a record lists.
trait Entry: Clone + PartialEq {
    /// What it is known by.
    fn key(&self) -> (&str, &str);
}

impl Entry for CampaignNode {
    fn key(&self) -> (&str, &str) {
        ("", &self.name)
    }
}

impl Entry for CampaignVm {
    fn key(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }
}

/// Reads a campaign's record, whole.
///
/// # Errors
/// A refusal in words.
pub async fn campaign(client: &Client, name: &str) -> Result<Record, Error> {
    let api: Api<MaintenanceCampaign> = Api::all(client.clone());
    let campaign = api.get(name).await.map_err(|e| Error::of(&format!("read campaign {name}"), e))?;
    read_slices(client, campaign).await
}

/// Makes the status of a campaign whole that was read alone. Most have no slices: then nothing is asked for.
///
/// # Errors
/// A refusal in words.
pub async fn whole(client: &Client, campaign: MaintenanceCampaign) -> Result<MaintenanceCampaign, Error> {
    read_slices(client, campaign).await.map(|record| record.campaign)
}

async fn read_slices(client: &Client, campaign: MaintenanceCampaign) -> Result<Record, Error> {
    let api: Api<MaintenanceCampaignSlice> = Api::all(client.clone());
    let name = campaign.name_any();
    let mut slices = Vec::new();
    for number in 1..=campaign.status.as_ref().map_or(0, |s| s.slices) {
        let slice = slice_name(&name, number);
        let found = api.get_opt(&slice).await;
        let found = found.map_err(|e| Error::of(&format!("read maintenancecampaignslice {slice}"), e))?;
        // One that was announced, but isn't written yet.
        slices.push(found.map(|slice| Slice::of(slice, campaign.uid().as_deref())).unwrap_or_default());
    }
    Ok(Record::of(campaign, slices))
}

/// Writes a campaign's record over the one that was read: slices first, then the campaign's own status, so that this is never
/// ahead. Only what has changed is sent. What was written is known in the record, also if what came after it was refused.
///
/// # Errors
/// [`Error::Conflict`] if somebody else has written since; [`Error::Unwritable`] if asking again doesn't help by itself; a
/// refusal in words.
pub async fn record(
    client: &Client,
    record: &mut Record,
    status: &MaintenanceCampaignStatus,
) -> Result<(), Error> {
    let (own, parts) = record.split(status);
    let mut is_written = false;
    if own.slices > record.own.slices {
        // Whoever reads it finds the new ones from now on.
        let announced = MaintenanceCampaignStatus { slices: own.slices, ..record.own.clone() };
        record.write_own(client, announced).await?;
        is_written = true;
    }
    record.slices.resize_with(parts.len(), Slice::default);
    for (at, part) in parts.into_iter().enumerate() {
        if record.slices[at].part != part {
            record.write_slice(client, at, part).await?;
            is_written = true;
        }
    }
    // One request at least, even if nothing has changed: it fails if somebody else has written.
    if own != record.own || !is_written {
        record.write_own(client, own).await?;
    }
    record.campaign.status = Some(status.clone());
    Ok(())
}

fn slice_name(campaign: &str, number: u32) -> String {
    format!("{campaign}-slice-{number}")
}

impl Slice {
    /// What an earlier campaign of this name has left behind, orphaned, is written over and not believed.
    fn of(object: MaintenanceCampaignSlice, campaign: Option<&str>) -> Self {
        let is_of = object.owner_references().iter().any(|owner| Some(owner.uid.as_str()) == campaign);
        let part = if is_of { Part::of(object.spec) } else { Part::default() };
        Self { metadata: Some(object.metadata), part }
    }
}

impl Part {
    fn of(spec: MaintenanceCampaignSliceSpec) -> Self {
        Self { nodes: spec.nodes, virtual_machines: spec.virtual_machines }
    }
}

impl Record {
    fn of(mut campaign: MaintenanceCampaign, slices: Vec<Slice>) -> Self {
        let own = campaign.status.clone().unwrap_or_default();
        if campaign.status.is_some() {
            campaign.status = Some(join(own.clone(), slices.iter().map(|s| &s.part)));
        }
        Self { campaign, own, slices }
    }

    /// The record in parts: what the campaign's own status is to be, and the slices.
    fn split(&self, status: &MaintenanceCampaignStatus) -> (MaintenanceCampaignStatus, Vec<Part>) {
        let nodes: Vec<&[_]> = std::iter::once(&self.own.nodes[..])
            .chain(self.slices.iter().map(|s| &s.part.nodes[..]))
            .collect();
        let vms = self.slices.iter().map(|s| &s.part.virtual_machines[..]);
        let vms: Vec<&[_]> = std::iter::once(&self.own.virtual_machines[..]).chain(vms).collect();
        let mut nodes = split(&status.nodes, &nodes).into_iter();
        let mut vms = split(&status.virtual_machines, &vms).into_iter();
        let mut next = || -> Option<Part> {
            let (nodes, vms) = (nodes.next(), vms.next());
            (nodes.is_some() || vms.is_some())
                .then(|| Part { nodes: nodes.unwrap_or_default(), virtual_machines: vms.unwrap_or_default() })
        };
        let Part { nodes, virtual_machines } = next().unwrap_or_default();
        let parts: Vec<Part> = std::iter::from_fn(next).collect();
        let own = MaintenanceCampaignStatus {
            nodes,
            virtual_machines,
            slices: parts.len() as u32,
            ..status.clone()
        };
        (own, parts)
    }

    /// Whether it is made of nothing but what stands in these: records that one driver has sent, of some of which not every
    /// part has been written.
    pub fn is_made_of(&self, sent: &[MaintenanceCampaignStatus]) -> bool {
        let empty = MaintenanceCampaignStatus::default();
        let theirs = self.campaign.status.as_ref().unwrap_or(&empty);
        if self.slices.is_empty() {
            return sent.contains(theirs);
        }
        let nodes: Vec<&[_]> = sent.iter().map(|s| &s.nodes[..]).collect();
        let vms: Vec<&[_]> = sent.iter().map(|s| &s.virtual_machines[..]).collect();
        sent.iter().any(|s| is_same_head(s, theirs))
            && is_mixed(&theirs.nodes, &nodes)
            && is_mixed(&theirs.virtual_machines, &vms)
    }

    /// Whether it is this record, in whatever order its parts were read.
    pub fn is(&self, sent: &MaintenanceCampaignStatus) -> bool {
        let count =
            self.campaign.status.as_ref().map_or((0, 0), |s| (s.nodes.len(), s.virtual_machines.len()));
        count == (sent.nodes.len(), sent.virtual_machines.len())
            && self.is_made_of(std::slice::from_ref(sent))
    }

    async fn write_own(&mut self, client: &Client, own: MaintenanceCampaignStatus) -> Result<(), Error> {
        let api: Api<MaintenanceCampaign> = Api::all(client.clone());
        let name = self.campaign.name_any();
        let mut wanted = self.campaign.clone();
        wanted.status = Some(own.clone());
        let written = api.replace_status(&name, &PostParams::default(), &wanted).await;
        let what = format!("record campaign {name}");
        let written = written.map_err(|e| match e {
            // Somebody deleted it.
            kube::Error::Api(status) if status.code == 404 => Error::of(&what, kube::Error::Api(status)),
            other => Error::of_record(&what, other),
        })?;
        self.campaign.metadata = written.metadata;
        let kept = written.status.map_or(0, |status| status.slices);
        let is_kept = kept == own.slices;
        self.own = MaintenanceCampaignStatus { slices: kept, ..own };
        if is_kept {
            return Ok(());
        }
        // Whoever reads it would find no slices, and take their nodes for ones that haven't begun.
        super::ensure_definitions(client).await.map_err(Error::lasting)?;
        Err(Error::forgotten(&what))
    }

    async fn write_slice(&mut self, client: &Client, at: usize, part: Part) -> Result<(), Error> {
        let api: Api<MaintenanceCampaignSlice> = Api::all(client.clone());
        let number = at as u32 + 1;
        let name = slice_name(&self.campaign.name_any(), number);
        let spec = MaintenanceCampaignSliceSpec {
            campaign: self.campaign.name_any(),
            number,
            node_count: part.nodes.len() as u32,
            virtual_machine_count: part.virtual_machines.len() as u32,
            nodes: part.nodes.clone(),
            virtual_machines: part.virtual_machines.clone(),
        };
        let known = self.slices[at].metadata.clone();
        let is_new = known.is_none();
        let metadata = known.map_or_else(
            || self.new_metadata(&name),
            |known| ObjectMeta { owner_references: self.owners(), ..known },
        );
        let mut wanted = MaintenanceCampaignSlice { metadata, spec };
        let mut written = if is_new {
            api.create(&PostParams::default(), &wanted).await
        } else {
            api.replace(&name, &PostParams::default(), &wanted).await
        };
        if matches!(&written, Err(kube::Error::Api(status)) if status.code == 404) {
            // The kind isn't there yet; or somebody deleted the slice, alone or with its campaign. What it held is known here, and
            // nowhere else.
            self.is_there(client).await?;
            super::ensure_slices(client).await.map_err(Error::lasting)?;
            wanted.metadata = self.new_metadata(&name);
            written = api.create(&PostParams::default(), &wanted).await;
        }
        let what = format!("record maintenancecampaignslice {name}");
        let written = written.map_err(|e| Error::of_record(&what, e))?;
        self.slices[at] = Slice { metadata: Some(written.metadata), part };
        Ok(())
    }

    /// Whether the campaign is still there, and not another one of its name.
    async fn is_there(&self, client: &Client) -> Result<(), Error> {
        let api: Api<MaintenanceCampaign> = Api::all(client.clone());
        let name = self.campaign.name_any();
        let now = api.get(&name).await.map_err(|e| Error::of(&format!("read campaign {name}"), e))?;
        if now.uid() == self.campaign.uid() {
            return Ok(());
        }
        Err(Error::NotFound(format!("read campaign {name}: another one has its name")))
    }

    fn new_metadata(&self, name: &str) -> ObjectMeta {
        let campaign = self.campaign.name_any();
        // One that is too long for a label is in the slice itself.
        let label = (campaign.len() <= LONGEST_LABEL).then(|| (CAMPAIGN_LABEL.to_owned(), campaign));
        ObjectMeta {
            name: Some(name.to_owned()),
            labels: label.map(|label| [label].into()),
            owner_references: self.owners(),
            ..ObjectMeta::default()
        }
    }

    fn owners(&self) -> Option<Vec<OwnerReference>> {
        self.campaign.owner_ref(&()).map(|owner| vec![owner])
    }
}

/// Puts entries where they are already, and new ones after the last: into the last part that holds any of their kind while it
/// has room, then into the next one. So parts that are read one after another give the order in which they came.
fn split<T: Entry>(entries: &[Arc<T>], before: &[&[Arc<T>]]) -> Vec<Vec<Arc<T>>> {
    let known = before.iter().enumerate().flat_map(|(at, part)| part.iter().map(move |e| (e.key(), at)));
    let known: BTreeMap<(&str, &str), usize> = known.collect();
    let places: Vec<Option<usize>> = entries.iter().map(|e| known.get(&e.key()).copied()).collect();
    let mut sizes = vec![0; before.len().max(1)];
    for place in places.iter().flatten() {
        sizes[*place] += 1;
    }
    let mut last = sizes.iter().rposition(|size| *size > 0).unwrap_or(0);
    let mut parts = vec![Vec::new(); sizes.len()];
    for (entry, place) in entries.iter().zip(places) {
        let place = place.unwrap_or_else(|| {
            if sizes[last] >= MOST_ENTRIES {
                last += 1;
            }
            if last == sizes.len() {
                sizes.push(0);
                parts.push(Vec::new());
            }
            sizes[last] += 1;
            last
        });
        parts[place].push(entry.clone());
    }
    parts
}

/// The record, whole: nodes in the order of the parts, VMs by namespace and name.
fn join<'a>(
    own: MaintenanceCampaignStatus,
    slices: impl Iterator<Item = &'a Part>,
) -> MaintenanceCampaignStatus {
    let mut status = MaintenanceCampaignStatus { slices: 0, ..own };
    let mut is_sliced = false;
    for part in slices {
        is_sliced = true;
        status.nodes.extend(part.nodes.iter().cloned());
        status.virtual_machines.extend(part.virtual_machines.iter().cloned());
    }
    if is_sliced {
        status.nodes = youngest(status.nodes);
        status.virtual_machines = youngest(status.virtual_machines);
        status.virtual_machines.sort_by(|a, b| a.key().cmp(&b.key()));
    }
    status
}

/// Of an entry that is found twice, which is not virtroll's doing, the one in the later part: what is new is only ever written
/// behind what is there, so that is the younger one.
fn youngest<T: Entry>(entries: Vec<Arc<T>>) -> Vec<Arc<T>> {
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut kept: Vec<Arc<T>> = entries.iter().rev().filter(|e| seen.insert(e.key())).cloned().collect();
    kept.reverse();
    kept
}

/// The records of a plan's campaigns among these objects, whole.
pub fn records_among(objects: &[serde_json::Value], plan: &str) -> Vec<MaintenanceCampaignStatus> {
    // One that can't be read teaches nothing; nor does one that another campaign of that name has left behind.
    let mut parts: BTreeMap<&str, BTreeMap<u32, Part>> = BTreeMap::new();
    for slice in objects.iter().filter(|o| o["kind"] == "MaintenanceCampaignSlice") {
        let owner = slice.pointer("/metadata/ownerReferences/0/uid").and_then(serde_json::Value::as_str);
        let spec = serde_json::from_value::<MaintenanceCampaignSliceSpec>(slice["spec"].clone());
        if let (Some(owner), Ok(spec)) = (owner, spec) {
            parts.entry(owner).or_default().insert(spec.number, Part::of(spec));
        }
    }
    let of_plan =
        |o: &&serde_json::Value| o["kind"] == "MaintenanceCampaign" && o["spec"]["planName"] == plan;
    let records = objects.iter().filter(of_plan).filter_map(|o| {
        let own: MaintenanceCampaignStatus = serde_json::from_value(o["status"].clone()).ok()?;
        let slices = o["metadata"]["uid"].as_str().and_then(|uid| parts.get(uid));
        Some(join(own, slices.into_iter().flat_map(BTreeMap::values)))
    });
    records.collect()
}

fn is_same_head(a: &MaintenanceCampaignStatus, b: &MaintenanceCampaignStatus) -> bool {
    let head = |s: &MaintenanceCampaignStatus| MaintenanceCampaignStatus {
        nodes: Vec::new(),
        virtual_machines: Vec::new(),
        ..s.clone()
    };
    head(a) == head(b)
}

/// Whether each of these entries stands so in one of the lists, and none is missing that is in all of them.
fn is_mixed<T: Entry>(entries: &[Arc<T>], lists: &[&[Arc<T>]]) -> bool {
    let mut known: BTreeMap<(&str, &str), Vec<&Arc<T>>> = BTreeMap::new();
    for entry in lists.iter().copied().flatten() {
        known.entry(entry.key()).or_default().push(entry);
    }
    let is_known = |entry: &Arc<T>| known.get(&entry.key()).is_some_and(|as_sent| as_sent.contains(&entry));
    let there: BTreeSet<(&str, &str)> = entries.iter().map(|e| e.key()).collect();
    let missing = known.iter().any(|(key, as_sent)| as_sent.len() == lists.len() && !there.contains(key));
    entries.iter().all(is_known) && !missing
}

#[cfg(test)]
mod tests;
