"""Field numbers of the messages that clients send in Kubernetes' protobuf encoding, as a compact table.

Source: the wire format that Kubernetes publishes for its stable API types (the ``generated.proto`` files of
k8s.io/api and k8s.io/apimachinery, release 1.32 and later); field numbers never change meaning.

A line is ``message number:field:type …``. Types: ``s`` string, ``b`` boolean, ``i`` integer, ``y`` bytes, ``T`` time,
``Q`` quantity, ``I`` integer or string, ``-`` not wanted in a request, anything else another message; ``*`` is
repeated, ``%`` a map from strings. Only what the engine serves is here: a message with another field is refused,
never half understood.
"""

from __future__ import annotations

from typing import Final

__all__ = ["INLINE", "KINDS", "MESSAGES", "POINTERS"]

#: apiVersion and kind of a request body -> its message.
KINDS: Final[dict[tuple[str, str], str]] = {
    ("v1", "Binding"): "core.Binding",
    ("v1", "ConfigMap"): "core.ConfigMap",
    ("v1", "Namespace"): "core.Namespace",
    ("v1", "Pod"): "core.Pod",
    ("v1", "Secret"): "core.Secret",
    ("v1", "Service"): "core.Service",
    ("v1", "ServiceAccount"): "core.ServiceAccount",
    ("apps/v1", "Deployment"): "apps.Deployment",
    ("authentication.k8s.io/v1", "TokenRequest"): "authentication.TokenRequest",
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): "authorization.SelfSubjectAccessReview",
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): "authorization.SelfSubjectRulesReview",
    ("autoscaling/v1", "Scale"): "autoscaling.Scale",
    ("policy/v1", "Eviction"): "policy.Eviction",
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): "rbac.ClusterRole",
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): "rbac.ClusterRoleBinding",
    ("rbac.authorization.k8s.io/v1", "Role"): "rbac.Role",
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): "rbac.RoleBinding",
}

#: Messages that JSON has no level of their own for.
INLINE: Final = frozenset({"handler", "localObjectReference", "volumeSource"})

#: Fields whose zero is a value and not an absence: pointers in the Go types. Of every other field the encoder
#: writes the zero value too, and JSON leaves it out.
POINTERS: Final = frozenset(
    {
        "allocateLoadBalancerNodePorts",
        "allowPrivilegeEscalation",
        "automountServiceAccountToken",
        "blockOwnerDeletion",
        "controller",
        "defaultMode",
        "enableServiceLinks",
        "expirationSeconds",
        "fsGroup",
        "gracePeriodSeconds",
        "hostUsers",
        "immutable",
        "mode",
        "optional",
        "orphanDependents",
        "privileged",
        "progressDeadlineSeconds",
        "readOnlyRootFilesystem",
        "replicas",
        "revisionHistoryLimit",
        "runAsGroup",
        "runAsNonRoot",
        "runAsUser",
        "setHostnameAsFQDN",
        "shareProcessNamespace",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
    }
)

_TABLE: Final = r"""
apps.Deployment 1:metadata:meta.ObjectMeta 2:spec:apps.DeploymentSpec 3:status:-
apps.DeploymentSpec 1:replicas:i 2:selector:meta.LabelSelector 3:template:core.PodTemplateSpec \
  4:strategy:apps.DeploymentStrategy 5:minReadySeconds:i 6:revisionHistoryLimit:i 7:paused:b \
  9:progressDeadlineSeconds:i
apps.DeploymentStrategy 1:type:s 2:rollingUpdate:apps.RollingUpdateDeployment
apps.RollingUpdateDeployment 1:maxUnavailable:I 2:maxSurge:I
authentication.BoundObjectReference 1:kind:s 2:apiVersion:s 3:name:s 4:uid:s
authentication.TokenRequest 1:metadata:meta.ObjectMeta 2:spec:authentication.TokenRequestSpec 3:status:-
authentication.TokenRequestSpec 1:audiences:*s 3:boundObjectRef:authentication.BoundObjectReference \
  4:expirationSeconds:i
authorization.FieldSelectorAttributes 1:rawSelector:s 2:requirements:*meta.FieldSelectorRequirement
authorization.LabelSelectorAttributes 1:rawSelector:s 2:requirements:*meta.LabelSelectorRequirement
authorization.NonResourceAttributes 1:path:s 2:verb:s
authorization.ResourceAttributes 1:namespace:s 2:verb:s 3:group:s 4:version:s 5:resource:s 6:subresource:s 7:name:s \
  8:fieldSelector:authorization.FieldSelectorAttributes 9:labelSelector:authorization.LabelSelectorAttributes
authorization.SelfSubjectAccessReview 1:metadata:meta.ObjectMeta 2:spec:authorization.SelfSubjectAccessReviewSpec \
  3:status:-
authorization.SelfSubjectAccessReviewSpec 1:resourceAttributes:authorization.ResourceAttributes \
  2:nonResourceAttributes:authorization.NonResourceAttributes
authorization.SelfSubjectRulesReview 1:metadata:meta.ObjectMeta 2:spec:authorization.SelfSubjectRulesReviewSpec \
  3:status:-
authorization.SelfSubjectRulesReviewSpec 1:namespace:s
autoscaling.Scale 1:metadata:meta.ObjectMeta 2:spec:autoscaling.ScaleSpec 3:status:-
autoscaling.ScaleSpec 1:replicas:i
core.Affinity 1:nodeAffinity:core.NodeAffinity 2:podAffinity:core.PodAffinity 3:podAntiAffinity:core.PodAntiAffinity
core.AppArmorProfile 1:type:s 2:localhostProfile:s
core.Binding 1:metadata:meta.ObjectMeta 2:target:core.ObjectReference
core.Capabilities 1:add:*s 2:drop:*s
core.ClientIPConfig 1:timeoutSeconds:i
core.ConfigMap 1:metadata:meta.ObjectMeta 2:data:%s 3:binaryData:%y 4:immutable:b
core.ConfigMapEnvSource 1:localObjectReference:core.LocalObjectReference 2:optional:b
core.ConfigMapKeySelector 1:localObjectReference:core.LocalObjectReference 2:key:s 3:optional:b
core.ConfigMapProjection 1:localObjectReference:core.LocalObjectReference 2:items:*core.KeyToPath 4:optional:b
core.ConfigMapVolumeSource 1:localObjectReference:core.LocalObjectReference 2:items:*core.KeyToPath 3:defaultMode:i \
  4:optional:b
core.Container 1:name:s 2:image:s 3:command:*s 4:args:*s 5:workingDir:s 6:ports:*core.ContainerPort \
  7:env:*core.EnvVar 8:resources:core.ResourceRequirements 9:volumeMounts:*core.VolumeMount \
  10:livenessProbe:core.Probe 11:readinessProbe:core.Probe 12:lifecycle:core.Lifecycle 13:terminationMessagePath:s \
  14:imagePullPolicy:s 15:securityContext:core.SecurityContext 16:stdin:b 17:stdinOnce:b 18:tty:b \
  19:envFrom:*core.EnvFromSource 20:terminationMessagePolicy:s 21:volumeDevices:*core.VolumeDevice \
  22:startupProbe:core.Probe 23:resizePolicy:*core.ContainerResizePolicy 24:restartPolicy:s
core.ContainerPort 1:name:s 2:hostPort:i 3:containerPort:i 4:protocol:s 5:hostIP:s
core.ContainerResizePolicy 1:resourceName:s 2:restartPolicy:s
core.DownwardAPIProjection 1:items:*core.DownwardAPIVolumeFile
core.DownwardAPIVolumeFile 1:path:s 2:fieldRef:core.ObjectFieldSelector \
  3:resourceFieldRef:core.ResourceFieldSelector 4:mode:i
core.DownwardAPIVolumeSource 1:items:*core.DownwardAPIVolumeFile 2:defaultMode:i
core.EmptyDirVolumeSource 1:medium:s 2:sizeLimit:Q
core.EnvFromSource 1:prefix:s 2:configMapRef:core.ConfigMapEnvSource 3:secretRef:core.SecretEnvSource
core.EnvVar 1:name:s 2:value:s 3:valueFrom:core.EnvVarSource
core.EnvVarSource 1:fieldRef:core.ObjectFieldSelector 2:resourceFieldRef:core.ResourceFieldSelector \
  3:configMapKeyRef:core.ConfigMapKeySelector 4:secretKeyRef:core.SecretKeySelector
core.ExecAction 1:command:*s
core.GRPCAction 1:port:i 2:service:s
core.HTTPGetAction 1:path:s 2:port:I 3:host:s 4:scheme:s 5:httpHeaders:*core.HTTPHeader
core.HTTPHeader 1:name:s 2:value:s
core.HostAlias 1:ip:s 2:hostnames:*s
core.HostPathVolumeSource 1:path:s 2:type:s
core.KeyToPath 1:key:s 2:path:s 3:mode:i
core.Lifecycle 1:postStart:core.LifecycleHandler 2:preStop:core.LifecycleHandler 3:stopSignal:s
core.LifecycleHandler 1:exec:core.ExecAction 2:httpGet:core.HTTPGetAction 3:tcpSocket:core.TCPSocketAction \
  4:sleep:core.SleepAction
core.LocalObjectReference 1:name:s
core.Namespace 1:metadata:meta.ObjectMeta 2:spec:core.NamespaceSpec 3:status:-
core.NamespaceSpec 1:finalizers:*s
core.NodeAffinity 1:requiredDuringSchedulingIgnoredDuringExecution:core.NodeSelector \
  2:preferredDuringSchedulingIgnoredDuringExecution:*core.PreferredSchedulingTerm
core.NodeSelector 1:nodeSelectorTerms:*core.NodeSelectorTerm
core.NodeSelectorRequirement 1:key:s 2:operator:s 3:values:*s
core.NodeSelectorTerm 1:matchExpressions:*core.NodeSelectorRequirement 2:matchFields:*core.NodeSelectorRequirement
core.ObjectFieldSelector 1:apiVersion:s 2:fieldPath:s
core.ObjectReference 1:kind:s 2:namespace:s 3:name:s 4:uid:s 5:apiVersion:s 6:resourceVersion:s 7:fieldPath:s
core.PersistentVolumeClaimVolumeSource 1:claimName:s 2:readOnly:b
core.Pod 1:metadata:meta.ObjectMeta 2:spec:core.PodSpec 3:status:-
core.PodAffinity 1:requiredDuringSchedulingIgnoredDuringExecution:*core.PodAffinityTerm \
  2:preferredDuringSchedulingIgnoredDuringExecution:*core.WeightedPodAffinityTerm
core.PodAffinityTerm 1:labelSelector:meta.LabelSelector 2:namespaces:*s 3:topologyKey:s \
  4:namespaceSelector:meta.LabelSelector 5:matchLabelKeys:*s 6:mismatchLabelKeys:*s
core.PodAntiAffinity 1:requiredDuringSchedulingIgnoredDuringExecution:*core.PodAffinityTerm \
  2:preferredDuringSchedulingIgnoredDuringExecution:*core.WeightedPodAffinityTerm
core.PodDNSConfig 1:nameservers:*s 2:searches:*s 3:options:*core.PodDNSConfigOption
core.PodDNSConfigOption 1:name:s 2:value:s
core.PodOS 1:name:s
core.PodReadinessGate 1:conditionType:s
core.PodSchedulingGate 1:name:s
core.PodSecurityContext 1:seLinuxOptions:core.SELinuxOptions 2:runAsUser:i 3:runAsNonRoot:b 4:supplementalGroups:*i \
  5:fsGroup:i 6:runAsGroup:i 7:sysctls:*core.Sysctl 9:fsGroupChangePolicy:s 10:seccompProfile:core.SeccompProfile \
  11:appArmorProfile:core.AppArmorProfile 12:supplementalGroupsPolicy:s 13:seLinuxChangePolicy:s
core.PodSpec 1:volumes:*core.Volume 2:containers:*core.Container 3:restartPolicy:s 4:terminationGracePeriodSeconds:i \
  5:activeDeadlineSeconds:i 6:dnsPolicy:s 7:nodeSelector:%s 8:serviceAccountName:s 9:serviceAccount:s 10:nodeName:s \
  11:hostNetwork:b 12:hostPID:b 13:hostIPC:b 14:securityContext:core.PodSecurityContext \
  15:imagePullSecrets:*core.LocalObjectReference 16:hostname:s 17:subdomain:s 18:affinity:core.Affinity \
  19:schedulerName:s 20:initContainers:*core.Container 21:automountServiceAccountToken:b \
  22:tolerations:*core.Toleration 23:hostAliases:*core.HostAlias 24:priorityClassName:s 25:priority:i \
  26:dnsConfig:core.PodDNSConfig 27:shareProcessNamespace:b 28:readinessGates:*core.PodReadinessGate \
  29:runtimeClassName:s 30:enableServiceLinks:b 31:preemptionPolicy:s 32:overhead:%Q \
  33:topologySpreadConstraints:*core.TopologySpreadConstraint 35:setHostnameAsFQDN:b 36:os:core.PodOS 37:hostUsers:b \
  38:schedulingGates:*core.PodSchedulingGate
core.PodTemplateSpec 1:metadata:meta.ObjectMeta 2:spec:core.PodSpec
core.PreferredSchedulingTerm 1:weight:i 2:preference:core.NodeSelectorTerm
core.Probe 1:handler:core.ProbeHandler 2:initialDelaySeconds:i 3:timeoutSeconds:i 4:periodSeconds:i \
  5:successThreshold:i 6:failureThreshold:i 7:terminationGracePeriodSeconds:i
core.ProbeHandler 1:exec:core.ExecAction 2:httpGet:core.HTTPGetAction 3:tcpSocket:core.TCPSocketAction \
  4:grpc:core.GRPCAction
core.ProjectedVolumeSource 1:sources:*core.VolumeProjection 2:defaultMode:i
core.ResourceFieldSelector 1:containerName:s 2:resource:s 3:divisor:Q
core.ResourceRequirements 1:limits:%Q 2:requests:%Q
core.SELinuxOptions 1:user:s 2:role:s 3:type:s 4:level:s
core.SeccompProfile 1:type:s 2:localhostProfile:s
core.Secret 1:metadata:meta.ObjectMeta 2:data:%y 3:type:s 4:stringData:%s 5:immutable:b
core.SecretEnvSource 1:localObjectReference:core.LocalObjectReference 2:optional:b
core.SecretKeySelector 1:localObjectReference:core.LocalObjectReference 2:key:s 3:optional:b
core.SecretProjection 1:localObjectReference:core.LocalObjectReference 2:items:*core.KeyToPath 4:optional:b
core.SecretVolumeSource 1:secretName:s 2:items:*core.KeyToPath 3:defaultMode:i 4:optional:b
core.SecurityContext 1:capabilities:core.Capabilities 2:privileged:b 3:seLinuxOptions:core.SELinuxOptions \
  4:runAsUser:i 5:runAsNonRoot:b 6:readOnlyRootFilesystem:b 7:allowPrivilegeEscalation:b 8:runAsGroup:i \
  9:procMount:s 11:seccompProfile:core.SeccompProfile 12:appArmorProfile:core.AppArmorProfile
core.Service 1:metadata:meta.ObjectMeta 2:spec:core.ServiceSpec 3:status:-
core.ServiceAccount 1:metadata:meta.ObjectMeta 2:secrets:*core.ObjectReference \
  3:imagePullSecrets:*core.LocalObjectReference 4:automountServiceAccountToken:b
core.ServiceAccountTokenProjection 1:audience:s 2:expirationSeconds:i 3:path:s
core.ServicePort 1:name:s 2:protocol:s 3:port:i 4:targetPort:I 5:nodePort:i 6:appProtocol:s
core.ServiceSpec 1:ports:*core.ServicePort 2:selector:%s 3:clusterIP:s 4:type:s 5:externalIPs:*s 7:sessionAffinity:s \
  8:loadBalancerIP:s 9:loadBalancerSourceRanges:*s 10:externalName:s 11:externalTrafficPolicy:s \
  12:healthCheckNodePort:i 13:publishNotReadyAddresses:b 14:sessionAffinityConfig:core.SessionAffinityConfig \
  17:ipFamilyPolicy:s 18:clusterIPs:*s 19:ipFamilies:*s 20:allocateLoadBalancerNodePorts:b 21:loadBalancerClass:s \
  22:internalTrafficPolicy:s 23:trafficDistribution:s
core.SessionAffinityConfig 1:clientIP:core.ClientIPConfig
core.SleepAction 1:seconds:i
core.Sysctl 1:name:s 2:value:s
core.TCPSocketAction 1:port:I 2:host:s
core.Toleration 1:key:s 2:operator:s 3:value:s 4:effect:s 5:tolerationSeconds:i
core.TopologySpreadConstraint 1:maxSkew:i 2:topologyKey:s 3:whenUnsatisfiable:s 4:labelSelector:meta.LabelSelector \
  5:minDomains:i 6:nodeAffinityPolicy:s 7:nodeTaintsPolicy:s 8:matchLabelKeys:*s
core.Volume 1:name:s 2:volumeSource:core.VolumeSource
core.VolumeDevice 1:name:s 2:devicePath:s
core.VolumeMount 1:name:s 2:readOnly:b 3:mountPath:s 4:subPath:s 5:mountPropagation:s 6:subPathExpr:s \
  7:recursiveReadOnly:s
core.VolumeProjection 1:secret:core.SecretProjection 2:downwardAPI:core.DownwardAPIProjection \
  3:configMap:core.ConfigMapProjection 4:serviceAccountToken:core.ServiceAccountTokenProjection
core.VolumeSource 1:hostPath:core.HostPathVolumeSource 2:emptyDir:core.EmptyDirVolumeSource \
  6:secret:core.SecretVolumeSource 10:persistentVolumeClaim:core.PersistentVolumeClaimVolumeSource \
  16:downwardAPI:core.DownwardAPIVolumeSource 19:configMap:core.ConfigMapVolumeSource \
  26:projected:core.ProjectedVolumeSource
core.WeightedPodAffinityTerm 1:weight:i 2:podAffinityTerm:core.PodAffinityTerm
meta.DeleteOptions 1:gracePeriodSeconds:i 2:preconditions:meta.Preconditions 3:orphanDependents:b \
  4:propagationPolicy:s 5:dryRun:*s
meta.FieldSelectorRequirement 1:key:s 2:operator:s 3:values:*s
meta.LabelSelector 1:matchLabels:%s 2:matchExpressions:*meta.LabelSelectorRequirement
meta.LabelSelectorRequirement 1:key:s 2:operator:s 3:values:*s
meta.ObjectMeta 1:name:s 2:generateName:s 3:namespace:s 5:uid:s 6:resourceVersion:s 7:generation:i \
  8:creationTimestamp:T 9:deletionTimestamp:T 10:deletionGracePeriodSeconds:i 11:labels:%s 12:annotations:%s \
  13:ownerReferences:*meta.OwnerReference 14:finalizers:*s 17:managedFields:-
meta.OwnerReference 1:kind:s 3:name:s 4:uid:s 5:apiVersion:s 6:controller:b 7:blockOwnerDeletion:b
meta.Preconditions 1:uid:s 2:resourceVersion:s
policy.Eviction 1:metadata:meta.ObjectMeta 2:deleteOptions:meta.DeleteOptions
rbac.AggregationRule 1:clusterRoleSelectors:*meta.LabelSelector
rbac.ClusterRole 1:metadata:meta.ObjectMeta 2:rules:*rbac.PolicyRule 3:aggregationRule:rbac.AggregationRule
rbac.ClusterRoleBinding 1:metadata:meta.ObjectMeta 2:subjects:*rbac.Subject 3:roleRef:rbac.RoleRef
rbac.PolicyRule 1:verbs:*s 2:apiGroups:*s 3:resources:*s 4:resourceNames:*s 5:nonResourceURLs:*s
rbac.Role 1:metadata:meta.ObjectMeta 2:rules:*rbac.PolicyRule
rbac.RoleBinding 1:metadata:meta.ObjectMeta 2:subjects:*rbac.Subject 3:roleRef:rbac.RoleRef
rbac.RoleRef 1:apiGroup:s 2:kind:s 3:name:s
rbac.Subject 1:kind:s 2:apiGroup:s 3:name:s 4:namespace:s
"""


def _messages() -> dict[str, dict[int, tuple[str, str]]]:
    table: dict[str, dict[int, tuple[str, str]]] = {}
    for line in _TABLE.replace("\\\n", "").split("\n"):
        name, *fields = line.split() or [""]
        if name:
            parts = (field.split(":", 2) for field in fields)
            table[name] = {int(number): (field, kind) for number, field, kind in parts}
    return table


#: message -> field number -> (JSON name, type).
MESSAGES: Final = _messages()
