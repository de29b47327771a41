//! The schemas of the built-in kinds.

use k8s_openapi::api::{
    admissionregistration::v1 as admission, apps::v1 as apps, autoscaling::v1 as autoscaling,
    batch::v1 as batch, coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery,
    events::v1 as events, networking::v1 as networking, policy::v1 as policy, rbac::v1 as rbac,
    scheduling::v1 as scheduling, storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as extensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};

use crate::sim::json::Map;

/// What makes a kind's schema, and its name.
type Maker = (fn(&mut SchemaGenerator) -> Schema, fn() -> std::borrow::Cow<'static, str>);

fn maker<T: JsonSchema>() -> Maker {
    (SchemaGenerator::subschema_for::<T>, T::schema_name)
}

fn of(resource: &str) -> Option<Maker> {
    Some(match resource {
        "configmaps" => maker::<core::ConfigMap>(),
        "endpoints" => maker::<core::Endpoints>(),
        "events" => maker::<core::Event>(),
        "limitranges" => maker::<core::LimitRange>(),
        "namespaces" => maker::<core::Namespace>(),
        "nodes" => maker::<core::Node>(),
        "persistentvolumeclaims" => maker::<core::PersistentVolumeClaim>(),
        "persistentvolumes" => maker::<core::PersistentVolume>(),
        "pods" => maker::<core::Pod>(),
        "podtemplates" => maker::<core::PodTemplate>(),
        "replicationcontrollers" => maker::<core::ReplicationController>(),
        "resourcequotas" => maker::<core::ResourceQuota>(),
        "secrets" => maker::<core::Secret>(),
        "serviceaccounts" => maker::<core::ServiceAccount>(),
        "services" => maker::<core::Service>(),
        "controllerrevisions.apps" => maker::<apps::ControllerRevision>(),
        "daemonsets.apps" => maker::<apps::DaemonSet>(),
        "deployments.apps" => maker::<apps::Deployment>(),
        "replicasets.apps" => maker::<apps::ReplicaSet>(),
        "statefulsets.apps" => maker::<apps::StatefulSet>(),
        "cronjobs.batch" => maker::<batch::CronJob>(),
        "jobs.batch" => maker::<batch::Job>(),
        "poddisruptionbudgets.policy" => maker::<policy::PodDisruptionBudget>(),
        "horizontalpodautoscalers.autoscaling" => maker::<autoscaling::HorizontalPodAutoscaler>(),
        other => return of_platform(other),
    })
}

fn of_platform(resource: &str) -> Option<Maker> {
    Some(match resource {
        "leases.coordination.k8s.io" => maker::<coordination::Lease>(),
        "csidrivers.storage.k8s.io" => maker::<storage::CSIDriver>(),
        "csinodes.storage.k8s.io" => maker::<storage::CSINode>(),
        "csistoragecapacities.storage.k8s.io" => maker::<storage::CSIStorageCapacity>(),
        "storageclasses.storage.k8s.io" => maker::<storage::StorageClass>(),
        "volumeattachments.storage.k8s.io" => maker::<storage::VolumeAttachment>(),
        "priorityclasses.scheduling.k8s.io" => maker::<scheduling::PriorityClass>(),
        "endpointslices.discovery.k8s.io" => maker::<discovery::EndpointSlice>(),
        "events.events.k8s.io" => maker::<events::Event>(),
        "ingressclasses.networking.k8s.io" => maker::<networking::IngressClass>(),
        "ingresses.networking.k8s.io" => maker::<networking::Ingress>(),
        "networkpolicies.networking.k8s.io" => maker::<networking::NetworkPolicy>(),
        "clusterrolebindings.rbac.authorization.k8s.io" => maker::<rbac::ClusterRoleBinding>(),
        "clusterroles.rbac.authorization.k8s.io" => maker::<rbac::ClusterRole>(),
        "rolebindings.rbac.authorization.k8s.io" => maker::<rbac::RoleBinding>(),
        "roles.rbac.authorization.k8s.io" => maker::<rbac::Role>(),
        "mutatingwebhookconfigurations.admissionregistration.k8s.io" => {
            maker::<admission::MutatingWebhookConfiguration>()
        }
        "validatingwebhookconfigurations.admissionregistration.k8s.io" => {
            maker::<admission::ValidatingWebhookConfiguration>()
        }
        "customresourcedefinitions.apiextensions.k8s.io" => maker::<extensions::CustomResourceDefinition>(),
        _ => return None,
    })
}

/// The name of a built-in kind's schema.
pub(super) fn name(resource: &str) -> Option<String> {
    of(resource).map(|(_, name)| name().into_owned())
}

/// The schemas of kinds with all that they refer to, which is at `place` in the document.
pub(super) fn schemas<'a>(resources: impl Iterator<Item = &'a str>, place: &str) -> Map {
    let mut settings = SchemaSettings::openapi3();
    settings.definitions_path = place.to_owned().into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    generator.subschema_for::<ObjectMeta>();
    for (make, _) in resources.filter_map(of) {
        make(&mut generator);
    }
    generator.take_definitions(true).into_iter().map(|(name, schema)| (name, schema.into())).collect()
}
