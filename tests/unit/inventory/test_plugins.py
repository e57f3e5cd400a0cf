"""What an inventory says of plug-ins reaches the agents' configuration, and what cannot be meant is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mlsysops_agents.config import load_config
from mlsysops_core.errors import InvalidInput

from mlsysops_cli.inventory import load_slice
from mlsysops_cli.render.plugins import plugin_config

INVENTORY = """\
all:
  vars:
    mls_engine: {engine}
    {vars}
  children:
    management_cluster:
      hosts:
        mgmt: {{ansible_host: 10.0.0.1, pod_cidr: 10.10.0.0/16, service_cidr: 10.11.0.0/16}}
    cluster1:
      children:
        master_nodes:
          hosts:
            server1: {{ansible_host: 10.0.0.2, pod_cidr: 10.12.0.0/16, service_cidr: 10.13.0.0/16}}
        worker_nodes:
          hosts:
            worker1: {{ansible_host: 10.0.0.3{worker}}}
            worker2: {{ansible_host: 10.0.0.4}}
"""
DIGEST = "sha256:" + "ab" * 32


def public_key(comment: str = "ops@example.org") -> str:
    key = Ed25519PrivateKey.generate().public_key()
    return f"{key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} {comment}"


def inventory(tmp_path: Path, *, engine: str = "embedded", worker: str = "", **variables: object) -> str:
    path = tmp_path / "inv.yml"
    lines = yaml.safe_dump(variables or {"x": 1}, width=1000).strip().splitlines()
    path.write_text(INVENTORY.format(engine=engine, worker=worker, vars="\n    ".join(lines)))
    return str(path)


def test_settings_reach_the_agents(tmp_path: Path) -> None:
    key = public_key()
    slice_ = load_slice(
        inventory(
            tmp_path,
            worker=", mls_plugin_dirs: [/opt/plugins]",
            mls_policy_digests=[DIGEST],
            mls_policy_signers=[key],
            mls_policy_packages=["numpy", "scikit-learn"],
            mls_policy_wheelhouse="/var/lib/wheels",
            mls_policy_index="https://packages.lab/simple",
            mls_policy_proxy="http://proxy.lab:3128",
        )
    )
    value = {
        "tier": "node",
        "name": "worker1",
        "slice": "s",
        "state_dir": "/s",
        **plugin_config(slice_.plugins, "worker1"),
    }
    (tmp_path / "agent.yaml").write_text(yaml.safe_dump(value))
    config = load_config(tmp_path / "agent.yaml", tier="node")
    assert config.policy_digests == (DIGEST,)
    assert config.policy_signers == (key,)
    assert config.worker.packages.allowed == ("numpy", "scikit-learn")
    assert str(config.worker.packages.wheelhouse) == "/var/lib/wheels"
    assert str(config.worker.packages.index) == "https://packages.lab/simple"
    assert str(config.worker.packages.proxy) == "http://proxy.lab:3128/"
    assert [str(path) for path in config.plugin_dirs] == ["/opt/plugins"]
    assert "plugin_dirs" not in plugin_config(slice_.plugins, "worker2")


def test_nothing_said_changes_nothing(tmp_path: Path) -> None:
    slice_ = load_slice(inventory(tmp_path))
    assert plugin_config(slice_.plugins, "mgmt") == {}


def test_nobody_is_trusted_where_the_list_is_empty(tmp_path: Path) -> None:
    slice_ = load_slice(inventory(tmp_path, mls_policy_signers=[]))
    assert plugin_config(slice_.plugins, "mgmt") == {"policy_signers": []}


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("mls_policy_digests", ["sha256:12"], "the SHA-256 of a policy"),
        ("mls_policy_signers", ["ssh-rsa AAAA x"], "ssh-ed25519"),
        ("mls_policy_signers", ["ssh-ed25519 AAAA x"], "ssh-ed25519"),
        ("mls_policy_packages", ["numpy>=2"], "the name of a package"),
        ("mls_policy_packages", {"numpy": 2}, "the name of a package"),
        ("mls_policy_wheelhouse", "wheels", "an absolute path"),
        ("mls_plugin_dirs", ["plugins"], "an absolute path"),
        ("mls_policy_index", "http://packages.lab/simple", "an https URL"),
        ("mls_policy_index", "https://me:secret@packages.lab/simple", "without user and password"),
        ("mls_policy_proxy", "socks5://proxy.lab", "an http or https URL"),
    ],
)
def test_what_cannot_be_meant_is_told_once(tmp_path: Path, variable: str, value: object, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_slice(inventory(tmp_path, **{variable: value}))
    (fault,) = caught.value.faults
    assert variable in fault.message
    assert hint in str(fault)
    assert fault.line == 4


def test_pods_see_no_directories_of_their_hosts(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_slice(inventory(tmp_path, engine="k3s", worker=", mls_plugin_dirs: [/opt/plugins]"))
    (fault,) = caught.value.faults
    assert "agents are pods and do not see it" in fault.message
    assert load_slice(inventory(tmp_path, engine="k3s", mls_policy_packages=["numpy"])).plugins.packages == ("numpy",)
