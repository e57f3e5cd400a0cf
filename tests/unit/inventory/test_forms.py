"""Values that a variable cannot have are refused by the variable's name, in one line, without a secret in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from mlsysops_core.errors import InvalidInput

from mlsysops_cli.inventory import RawInventory, build_slice
from mlsysops_cli.inventory.forms import is_url


def raw(host: str = "w1", device: dict[str, Any] | None = None, **variables: Any) -> RawInventory:
    """An inventory, one host of which has further variables."""
    hosts: dict[str, dict[str, Any]] = {
        "mgmt": {"ansible_host": "10.9.0.10"},
        "s1": {"ansible_host": "10.9.0.11", "mls_cluster": "c1"},
        "w1": {"ansible_host": "10.9.0.12", "mls_cluster": "c1"},
    }
    groups = {"management_cluster": ["mgmt"], "master_nodes": ["s1"], "worker_nodes": ["w1"], "far_edge": []}
    if device is not None:
        hosts["d1"] = {"ansible_host": "10.9.0.20", **device}
        groups["far_edge"] = ["d1"]
    hosts[host] |= variables
    return RawInventory("inv.yml", hosts, groups, {})


def faults(inventory: RawInventory) -> Sequence[str]:
    with pytest.raises(InvalidInput) as caught:
        build_slice(inventory)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("mls_http_proxy", "proxy.lab:3128", "is proxy.lab:3128, which is no URL"),
        ("mls_http_proxy", "http://", "which is no URL"),
        ("mls_https_proxy", "http://me:hunter2@proxy lab", "is proxy lab, which is no URL"),
        ("mls_https_proxy", "http://proxy.lab:port", "which is no URL"),
        ("mls_https_proxy", 3128, "is 3128, which is no URL"),
        ("mls_no_proxy", "http://registry.lab", "which are no names or networks"),
        ("mls_no_proxy", "a b", "which are no names or networks"),
        ("mls_artifacts_mirror", "mirror.lab", "which is no URL"),
        ("mls_k3s_url", "ftp://mirror.lab", "which is no URL"),
        ("mls_karmada_url", "https:///x", "which is no URL"),
        ("mls_agents_image", "my image", "which is no name of an image"),
        ("mls_northbound_image", "https://registry.lab/northbound", "which is no name of an image"),
        ("mls_karmada_agent_image", "registry.lab/Agent:1", "which is no name of an image"),
        ("mls_karmada_registry", "https://registry.lab", "which is no registry"),
        ("mls_airgap_images", "perhaps", "which is neither yes nor no"),
        ("mls_health_seconds", "a minute", "which are no seconds"),
        ("mls_rollout_seconds", 0, "which are no seconds"),
        ("mls_rollout_seconds", -5, "which are no seconds"),
        ("mls_registries", {"configs": {"r": {"auth": {"password": "hunter2"}}}, "mirors": {}}, "is no registries.yaml of k3s"),
        ("mls_registries", "hunter2", "is no registries.yaml of k3s"),
        ("mls_otlp_headers", "Authorization: Bearer hunter2", "is no mapping of headers"),
        ("mls_otlp_headers", {"Authorization": ["hunter2"]}, "is no mapping of headers"),
        ("mls_gateway", "s1", "only far-edge devices are behind a gateway"),
        ("mls_context", "member1", "means nothing with engine k3s"),
        ("mls_api_url", "https://10.9.0.1:6443", "means nothing with engine k3s"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(variable: str, value: Any, said: str) -> None:
    (fault,) = faults(raw(**{variable: value}))
    assert fault.startswith(f"inv.yml: {variable}: {variable} of host w1 {said}") or (
        variable in fault and said in fault
    )
    assert "hunter2" not in fault
    assert fault.endswith(")")  # the way out


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("mls_http_proxy", "http://me:hunter2@proxy.lab:3128"),
        ("mls_http_proxy", "{{ lookup('env', 'http_proxy') }}"),
        ("mls_http_proxy", {"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256"}),
        ("mls_https_proxy", "http://[fd00::1]:3128/"),
        ("mls_no_proxy", ".example, registry.lab,*.lab, 10.0.0.0/8,fd00::/8,[fd00::1],host:8080, *"),
        ("mls_agents_image", "registry.lab:5000/a/b-c_d:1.0@sha256:" + "0" * 64),
        ("mls_agents_image", "mlsysops-agents:7.1"),
        ("mls_karmada_registry", "registry.lab:5000/karmada"),
        ("mls_airgap_images", True),
        ("mls_airgap_images", "yes"),
        ("mls_health_seconds", "90"),
        ("mls_registries", {"mirrors": {"docker.io": {"endpoint": ["https://r"]}}, "configs": {}}),
        ("mls_otlp_headers", {"Authorization": {"__ansible_vault": "…"}, "X-Number": 3}),
    ],
)  # fmt: skip
def test_what_can_be_meant_is_taken(variable: str, value: Any) -> None:
    assert build_slice(raw(**{variable: value})).engine == "k3s"


def test_a_gateway_is_a_devices_alone() -> None:
    device = {"mls_gateway": "w1"}
    assert build_slice(raw(device=device)).far_edge[0].gateway == "w1"
    (fault,) = faults(raw(device=device, mls_gateway="s1"))
    assert "mls_gateway of host w1" in fault
    assert "put it into the group far_edge, or remove the variable" in fault


def test_what_many_hosts_have_is_told_once() -> None:
    inventory = raw()
    for variables in inventory.hosts.values():
        variables["mls_http_proxy"] = "nowhere"
    (fault,) = faults(inventory)
    assert "mls_http_proxy of host mgmt is nowhere" in fault


def test_an_address_of_a_host_that_is_this_machine_is_looked_at_too() -> None:
    inventory = raw(mls_address="over there")
    for variables in inventory.hosts.values():
        variables["ansible_connection"] = "local"
    (fault,) = faults(inventory)
    assert "mls_address of host w1 is 'over there', which is no address" in fault


@pytest.mark.parametrize("text", ["http://a", "https://a.b:1/c", "http://[::1]:80", "http://u:p@a"])
def test_urls(text: str) -> None:
    assert is_url(text)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a:1", "//a", "http:a", "http://:1", "http://a:x", "http://a:0", "http://a\n", "http://a:99999", None],
)
def test_what_is_no_url(text: object) -> None:
    assert not is_url(text)
