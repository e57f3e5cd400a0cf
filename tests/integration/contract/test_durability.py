"""Killed at any instant: what was acknowledged is there, versions only grow, watches go on where they were."""

from __future__ import annotations

import os
import random
import resource
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from kube_api import Api, Obj, config_map, path, version, wait_for
from kube_embedded import EmbeddedControlPlane
from kube_pki import issue_user

#: `make test` has a few rounds; MLS_CRASH_ROUNDS=50 is the full proof.
ROUNDS = int(os.environ.get("MLS_CRASH_ROUNDS", "4"))
WRITERS = 4
URL = path("configmaps", "default")


class Machine(EmbeddedControlPlane):
    """A control plane of the test's own, with clients that may lose it."""

    def client(self) -> Api:
        """An administrator with connections of its own."""
        certificate = issue_user(self.authority, f"writer-{time.monotonic_ns()}", ("system:masters",), self.directory)
        return Api(self.url, self.authority[0], certificate)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    plane = Machine(tmp_path)
    plane.start()
    try:
        yield plane
    finally:
        plane.stop()


@dataclass
class Writer(threading.Thread):
    """Creates, changes and deletes its own objects for as long as it is answered.

    Attributes:
        known: Name -> the object as last acknowledged; None after an acknowledged deletion.
        doubtful: Name of the object whose last request was never answered: either outcome is right.
        acknowledged: Every version that an acknowledged write made.
    """

    number: int
    api: Api
    known: dict[str, Obj | None] = field(default_factory=dict)
    doubtful: str = ""
    acknowledged: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        dice = random.Random(self.number)
        count = len(self.known)
        while True:
            alive = [name for name, obj in self.known.items() if obj]
            choice = dice.random()
            try:
                if choice < 0.5 or not alive:
                    count += 1
                    self.doubtful = f"w{self.number}-{count}"
                    response = self.api.post(URL, config_map(self.doubtful, {"n": "0"}))
                else:
                    self.doubtful = dice.choice(alive)
                    url = f"{URL}/{self.doubtful}"
                    if choice < 0.9:
                        response = self.api.patch(url, {"data": {"n": str(time.monotonic_ns())}})
                    else:
                        response = self.api.delete(url)
            except httpx.TransportError:
                return
            if response.status_code not in (200, 201):
                self.wrong.append(f"{response.status_code} {response.text}")
                return
            answered = response.json()
            if answered["kind"] == "Status":
                self.known[self.doubtful] = None
            else:
                self.known[self.doubtful] = answered
                self.acknowledged.append(version(answered))
            self.doubtful = ""


class Watcher(threading.Thread):
    """Watches through all crashes, each time from the last version it saw."""

    def __init__(self, machine: Machine, since: int) -> None:
        super().__init__(daemon=True)
        self.machine = machine
        self.since = since
        self.events: list[Obj] = []
        self.stop = threading.Event()
        self.wrong = ""

    def run(self) -> None:
        while not self.stop.is_set():
            api = self.machine.client()
            try:
                with api.watch(URL, resourceVersion=str(self.since), silence=2) as watch:
                    while not self.stop.is_set():
                        event = watch.next()
                        if event["type"] == "ERROR":
                            self.wrong = str(event)
                            return
                        self.events.append(event)
                        self.since = version(event["object"])
            except (httpx.TransportError, StopIteration, ValueError):
                self.stop.wait(0.05)  # cut off, perhaps in the middle of a line: again from the last version
            except AssertionError as error:
                if "watch refused" in str(error):
                    self.wrong = str(error)
                    return
                raise
            finally:
                api.close()


def check_round(api: Api, writers: list[Writer]) -> None:
    """Every acknowledged write is there, every acknowledged deletion is done."""
    for writer in writers:
        for name, expected in writer.known.items():
            response = api.get(f"{URL}/{name}")
            now = response.json() if response.status_code == 200 else None
            if name == writer.doubtful:
                writer.known[name] = now
            else:
                assert now == expected, name
        if writer.doubtful and writer.doubtful not in writer.known:
            response = api.get(f"{URL}/{writer.doubtful}")
            writer.known[writer.doubtful] = response.json() if response.status_code == 200 else None
        writer.doubtful = ""


@pytest.mark.timeout(60 + 40 * ROUNDS)
def test_killed_at_random_instants(machine: Machine) -> None:
    api = machine.client()
    first = version(api.read(URL))
    watcher = Watcher(machine, first)
    watcher.start()
    writers = [Writer(number, machine.client()) for number in range(WRITERS)]
    newest = first
    dice = random.Random(7)
    for _ in range(ROUNDS):
        before = sum(len(writer.acknowledged) for writer in writers)
        for writer in writers:
            writer.start()

        def at_work(before: int = before, now: list[Writer] = writers) -> bool:
            return sum(len(writer.acknowledged) for writer in now) > before + 10

        wait_for("the writers are at work", at_work, timeout=30)
        time.sleep(dice.uniform(0.0, 0.9))  # the instant of the crash, not a wait for something
        machine.kill()
        for writer in writers:
            writer.join(30)
            assert not writer.wrong
        machine.start()
        api.close()
        api = machine.client()
        check_round(api, writers)
        newest = max([newest, *(number for writer in writers for number in writer.acknowledged), watcher.since])
        after = version(api.create(URL, config_map(f"after-{newest}")))
        assert after > newest, "a resourceVersion went back"
        newest = after
        writers = [
            Writer(writer.number, machine.client(), writer.known, acknowledged=writer.acknowledged)
            for writer in writers
        ]
    acknowledged = [number for writer in writers for number in writer.acknowledged]
    assert len(acknowledged) == len(set(acknowledged)), "a resourceVersion was given twice"
    assert len(acknowledged) > 10 * ROUNDS

    wait_for("the watch has caught up", lambda: watcher.since >= newest or watcher.wrong, timeout=30)
    watcher.stop.set()
    watcher.join(10)
    assert not watcher.wrong
    seen = [version(event["object"]) for event in watcher.events]
    assert seen == sorted(set(seen)), "the watch repeated or reordered"
    assert set(acknowledged) <= set(seen), "the watch lost an acknowledged write"
    state: dict[str, Obj] = {}
    for event in watcher.events:
        name = event["object"]["metadata"]["name"]
        if event["type"] == "DELETED":
            del state[name]
        else:
            assert (event["type"] == "ADDED") == (name not in state)
            state[name] = event["object"]
    items = {item["metadata"]["name"]: version(item) for item in api.read(URL)["items"]}
    items.pop("kube-root-ca.crt", None)
    assert {name: version(obj) for name, obj in state.items() if name != "kube-root-ca.crt"} == items
    api.close()
    for writer in writers:
        writer.api.close()


def test_a_full_disk_refuses_and_spoils_nothing(machine: Machine) -> None:
    """Its files may not grow any more: as much as a full disk is to it."""
    api = machine.client()
    before = api.create(URL, config_map("before"))
    assert machine.process is not None
    pid = machine.process.popen.pid
    largest = max(file.stat().st_size for file in machine.directory.rglob("*") if file.is_file())
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest + 500_000, unlimited[1]))
    kept = []
    refused: Obj = {}
    for index in range(200):
        response = api.post(URL, config_map(f"cm-{index}", {"text": "x" * 100_000}))
        if response.status_code != 201:
            refused = response.json()
            break
        kept.append(response.json())
    assert refused["kind"] == "Status", "never refused"
    assert refused["code"] in (500, 503, 507)
    assert any(word in refused["message"] for word in ("disk", "storage", "space")), refused
    # Reading goes on, of what was acknowledged and of nothing else.
    assert api.read(f"{URL}/before") == before
    assert api.get(f"{URL}/cm-{len(kept)}").status_code == 404
    # With room, so does writing.
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
    later = wait_for(
        "it takes writes again",
        lambda: (
            response.json()
            if (response := api.post(URL, config_map(f"later-{time.monotonic_ns()}"))).status_code == 201
            else None
        ),
    )
    assert version(later) > max(version(obj) for obj in [before, *kept])
    machine.kill()
    machine.start()
    api.close()
    api = machine.client()
    for obj in [before, *kept, later]:
        assert api.read(f"{URL}/{obj['metadata']['name']}") == obj
    api.close()


def test_history_survives_a_restart(machine: Machine) -> None:
    """A client that was away while the server restarted misses nothing."""
    api = machine.client()
    since = api.read(URL)["metadata"]["resourceVersion"]
    api.create(URL, config_map("cm"))
    then = api.read(URL)
    api.merge(f"{URL}/cm", {"data": {"key": "two"}})
    api.remove(f"{URL}/cm")
    assert machine.process is not None
    assert machine.process.stop() == 0
    machine.start()
    api.close()
    api = machine.client()
    with api.watch(URL, resourceVersion=since, fieldSelector="metadata.name=cm") as watch:
        assert [event["type"] for event in watch.take(3)] == ["ADDED", "MODIFIED", "DELETED"]
    exact = api.read(URL, resourceVersion=then["metadata"]["resourceVersion"], resourceVersionMatch="Exact")
    assert exact == then
    api.close()


def test_bootstrap_again_changes_nothing(machine: Machine) -> None:
    before = {file: file.read_bytes() for file in machine.pki.rglob("*") if file.is_file()}
    assert machine.bootstrap() == {"changed": False}
    assert {file: file.read_bytes() for file in machine.pki.rglob("*") if file.is_file()} == before
    for secret in (*machine.pki.glob("*.key"), machine.kubeconfig):
        assert secret.stat().st_mode & 0o077 == 0, secret
