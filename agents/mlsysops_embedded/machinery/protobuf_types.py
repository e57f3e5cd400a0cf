"""Field numbers of the built-in types, for bodies that Go clients send as protobuf.

One line a message: `Message: 1name=type …`; a field without a name is embedded. Types: s string, i integer, b boolean, y bytes,
T time, q quantity, o int-or-string, R raw JSON, F FieldsV1, L list of strings in a message, mName message; before it `*` repeated,
`%` map from strings, `?` optional (zero values are then meant). Source: the protobuf tags in types.go of k8s.io/api and
k8s.io/apimachinery.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MESSAGES"]

MESSAGES: Final = """
Namespace: 1metadata=mObjectMeta 2spec=mNamespaceSpec 3status=mNamespaceStatus
ObjectMeta: 1name=s 2generateName=s 3namespace=s 4selfLink=s 5uid=s 6resourceVersion=s 7generation=i 8creationTimestamp=T 9deletionTimestamp=?T 10deletionGracePeriodSeconds=?i 11labels=%s 12annotations=%s 13ownerReferences=*mOwnerReference 14finalizers=*s 17managedFields=*mManagedFieldsEntry
OwnerReference: 5apiVersion=s 1kind=s 3name=s 4uid=s 6controller=?b 7blockOwnerDeletion=?b
ManagedFieldsEntry: 1manager=s 2operation=s 3apiVersion=s 4time=?T 6fieldsType=s 7fieldsV1=?F 8subresource=s
NamespaceSpec: 1finalizers=*s
NamespaceStatus: 1phase=s 2conditions=*mNamespaceCondition
NamespaceCondition: 1type=s 2status=s 4lastTransitionTime=T 5reason=s 6message=s
Node: 1metadata=mObjectMeta 2spec=mNodeSpec 3status=mNodeStatus
NodeSpec: 1podCIDR=s 7podCIDRs=*s 3providerID=s 4unschedulable=b 5taints=*mTaint 6configSource=?mNodeConfigSource 2externalID=s 8podPreemptionPolicy=?mNodePodPreemptionPolicy
Taint: 1key=s 2value=s 3effect=s 4timeAdded=?T
NodeConfigSource: 2configMap=?mConfigMapNodeConfigSource
ConfigMapNodeConfigSource: 1namespace=s 2name=s 3uid=s 4resourceVersion=s 5kubeletConfigKey=s
NodePodPreemptionPolicy: 1disableResizePreemption=*s
NodeStatus: 1capacity=%q 2allocatable=%q 3phase=s 4conditions=*mNodeCondition 5addresses=*mNodeAddress 6daemonEndpoints=mNodeDaemonEndpoints 7nodeInfo=mNodeSystemInfo 8images=*mContainerImage 9volumesInUse=*s 10volumesAttached=*mAttachedVolume 11config=?mNodeConfigStatus 12runtimeHandlers=*mNodeRuntimeHandler 13features=?mNodeFeatures 14declaredFeatures=*s
NodeCondition: 1type=s 2status=s 3lastHeartbeatTime=T 4lastTransitionTime=T 5reason=s 6message=s
NodeAddress: 1type=s 2address=s
NodeDaemonEndpoints: 1kubeletEndpoint=mDaemonEndpoint
DaemonEndpoint: 1Port=i
NodeSystemInfo: 1machineID=s 2systemUUID=s 3bootID=s 4kernelVersion=s 5osImage=s 6containerRuntimeVersion=s 7kubeletVersion=s 8kubeProxyVersion=s 9operatingSystem=s 10architecture=s 11swap=?mNodeSwapStatus
NodeSwapStatus: 1capacity=?i
ContainerImage: 1names=*s 2sizeBytes=i
AttachedVolume: 1name=s 2devicePath=s
NodeConfigStatus: 1assigned=?mNodeConfigSource 2active=?mNodeConfigSource 3lastKnownGood=?mNodeConfigSource 4error=s
NodeRuntimeHandler: 1name=s 2features=?mNodeRuntimeHandlerFeatures
NodeRuntimeHandlerFeatures: 1recursiveReadOnlyMounts=?b 2userNamespaces=?b
NodeFeatures: 1supplementalGroupsPolicy=?b
Pod: 1metadata=mObjectMeta 2spec=mPodSpec 3status=mPodStatus
PodSpec: 1volumes=*mVolume 20initContainers=*mContainer 2containers=*mContainer 34ephemeralContainers=*mEphemeralContainer 3restartPolicy=s 4terminationGracePeriodSeconds=?i 5activeDeadlineSeconds=?i 6dnsPolicy=s 7nodeSelector=%s 8serviceAccountName=s 9serviceAccount=s 21automountServiceAccountToken=?b 10nodeName=s 11hostNetwork=b 12hostPID=b 13hostIPC=b 27shareProcessNamespace=?b 14securityContext=?mPodSecurityContext 15imagePullSecrets=*mLocalObjectReference 16hostname=s 17subdomain=s 18affinity=?mAffinity 19schedulerName=s 22tolerations=*mToleration 23hostAliases=*mHostAlias 24priorityClassName=s 25priority=?i 26dnsConfig=?mPodDNSConfig 28readinessGates=*mPodReadinessGate 29runtimeClassName=?s 30enableServiceLinks=?b 31preemptionPolicy=?s 32overhead=%q 33topologySpreadConstraints=*mTopologySpreadConstraint 35setHostnameAsFQDN=?b 36os=?mPodOS 37hostUsers=?b 38schedulingGates=*mPodSchedulingGate 39resourceClaims=*mPodResourceClaim 40resources=?mResourceRequirements 41hostnameOverride=?s 43schedulingGroup=?mPodSchedulingGroup 44evictionResponders=*mEvictionResponder
Volume: 1name=s 2=mVolumeSource
VolumeSource: 1hostPath=?mHostPathVolumeSource 2emptyDir=?mEmptyDirVolumeSource 6secret=?mSecretVolumeSource 10persistentVolumeClaim=?mPersistentVolumeClaimVolumeSource 16downwardAPI=?mDownwardAPIVolumeSource 19configMap=?mConfigMapVolumeSource 26projected=?mProjectedVolumeSource
HostPathVolumeSource: 1path=s 2type=?s
EmptyDirVolumeSource: 1medium=s 2sizeLimit=?q 3mode=?i
SecretVolumeSource: 1secretName=s 2items=*mKeyToPath 3defaultMode=?i 4optional=?b 5defaultUser=?i
KeyToPath: 1key=s 2path=s 3mode=?i 4user=?i
PersistentVolumeClaimVolumeSource: 1claimName=s 2readOnly=b
DownwardAPIVolumeSource: 1items=*mDownwardAPIVolumeFile 2defaultMode=?i 3defaultUser=?i
DownwardAPIVolumeFile: 1path=s 2fieldRef=?mObjectFieldSelector 3resourceFieldRef=?mResourceFieldSelector 4mode=?i 5user=?i
ObjectFieldSelector: 1apiVersion=s 2fieldPath=s
ResourceFieldSelector: 1containerName=s 2resource=s 3divisor=q
ConfigMapVolumeSource: 1=mLocalObjectReference 2items=*mKeyToPath 3defaultMode=?i 4optional=?b 5defaultUser=?i
LocalObjectReference: 1name=s
ProjectedVolumeSource: 1sources=*mVolumeProjection 2defaultMode=?i 3defaultUser=?i
VolumeProjection: 1secret=?mSecretProjection 2downwardAPI=?mDownwardAPIProjection 3configMap=?mConfigMapProjection 4serviceAccountToken=?mServiceAccountTokenProjection 5clusterTrustBundle=?mClusterTrustBundleProjection 6podCertificate=?mPodCertificateProjection
SecretProjection: 1=mLocalObjectReference 2items=*mKeyToPath 4optional=?b
DownwardAPIProjection: 1items=*mDownwardAPIVolumeFile
ConfigMapProjection: 1=mLocalObjectReference 2items=*mKeyToPath 4optional=?b
ServiceAccountTokenProjection: 1audience=s 2expirationSeconds=?i 3path=s 4user=?i
ClusterTrustBundleProjection: 1name=?s 2signerName=?s 3labelSelector=?mLabelSelector 5optional=?b 4path=s 6user=?i
LabelSelector: 1matchLabels=%s 2matchExpressions=*mLabelSelectorRequirement
LabelSelectorRequirement: 1key=s 2operator=s 3values=*s
PodCertificateProjection: 1signerName=s 2keyType=s 3maxExpirationSeconds=?i 4credentialBundlePath=s 5keyPath=s 6certificateChainPath=s 7userAnnotations=%s 8user=?i
Container: 1name=s 2image=s 3command=*s 4args=*s 5workingDir=s 6ports=*mContainerPort 19envFrom=*mEnvFromSource 7env=*mEnvVar 8resources=mResourceRequirements 23resizePolicy=*mContainerResizePolicy 24restartPolicy=?s 25restartPolicyRules=*mContainerRestartRule 9volumeMounts=*mVolumeMount 21volumeDevices=*mVolumeDevice 10livenessProbe=?mProbe 11readinessProbe=?mProbe 22startupProbe=?mProbe 12lifecycle=?mLifecycle 13terminationMessagePath=s 20terminationMessagePolicy=s 14imagePullPolicy=s 15securityContext=?mSecurityContext 16stdin=b 17stdinOnce=b 18tty=b
ContainerPort: 1name=s 2hostPort=i 3containerPort=i 4protocol=s 5hostIP=s
EnvFromSource: 1prefix=s 2configMapRef=?mConfigMapEnvSource 3secretRef=?mSecretEnvSource
ConfigMapEnvSource: 1=mLocalObjectReference 2optional=?b
SecretEnvSource: 1=mLocalObjectReference 2optional=?b
EnvVar: 1name=s 2value=s 3valueFrom=?mEnvVarSource
EnvVarSource: 1fieldRef=?mObjectFieldSelector 2resourceFieldRef=?mResourceFieldSelector 3configMapKeyRef=?mConfigMapKeySelector 4secretKeyRef=?mSecretKeySelector 5fileKeyRef=?mFileKeySelector
ConfigMapKeySelector: 1=mLocalObjectReference 2key=s 3optional=?b
SecretKeySelector: 1=mLocalObjectReference 2key=s 3optional=?b
FileKeySelector: 1volumeName=s 2path=s 3key=s 4optional=?b
ResourceRequirements: 1limits=%q 2requests=%q 3claims=*mResourceClaim
ResourceClaim: 1name=s 2request=s
ContainerResizePolicy: 1resourceName=s 2restartPolicy=s
ContainerRestartRule:
VolumeMount: 1name=s 2readOnly=b 7recursiveReadOnly=?s 3mountPath=s 4subPath=s 5mountPropagation=?s 6subPathExpr=s 8bindMountOptions=*s
VolumeDevice: 1name=s 2devicePath=s
Probe: 1=mProbeHandler 2initialDelaySeconds=i 3timeoutSeconds=i 4periodSeconds=i 5successThreshold=i 6failureThreshold=i 7terminationGracePeriodSeconds=?i
ProbeHandler: 1exec=?mExecAction 2httpGet=?mHTTPGetAction 3tcpSocket=?mTCPSocketAction 4grpc=?mGRPCAction
ExecAction: 1command=*s
HTTPGetAction: 1path=s 2port=o 3host=s 4scheme=s 5httpHeaders=*mHTTPHeader 6protocol=?s
HTTPHeader: 1name=s 2value=s
TCPSocketAction: 1port=o 2host=s
GRPCAction: 1port=i 2service=?s 3mode=?s
Lifecycle: 1postStart=?mLifecycleHandler 2preStop=?mLifecycleHandler 3stopSignal=?s
LifecycleHandler: 1exec=?mExecAction 2httpGet=?mHTTPGetAction 3tcpSocket=?mTCPSocketAction 4sleep=?mSleepAction
SleepAction: 1seconds=i
SecurityContext: 1capabilities=?mCapabilities 2privileged=?b 3seLinuxOptions=?mSELinuxOptions 10windowsOptions=?mWindowsSecurityContextOptions 4runAsUser=?i 8runAsGroup=?i 5runAsNonRoot=?b 6readOnlyRootFilesystem=?b 7allowPrivilegeEscalation=?b 9procMount=?s 11seccompProfile=?mSeccompProfile 12appArmorProfile=?mAppArmorProfile
Capabilities: 1add=*s 2drop=*s
SELinuxOptions: 1user=s 2role=s 3type=s 4level=s
WindowsSecurityContextOptions: 1gmsaCredentialSpecName=?s 2gmsaCredentialSpec=?s 3runAsUserName=?s 4hostProcess=?b
SeccompProfile: 1type=s 2localhostProfile=?s
AppArmorProfile: 1type=s 2localhostProfile=?s
EphemeralContainer: 1=mEphemeralContainerCommon 2targetContainerName=s
EphemeralContainerCommon: 1name=s 2image=s 3command=*s 4args=*s 5workingDir=s 6ports=*mContainerPort 19envFrom=*mEnvFromSource 7env=*mEnvVar 8resources=mResourceRequirements 23resizePolicy=*mContainerResizePolicy 24restartPolicy=?s 25restartPolicyRules=*mContainerRestartRule 9volumeMounts=*mVolumeMount 21volumeDevices=*mVolumeDevice 10livenessProbe=?mProbe 11readinessProbe=?mProbe 22startupProbe=?mProbe 12lifecycle=?mLifecycle 13terminationMessagePath=s 20terminationMessagePolicy=s 14imagePullPolicy=s 15securityContext=?mSecurityContext 16stdin=b 17stdinOnce=b 18tty=b
PodSecurityContext: 1seLinuxOptions=?mSELinuxOptions 8windowsOptions=?mWindowsSecurityContextOptions 2runAsUser=?i 6runAsGroup=?i 3runAsNonRoot=?b 4supplementalGroups=*i 12supplementalGroupsPolicy=?s 5fsGroup=?i 7sysctls=*mSysctl 9fsGroupChangePolicy=?s 10seccompProfile=?mSeccompProfile 11appArmorProfile=?mAppArmorProfile 13seLinuxChangePolicy=?s
Sysctl: 1name=s 2value=s
Affinity: 1nodeAffinity=?mNodeAffinity 2podAffinity=?mPodAffinity 3podAntiAffinity=?mPodAntiAffinity
NodeAffinity: 1requiredDuringSchedulingIgnoredDuringExecution=?mNodeSelector 2preferredDuringSchedulingIgnoredDuringExecution=*mPreferredSchedulingTerm
NodeSelector: 1nodeSelectorTerms=*mNodeSelectorTerm
NodeSelectorTerm: 1matchExpressions=*mNodeSelectorRequirement 2matchFields=*mNodeSelectorRequirement
NodeSelectorRequirement: 1key=s 2operator=s 3values=*s
PreferredSchedulingTerm: 1weight=i 2preference=mNodeSelectorTerm
PodAffinity: 1requiredDuringSchedulingIgnoredDuringExecution=*mPodAffinityTerm 2preferredDuringSchedulingIgnoredDuringExecution=*mWeightedPodAffinityTerm
PodAffinityTerm: 1labelSelector=?mLabelSelector 2namespaces=*s 3topologyKey=s 4namespaceSelector=?mLabelSelector 5matchLabelKeys=*s 6mismatchLabelKeys=*s
WeightedPodAffinityTerm: 1weight=i 2podAffinityTerm=mPodAffinityTerm
PodAntiAffinity: 1requiredDuringSchedulingIgnoredDuringExecution=*mPodAffinityTerm 2preferredDuringSchedulingIgnoredDuringExecution=*mWeightedPodAffinityTerm
Toleration: 1key=s 2operator=s 3value=s 4effect=s 5tolerationSeconds=?i
HostAlias: 1ip=s 2hostnames=*s
PodDNSConfig: 1nameservers=*s 2searches=*s 3options=*mPodDNSConfigOption
PodDNSConfigOption: 1name=s 2value=?s
PodReadinessGate: 1conditionType=s
TopologySpreadConstraint: 1maxSkew=i 2topologyKey=s 3whenUnsatisfiable=s 4labelSelector=?mLabelSelector 5minDomains=?i 6nodeAffinityPolicy=?s 7nodeTaintsPolicy=?s 8matchLabelKeys=*s
PodOS: 1name=s
PodSchedulingGate: 1name=s
PodResourceClaim: 1name=s 3resourceClaimName=?s 4resourceClaimTemplateName=?s
PodSchedulingGroup: 1podGroupName=?s
EvictionResponder: 1name=s 2priority=?i
PodStatus: 17observedGeneration=i 1phase=s 2conditions=*mPodCondition 3message=s 4reason=s 11nominatedNodeName=s 5hostIP=s 16hostIPs=*mHostIP 6podIP=s 12podIPs=*mPodIP 7startTime=?T 10initContainerStatuses=*mContainerStatus 8containerStatuses=*mContainerStatus 9qosClass=s 13ephemeralContainerStatuses=*mContainerStatus 14resize=s 15resourceClaimStatuses=*mPodResourceClaimStatus 18extendedResourceClaimStatus=?mPodExtendedResourceClaimStatus 19allocatedResources=%q 20resources=?mResourceRequirements 21nodeAllocatableResourceClaimStatuses=*mNodeAllocatableResourceClaimStatus 22volumeHealth=*mPodVolumeHealth
PodCondition: 1type=s 7observedGeneration=i 2status=s 3lastProbeTime=T 4lastTransitionTime=T 5reason=s 6message=s
HostIP: 1ip=s
PodIP: 1ip=s
ContainerStatus: 1name=s 2state=mContainerState 3lastState=mContainerState 4ready=b 5restartCount=i 6image=s 7imageID=s 8containerID=s 9started=?b 10allocatedResources=%q 11resources=?mResourceRequirements 12volumeMounts=*mVolumeMountStatus 13user=?mContainerUser 14allocatedResourcesStatus=*mResourceStatus 15stopSignal=?s
ContainerState: 1waiting=?mContainerStateWaiting 2running=?mContainerStateRunning 3terminated=?mContainerStateTerminated
ContainerStateWaiting: 1reason=s 2message=s
ContainerStateRunning: 1startedAt=T
ContainerStateTerminated: 1exitCode=i 2signal=i 3reason=s 4message=s 5startedAt=T 6finishedAt=T 7containerID=s
VolumeMountStatus: 1name=s 2mountPath=s 3readOnly=b 4recursiveReadOnly=?s 5volumeStatus=?mVolumeStatus
VolumeStatus: 1image=?mImageVolumeStatus
ImageVolumeStatus: 1imageRef=s
ContainerUser: 1linux=?mLinuxContainerUser
LinuxContainerUser: 1uid=i 2gid=i 3supplementalGroups=*i
ResourceStatus: 1name=s 2resources=*mResourceHealth
ResourceHealth: 1resourceID=s 2health=s 6message=?s
PodResourceClaimStatus: 1name=s 2resourceClaimName=?s
PodExtendedResourceClaimStatus: 1requestMappings=*mContainerExtendedResourceRequest 2resourceClaimName=s
ContainerExtendedResourceRequest: 1containerName=s 2resourceName=s 3requestName=s
NodeAllocatableResourceClaimStatus: 1resourceClaimName=s 2containers=*s 4mapping=*mNodeAllocatableMappedResources 5overhead=*mNodeAllocatableOverheadResources
NodeAllocatableMappedResources: 1name=s 2quantity=?q
NodeAllocatableOverheadResources: 1name=s 2perPod=?q 3perContainer=?q
PodVolumeHealth: 1name=s 2healthConditions=*mVolumeHealthCondition 3lastTransitionTime=T
VolumeHealthCondition: 1status=s 2reason=s 3message=s
Service: 1metadata=mObjectMeta 2spec=mServiceSpec 3status=mServiceStatus
ServiceSpec: 1ports=*mServicePort 2selector=%s 3clusterIP=s 18clusterIPs=*s 4type=s 5externalIPs=*s 7sessionAffinity=s 8loadBalancerIP=s 9loadBalancerSourceRanges=*s 10externalName=s 11externalTrafficPolicy=s 12healthCheckNodePort=i 13publishNotReadyAddresses=b 14sessionAffinityConfig=?mSessionAffinityConfig 19ipFamilies=*s 17ipFamilyPolicy=?s 20allocateLoadBalancerNodePorts=?b 21loadBalancerClass=?s 22internalTrafficPolicy=?s 23trafficDistribution=?s
ServicePort: 1name=s 2protocol=s 6appProtocol=?s 3port=i 4targetPort=o 5nodePort=i
SessionAffinityConfig: 1clientIP=?mClientIPConfig
ClientIPConfig: 1timeoutSeconds=?i
ServiceStatus: 1loadBalancer=mLoadBalancerStatus 2conditions=*mCondition
LoadBalancerStatus: 1ingress=*mLoadBalancerIngress
LoadBalancerIngress: 1ip=s 2hostname=s 3ipMode=?s 4ports=*mPortStatus
PortStatus: 1port=i 2protocol=s 3error=?s
Condition: 1type=s 2status=s 3observedGeneration=i 4lastTransitionTime=T 5reason=s 6message=s
Endpoints: 1metadata=mObjectMeta 2subsets=*mEndpointSubset
EndpointSubset: 1addresses=*mEndpointAddress 2notReadyAddresses=*mEndpointAddress 3ports=*mEndpointPort
EndpointAddress: 1ip=s 3hostname=s 4nodeName=?s 2targetRef=?mObjectReference
ObjectReference: 1kind=s 2namespace=s 3name=s 4uid=s 5apiVersion=s 6resourceVersion=s 7fieldPath=s
EndpointPort: 1name=s 2port=i 3protocol=s 4appProtocol=?s
ConfigMap: 1metadata=mObjectMeta 4immutable=?b 2data=%s 3binaryData=%y
Secret: 1metadata=mObjectMeta 5immutable=?b 2data=%y 4stringData=%s 3type=s
ServiceAccount: 1metadata=mObjectMeta 2secrets=*mObjectReference 3imagePullSecrets=*mLocalObjectReference 4automountServiceAccountToken=?b
Event: 1metadata=mObjectMeta 2involvedObject=mObjectReference 3reason=s 4message=s 5source=mEventSource 6firstTimestamp=T 7lastTimestamp=T 8count=i 9type=s 10eventTime=T 11series=?mEventSeries 12action=s 13related=?mObjectReference 14reportingComponent=s 15reportingInstance=s
EventSource: 1component=s 2host=s
EventSeries: 1count=i 2lastObservedTime=T
Binding: 1metadata=mObjectMeta 2target=mObjectReference
Deployment: 1metadata=mObjectMeta 2spec=mDeploymentSpec 3status=mDeploymentStatus
DeploymentSpec: 1replicas=?i 2selector=?mLabelSelector 3template=mPodTemplateSpec 4strategy=mDeploymentStrategy 5minReadySeconds=i 6revisionHistoryLimit=?i 7paused=b 9progressDeadlineSeconds=?i
PodTemplateSpec: 1metadata=mObjectMeta 2spec=mPodSpec
DeploymentStrategy: 1type=s 2rollingUpdate=?mRollingUpdateDeployment
RollingUpdateDeployment: 1maxUnavailable=?o 2maxSurge=?o
DeploymentStatus: 1observedGeneration=i 2replicas=i 3updatedReplicas=i 7readyReplicas=i 4availableReplicas=i 5unavailableReplicas=i 9terminatingReplicas=?i 6conditions=*mDeploymentCondition 8collisionCount=?i
DeploymentCondition: 1type=s 2status=s 6lastUpdateTime=T 7lastTransitionTime=T 4reason=s 5message=s
ReplicaSet: 1metadata=mObjectMeta 2spec=mReplicaSetSpec 3status=mReplicaSetStatus
ReplicaSetSpec: 1replicas=?i 4minReadySeconds=i 2selector=?mLabelSelector 3template=mPodTemplateSpec
ReplicaSetStatus: 1replicas=i 2fullyLabeledReplicas=i 4readyReplicas=i 5availableReplicas=i 7terminatingReplicas=?i 3observedGeneration=i 6conditions=*mReplicaSetCondition
ReplicaSetCondition: 1type=s 2status=s 3lastTransitionTime=T 4reason=s 5message=s
DaemonSet: 1metadata=mObjectMeta 2spec=mDaemonSetSpec 3status=mDaemonSetStatus
DaemonSetSpec: 1selector=?mLabelSelector 2template=mPodTemplateSpec 3updateStrategy=mDaemonSetUpdateStrategy 4minReadySeconds=i 6revisionHistoryLimit=?i
DaemonSetUpdateStrategy: 1type=s 2rollingUpdate=?mRollingUpdateDaemonSet
RollingUpdateDaemonSet: 1maxUnavailable=?o 2maxSurge=?o
DaemonSetStatus: 1currentNumberScheduled=i 2numberMisscheduled=i 3desiredNumberScheduled=i 4numberReady=i 5observedGeneration=i 6updatedNumberScheduled=i 7numberAvailable=i 8numberUnavailable=i 9collisionCount=?i 10conditions=*mDaemonSetCondition
DaemonSetCondition: 1type=s 2status=s 3lastTransitionTime=T 4reason=s 5message=s
ControllerRevision: 1metadata=mObjectMeta 2data=R 3revision=i
Role: 1metadata=mObjectMeta 2rules=*mPolicyRule
PolicyRule: 1verbs=*s 2apiGroups=*s 3resources=*s 4resourceNames=*s 5nonResourceURLs=*s
RoleBinding: 1metadata=mObjectMeta 2subjects=*mSubject 3roleRef=mRoleRef
Subject: 1kind=s 2apiGroup=s 3name=s 4namespace=s
RoleRef: 1apiGroup=s 2kind=s 3name=s
ClusterRole: 1metadata=mObjectMeta 2rules=*mPolicyRule 3aggregationRule=?mAggregationRule
AggregationRule: 1clusterRoleSelectors=*mLabelSelector
ClusterRoleBinding: 1metadata=mObjectMeta 2subjects=*mSubject 3roleRef=mRoleRef
Lease: 1metadata=mObjectMeta 2spec=mLeaseSpec
LeaseSpec: 1holderIdentity=?s 2leaseDurationSeconds=?i 3acquireTime=?T 4renewTime=?T 5leaseTransitions=?i 6strategy=?s 7preferredHolder=?s
EndpointSlice: 1metadata=mObjectMeta 4addressType=s 2endpoints=*mEndpoint 3ports=*mEndpointPortDisc
Endpoint: 1addresses=*s 2conditions=mEndpointConditions 3hostname=?s 4targetRef=?mObjectReference 5deprecatedTopology=%s 6nodeName=?s 7zone=?s 8hints=?mEndpointHints
EndpointConditions: 1ready=?b 2serving=?b 3terminating=?b
EndpointHints: 1forZones=*mForZone 2forNodes=*mForNode
ForZone: 1name=s
ForNode: 1name=s
EndpointPortDisc: 1name=?s 2protocol=?s 3port=?i 4appProtocol=?s
EventEvents: 1metadata=mObjectMeta 2eventTime=T 3series=?mEventSeriesEvents 4reportingController=s 5reportingInstance=s 6action=s 7reason=s 8regarding=mObjectReference 9related=?mObjectReference 10note=s 11type=s 12deprecatedSource=mEventSource 13deprecatedFirstTimestamp=T 14deprecatedLastTimestamp=T 15deprecatedCount=i
EventSeriesEvents: 1count=i 2lastObservedTime=T
TokenReview: 1metadata=mObjectMeta 2spec=mTokenReviewSpec 3status=mTokenReviewStatus
TokenReviewSpec: 1token=s 2audiences=*s
TokenReviewStatus: 1authenticated=b 2user=mUserInfo 4audiences=*s 3error=s
UserInfo: 1username=s 2uid=s 3groups=*s 4extra=%L
TokenRequest: 1metadata=mObjectMeta 2spec=mTokenRequestSpec 3status=mTokenRequestStatus
TokenRequestSpec: 1audiences=*s 4expirationSeconds=?i 3boundObjectRef=?mBoundObjectReference 5attestations=%L
BoundObjectReference: 1kind=s 2apiVersion=s 3name=s 4uid=s
TokenRequestStatus: 1token=s 2expirationTimestamp=T
SelfSubjectReview: 1metadata=mObjectMeta 2status=mSelfSubjectReviewStatus
SelfSubjectReviewStatus: 1userInfo=mUserInfo
SubjectAccessReview: 1metadata=mObjectMeta 2spec=mSubjectAccessReviewSpec 3status=mSubjectAccessReviewStatus
SubjectAccessReviewSpec: 1resourceAttributes=?mResourceAttributes 2nonResourceAttributes=?mNonResourceAttributes 3user=s 4groups=*s 5extra=%L 6uid=s
ResourceAttributes: 1namespace=s 2verb=s 3group=s 4version=s 5resource=s 6subresource=s 7name=s 8fieldSelector=?mFieldSelectorAttributes 9labelSelector=?mLabelSelectorAttributes
FieldSelectorAttributes: 1rawSelector=s 2requirements=*mFieldSelectorRequirement
FieldSelectorRequirement: 1key=s 2operator=s 3values=*s
LabelSelectorAttributes: 1rawSelector=s 2requirements=*mLabelSelectorRequirement
NonResourceAttributes: 1path=s 2verb=s
SubjectAccessReviewStatus: 1allowed=b 4denied=b 2reason=s 3evaluationError=s
SelfSubjectAccessReview: 1metadata=mObjectMeta 2spec=mSelfSubjectAccessReviewSpec 3status=mSubjectAccessReviewStatus
SelfSubjectAccessReviewSpec: 1resourceAttributes=?mResourceAttributes 2nonResourceAttributes=?mNonResourceAttributes
SelfSubjectRulesReview: 1metadata=mObjectMeta 2spec=mSelfSubjectRulesReviewSpec 3status=mSubjectRulesReviewStatus
SelfSubjectRulesReviewSpec: 1namespace=s
SubjectRulesReviewStatus: 1resourceRules=*mResourceRule 2nonResourceRules=*mNonResourceRule 3incomplete=b 4evaluationError=s
ResourceRule: 1verbs=*s 2apiGroups=*s 3resources=*s 4resourceNames=*s
NonResourceRule: 1verbs=*s 2nonResourceURLs=*s
LocalSubjectAccessReview: 1metadata=mObjectMeta 2spec=mSubjectAccessReviewSpec 3status=mSubjectAccessReviewStatus
Eviction: 1metadata=mObjectMeta 2deleteOptions=?mDeleteOptions
DeleteOptions: 1gracePeriodSeconds=?i 2preconditions=?mPreconditions 3orphanDependents=?b 4propagationPolicy=?s 5dryRun=*s 6ignoreStoreReadErrorWithClusterBreakingPotential=?b
Preconditions: 1uid=?s 2resourceVersion=?s
Scale: 1metadata=mObjectMeta 2spec=mScaleSpec 3status=mScaleStatus
ScaleSpec: 1replicas=i
ScaleStatus: 1replicas=i 2selector=s
"""
