"""Settings of hosts and where telemetry goes, as an inventory says them."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlsysops_core.errors import InvalidInput

from mlsysops_cli.inventory import load_slice
from mlsysops_cli.slice import Slice

INVENTORY = """\
all:
  vars:
    {shared}
  children:
    management_cluster:
      hosts:
        mgmt: {{ansible_host: 10.0.0.1}}
    cluster1:
      children:
        master_nodes:
          hosts:
            server1: {{ansible_host: 10.0.0.2}}
        worker_nodes:
          hosts:
            worker1: {{ansible_host: 10.0.0.3, {own}}}
"""


def load(tmp_path: Path, shared: str = "mls_slice: x", own: str = "mls_labels: {}") -> Slice:
    path = tmp_path / "inventory.yml"
    path.write_text(INVENTORY.format(shared=shared, own=own))
    return load_slice(str(path))


def test_settings_are_a_hosts_own(tmp_path: Path) -> None:
    slice_ = load(
        tmp_path, own="mls_sysctl: {net.core.somaxconn: 4096}, mls_packages: [tree, libssl3], mls_time_sync: false"
    )
    settings = slice_.settings["worker1"]
    assert settings.sysctl == {"net.core.somaxconn": "4096"}
    assert settings.packages == ("tree", "libssl3")
    assert not settings.time_sync
    assert slice_.settings["mgmt"].time_sync


@pytest.mark.parametrize(
    ("own", "text"),
    [
        ("mls_sysctl: {somaxconn: 1}", "mls_sysctl of host worker1 has somaxconn"),
        ("mls_sysctl: {net.core.somaxconn: [1]}", "mls_sysctl of host worker1 has net.core.somaxconn"),
        ("mls_packages: [Not_One]", "'Not_One', which is no name of a Debian package"),
        ("mls_packages: ['--reinstall']", "no name of a Debian package"),
        ("mls_time_sync: sometimes", "mls_time_sync of host worker1 is 'sometimes'"),
    ],
)
def test_settings_that_cannot_be_meant(tmp_path: Path, own: str, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        load(tmp_path, own=own)
    (fault,) = refused.value.faults
    assert text in str(fault)
    assert fault.line == 15
    assert fault.hint


def test_a_collector(tmp_path: Path) -> None:
    assert load(tmp_path).export.endpoint == ""
    plain = load(tmp_path, "mls_otlp_endpoint: https://collector.example:4318").export
    assert (plain.endpoint, plain.headers) == ("https://collector.example:4318", False)
    secret = "mls_otlp_endpoint: http://c:4318\n    mls_otlp_headers: {Authorization: Bearer hidden}"
    told = load(tmp_path, secret)
    assert told.export.headers
    assert "hidden" not in told.model_dump_json()  # it is Ansible's to know, while a play runs


@pytest.mark.parametrize("url", ["collector:4318", "grpc://collector:4317", "http://", "http://c:0"])
def test_a_collector_that_is_no_url(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidInput, match="mls_otlp_endpoint is") as refused:
        load(tmp_path, f"mls_otlp_endpoint: '{url}'")
    assert "http://collector:4318" in refused.value.faults[0].hint
