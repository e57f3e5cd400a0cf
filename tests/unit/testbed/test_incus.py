"""A testbed on a server of Incus or LXD: what is made, broken and removed there, and what is never touched."""

from __future__ import annotations

import copy
import json
import stat
import subprocess
from typing import Any

import pytest
from mlsysops_core.errors import (
    Conflict,
    InvalidInput,
    MlsError,
    NotFound,
    PartialFailure,
    Refused,
    Unreachable,
    UsageError,
)

from mlsysops_cli.inventory import load_slice
from mlsysops_cli.testbed import bed as beds
from mlsysops_cli.testbed import model
from mlsysops_cli.testbed.choice import Wish, chosen, remembered
from mlsysops_cli.testbed.incus import Incus, Place, backend, faults, instances
from mlsysops_cli.testbed.model import HOSTS
from mlsysops_cli.testbed.nspawn import Nspawn

WISH = Wish(backend="incus", image="debian12")
Server = Any


class Killed(BaseException):
    """The end of a command at this instant."""


def up(bed: model.Testbed, wish: Wish = WISH) -> list[str]:
    notes: list[str] = []
    beds.up(bed, chosen(bed, wish), notes.append)
    return notes


def by_host(server: Server) -> dict[str, dict[str, Any]]:
    return {name.rpartition("-")[2]: instance for name, instance in server.instances.items()}


def test_up_makes_hosts_that_are_a_slice_over_ssh(bed: model.Testbed, server: Server) -> None:
    up(bed)
    assert sorted(by_host(server)) == sorted(host.name for host in HOSTS)
    edge = by_host(server)["edge"]
    assert edge["config"]["limits.memory"] == str(512 * 1024**2)
    assert edge["config"]["limits.cpu.allowance"] == "50ms/100ms"
    assert edge["config"]["security.nesting"] == "true"
    assert edge["devices"]["eth0"]["hwaddr"].startswith("00:16:3e:")
    slice_ = load_slice(str(bed.inventory))
    assert {host.address for host in slice_.hosts.values()} <= {row["address"] for row in beds.status(bed)}
    assert all(row["power"] == "on" and row["link"] == "up" for row in beds.status(bed))
    known = bed.known_hosts.read_text(encoding="utf-8").splitlines()
    assert len(known) == 5
    assert all(line.split()[1] == "ssh-ed25519" for line in known)
    assert stat.S_IMODE(Place.file(bed).stat().st_mode) == 0o600


def test_addresses_are_kept_by_the_network_that_gave_them(bed: model.Testbed, server: Server) -> None:
    up(bed)
    addresses = {row["name"]: row["address"] for row in beds.status(bed)}
    assert {name: one["devices"]["eth0"]["ipv4.address"] for name, one in by_host(server).items()} == addresses


def test_up_again_makes_nothing_anew(bed: model.Testbed, server: Server) -> None:
    up(bed)
    before = copy.deepcopy(server.instances)
    server.calls.clear()
    up(bed, Wish())
    assert not [call for call in server.calls if call.startswith(("init", "PUT", "PATCH", "DELETE"))]
    assert server.instances == before


def test_up_makes_what_is_missing(bed: model.Testbed, server: Server) -> None:
    up(bed)
    gone = next(name for name in server.instances if name.endswith("worker2"))
    del server.instances[gone]
    assert {row["name"]: row["power"] for row in beds.status(bed)}["worker2"] == "off"
    up(bed)
    assert gone in server.instances


def test_no_secret_is_in_an_argument(bed: model.Testbed, server: Server) -> None:
    up(bed)
    assert "PRIVATE KEY" not in json.dumps([server.instances, server.scripts, server.calls])


def test_down_removes_only_what_is_of_this_testbed(bed: model.Testbed, server: Server) -> None:
    up(bed)
    mine = next(iter(server.instances.values()))
    prefix = mine["name"].rpartition("-")[0]
    strangers = {"web": {}, f"{prefix}-db": {}, "mls-ffffff-mgmt": {"user.mlsysops": "ffffff"}}
    for name, config in strangers.items():
        server.instances[name] = copy.deepcopy(mine) | {"name": name, "config": {"user.note": "mine"} | config}
    assert beds.down(bed)
    assert sorted(server.instances) == sorted(strangers)
    assert not bed.directory.exists()
    assert not beds.down(bed)


@pytest.mark.parametrize("made", [0, 1, 3])
def test_down_after_up_was_killed(bed: model.Testbed, server: Server, made: int) -> None:
    def kill(call: str) -> None:
        if call.startswith("init") and len(server.instances) == made:
            raise Killed

    server.hooks.append(kill)
    with pytest.raises(Killed):
        up(bed)
    server.hooks.clear()
    assert len(server.instances) == made
    assert beds.down(bed)
    assert server.instances == {}


def test_down_waits_for_what_the_server_still_makes(bed: model.Testbed, server: Server) -> None:
    up(bed)
    server.busy = 2
    beds.down(bed)
    assert server.busy == 0
    assert server.instances == {}


def test_down_goes_on_where_somebody_else_removed_a_host(bed: model.Testbed, server: Server) -> None:
    up(bed)

    def faster(call: str) -> None:
        if call.startswith("DELETE") and call.endswith("server"):
            server.instances.pop(call.rpartition("/")[2])

    server.hooks.append(faster)
    assert beds.down(bed)
    assert server.instances == {}


def test_down_that_fails_at_one_host_can_be_repeated(bed: model.Testbed, server: Server) -> None:
    up(bed)

    def protect(call: str) -> None:
        if call.startswith("DELETE") and call.endswith("edge"):
            server.refuse("Instance is protected")

    server.hooks.append(protect)
    with pytest.raises(PartialFailure, match="1 hosts are still there"):
        beds.down(bed)
    assert list(by_host(server)) == ["edge"]
    server.hooks.clear()
    assert beds.down(bed)
    assert server.instances == {}


def test_an_instance_of_which_the_server_knows_no_more_than_its_name(
    bed: model.Testbed, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    up(bed)
    config = by_host(server)["edge"]["config"]
    by_host(server)["edge"]["config"] = None
    told = 0

    def recover(call: str) -> None:
        nonlocal told
        told += call == "GET /instances"
        if told == 2:
            by_host(server)["edge"]["config"] = config

    server.hooks.append(recover)
    assert len(beds.status(bed)) == 5
    server.hooks.clear()
    by_host(server)["edge"]["config"] = None
    monkeypatch.setattr(instances, "_SAID", 0)
    with pytest.raises(Unreachable, match="does not say how"):
        beds.status(bed)


def test_faults_of_power(bed: model.Testbed, server: Server) -> None:
    up(bed)
    for action, power in (("crash", "off"), ("crash", "off"), ("start", "on"), ("start", "on"), ("stop", "off")):
        beds.fault(bed, action, ["worker1"])
        assert {row["name"]: row["power"] for row in beds.status(bed)}["worker1"] == power


def test_a_host_that_does_not_shut_down_is_switched_off(bed: model.Testbed, server: Server) -> None:
    up(bed)
    sent: list[str] = []

    def hang(call: str) -> None:
        if call.startswith("PUT"):
            sent.append(call)
            if len(sent) == 1:
                server.refuse('Failed shutting down instance, status is "Running": context deadline exceeded')

    server.hooks.append(hang)
    beds.fault(bed, "stop", ["worker1"])
    assert len(sent) == 2
    assert by_host(server)["worker1"]["status"] == "Stopped"


def test_a_start_that_fails_without_a_known_reason_is_tried_once_more(bed: model.Testbed, server: Server) -> None:
    up(bed)
    sent: list[str] = []
    failures = 1

    def fail(call: str) -> None:
        if call.startswith("PUT"):
            sent.append(call)
            if len(sent) <= failures:
                server.refuse("Failed to run: incusd forkstart c /containers /c/lxc.conf: exit status 1")

    beds.fault(bed, "crash", ["worker1"])
    server.hooks.append(fail)
    beds.fault(bed, "start", ["worker1"])
    assert len(sent) == 2
    server.hooks.clear()
    beds.fault(bed, "crash", ["worker1"])
    server.hooks.append(fail)
    sent.clear()
    failures = 2
    with pytest.raises(MlsError, match="cannot start host worker1") as caught:
        beds.fault(bed, "start", ["worker1"])
    assert len(sent) == 2
    assert "show-log" in caught.value.hint


def test_a_cable_that_is_pulled_and_plugged_in_again(bed: model.Testbed, server: Server) -> None:
    up(bed)
    before = dict(by_host(server)["edge"]["devices"]["eth0"])
    beds.fault(bed, "cut", ["edge"])
    assert by_host(server)["edge"]["devices"]["eth0"] == {"type": "none"}
    assert {row["name"]: row["link"] for row in beds.status(bed)}["edge"] == "down"
    with pytest.raises(Conflict, match="edge is cut off"):
        up(bed)
    beds.fault(bed, "heal", ["edge"])
    assert by_host(server)["edge"]["devices"]["eth0"] == before


def test_a_partition_keeps_two_hosts_apart_and_is_mended(bed: model.Testbed, server: Server) -> None:
    up(bed)
    addresses = {row["name"]: row["address"] for row in beds.status(bed)}
    server.scripts.clear()
    beds.fault(bed, "partition", ["worker1", "worker2"])
    done = {name.rpartition("-")[2]: script for name, script in server.scripts}
    assert sorted(done) == ["worker1", "worker2"]
    assert f"peer={addresses['worker2']}" in done["worker1"]
    assert f"peer={addresses['worker1']}" in done["worker2"]
    beds.fault(bed, "crash", ["edge"])
    server.scripts.clear()
    beds.fault(bed, "mend", [])
    assert len(server.scripts) == 4  # who is off has forgotten it


def test_hosts_that_cannot_be_reached_from_here(
    bed: model.Testbed, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "answers", lambda _: False)
    monkeypatch.setattr(backend, "_REACHED", 0)
    with pytest.raises(Unreachable, match="cannot be reached from here") as caught:
        up(bed)
    assert "--ssh-jump" in caught.value.hint
    logins: list[tuple[str, ...]] = []

    def ssh(*argv: str, **_: Any) -> subprocess.CompletedProcess[str]:
        logins.append(argv)
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(backend, "run", ssh)
    up(bed, Wish(ssh_jump="me@lab"))
    assert len(logins) == 5
    assert all("ProxyJump=me@lab" in argv for argv in logins)
    assert "-o ProxyJump=me@lab" in bed.inventory.read_text(encoding="utf-8")
    assert "-J me@lab" in beds.status(bed)[0]["ssh"]


def test_what_a_testbed_is_made_of_is_remembered(bed: model.Testbed, server: Server) -> None:
    up(bed)
    assert isinstance(remembered(bed), Incus)
    for wish in (
        Wish(image="other"), Wish(vm=True), Wish(project="p"), Wish(profiles=("a",)), Wish(remote="lab"),
    ):  # fmt: skip
        with pytest.raises(Conflict, match="another"):
            chosen(bed, wish)
    with pytest.raises(Conflict, match="backend incus is up"):
        chosen(bed, Wish(backend="nspawn"))
    Place.file(bed).write_text("{", encoding="utf-8")
    with pytest.raises(InvalidInput, match="damaged"):
        beds.down(bed)


def test_a_testbed_that_an_earlier_version_made_is_of_this_machine(bed: model.Testbed, server: Server) -> None:
    bed.directory.mkdir(parents=True)
    (bed.directory / "subnet").write_text("10.9.8.0/24\n", encoding="ascii")
    assert isinstance(remembered(bed), Nspawn)
    assert isinstance(chosen(bed, Wish()), Nspawn)
    with pytest.raises(Conflict, match="backend nspawn is up"):
        chosen(bed, WISH)


@pytest.mark.parametrize(
    ("wish", "family"),
    [
        (Wish(backend="podman"), UsageError),
        (Wish(remote="lab"), UsageError),
        (Wish(backend="incus", isolated=True), UsageError),
        (Wish(backend="incus", install=True), UsageError),
        (Wish(backend="incus", remote="moon"), NotFound),
        (Wish(backend="incus", remote="images"), NotFound),
        (Wish(backend="incus", image="nowhere:debian/12"), NotFound),
    ],
)
def test_wishes_that_make_no_sense(bed: model.Testbed, server: Server, wish: Wish, family: type[MlsError]) -> None:
    with pytest.raises(family) as caught:
        chosen(bed, wish)
    assert caught.value.hint


def test_no_client_program(bed: model.Testbed, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    up(bed)
    monkeypatch.setattr("mlsysops_cli.testbed.incus.remotes.which", lambda _: None)
    monkeypatch.setattr("mlsysops_cli.testbed.incus.client.which", lambda _: None)
    with pytest.raises(UsageError, match="is not installed"):
        beds.down(bed)
    Place.file(bed).unlink()
    with pytest.raises(UsageError, match="neither incus nor lxc"):
        chosen(bed, WISH)


def refusal(bed: model.Testbed, wish: Wish) -> MlsError:
    with pytest.raises(MlsError) as caught:
        up(bed, wish)
    assert caught.value.hint
    assert not bed.directory.exists()
    return caught.value


def test_what_the_server_cannot_do_is_said_before_anything_is_made(bed: model.Testbed, server: Server) -> None:
    assert isinstance(refusal(bed, Wish(backend="incus", image="debian12", vm=True)), Refused)
    assert isinstance(refusal(bed, Wish(backend="incus", image="debian12", project="p")), NotFound)
    assert isinstance(refusal(bed, Wish(backend="incus", image="debian12", profiles=("p",))), NotFound)
    devices = server.answers["profile"]["devices"]
    disk = devices.pop("root")
    assert "no root disk" in str(refusal(bed, WISH))
    devices["root"] = disk
    del devices["eth0"]
    assert "no network interface" in str(refusal(bed, WISH))
    server.answers["server"]["auth"] = "untrusted"
    assert "does not trust" in str(refusal(bed, WISH))


# What both programs were seen to say, word by word.
SAID = [
    ('The remote "foo" doesn\'t exist', NotFound),
    ('Get "http://unix.socket/1.0": dial unix /var/lib/incus/unix.socket: connect: permission denied', Refused),
    ('Get "http://unix.socket/1.0": dial unix /var/lib/lxd/unix.socket: connect: no such file or directory', Unreachable),
    ("not authorized", Refused),
    ("Missing TLS client certificate and key", Refused),
    ('Get "https://127.0.0.1:8447/1.0": x509: certificate signed by unknown authority', Refused),
    ('Get "https://10.0.0.9:8443": Unable to connect to: 10.0.0.9:8443 ([dial tcp 10.0.0.9:8443: connect: no route to host])', Unreachable),
    ("Image not found", NotFound),
    ('Failed instance creation: Failed getting remote image info: Failed getting image: Failed parsing stream: Get "https://images.linuxcontainers.org/streams/v1/index.json": lookup images.linuxcontainers.org on 10.0.0.1:53: no such host', Unreachable),
    ("Asked for a VM but image is of type container", NotFound),
    ("Fetch profile: Profile not found", NotFound),
    ("Project not found", NotFound),
    ('Failed checking if instance creation allowed: Reached maximum aggregate value "3GiB" for "limits.memory" in project "small"', Refused),
    ('Reached maximum number of instances in project "small"', Refused),
    ('Failed checking if instance creation allowed: Invalid value "true" for config "security.nesting" on container "c" of project "strict": Container nesting is forbidden', Refused),
    ("Failed creating instance from image: Unable to unpack image, run out of disk space", Refused),
]  # fmt: skip


@pytest.mark.parametrize(("said", "family"), SAID, ids=lambda value: str(value)[:40])
def test_what_the_client_says_becomes_one_line_with_a_way_out(said: str, family: type[MlsError]) -> None:
    place = Place(
        id="abcdef", client="incus", remote="lab", project="default", profiles=("default",), image="images:debian/12"
    )
    fault = faults.fault_of(place, "make host mgmt", f"If this is your first time running…\n\nError: {said}\n")
    assert type(fault) is family
    assert fault.message == f"lab: cannot make host mgmt: {said}"
    assert fault.hint
    assert "{" not in fault.hint


def test_what_a_program_in_a_host_says_is_not_taken_for_the_clients_word() -> None:
    place = Place(id="abcdef", client="incus", remote="lab", project="p", profiles=("default",), image="i:d")
    assert type(faults.fault_of(place, "mend", "nft: permission denied\n")) is MlsError
