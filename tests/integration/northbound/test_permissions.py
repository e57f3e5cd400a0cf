"""An API whose account may read and not write: one clear line, the code of refusals, nothing half done; and it goes on once it may.

Two who change the same thing at once lose neither's change.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

REFUSED = 5
TOKEN = "integration-token-0123456789"
APP = "MLSysOpsApp: {name: shop, components: [{metadata: {name: web}, containers: [{image: 'x:1'}]}]}\n"
SITE = (
    "MLSysOpsCluster: {name: c7, cluster_id: c7, nodes: [n7]}\n---\n"
    "MLSysOpsNode: {name: n7, cluster_id: c7, continuum_layer: edge, environment: {}, hardware: {}}\n"
)
POLICY = """\
def initialize():
    return {}
async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return False, context
async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return {}, context
"""
READ = ["get", "list", "watch"]


class Reader:
    """A second northbound API, as somebody who may only read at first."""

    def __init__(self, slice_: Any, process: Any, directory: Path) -> None:
        self.slice, self.process, self.directory = slice_, process, directory
        self.url = ""
        self.account = "permissions-reader"

    def start(self) -> None:
        bootstrap = yaml.safe_load((self.slice.directory / "bootstrap.yaml").read_text())
        kubeconfig = self.directory / "reader.kubeconfig"
        bootstrap["kubeconfigs"] = [{"path": str(kubeconfig), "user": self.account, "groups": []}]
        (self.directory / "bootstrap.yaml").write_text(yaml.safe_dump(bootstrap))
        command = [sys.executable, "-m", "mlsysops_embedded", "bootstrap", "--config"]
        subprocess.run([*command, str(self.directory / "bootstrap.yaml")], check=True, stdout=subprocess.DEVNULL)
        self.may("read", [""], ["configmaps"], READ)
        self.may("read-ours", ["mlsysops.eu"], ["*"], READ)
        config = yaml.safe_load((self.slice.directory / "north.yaml").read_text())
        port = self.slice.free_port()
        config |= {"kubeconfig": str(kubeconfig), "state_dir": str(self.directory / "state")}
        config["listen"]["port"] = port
        self.url = f"http://{config['listen']['address']}:{port}"
        (self.directory / "north.yaml").write_text(yaml.safe_dump(config))
        self.process.start()
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            self.slice.wait_for(lambda: answers(client), "the reader's northbound API")

    def may(self, name: str, groups: list[str], resources: list[str], verbs: list[str]) -> None:
        """Give it a permission, everywhere."""
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        metadata = {"name": f"{self.account}-{name}"}
        role = {"rules": [{"apiGroups": groups, "resources": resources, "verbs": verbs}], "metadata": metadata}
        binding = {
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": metadata["name"]},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": self.account}],
        }
        for kind, obj in (("clusterroles", role), ("clusterrolebindings", binding)):
            self.slice.kube.post(f"{rbac}/{kind}", json=obj).raise_for_status()

    def objects(self) -> dict[str, Any]:
        """Everything that the API could have written, as the administrator sees it."""
        ours = "/apis/mlsysops.eu/v1/namespaces/mlsysops"
        places = [f"{ours}/{plural}" for plural in ("mlsysopsapps", "mlsysopsclusters", "mlsysopsnodes")]
        places.append("/api/v1/namespaces/mlsysops-framework/configmaps")
        return {place: self.slice.kube.get(place).json()["items"] for place in places}


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def reader(slice_: Any, tmp_path: Path) -> Iterator[Reader]:
    process = type(slice_.north)(
        [sys.executable, "-m", "mlsysops_northbound", "--config", str(tmp_path / "north.yaml")], tmp_path / "north.log"
    )
    made = Reader(slice_, process, tmp_path)
    try:
        made.start()
        yield made
    finally:
        if process.popen is not None:
            process.stop()


@pytest.fixture
def as_reader(reader: Reader, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the installed `mls` against the reader's API."""
    contexts = tmp_path / "reader" / "contexts"
    contexts.mkdir(parents=True)
    (contexts / "test.json").write_text(
        json.dumps({"name": "test", "api": {"url": reader.url, "token": TOKEN, "ca_file": None}})
    )

    def run(command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "MLS_CONFIG": str(tmp_path / "reader")}
        return subprocess.run(
            [sys.executable, "-m", "mlsysops_cli", *command.split()],
            input=stdin, capture_output=True, text=True, timeout=120, check=False, env=environment,
        )  # fmt: skip

    return run


def test_who_may_not_is_told_in_one_line_and_nothing_is_half_done(
    slice_: Any, mls: Any, reader: Reader, as_reader: Any, tmp_path: Path
) -> None:
    policy, settings = tmp_path / "policy-calm.py", tmp_path / "settings.yaml"
    policy.write_text(POLICY)
    settings.write_text("log_level: DEBUG\n")
    assert mls("apps", "deploy-app", "--path", "-", stdin=APP).returncode == 0
    assert mls("agent", "set-policy", "--no-wait", "--agent", "node", "--file", str(policy)).returncode == 0
    before = reader.objects()
    policy.write_text(POLICY + "# another version\n")
    refusals = [
        (f"agent set-policy --no-wait --agent node --file {policy}", ""),
        (f"agent set-config --agent node --name quiet --file {settings}", ""),
        ("manage set-mode --mode 1", ""),
        ("apps deploy-app --path -", APP.replace("shop", "other")),
        ("apps remove-app shop", ""),
        ("infra register-infra --path -", SITE),
    ]
    for command, stdin in refusals:
        done = as_reader(command, stdin)
        assert (done.returncode, done.stdout) == (REFUSED, ""), (command, done.stdout, done.stderr)
        assert len(done.stderr.splitlines()) == 1, (command, done.stderr)
        assert "cannot" in done.stderr, (command, done.stderr)
    assert reader.objects() == before
    # As a problem document, too; and what was refused is not remembered as the answer.
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=reader.url, headers=headers, trust_env=False) as client:
        yaml_ = {"Content-Type": "application/yaml"}
        more = [
            client.delete("/v1/agents/policies/calm", params={"target": "node"}),
            client.put("/v1/settings/system-targets", json={"metric": "e", "relation": "lower_than", "target": 5}),
            client.put("/v1/apps/shop", content=APP.replace("x:1", "x:2"), headers=yaml_),
            client.delete("/v1/apps/shop"),
            client.delete("/v1/settings/system-targets/e"),
        ]
        assert [answer.status_code for answer in more] == [403, 403, 403, 403, 404]
        assert reader.objects() == before
        answer = client.put("/manage/mode/1", headers={"Idempotency-Key": "refused-once"})
        assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
        assert answer.json()["code"] == "refused"
        reader.may("write", [""], ["configmaps"], ["create", "update", "patch", "delete"])
        slice_.wait_for(
            lambda: client.put("/manage/mode/1", headers={"Idempotency-Key": "refused-once"}).status_code == 200,
            "the permission is there",
        )
        assert client.delete("/v1/agents/policies/calm", params={"target": "node"}).status_code == 200
    slice_.client.delete("/v1/apps/shop")


def test_two_who_change_the_same_thing_at_once_lose_nothing(slice_: Any) -> None:
    """Each target and each revision is there in the end, or was refused as a conflict."""
    client, metrics = slice_.client, [f"metric{number}" for number in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        bodies = [{"metric": name, "relation": "lower_than", "target": 1} for name in metrics]
        codes = list(pool.map(lambda body: client.put("/v1/settings/system-targets", json=body).status_code, bodies))
        texts = [POLICY + f"# {number}\n" for number in range(8)]
        sent = [{"target": "node", "text": text} for text in texts]
        put = list(pool.map(lambda body: client.put("/v1/agents/policies/both", json=body), sent))
    assert set(codes) <= {200, 409}
    kept = {item["metric"] for item in client.get("/v1/settings/system-targets").json()}
    assert kept >= {name for name, code in zip(metrics, codes, strict=True) if code == 200}
    assert {answer.status_code for answer in put} <= {200, 409}
    done = [answer.json()["revision"] for answer in put if answer.status_code == 200]
    assert sorted(done) == list(range(1, len(done) + 1)), "no two were the same revision"
