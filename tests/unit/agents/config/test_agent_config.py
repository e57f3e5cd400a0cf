"""The configuration file of an agent: everything that is wrong with it is said, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlsysops_agents.config import load_config
from mlsysops_core.errors import InvalidInput

GOOD = """
tier: node
name: worker1
slice: local
kubeconfig: /slice/hosts/worker1/node-agent.kubeconfig
namespace: mlsysops
framework_namespace: mlsysops-framework
state_dir: /slice/hosts/worker1/agent
telemetry: {listen: {address: 127.20.0.12, port: 43170}, upstream: "http://127.20.0.11:43170", interval: 5.0}
plugin_dirs: []
lease: {duration: 40, renew: 10}
"""


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "agent.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_whole_file(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, GOOD), tier="node")

    assert config.identity.name == "worker1"
    assert config.telemetry.listen.address == "127.20.0.12"
    assert str(config.telemetry.upstream) == "http://127.20.0.11:43170/"
    assert config.lease.duration == 40


def test_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "{tier: cluster, name: c1, slice: s, state_dir: /state}"), tier="cluster")

    assert config.kubeconfig is None
    assert config.namespace == "mlsysops"
    assert config.telemetry.upstream is None
    assert config.telemetry.listen.port == 43170


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must be a mapping"),
        ("- a", "must be a mapping"),
        ("{", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        (GOOD + "colour: red", "colour"),
        (GOOD.replace("port: 43170", "port: 70000"), "telemetry.listen.port"),
        (GOOD.replace("port: 43170", "port: '43170'"), "telemetry.listen.port"),
        (GOOD.replace("renew: 10", "renew: yes"), "lease.renew"),
        (GOOD.replace("tier: node", "tier: rack"), "tier"),
        (GOOD.replace("state_dir: /slice", "state_dir: slice"), "absolute path"),
        (GOOD.replace("name: worker1", "name: Worker_1", 1), "name"),
        (GOOD.replace("renew: 10", "renew: 40"), "renew must be less than duration"),
        (GOOD.replace("http://", "ldap://"), "telemetry.upstream"),
        (GOOD.replace("interval: 5.0", "interval: 0"), "telemetry.interval"),
    ],
)
def test_faults_are_one_line_that_names_them(tmp_path: Path, text: str | bytes, says: str) -> None:
    path = write(tmp_path, text)

    with pytest.raises(InvalidInput) as caught:
        load_config(path, tier="node")

    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_faults_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("port: 43170", "port: x").replace("slice: local", "slise: local")

    with pytest.raises(InvalidInput) as caught:
        load_config(write(tmp_path, text), tier="node")

    assert {fault.path for fault in caught.value.faults} == {"telemetry.listen.port", "slice", "slise"}


def test_tier_must_be_that_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="starts a 'cluster' agent"):
        load_config(write(tmp_path, GOOD), tier="cluster")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        load_config(tmp_path / "none.yaml", tier="node")
