"""A real Kubernetes that refuses: admission, quotas, a busy API. Each is told in one line, and when it ends, all goes on.

And what others had in it before us is theirs when we are gone.
"""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from newcomer import Newcomer, wait_for
from real_planes import ON_REAL_CLUSTERS, RealPlanes, differences, running, somebody
from test_existing import inventory

pytestmark = ON_REAL_CLUSTERS
REFUSED_BY_POD_SECURITY = 'violates PodSecurity "restricted'
PARTIAL_FAILURE, TIMED_OUT = 9, 8


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealPlanes]:
    """A continuum of the embedded engine, and a real cluster that is its member."""
    with running(tmp_path_factory.mktemp("planes"), "engine") as made:
        yield made


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Newcomer]:
    """Somebody with an empty home, of whom nothing is left in the end."""
    with somebody(tmp_path) as newcomer:
        yield newcomer


def put(clusters: RealPlanes, obj: dict[str, Any]) -> None:
    """Apply an object in the real cluster."""
    path = clusters.real.root / "object.json"
    path.write_text(json.dumps(obj))
    clusters.real.kubectl("apply", "-f", str(path))


def dead_webhook(namespace: str, *resources: str) -> dict[str, Any]:
    """A webhook that nobody answers for, and without which nothing of these resources is written in a namespace."""
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": list(resources)}
    webhook = {
        "name": "gone.example.com",
        "clientConfig": {"url": "https://127.125.0.9:1/"},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 2,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [rule],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "gone"},
        "webhooks": [webhook],
    }


@contextlib.contextmanager
def crowd(clusters: RealPlanes, namespace: str) -> Iterator[None]:
    """Have a few ask all the time as an account of a namespace: Kubernetes takes one request at a time even where there are no seats."""
    clusters.real.kubectl("create", "serviceaccount", "crowd", "-n", namespace)
    token = clusters.real.kubectl("create", "token", "crowd", "-n", namespace).strip()
    config = yaml.safe_load(clusters.real.kubeconfig.read_text())["clusters"][0]["cluster"]
    trusted = ssl.create_default_context(cadata=base64.b64decode(config["certificate-authority-data"]).decode())
    over = threading.Event()

    def ask() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=config["server"], verify=trusted, headers=headers, timeout=30) as client:
            while not over.is_set():
                client.get(f"/api/v1/namespaces/{namespace}/configmaps")

    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask) for _ in range(4)]
        try:
            yield
        finally:
            over.set()
    clusters.real.kubectl("delete", "serviceaccount", "crowd", "-n", namespace)
    for one in asking:
        one.result()


def test_what_admission_refuses_is_told_and_tried_again(person: Newcomer, clusters: RealPlanes) -> None:
    file = inventory(person, clusters, "processes")
    person.run(f"mls framework deploy-all -q -i {file}", timeout=600)
    person.run(f"mls framework create-app-test-description -i {file} --force")
    deploy = "mls apps deploy-app --path mlsysops-app-test-description.yaml"

    def said() -> str:
        return person.run("mls apps get-app-status test-application").out

    level = "pod-security.kubernetes.io/enforce"
    clusters.real.kubectl("label", "namespace", "mlsysops", f"{level}=restricted")
    try:
        person.run(deploy)
        wait_for("Pod Security's reason is told", lambda: REFUSED_BY_POD_SECURITY in said(), timeout=120)
    finally:
        clusters.real.kubectl("label", "namespace", "mlsysops", f"{level}-")
    person.run("mls apps remove-app test-application --wait", timeout=180)

    put(clusters, dead_webhook("mlsysops", "deployments"))
    try:
        person.run(deploy)
        wait_for("the webhook is named", lambda: 'failed calling webhook "gone.example.com"' in said(), timeout=120)
    finally:
        clusters.real.kubectl("delete", "validatingwebhookconfiguration", "gone")
    wait_for("it runs, without being asked again", lambda: "Ready:       2/2" in said(), timeout=240)

    # A rebuilt control plane, or one of many tenants, may have no seat for our agents for a while.
    agents = [
        {"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "mlsysops-framework"}},
    ]
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    group = "flowcontrol.apiserver.k8s.io/v1"
    put(
        clusters,
        {
            "apiVersion": group,
            "kind": "PriorityLevelConfiguration",
            "metadata": {"name": "none"},
            "spec": {
                "type": "Limited",
                "limited": {
                    "nominalConcurrencyShares": 0,
                    "lendablePercent": 0,
                    "borrowingLimitPercent": 0,  # without it, it borrows seats of the others
                    "limitResponse": {"type": "Reject"},
                },
            },
        },
    )
    put(
        clusters,
        {
            "apiVersion": group,
            "kind": "FlowSchema",
            "metadata": {"name": "none"},
            "spec": {
                "priorityLevelConfiguration": {"name": "none"},
                "matchingPrecedence": 2,
                "rules": [{"subjects": agents, "resourceRules": [everything]}],
            },
        },
    )

    def refused() -> list[str]:
        agent = "system:serviceaccount:mlsysops-framework:mlsysops-"
        return [
            entry["verb"]
            for entry in clusters.real.audit()
            if entry["user"]["username"].startswith(agent) and entry["responseStatus"]["code"] == 429
        ]

    try:
        with crowd(clusters, "mlsysops-framework"):
            wait_for("agents are told to come again", refused, timeout=120)
    finally:
        clusters.real.kubectl("delete", "flowschema,prioritylevelconfiguration", "none")

    def renewed() -> str:
        return clusters.real.kubectl(
            "get", "lease", "mlsysops-cluster-member1", "-n", "mlsysops-framework", "-o", "jsonpath={.spec.renewTime}"
        )

    before = renewed()
    wait_for("the cluster agent is there again", lambda: renewed() != before, timeout=120)
    assert "Ready:       2/2" in said()


def test_a_deployment_that_is_refused_says_why_and_goes_on_afterwards(person: Newcomer, clusters: RealPlanes) -> None:
    real = clusters.real
    short = {"agents_kubernetes_timeout": 30}
    impatient = inventory(person, clusters, "pods", management=short, api=short)

    def refused() -> str:
        done = person.run(f"mls framework deploy-all -q -i {impatient}", timeout=600, expect=None)
        assert done.code in (PARTIAL_FAILURE, TIMED_OUT), done.err
        return done.err

    real.kubectl("create", "namespace", "mlsysops-framework")
    try:
        put(clusters, dead_webhook("mlsysops-framework", "roles"))
        try:
            said = refused()
        finally:
            real.kubectl("delete", "validatingwebhookconfiguration", "gone")
        (line,) = [line for line in said.splitlines() if line.startswith("error: api1")]
        assert 'failed calling webhook "gone.example.com"' in line
        assert "Role/mlsysops-" in line

        real.kubectl("create", "quota", "none", "-n", "mlsysops-framework", "--hard=pods=0")
        try:
            assert "exceeded quota: none" in refused()
        finally:
            real.kubectl("delete", "quota", "none", "-n", "mlsysops-framework")
        person.run(f"mls framework deploy-all -q -i {inventory(person, clusters, 'pods')}", timeout=600)
        person.run("mls framework destroy-all --yes --purge", timeout=600)
        # Whoever made it keeps it, without what Pod Security would have let in for our sake.
        (left,) = real.kubectl(
            "get", "namespace", "mlsysops-framework", "-o", "jsonpath={.metadata.labels}"
        ).splitlines()
        assert json.loads(left) == {"kubernetes.io/metadata.name": "mlsysops-framework"}
    finally:
        real.kubectl("delete", "namespace", "mlsysops-framework", "--ignore-not-found")


def test_what_others_had_before_stays_theirs(person: Newcomer, clusters: RealPlanes) -> None:
    real = clusters.real
    real.kubectl("create", "namespace", "mlsysops")
    real.kubectl("label", "namespace", "mlsysops", "team=a")
    real.kubectl("create", "configmap", "theirs", "-n", "mlsysops", "--from-literal=a=b")
    definition = Path(__file__).parents[2] / "templates/crds/mlsysopsdatacenters.yaml"
    real.kubectl("apply", "-f", str(definition))
    try:
        before = clusters.snapshot()
        file = inventory(person, clusters, "processes")
        person.run(f"mls framework deploy-all -q -i {file}", timeout=600)
        person.run("mls framework destroy-all --yes --purge", timeout=600)
        changed = differences(before, clusters.snapshot())
        # The definition may be another version of itself now; it is there, with what was made of it.
        assert [one for one in changed["member1"] if "CustomResourceDefinition" not in one] == []
        real.kubectl("get", "crd", "mlsysopsdatacenters.mlsysops.eu")
    finally:
        real.kubectl("delete", "namespace", "mlsysops")
        real.kubectl("delete", "crd", "mlsysopsdatacenters.mlsysops.eu")
