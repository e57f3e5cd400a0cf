"""Traffic redirection in network namespaces that the test makes: packets of one address leave by another way."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from machines import Machine, pod
from mlsysops_agents.plugins.mechanisms.node import TrafficRedirection
from mlsysops_agents.plugins.mechanisms.node.routes import Routes
from mlsysops_core.errors import InvalidInput

WEB = {"application": "shop", "component": "web"}


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def namespace() -> Iterator[str]:
    """A namespace with two uplinks, ``wan0`` (the default) and ``wan1``, and the pod's address on ``pod0``."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2 to make a network namespace")
    pytest.importorskip("pyroute2", reason="needs the extra 'network'")
    name = f"mlst-{uuid.uuid4().hex[:8]}"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"network namespaces cannot be made here: {made.stderr.strip()}")
    try:
        for link, address in (("wan0", "198.18.0.2/24"), ("wan1", "198.18.1.2/24"), ("pod0", "10.42.0.5/24")):
            ip("-n", name, "link", "add", link, "type", "veth", "peer", "name", f"{link}-far")
            ip("-n", name, "addr", "add", address, "dev", link)
            ip("-n", name, "link", "set", link, "up")
            ip("-n", name, "link", "set", f"{link}-far", "up")
        ip("-n", name, "route", "add", "default", "via", "198.18.0.1", "dev", "wan0")
        yield name
    finally:
        ip("netns", "del", name)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, tmp_path / "state")


def way(namespace: str, destination: str = "203.0.113.9", source: str = "10.42.0.5") -> str:
    """Ask the kernel which way it would take."""
    words = ip("-n", namespace, "route", "get", destination, "from", source).split()
    return words[words.index("dev") + 1]


async def test_a_component_takes_another_way_and_comes_back(namespace: str, machine: Machine) -> None:
    mechanism = TrafficRedirection(machine.handle, routes=Routes(namespace))
    # (IPv4 alone: addresses of IPv6 are still being tried when the interfaces are new, and their routes come later.)
    before = ip("-n", namespace, "rule"), ip("-4", "-n", namespace, "route", "show", "table", "all")
    assert way(namespace) == "wan0"
    command = {**WEB, "interface": "wan1", "gateway": "198.18.1.1"}

    outcome = await mechanism.apply({**command, "dry_run": True})
    assert outcome.details["changes"] == [{"path": "rule|10.42.0.5|", "from": "", "to": "dev wan1 via 198.18.1.1"}]
    assert way(namespace) == "wan0"
    await mechanism.apply(command)

    assert way(namespace) == "wan1"
    assert way(namespace, source="198.18.0.2") == "wan0"
    assert mechanism.get_state()["applications"]["shop"]["web"]["paths"] == {"10.42.0.5": "dev wan1 via 198.18.1.1"}
    assert not (await mechanism.apply(command)).details["changes"]
    # A process that was killed leaves the rule; its successor finds it on record.
    successor = TrafficRedirection(machine.handle, routes=Routes(namespace))
    await successor.restore()
    assert way(namespace) == "wan0"
    assert (ip("-n", namespace, "rule"), ip("-4", "-n", namespace, "route", "show", "table", "all")) == before


async def test_one_destination_alone(namespace: str, machine: Machine) -> None:
    mechanism = TrafficRedirection(machine.handle, routes=Routes(namespace))
    await mechanism.apply({**WEB, "interface": "wan1", "destination": "203.0.113.0/24"})
    assert way(namespace) == "wan1"
    assert way(namespace, "192.0.2.1") == "wan0"
    await mechanism.apply({**WEB, "interface": "wan0", "destination": "203.0.113.0/24"})
    assert way(namespace) == "wan0"
    await mechanism.apply({"command": "reset", **WEB})
    assert "7077" not in ip("-n", namespace, "rule")


async def test_an_interface_that_goes_leaves_no_rule_behind(namespace: str, machine: Machine) -> None:
    """A modem that is unplugged: its route goes along, and the rule would lead whoever has the address to the next path."""
    mechanism = TrafficRedirection(machine.handle, routes=Routes(namespace))
    await mechanism.apply({**WEB, "interface": "wan1", "gateway": "198.18.1.1"})
    ip("-n", namespace, "link", "del", "wan1")
    assert "7077" in ip("-n", namespace, "rule")
    assert way(namespace) == "wan0"
    machine.objects.put(pod("api", podIP="10.42.0.7"))
    app = machine.objects.stored["MLSysOpsApp", "shop"]
    app["spec"]["components"].append({**app["spec"]["components"][0], "metadata": {"name": "api"}})
    app["status"]["components"].append({"name": "api", "node": "w1"})
    await mechanism.apply({**WEB, "component": "api", "interface": "pod0"})
    assert way(namespace) == "wan0"  # the other one's way is not this one's

    await mechanism.apply({"command": "reset", **WEB})
    assert "10.42.0.5" not in ip("-n", namespace, "rule")
    await mechanism.restore()
    assert "7077" not in ip("-n", namespace, "rule")


async def test_an_address_that_left_is_not_redirected_for_the_next(namespace: str, machine: Machine) -> None:
    mechanism = TrafficRedirection(machine.handle, routes=Routes(namespace))
    await mechanism.apply({**WEB, "interface": "wan1"})
    assert await mechanism.tidy() == []
    machine.objects.put(pod(podIP="10.42.0.6"))
    assert len(await mechanism.tidy()) == 1
    assert way(namespace) == "wan0"


async def test_what_is_not_possible(namespace: str, machine: Machine) -> None:
    mechanism = TrafficRedirection(machine.handle, routes=Routes(namespace))
    assert mechanism.get_options()["interfaces"]["wan0"]["gateways"] == ["198.18.0.1"]
    for command, says in (
        ({}, "none is named, allowed: "),
        ({"interface": "wan9"}, "'wan9' is not to be had"),
        (
            {"interface": "wan1", "gateway": "192.0.2.1"},
            "cannot be reached over wan1, allowed: addresses in 198.18.1.0/24",
        ),
        ({"interface": "wan1", "gateway": "gw"}, "is no IP address"),
        ({"interface": "wan1", "destination": "203.0.113.1/24"}, "destination: "),
        ({"interface": "wan1", "gateway": "198.18.1.1", "destination": "2001:db8::/32"}, "not of one IP version"),
    ):
        with pytest.raises(InvalidInput) as caught:
            await mechanism.apply({**WEB, **command})
        assert says in str(caught.value)
    ip("-n", namespace, "link", "set", "wan1", "down")
    with pytest.raises(InvalidInput, match="wan1 is down"):
        await mechanism.apply({**WEB, "interface": "wan1"})
    machine.objects.put(pod(podIP="127.20.64.3"))
    with pytest.raises(InvalidInput, match="no address of its own"):
        await mechanism.apply({**WEB, "interface": "wan0"})


def test_without_the_library(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyroute2", None)
    assert "mlsysops-cli[network]" in TrafficRedirection(machine.handle).get_options()["unavailable"]


def test_the_netlink_socket_is_closed(namespace: str) -> None:
    routes = Routes(namespace)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(5):
        assert routes.fault() == ""
        assert set(routes.interfaces()) >= {"wan0", "wan1"}
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # noqa: PTH208
    assert socket.AF_INET
