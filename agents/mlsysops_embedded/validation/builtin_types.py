"""The built-in API types as a compact table; `builtin.py` makes schemas of it.

One line a type: `Type: field field …`; a field is `name[!][:type][=default]`, `!` required. Types: none is string; `int`, `int>=N`,
`intN-M`, `bool`, `num`, `q` quantity, `ios` int-or-string, `time`, `micro` (time with a fraction), `bytes`, `any`, `map` (of strings), `lmap` (of lists of strings), `qmap`, `bmap`, `(A|B)` enum,
`Type`, `{Type}` map of it, `[Type]` atomic list, `[]` list of strings, `[]~` set; a list of `Type` keyed by `@k1,k2` is an
associative list whose first key is also the strategic merge key, `^k` gives a merge key to an atomic list; `*` after a
type makes it atomic. Source: the types.go files of k8s.io/api v0.32.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ROOTS", "TYPES"]

ROOTS: Final = {
    "v1": "Namespace Node Pod Service Endpoints ConfigMap Secret ServiceAccount Event Binding DeleteOptions",
    "apps/v1": "Deployment ReplicaSet DaemonSet ControllerRevision",
    "coordination.k8s.io/v1": "Lease",
    "discovery.k8s.io/v1": "EndpointSlice",
    "events.k8s.io/v1": "Event=EventsV1",
    "rbac.authorization.k8s.io/v1": "Role RoleBinding ClusterRole ClusterRoleBinding",
    "apiextensions.k8s.io/v1": "CustomResourceDefinition",
    "authentication.k8s.io/v1": "TokenReview SelfSubjectReview TokenRequest",
    "autoscaling/v1": "Scale",
    "policy/v1": "Eviction",
    "authorization.k8s.io/v1": "SubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview LocalSubjectAccessReview=SubjectAccessReview",
}

TYPES: Final = """
ObjectMeta: name generateName namespace selfLink uid resourceVersion generation:int creationTimestamp:time deletionTimestamp:time deletionGracePeriodSeconds:int labels:map annotations:map ownerReferences:[OwnerReference]@uid finalizers:[]~ managedFields:[ManagedFields]
OwnerReference*: apiVersion! kind! name! uid! controller:bool blockOwnerDeletion:bool
ManagedFields: manager operation apiVersion time:time fieldsType fieldsV1:any subresource
LabelSelector*: matchLabels:map matchExpressions:[Requirement]
Requirement: key! operator!:(In|NotIn|Exists|DoesNotExist) values:[]
ObjectRef*: apiVersion fieldPath kind name namespace resourceVersion uid
LocalRef*: name
Condition: type! status! reason message lastTransitionTime:time lastUpdateTime:time lastHeartbeatTime:time lastProbeTime:time observedGeneration:int
Namespace: spec:NamespaceSpec status:NamespaceStatus
NamespaceSpec: finalizers:[]
NamespaceStatus: phase conditions:[Condition]@type
Node: spec:NodeSpec status:NodeStatus
NodeSpec: podCIDR podCIDRs:[]~ providerID unschedulable:bool taints:[Taint] externalID configSource:any
Taint: key! value effect!:(NoSchedule|PreferNoSchedule|NoExecute) timeAdded:time
NodeStatus: capacity:qmap allocatable:qmap phase conditions:[Condition]@type addresses:[NodeAddress]@type daemonEndpoints:DaemonEndpoints nodeInfo:NodeInfo images:[NodeImage] volumesInUse:[] volumesAttached:[AttachedVolume] config:any runtimeHandlers:[any] features:any
NodeAddress: type! address!
DaemonEndpoints: kubeletEndpoint:DaemonEndpoint
DaemonEndpoint: Port!:int
NodeInfo: architecture bootID containerRuntimeVersion kernelVersion kubeProxyVersion kubeletVersion machineID operatingSystem osImage systemUUID swap:any
NodeImage: names:[] sizeBytes:int
AttachedVolume: name devicePath
Pod: spec:PodSpec status:PodStatus
PodTemplate: metadata:ObjectMeta spec:PodSpec
PodSpec: volumes:[Volume]@name initContainers:[Container]@name containers!:[Container]@name ephemeralContainers:[Container]@name restartPolicy:(Always|OnFailure|Never)="Always" terminationGracePeriodSeconds:int=30 activeDeadlineSeconds:int>=1 dnsPolicy:(ClusterFirst|ClusterFirstWithHostNet|Default|None)="ClusterFirst" nodeSelector:map* serviceAccountName serviceAccount automountServiceAccountToken:bool nodeName hostNetwork:bool hostPID:bool hostIPC:bool shareProcessNamespace:bool securityContext:PodSecurityContext={} imagePullSecrets:[LocalRef]@name hostname subdomain affinity:Affinity schedulerName="default-scheduler" tolerations:[Toleration] hostAliases:[HostAlias]@ip priorityClassName priority:int dnsConfig:DNSConfig readinessGates:[ReadinessGate] runtimeClassName enableServiceLinks:bool preemptionPolicy overhead:qmap topologySpreadConstraints:[TopologySpread]@topologyKey,whenUnsatisfiable setHostnameAsFQDN:bool os:LocalRef hostUsers:bool schedulingGates:[LocalRef]@name resourceClaims:[ResourceClaim]@name resources:Resources
ResourceClaim: name! resourceClaimName resourceClaimTemplateName request
HostAlias: ip! hostnames:[]
DNSConfig: nameservers:[] searches:[] options:[NameValue]
NameValue: name! value
ReadinessGate: conditionType!
PodSecurityContext: seLinuxOptions:any windowsOptions:any runAsUser:int runAsGroup:int runAsNonRoot:bool supplementalGroups:[int] supplementalGroupsPolicy fsGroup:int sysctls:[NameValue] fsGroupChangePolicy seccompProfile:TypedProfile appArmorProfile:TypedProfile seLinuxChangePolicy
TypedProfile: type! localhostProfile
SecurityContext: capabilities:Capabilities privileged:bool seLinuxOptions:any windowsOptions:any runAsUser:int runAsGroup:int runAsNonRoot:bool readOnlyRootFilesystem:bool allowPrivilegeEscalation:bool procMount seccompProfile:TypedProfile appArmorProfile:TypedProfile
Capabilities: add:[] drop:[]
Toleration: key operator:(Exists|Equal) value effect:(NoSchedule|PreferNoSchedule|NoExecute) tolerationSeconds:int
TopologySpread: maxSkew!:int>=1 topologyKey! whenUnsatisfiable!:(DoNotSchedule|ScheduleAnyway) labelSelector:LabelSelector minDomains:int nodeAffinityPolicy nodeTaintsPolicy matchLabelKeys:[]
Affinity: nodeAffinity:NodeAffinity podAffinity:PodAffinity podAntiAffinity:PodAffinity
NodeAffinity: requiredDuringSchedulingIgnoredDuringExecution:NodeSelector preferredDuringSchedulingIgnoredDuringExecution:[PreferredNode]
NodeSelector*: nodeSelectorTerms!:[NodeTerm]
NodeTerm: matchExpressions:[NodeRequirement] matchFields:[NodeRequirement]
NodeRequirement: key! operator!:(In|NotIn|Exists|DoesNotExist|Gt|Lt) values:[]
PreferredNode: weight!:int1-100 preference!:NodeTerm
PodAffinity: requiredDuringSchedulingIgnoredDuringExecution:[PodTerm] preferredDuringSchedulingIgnoredDuringExecution:[WeightedPodTerm]
PodTerm: labelSelector:LabelSelector namespaces:[] topologyKey! namespaceSelector:LabelSelector matchLabelKeys:[] mismatchLabelKeys:[]
WeightedPodTerm: weight!:int1-100 podAffinityTerm!:PodTerm
Container: name! image command:[] args:[] workingDir ports:[ContainerPort]@containerPort,protocol envFrom:[EnvFrom] env:[EnvVar]@name resources:Resources={} resizePolicy:[ResizePolicy] restartPolicy volumeMounts:[VolumeMount]@mountPath volumeDevices:[VolumeDevice]@devicePath livenessProbe:Probe readinessProbe:Probe startupProbe:Probe lifecycle:Lifecycle terminationMessagePath="/dev/termination-log" terminationMessagePolicy:(File|FallbackToLogsOnError)="File" imagePullPolicy:(Always|IfNotPresent|Never) securityContext:SecurityContext stdin:bool stdinOnce:bool tty:bool targetContainerName
ResizePolicy: resourceName restartPolicy
ContainerPort: name hostPort:int0-65535 containerPort!:int1-65535 protocol:(TCP|UDP|SCTP)="TCP" hostIP
EnvFrom: prefix configMapRef:OptionalRef secretRef:OptionalRef
OptionalRef: name optional:bool
EnvVar: name! value valueFrom:EnvSource
EnvSource: fieldRef:FieldRef resourceFieldRef:ResourceFieldRef configMapKeyRef:KeyRef secretKeyRef:KeyRef
FieldRef*: apiVersion="v1" fieldPath!
ResourceFieldRef*: containerName resource! divisor:q="0"
KeyRef*: name key! optional:bool
Resources: limits:qmap requests:qmap claims:[ResourceClaim]@name
VolumeMount: name! readOnly:bool mountPath! subPath mountPropagation subPathExpr recursiveReadOnly
VolumeDevice: name! devicePath!
Probe: exec:Exec httpGet:HTTPGet tcpSocket:TCPSocket grpc:GRPC initialDelaySeconds:int>=0 timeoutSeconds:int>=1=1 periodSeconds:int>=1=10 successThreshold:int>=1=1 failureThreshold:int>=1=3 terminationGracePeriodSeconds:int>=1
Lifecycle: postStart:Handler preStop:Handler stopSignal
Handler: exec:Exec httpGet:HTTPGet tcpSocket:TCPSocket sleep:Sleep
Exec: command:[]
HTTPGet: path="/" port!:ios host scheme:(HTTP|HTTPS)="HTTP" httpHeaders:[HTTPHeader]
HTTPHeader: name! value!
TCPSocket: port!:ios host
GRPC: port!:int service=""
Sleep: seconds!:int>=0
Volume: name! emptyDir:EmptyDir hostPath:HostPath secret:SecretVolume configMap:ConfigMapVolume downwardAPI:DownwardAPI projected:Projected persistentVolumeClaim:PVCVolume csi:any nfs:any ephemeral:any image:any iscsi:any fc:any rbd:any cephfs:any flexVolume:any gcePersistentDisk:any awsElasticBlockStore:any azureDisk:any azureFile:any cinder:any glusterfs:any gitRepo:any flocker:any photonPersistentDisk:any portworxVolume:any quobyte:any scaleIO:any storageos:any vsphereVolume:any
EmptyDir: medium sizeLimit:q
HostPath: path! type=""
PVCVolume: claimName! readOnly:bool
SecretVolume: secretName items:[KeyToPath] defaultMode:int0-511=420 optional:bool
ConfigMapVolume: name items:[KeyToPath] defaultMode:int0-511=420 optional:bool
KeyToPath: key! path! mode:int0-511
DownwardAPI: items:[DownwardFile] defaultMode:int0-511=420
DownwardFile: path! fieldRef:FieldRef resourceFieldRef:ResourceFieldRef mode:int0-511
Projected: sources:[ProjectedSource] defaultMode:int0-511=420
ProjectedSource: secret:SecretProjection configMap:SecretProjection downwardAPI:DownwardProjection serviceAccountToken:TokenProjection clusterTrustBundle:any
SecretProjection: name items:[KeyToPath] optional:bool
DownwardProjection: items:[DownwardFile]
TokenProjection: audience expirationSeconds:int=3600 path!
PodStatus: phase conditions:[Condition]@type message reason nominatedNodeName hostIP hostIPs:[IP] podIP podIPs:[IP]@ip startTime:time initContainerStatuses:[ContainerStatus] containerStatuses:[ContainerStatus] ephemeralContainerStatuses:[ContainerStatus] qosClass resize resourceClaimStatuses:[any] observedGeneration:int allocatedResources:qmap resources:Resources
IP: ip
ContainerStatus: name! state:ContainerState lastState:ContainerState ready:bool restartCount:int image imageID containerID started:bool allocatedResources:qmap resources:Resources volumeMounts:[any] user:any allocatedResourcesStatus:[any] stopSignal
ContainerState: waiting:Waiting running:Running terminated:Terminated
Waiting: reason message
Running: startedAt:time
Terminated: exitCode:int signal:int reason message startedAt:time finishedAt:time containerID
Service: spec:ServiceSpec status:ServiceStatus
ServiceSpec: ports:[ServicePort]@port,protocol selector:map* clusterIP clusterIPs:[] type:(ClusterIP|NodePort|LoadBalancer|ExternalName)="ClusterIP" externalIPs:[] sessionAffinity:(ClientIP|None)="None" loadBalancerIP loadBalancerSourceRanges:[] externalName externalTrafficPolicy healthCheckNodePort:int publishNotReadyAddresses:bool sessionAffinityConfig:any ipFamilies:[] ipFamilyPolicy allocateLoadBalancerNodePorts:bool loadBalancerClass internalTrafficPolicy trafficDistribution
ServicePort: name protocol:(TCP|UDP|SCTP)="TCP" appProtocol port!:int1-65535 targetPort:ios nodePort:int0-65535
ServiceStatus: loadBalancer:any conditions:[Condition]@type
Endpoints: subsets:[EndpointSubset]
EndpointSubset: addresses:[EndpointAddress] notReadyAddresses:[EndpointAddress] ports:[EndpointPort]
EndpointAddress*: ip! hostname nodeName targetRef:ObjectRef
EndpointPort*: name port!:int protocol="TCP" appProtocol
ConfigMap: data:map binaryData:bmap immutable:bool
Secret: data:bmap stringData:map type="Opaque" immutable:bool
ServiceAccount: secrets:[ObjectRef]@name imagePullSecrets:[LocalRef] automountServiceAccountToken:bool
Event: involvedObject!:ObjectRef reason message source:EventSource firstTimestamp:time lastTimestamp:time count:int type eventTime:micro series:EventSeries action related:ObjectRef reportingComponent reportingInstance
EventsV1: eventTime:micro series:EventSeries reportingController reportingInstance action reason regarding:ObjectRef related:ObjectRef note type deprecatedSource:EventSource deprecatedFirstTimestamp:time deprecatedLastTimestamp:time deprecatedCount:int
EventSource: component host
EventSeries: count:int lastObservedTime:micro
Binding: target!:ObjectRef
Deployment: spec!:DeploymentSpec status:DeploymentStatus
DeploymentSpec: replicas:int>=0=1 selector!:LabelSelector template!:PodTemplate strategy:DeploymentStrategy minReadySeconds:int>=0 revisionHistoryLimit:int>=0=10 paused:bool progressDeadlineSeconds:int=600
DeploymentStrategy: type:(Recreate|RollingUpdate) rollingUpdate:RollingUpdate
RollingUpdate: maxUnavailable:ios maxSurge:ios partition:int
DeploymentStatus: observedGeneration:int replicas:int updatedReplicas:int readyReplicas:int availableReplicas:int unavailableReplicas:int terminatingReplicas:int conditions:[Condition]@type collisionCount:int
ReplicaSet: spec!:ReplicaSetSpec status:ReplicaSetStatus
ReplicaSetSpec: replicas:int>=0=1 minReadySeconds:int>=0 selector!:LabelSelector template:PodTemplate
ReplicaSetStatus: replicas:int fullyLabeledReplicas:int readyReplicas:int availableReplicas:int terminatingReplicas:int observedGeneration:int conditions:[Condition]@type
DaemonSet: spec!:DaemonSetSpec status:DaemonSetStatus
DaemonSetSpec: selector!:LabelSelector template!:PodTemplate updateStrategy:DaemonSetStrategy minReadySeconds:int>=0 revisionHistoryLimit:int>=0=10
DaemonSetStrategy: type:(OnDelete|RollingUpdate) rollingUpdate:RollingUpdate
DaemonSetStatus: currentNumberScheduled:int numberMisscheduled:int desiredNumberScheduled:int numberReady:int observedGeneration:int updatedNumberScheduled:int numberAvailable:int numberUnavailable:int collisionCount:int conditions:[Condition]@type
ControllerRevision: data:any revision!:int
Lease: spec:LeaseSpec
LeaseSpec: holderIdentity leaseDurationSeconds:int>=1 acquireTime:micro renewTime:micro leaseTransitions:int>=0 strategy preferredHolder
EndpointSlice: addressType!:(IPv4|IPv6|FQDN) endpoints!:[SliceEndpoint] ports:[SlicePort]
SliceEndpoint: addresses!:[]~ conditions:EndpointConditions hostname targetRef:ObjectRef deprecatedTopology:map nodeName zone hints:any
EndpointConditions: ready:bool serving:bool terminating:bool
SlicePort*: name="" protocol="TCP" port:int appProtocol
Role: rules:[PolicyRule]
ClusterRole: rules:[PolicyRule] aggregationRule:AggregationRule
AggregationRule: clusterRoleSelectors:[LabelSelector]
PolicyRule: verbs!:[] apiGroups:[] resources:[] resourceNames:[] nonResourceURLs:[]
RoleBinding: subjects:[Subject] roleRef!:RoleRef
ClusterRoleBinding: subjects:[Subject] roleRef!:RoleRef
Subject*: kind! apiGroup name! namespace
RoleRef*: apiGroup kind! name!
CustomResourceDefinition: spec!:CRDSpec status:CRDStatus
CRDSpec: group! names!:CRDNames scope!:(Cluster|Namespaced) versions!:[CRDVersion] conversion:CRDConversion={"strategy":"None"} preserveUnknownFields:bool
CRDNames: plural! singular shortNames:[] kind! listKind categories:[]
CRDVersion: name! served!:bool storage!:bool deprecated:bool deprecationWarning schema:CRDSchema subresources:CRDSubresources additionalPrinterColumns:[CRDColumn] selectableFields:[CRDField]
CRDSchema: openAPIV3Schema:any
CRDSubresources: status:any scale:CRDScale
CRDScale: specReplicasPath! statusReplicasPath! labelSelectorPath
CRDColumn: name! type! format description priority:int jsonPath!
CRDField: jsonPath!
CRDConversion: strategy!:(None|Webhook) webhook:any
CRDStatus: conditions:[Condition]@type acceptedNames:CRDNames storedVersions:[] observedGeneration:int
DeleteOptions: gracePeriodSeconds:int preconditions:Preconditions orphanDependents:bool propagationPolicy dryRun:[] ignoreStoreReadErrorWithClusterBreakingPotential:bool
Preconditions: uid resourceVersion
Eviction: deleteOptions:DeleteOptions
Scale: spec:ScaleSpec status:ScaleStatus
ScaleSpec: replicas:int>=0
ScaleStatus: replicas:int selector
TokenRequest: spec:TokenRequestSpec status:any
TokenRequestSpec: audiences:[] expirationSeconds:int boundObjectRef:BoundObjectRef
BoundObjectRef: kind apiVersion name uid
TokenReview: spec!:TokenReviewSpec status:any
TokenReviewSpec: token audiences:[]
SelfSubjectReview: status:any
SubjectAccessReview: spec:AccessSpec status:any
SelfSubjectAccessReview: spec:OwnAccessSpec status:any
OwnAccessSpec: resourceAttributes:ResourceAttributes nonResourceAttributes:NonResourceAttributes
AccessSpec: resourceAttributes:ResourceAttributes nonResourceAttributes:NonResourceAttributes user groups:[] extra:lmap uid
ResourceAttributes: namespace verb group version resource subresource name fieldSelector:any labelSelector:any
NonResourceAttributes: path verb
SelfSubjectRulesReview: spec:RulesSpec status:any
RulesSpec: namespace
"""
