//! A part of a campaign's record that doesn't fit into the campaign's own object.

use std::sync::Arc;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CampaignNode, CampaignVm};

/// Nodes and VMs of a campaign that has more of them than its own status holds. Written by virtroll alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "virtroll.dev",
    version = "v1alpha1",
    kind = "MaintenanceCampaignSlice",
    shortname = "mcampaignslice"
)]
#[kube(derive = "PartialEq")]
#[kube(printcolumn = r#"{"name":"Campaign","type":"string","jsonPath":".spec.campaign"}"#)]
#[kube(printcolumn = r#"{"name":"Nodes","type":"integer","jsonPath":".spec.nodeCount"}"#)]
#[kube(printcolumn = r#"{"name":"VMs","type":"integer","jsonPath":".spec.virtualMachineCount"}"#)]
#[kube(printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#)]
#[serde(rename_all = "camelCase", default)]
pub struct MaintenanceCampaignSliceSpec {
    /// The campaign.
    pub campaign: String,
    /// Which of its slices this is, from 1.
    pub number: u32,
    /// How many nodes are in it.
    pub node_count: u32,
    /// How many VMs are in it.
    pub virtual_machine_count: u32,
    /// Nodes that began after those in the campaign's status and in earlier slices, in the order of their beginning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Arc<CampaignNode>>,
    /// VMs, by namespace and name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub virtual_machines: Vec<Arc<CampaignVm>>,
}
