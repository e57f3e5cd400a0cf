"""Names and addresses of the testbed, and what it says where it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from mlsysops_core.errors import Conflict, InvalidInput, NotFound, Refused, UsageError

from mlsysops_cli.inventory import load_slice
from mlsysops_cli.testbed import bed as beds
from mlsysops_cli.testbed import model, tools
from mlsysops_cli.testbed.inventory import inventory
from mlsysops_cli.testbed.nspawn import layout, programs


def test_interface_names_fit_into_what_linux_allows() -> None:
    assert all(len(layout.link(host)) <= 15 for host in model.HOSTS)


def test_the_inventory_is_a_slice_over_ssh(bed: model.Testbed, tmp_path: Path) -> None:
    path = tmp_path / "inventory.yml"
    addresses = {host.name: layout.Layout.of(bed).address(host) for host in model.HOSTS}
    path.write_text(yaml.safe_dump(inventory(bed, addresses)), encoding="utf-8")
    slice_ = load_slice(str(path))
    assert slice_.engine == "embedded"
    assert not any(host.local for host in slice_.hosts.values())
    assert [device.gateway for device in slice_.far_edge] == ["worker1"]


@pytest.mark.parametrize("subnet", ["10.0.0.0/8", "10.1.2.3/24", "fd00::/64", "x"])
def test_odd_subnets_are_refused(bed: model.Testbed, subnet: str) -> None:
    with pytest.raises(InvalidInput):
        layout.Layout.of(bed, subnet)


def test_a_second_subnet_is_a_conflict(bed: model.Testbed) -> None:
    bed.directory.mkdir(parents=True)
    (bed.directory / "subnet").write_text("10.9.8.0/24\n", encoding="ascii")
    assert str(layout.Layout.of(bed).subnet) == "10.9.8.0/24"
    with pytest.raises(Conflict):
        layout.Layout.of(bed, "10.1.1.0/24")


def test_faults_need_a_testbed_and_known_hosts(bed: model.Testbed) -> None:
    with pytest.raises(UsageError):
        beds.fault(bed, "explode", ["mgmt"])
    with pytest.raises(UsageError):
        beds.fault(bed, "partition", ["mgmt"])
    with pytest.raises(NotFound):
        beds.fault(bed, "crash", ["mgmt"])
    with pytest.raises(NotFound):
        bed.machine("moon")
    assert beds.status(bed) == []


def test_nobody_but_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Refused, match="needs root"):
        programs.require(install=False)


def test_a_program_that_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match="no-such-program is not installed"):
        tools.run("no-such-program")
