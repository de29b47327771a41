//! The fields that the model reads, by kind. What isn't here doesn't leave the cluster: environment, commands, probes and
//! lifecycle hooks, configuration and secrets behind volumes, user data of guests, messages, addresses.

/// Of every object.
pub(super) const METADATA: &str = "
    {name,generateName,namespace,uid,generation,labels,annotations,finalizers}
    {creationTimestamp,deletionTimestamp,deletionGracePeriodSeconds}
    ownerReferences[].{apiVersion,kind,name,uid,controller,blockOwnerDeletion}";

/// Of every status. Conditions without their messages, which are free text.
pub(super) const CONDITIONS: &str = "
    conditions[].{type,status,reason,observedGeneration,lastTransitionTime,lastHeartbeatTime,lastProbeTime}";

/// A PodSpec.
pub(super) const POD: &str = "
    {nodeName,nodeSelector,affinity,tolerations,topologySpreadConstraints,schedulerName,schedulingGates}
    {priorityClassName,priority,preemptionPolicy,overhead,runtimeClassName,resources,os}
    {restartPolicy,terminationGracePeriodSeconds,activeDeadlineSeconds,readinessGates,hostNetwork,hostPID,hostname,subdomain}
    {containers,initContainers}[].{name,image,resources,restartPolicy}
    {containers,initContainers}[].ports[].{containerPort,hostPort,hostIP,protocol}
    {containers,initContainers}[].securityContext.privileged
    volumes[].name volumes[].emptyDir.{medium,sizeLimit} volumes[].hostPath=
    volumes[].persistentVolumeClaim.{claimName,readOnly}
    volumes[].ephemeral.volumeClaimTemplate.spec.{accessModes,resources,storageClassName,volumeMode}";

pub(super) const POD_STATUS: &str = "
    {phase,reason,startTime,qosClass,nominatedNodeName,observedGeneration}
    {containerStatuses,initContainerStatuses}[].{name,ready,started,restartCount}
    {containerStatuses,initContainerStatuses}[].state.running.startedAt
    {containerStatuses,initContainerStatuses}[].state.waiting.reason
    {containerStatuses,initContainerStatuses}[].state.terminated.{exitCode,reason,startedAt,finishedAt}";

pub(super) const CLAIM: &str = "{accessModes,resources,storageClassName,volumeName,volumeMode,selector}";

/// Counts that workloads report of themselves.
pub(super) const COUNTS: &str = "
    {observedGeneration,replicas,readyReplicas,availableReplicas,updatedReplicas,unavailableReplicas,fullyLabeledReplicas}
    {currentReplicas,currentRevision,updateRevision,collisionCount,terminatingReplicas}
    {currentNumberScheduled,desiredNumberScheduled,numberAvailable,numberMisscheduled,numberReady,numberUnavailable,updatedNumberScheduled}";

pub(super) const WORKLOAD: &str = "
    {replicas,selector,strategy,updateStrategy,minReadySeconds,paused,revisionHistoryLimit,progressDeadlineSeconds}
    {podManagementPolicy,serviceName,ordinals,persistentVolumeClaimRetentionPolicy}
    volumeClaimTemplates[].{apiVersion,kind,metadata.name,metadata.labels}";

pub(super) const JOB: &str = "
    {parallelism,completions,backoffLimit,backoffLimitPerIndex,maxFailedIndexes,activeDeadlineSeconds,completionMode,suspend}
    {ttlSecondsAfterFinished,podReplacementPolicy,podFailurePolicy,successPolicy,selector,manualSelector}";

pub(super) const JOB_STATUS: &str = "
    {active,ready,succeeded,failed,terminating,startTime,completionTime,completedIndexes,failedIndexes}
    uncountedTerminatedPods.{succeeded,failed}";

pub(super) const NODE: &str = "unschedulable taints[].{key,value,effect,timeAdded}";

pub(super) const NODE_STATUS: &str = "
    {capacity,allocatable,phase} volumesAttached[].name
    nodeInfo.{bootID,kernelVersion,osImage,architecture,operatingSystem,kubeletVersion,containerRuntimeVersion}";

pub(super) const VOLUME: &str = "
    {capacity,accessModes,storageClassName,persistentVolumeReclaimPolicy,volumeMode,nodeAffinity,csi.driver}
    claimRef.{apiVersion,kind,namespace,name,uid} {local,hostPath,nfs,iscsi,fc}=";

/// The KubeVirt object.
pub(super) const KUBEVIRT: &str = "
    workloadUpdateStrategy configuration.{evictionStrategy,migrations,cpuModel,machineType,vmRolloutStrategy}
    configuration.developerConfiguration.{featureGates,cpuAllocationRatio,memoryOvercommit}
    configuration.network.{defaultNetworkInterface,permitBridgeInterfaceOnPodNetwork,permitSlirpInterface}
    configuration.network.binding.*.{migration,domainAttachmentType}
    configuration.architectureConfiguration.{defaultArchitecture,amd64.machineType,arm64.machineType,s390x.machineType}";

/// A VirtualMachineInstanceSpec.
pub(super) const GUEST: &str = "
    {terminationGracePeriodSeconds,evictionStrategy,startStrategy,nodeSelector,affinity,tolerations,topologySpreadConstraints}
    {priorityClassName,schedulerName,hostname,architecture}
    domain.{cpu,memory,resources,machine,ioThreadsPolicy,clock.timer.tsc,launchSecurity=}
    domain.launchSecurity.{sev,snp,tdx}=
    domain.features.{acpi,smm,kvm,hypervPassthrough} domain.firmware.bootloader.{bios=,efi.persistent,efi.secureBoot}
    domain.devices.{autoattachPodInterface,autoattachMemBalloon,networkInterfaceMultiqueue,blockMultiQueue}
    domain.devices.disks[].{name,bootOrder,cache,io,shareable,dedicatedIOThread}
    domain.devices.disks[].{disk,lun,cdrom}.{bus,readonly,reservation}
    domain.devices.interfaces[].{name,model,state,binding.name,masquerade=,bridge=,passt=,passtBinding=,slirp=,sriov=,macvtap=}
    domain.devices.{gpus,hostDevices}[].{name,deviceName} domain.devices.filesystems[].{name,virtiofs=}
    domain.devices.tpm.{enabled,persistent}
    networks[].{name,pod=,multus.networkName,multus.default}
    volumes[].{name,persistentVolumeClaim.claimName,persistentVolumeClaim.hotpluggable,persistentVolumeClaim.readOnly}
    volumes[].{dataVolume.name,dataVolume.hotpluggable,memoryDump.claimName,memoryDump.hotpluggable}
    volumes[].{hostDisk.shared,hostDisk.capacity,hostDisk.type,emptyDisk.capacity,ephemeral.persistentVolumeClaim.claimName}
    volumes[].{containerDisk,cloudInitNoCloud,cloudInitConfigDrive,configMap,secret,serviceAccount,downwardAPI,downwardMetrics,sysprep}=
    utilityVolumes[].{name,claimName}";

pub(super) const GUEST_STATUS: &str = "
    {phase,reason,nodeName,evacuationNodeName,migrationMethod,migrationTransport,activePods,selinuxContext,runtimeUser,qosClass}
    {machine,memory,currentCPUTopology,virtualMachineRevisionName,phaseTransitionTimestamps}
    volumeStatus[].{name,phase,target,hotplugVolume,memoryDumpVolume.claimName}
    volumeStatus[].persistentVolumeClaimInfo.{accessModes,capacity,requests,volumeMode,claimName}";

/// Of `migrationState`, in VMIs and migrations.
pub(super) const MOVE: &str = "
    {migrationUid,sourceNode,targetNode,sourcePod,targetPod,startTimestamp,endTimestamp,completed,failed}
    {abortRequested,abortStatus,mode,migrationConfiguration,migrationPolicyName,targetNodeDomainDetected,targetNodeDomainReadyTimestamp}
    {sourcePersistentStatePVCName,targetPersistentStatePVCName,targetAttachmentPodUID,targetCPUSet}";

pub(super) const MACHINE_STATUS: &str = "
    {created,ready,printableStatus,runStrategy,observedGeneration,desiredGeneration}
    startFailure.{consecutiveFailCount,lastFailedVMIUID,retryAfterTimestamp} stateChangeRequests[].{action,uid}";

pub(super) const POLICY: &str = "
    {allowAutoConverge,bandwidthPerMigration,completionTimeoutPerGiB,allowPostCopy,allowWorkloadDisruption}
    selectors.{virtualMachineInstanceSelector,namespaceSelector}";

pub(super) const DEFINITION: &str = "
    group scope names.{plural,singular,kind,listKind,shortNames,categories}
    versions[].{name,served,storage,deprecated,subresources}";

/// Annotations that the model or virtroll reads. All others stay behind: many hold whole manifests.
pub(super) fn keeps_annotation(key: &str) -> bool {
    const KEPT: [&str; 15] = [
        "kubernetes.io/config.mirror",
        "deployment.kubernetes.io/revision",
        "batch.kubernetes.io/job-tracking",
        "kubevirt.io/domain",
        "kubevirt.io/heartbeat",
        "kubevirt.io/evacuationMigration",
        "kubevirt.io/migrationJobName",
        "kubevirt.io/workloadUpdateMigration",
        "kubevirt.io/migrationPendingPodTimeoutSeconds",
        "kubevirt.io/migrationUnschedulablePodTimeoutSeconds",
        "kubevirt.io/allow-pod-bridge-network-live-migration",
        "kubevirt.io/owner-vmi-name",
        "kubevirt.io/owner-vmi-uid",
        "descheduler.alpha.kubernetes.io/eviction-in-progress",
        "volume.kubernetes.io/selected-node",
    ];
    KEPT.contains(&key) || ["sim.virtroll.dev/", "virtroll.dev/"].iter().any(|own| key.starts_with(own))
}
