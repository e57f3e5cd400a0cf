"""The instances of a testbed: making, switching, and removing them, and never anybody else's."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mlsysops_core.errors import (
    Conflict,
    InvalidInput,
    MlsError,
    NotFound,
    PartialFailure,
    Refused,
    TimedOut,
    Unreachable,
)

from mlsysops_cli.testbed.incus.network import (
    KEPT,
    address_of,
    interface_of,
    kept_interface,
    own_address,
    pinned,
    plugged,
)
from mlsysops_cli.testbed.incus.place import MARK

if TYPE_CHECKING:
    from mlsysops_cli.testbed.incus.client import Client
    from mlsysops_cli.testbed.incus.place import Place
    from mlsysops_cli.testbed.model import Machine

__all__ = ["Instances"]

#: Status codes of instances (https://linuxcontainers.org/incus/docs/main/rest-api/#list-of-current-status-codes).
_RUNNING = 103
#: Seconds until the server knows of an instance that it is busy with.
_SAID = 30.0
#: Seconds until a host that boots has an address.
_ADDRESS = 120.0
#: Seconds that a host may take to shut down.
_SHUTDOWN = 20
#: Seconds until what a run that was killed had asked for is done, fetching an image included.
_SETTLED = 600.0


class Instances:
    """What the server has of this testbed.

    Args:
        place: Where it is.
        client: To ask the server with.
    """

    def __init__(self, place: Place, client: Client) -> None:
        self._place = place
        self._client = client

    def check(self) -> dict[str, dict[str, str]]:
        """Find out whether instances can be made, and return the devices that they will have.

        Raises:
            Refused: The server does not trust us, or makes no virtual machines.
            NotFound: There is no such project, or no such profile.
            InvalidInput: The profiles give no disk or no interface.
        """
        place = self._place
        server = self._client.get("", "ask the server")
        if server.get("auth") != "trusted":
            hint = f"`{place.client} config trust add` there gives a token; `{place.client} remote add` takes it here"
            raise Refused(f"{place.remote}: the server does not trust this client", hint=hint)
        if place.vm and "qemu" not in server["environment"]["driver"]:
            hint = "leave --vm out, or use a server with KVM and QEMU"
            raise Refused(f"{place.remote}: the server makes no virtual machines", hint=hint)
        self._client.get(f"/projects/{quote(place.project, safe='')}", f"use project {place.project}")
        devices: dict[str, dict[str, str]] = {}
        for name in place.profiles:
            devices |= self._client.get(f"/profiles/{quote(name, safe='')}", f"use profile {name}")["devices"]
        where = f"{place.remote}: profile {', '.join(place.profiles)} of project {place.project}"
        interface_of(devices, where)
        if not any(device.get("type") == "disk" and device.get("path") == "/" for device in devices.values()):
            hint = "give it a device of type disk with path=/ and a pool, or name another one with --profile"
            raise InvalidInput(f"{where} has no root disk", hint=hint)
        return devices

    def all(self) -> dict[str, dict[str, Any]]:
        """Return the instances of this testbed with their state, by name.

        Raises:
            Unreachable: The server does not say how one of them is.
        """
        deadline = time.monotonic() + _SAID
        while True:
            answer = self._client.get("/instances?recursion=2", "list the hosts")
            named = [one for one in answer if one["name"].startswith(self._place.prefix)]
            # Of one that starts or stops just now the server may know no more than its name.
            dumb = [one["name"] for one in named if not one.get("config")]
            if not dumb:
                return {one["name"]: one for one in named if one["config"].get(MARK) == self._place.id}
            if time.monotonic() > deadline:
                hint = f"`{self._place.client} info --show-log {self._place.remote}:{dumb[0]}` may say why"
                raise Unreachable(f"{self._place.remote}: the server does not say how {dumb[0]} is", hint=hint)
            time.sleep(0.3)

    def find(self, machine: Machine) -> dict[str, Any]:
        """Return a host's instance with its state.

        Raises:
            NotFound: It is gone.
        """
        found = self.all().get(self._place.instance(machine))
        if found is None:
            raise NotFound(f"{self._place.remote}: host {machine.name} is gone", hint="`mls testbed up` makes it again")
        return found

    def make(self, machine: Machine, devices: dict[str, dict[str, str]]) -> None:
        """Make a host's instance, switched off.

        Args:
            machine: The host.
            devices: Of the profiles.
        """
        place = self._place
        nic, device = interface_of(devices, "the profile")
        device = own_address(self._client, device, place.hardware_address(machine))
        config = {
            MARK: place.id,
            KEPT: json.dumps([nic, device]),
            "limits.memory": str(machine.memory),
        }
        if place.vm:
            config["limits.cpu"] = str(max(1, round(machine.cpu)))
        else:
            config["limits.cpu.allowance"] = f"{round(machine.cpu * 100)}ms/100ms"
            config["security.nesting"] = "true"  # containers in it
        document = {"config": config, "devices": {nic: device}}
        self._client.init(place.instance(machine), document, f"make host {machine.name}")

    def switch(self, machine: Machine, action: str, *, force: bool = False) -> bool:
        """Start or stop a host; return whether that changed anything.

        Args:
            machine: The host.
            action: ``start`` or ``stop``.
            force: Do not wait until it has shut down.
        """
        running = self.find(machine)["status_code"] == _RUNNING
        if running == (action == "start"):
            return False
        body = {"action": action, "timeout": -1 if force else _SHUTDOWN, "force": force}
        name, what = self._place.instance(machine), f"{action} host {machine.name}"
        try:
            self._state(name, body, what)
        except MlsError as exc:
            if force or (action == "start" and type(exc) is not MlsError):
                raise
            if action == "stop":
                return self.switch(machine, action, force=True)  # it would not shut down in time
            # LXC 5.0 on control groups of version 1 still cleans up after the life before, now and then, when this one
            # begins, and takes its groups away: once more, and no more than that.
            self._state(name, body, what)
        return True

    def wait_for_address(self, machine: Machine) -> str:
        """Wait until a host has an IPv4 address, have the server keep it, and return it.

        Raises:
            Conflict: Its cable is pulled.
            TimedOut: It has none in time.
            MlsError: It went off.
        """
        deadline = time.monotonic() + _ADDRESS
        while True:
            instance = self.find(machine)
            if not plugged(instance):
                raise Conflict(f"host {machine.name} is cut off", hint=f"`mls testbed ctl heal {machine.name}`")
            if address := address_of(instance):
                break
            if instance["status_code"] != _RUNNING:
                raise MlsError(
                    f"{self._place.remote}: host {machine.name} went off while it started",
                    hint=f"`{self._place.client} info --show-log {self._place.remote}:{instance['name']}` says why",
                )
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"{self._place.remote}: host {machine.name} has no IPv4 address after {_ADDRESS:.0f} s",
                    hint="its network must give out addresses (DHCP), and its image ask for one",
                )
            time.sleep(0.3)
        name, device = kept_interface(instance)
        if (keeps := pinned(self._client, device, address)) is not None:
            self._plug(instance["name"], name, keeps, f"keep the address of host {machine.name}")
        return address

    def set_link(self, machine: Machine, *, up: bool) -> None:
        """Plug a host's interface in, or unplug it."""
        instance = self.find(machine)
        if plugged(instance) == up:
            return
        name, device = kept_interface(instance)
        if up:
            self._plug(instance["name"], name, device, f"plug in host {machine.name}")
            if instance["status_code"] == _RUNNING:
                self.wait_for_address(machine)
            return
        # A device of type none hides the one that a profile gives.
        path = f"/instances/{instance['name']}"
        self._client.send("PATCH", path, {"devices": {name: {"type": "none"}}}, f"unplug host {machine.name}")

    def remove(self) -> None:
        """Remove every instance of this testbed, and what a run that was killed still has under way.

        Raises:
            PartialFailure: Some are still there.
            TimedOut: The server is still busy with one.
        """
        self._settle()
        failures = []
        for name, instance in self.all().items():
            try:
                if instance["status_code"] != 102:  # not stopped: running, frozen, or in error
                    self._state(name, {"action": "stop", "timeout": -1, "force": True}, f"stop {name}")
                self._client.send("DELETE", f"/instances/{name}", None, f"remove {name}")
            except NotFound:  # somebody else was faster
                continue
            except MlsError as exc:
                failures.append(exc)
        if failures:
            hint = failures[0].hint or "run it again"
            raise PartialFailure(
                f"{len(failures)} hosts are still there", hint=hint, details=[one.message for one in failures]
            )

    def _settle(self) -> None:
        deadline = time.monotonic() + _SETTLED
        while self._busy():
            if time.monotonic() > deadline:
                raise TimedOut(f"{self._place.remote}: the server is still making a host", hint="try again later")
            time.sleep(0.5)

    def _busy(self) -> bool:
        doing = self._client.get("/operations?recursion=1", "list what the server does") or {}
        concerned = [
            path
            for one in doing.get("running") or ()
            if one["class"] == "task"  # programs that run in a host end with it
            for paths in (one.get("resources") or {}).values()
            for path in paths or ()
        ]
        return any(path.rpartition("/")[2].startswith(self._place.prefix) for path in concerned)

    def _plug(self, instance: str, name: str, device: dict[str, str], what: str) -> None:
        body = {"devices": {name: device}, "config": {KEPT: json.dumps([name, device])}}
        self._client.send("PATCH", f"/instances/{instance}", body, what)

    def _state(self, instance: str, body: dict[str, object], what: str) -> None:
        self._client.send("PUT", f"/instances/{instance}/state", body, what)
