"""The official Python client on a served embedded cluster: an ordinary controller's day. Ends with an assertion that failed,
or prints what it did. Its argument is a kubeconfig."""

import sys
import threading

from kubernetes import client, config, dynamic, watch

config.load_kube_config(sys.argv[1])
core, apps, policy = client.CoreV1Api(), client.AppsV1Api(), client.PolicyV1Api()
NAMESPACE = "python"


class Informer(threading.Thread):
    """A list, then a watch from its resourceVersion on, as caches do it."""

    def __init__(self):
        super().__init__(daemon=True)
        self.pods, self.events, self.changed = {}, [], threading.Condition()
        self.watch = watch.Watch()

    def run(self):
        first = core.list_namespaced_pod(NAMESPACE)
        self.pods = {pod.metadata.name: pod for pod in first.items}
        version = first.metadata.resource_version
        for event in self.watch.stream(core.list_namespaced_pod, NAMESPACE, resource_version=version, timeout_seconds=120):
            with self.changed:
                pod = event["object"]
                self.events.append(event["type"])
                if event["type"] == "DELETED":
                    self.pods.pop(pod.metadata.name)
                else:
                    self.pods[pod.metadata.name] = pod
                self.changed.notify_all()

    def until(self, what, holds):
        with self.changed:
            assert self.changed.wait_for(lambda: holds(self.pods), timeout=60), f"{what}: {list(self.pods)}"


def ready(pod):
    conditions = pod.status.conditions or []
    return any(c.type == "Ready" and c.status == "True" for c in conditions) and not pod.metadata.deletion_timestamp


def deployment(replicas):
    labels = {"app": "web"}
    container = client.V1Container(name="web", image="web", resources=client.V1ResourceRequirements(requests={"cpu": "10m"}))
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name="web"),
        spec=client.V1DeploymentSpec(
            replicas=replicas,
            selector=client.V1LabelSelector(match_labels=labels),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
            ),
        ),
    )


nodes = core.list_node()
assert len(nodes.items) == 3 and all(ready(node) for node in nodes.items), nodes
assert client.VersionApi().get_code().minor == "36"

core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
informer = Informer()
informer.start()
apps.create_namespaced_deployment(NAMESPACE, deployment(3))
informer.until("three pods are ready", lambda pods: sum(ready(p) for p in pods.values()) == 3)

budget = client.V1PodDisruptionBudget(
    metadata=client.V1ObjectMeta(name="web"),
    spec=client.V1PodDisruptionBudgetSpec(min_available=2, selector=client.V1LabelSelector(match_labels={"app": "web"})),
)
policy.create_namespaced_pod_disruption_budget(NAMESPACE, budget)
for event in watch.Watch().stream(policy.list_namespaced_pod_disruption_budget, NAMESPACE, timeout_seconds=60):
    if event["object"].status.disruptions_allowed == 1:
        break
else:
    raise AssertionError("the budget was not counted")


def evict(name):
    body = client.V1Eviction(metadata=client.V1ObjectMeta(name=name, namespace=NAMESPACE))
    return core.create_namespaced_pod_eviction(name, NAMESPACE, body)


first, second, _ = sorted(informer.pods)
evict(first)
try:
    evict(second)
    raise AssertionError("the budget allowed a second eviction")
except client.ApiException as refused:
    assert refused.status == 429 and "disruption budget" in refused.body, refused
informer.until("the evicted pod is replaced", lambda pods: first not in pods and sum(ready(p) for p in pods.values()) == 3)
assert {"ADDED", "MODIFIED", "DELETED"} <= set(informer.events), informer.events

patched = apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 1}})
assert patched.spec.replicas == 1
informer.until("one pod is left", lambda pods: len(pods) == 1)
page = core.list_pod_for_all_namespaces(limit=1, label_selector="app=web")
assert len(page.items) == 1 and page.items[0].metadata.namespace == NAMESPACE

current = core.read_namespaced_pod(next(iter(informer.pods)), NAMESPACE)
current.metadata.resource_version = "1"
try:
    core.replace_namespaced_pod(current.metadata.name, NAMESPACE, current)
    raise AssertionError("an old version was written over a new one")
except client.ApiException as refused:
    assert refused.status == 409, refused
reasons = {event.reason for event in core.list_namespaced_event(NAMESPACE).items}
assert {"Scheduled", "Started", "Killing", "SuccessfulCreate", "ScalingReplicaSet"} <= reasons, reasons

# The dynamic client finds kinds by discovery.
found = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="apps/v1", kind="Deployment")
assert found.get(name="web", namespace=NAMESPACE).spec.replicas == 1
try:
    core.read_namespaced_pod_log(current.metadata.name, NAMESPACE)
    raise AssertionError("there were logs")
except client.ApiException as refused:
    assert refused.status == 501 and "does not model pods/log" in refused.body, refused

core.delete_namespace(NAMESPACE)
informer.until("the namespace is emptied", lambda pods: not pods)
informer.watch.stop()
print("python: listed, watched, created, patched, evicted, was refused")
