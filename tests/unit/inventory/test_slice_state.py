"""Slices live side by side on one machine, keep their addresses, and do not mistake each other."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mlsysops_core.errors import Conflict, InvalidInput, NotFound

from mlsysops_cli.inventory import load_slice
from mlsysops_cli.render.configs import host_configs
from mlsysops_cli.slice import (
    Addresses,
    Slice,
    SliceState,
    held_addresses,
    known_slices,
    locked,
    plan_layout,
    preview_addresses,
    release_addresses,
    slices_root,
)
from mlsysops_cli.slice import addresses as addresses_module
from mlsysops_cli.slice.state import host_roles


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    # Whether ports are free needs sockets; the test of the deployment looks at that.
    monkeypatch.setattr(addresses_module, "_free", lambda block: True)


def make(name: str = "one", workers: int = 2, **more: object) -> Slice:
    hosts = {
        "m": {"name": "m", "role": "management", "cluster": "m", "address": "m", "local": True},
        "s": {"name": "s", "role": "server", "cluster": "c", "address": "s", "local": True},
    }
    names = [f"w{number}" for number in range(workers)]
    for worker in names:
        hosts[worker] = {"name": worker, "role": "worker", "cluster": "c", "address": worker, "local": True}
    return Slice.model_validate(
        {
            "name": name,
            "continuum": "m",
            "engine": "embedded",
            "management": "m",
            "hosts": hosts,
            "clusters": [{"name": "c", "servers": ["s"], "workers": names}],
            **more,
        }
    )


def block_of(slice_: Slice, known: Mapping[str, Any] | None = None) -> int:
    """The block that a deployment of a slice gets."""
    with held_addresses(slice_, known) as addresses:
        return addresses.block


def test_addresses_follow_the_plan() -> None:
    addresses = preview_addresses(make(loopback_block=20))
    assert [addresses.host(name) for name in ("m", "s", "w0", "w1")] == [f"127.20.0.{n}" for n in (10, 11, 12, 13)]
    assert [addresses.pod_cidr(name) for name in ("w0", "w1")] == ["127.20.64.0/24", "127.20.65.0/24"]
    assert (addresses.service_cidr(""), addresses.service_cidr("c")) == ("127.20.128.0/21", "127.20.136.0/21")


def test_leases_and_placement_reach_the_parts_that_obey_them(tmp_path: Path) -> None:
    settings = {"weights": {"energy": 2.0}, "exact_seconds": 20}
    file = tmp_path / "inventory.json"
    hosts = {"server1": {"mls_placement": settings}}
    groups = {"master_nodes": {"hosts": hosts}, "worker_nodes": {"hosts": {"worker1": {}}}}
    children = {"management_cluster": {"hosts": {"management": {}}}, "cluster1": {"children": groups}}
    variables = {"ansible_connection": "local", "mls_lease_seconds": 12}
    file.write_text(json.dumps({"all": {"vars": variables, "children": children}}))
    slice_ = load_slice(str(file))
    layout = plan_layout(slice_, preview_addresses(slice_), directory=Path("/x"), python="/p")
    leases = [host_configs(layout, host)["agent.yaml"]["lease"] for host in layout.hosts]
    assert leases == [{"duration": 12, "renew": 3}] * 3
    assert host_configs(layout, "server1")["agent.yaml"]["placement"] == settings
    assert "placement" not in host_configs(layout, "management")["agent.yaml"]
    assert host_configs(layout, "server1")["controlplane.yaml"]["lease"] == {"duration": 12, "renew": 3}
    kubelet = host_configs(layout, "worker1")["kubelet.yaml"]
    assert (kubelet["lease_duration"], kubelet["lease_renew"]) == (12, 3)


def test_a_host_that_joins_moves_nobody() -> None:
    before = preview_addresses(make(workers=2))
    after = preview_addresses(make(workers=3), before.to_dict())
    assert all(after.host(name) == before.host(name) for name in before.hosts)
    assert after.pod_cidr("w2") != before.pod_cidr("w1")


def test_blocks_are_given_once_and_given_back() -> None:
    first, again, other = block_of(make("one")), block_of(make("one")), block_of(make("two", loopback_block=None))
    assert first == again != other
    with pytest.raises(Conflict, match=f"127.{first}"):
        block_of(make("three", loopback_block=first))
    release_addresses("one")
    release_addresses("two")
    assert not slices_root().exists()


def test_a_block_that_another_user_is_taking_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held_addresses(make("one")) as first:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "somebody else's"))
        other = block_of(make("one"))
        assert other != first.block
        monkeypatch.setattr(addresses_module, "_CLAIM_SECONDS", 0)
        with pytest.raises(Conflict, match=f"taking the addresses 127.{first.block}"):
            block_of(make("one"), first.to_dict())  # a slice of theirs that was stopped, on the same block
    assert block_of(make("one"), first.to_dict()) == first.block, "the claim outlives its deployment"


def test_a_slice_that_runs_needs_no_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    with held_addresses(make("one")) as first:
        monkeypatch.setattr(addresses_module, "_free", lambda block: False)
        assert block_of(make("one"), first.to_dict()) == first.block


def test_too_many_workers_for_one_machine() -> None:
    with pytest.raises(InvalidInput, match="64 workers"):
        preview_addresses(make(workers=65))


def with_clusters(slice_: Slice, number: int) -> Slice:
    """A slice with so many clusters."""
    clusters = [slice_.clusters[0].model_copy(update={"name": f"c{index}"}) for index in range(number)]
    return slice_.model_copy(update={"clusters": clusters})


def test_one_machine_has_a_bound_of_clusters_that_hosts_over_ssh_and_other_engines_have_not() -> None:
    here = with_clusters(make(), 40)
    with pytest.raises(InvalidInput, match="more than 16 control planes on one machine"):
        preview_addresses(here)
    assert len(preview_addresses(here.model_copy(update={"engine": "existing"})).planes) == 41
    hosts = {name: host.model_copy(update={"local": False}) for name, host in here.hosts.items()}
    addresses = preview_addresses(here.model_copy(update={"hosts": hosts}))
    networks = {ipaddress.ip_network(addresses.service_cidr(name)) for name in addresses.planes}
    assert len(networks) == 16  # each of a loopback of its own; all within the slice's block
    block = ipaddress.ip_network(f"127.{addresses.block}.0.0/16")
    assert all(network.subnet_of(block) for network in networks)


def test_numbers_survive_their_json_form() -> None:
    addresses = preview_addresses(make())
    assert Addresses.from_dict(json.loads(json.dumps(addresses.to_dict()))) == addresses


def test_another_inventory_of_the_same_name_is_a_conflict() -> None:
    deployed = make(workers=2)
    state = SliceState(name="one", inventory="a.yml", hosts=host_roles(deployed))
    state.save()
    found = SliceState.load("one")
    found.check_extension(make(workers=3))
    with pytest.raises(Conflict, match="w1 missing"):
        found.check_extension(make(workers=1))
    changed = make(workers=2)
    changed.hosts["w1"] = changed.hosts["w1"].model_copy(update={"role": "server"})
    with pytest.raises(Conflict, match="w1 was worker/c, is server/c"):
        found.check_extension(changed)
    assert known_slices() == ["one"]


def test_state_is_private_and_damage_is_told(tmp_path: Path) -> None:
    path = SliceState(name="one").save()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("{", encoding="utf-8")
    with pytest.raises(InvalidInput, match="damaged"):
        SliceState.load("one")
    with pytest.raises(NotFound, match="'two' does not exist"):
        SliceState.load("two")


def test_one_command_at_a_time(tmp_path: Path) -> None:
    with (
        locked(tmp_path, "slice one"),
        pytest.raises(Conflict, match="is working on slice one"),
        locked(tmp_path, "slice one"),
    ):
        pass
    with locked(tmp_path, "slice one"):
        pass


def test_hosts_over_ssh_keep_their_own_addresses() -> None:
    slice_ = make()
    slice_.hosts["w1"] = slice_.hosts["w1"].model_copy(update={"local": False, "address": "10.0.0.4"})
    layout = plan_layout(slice_, preview_addresses(slice_), directory=Path("/x"), python="/p")
    assert layout.hosts["w1"].address == "10.0.0.4"
    assert layout.hosts["w1"].pod_cidr is None
    assert str(layout.hosts["w1"].directory) == "/var/lib/mlsysops/one/w1"
    assert str(layout.hosts["w0"].directory) == "/x/hosts/w0"
