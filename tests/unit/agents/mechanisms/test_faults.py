"""Knobs that resist: read-only files, values the kernel refuses or does not keep, a process that is killed in between."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from machines import CPUFREQ, Machine, acpi_cpufreq, big_little, read, snapshot
from mlsysops_agents.plugins.mechanisms.node import CpuFrequency
from mlsysops_agents.plugins.mechanisms.node.knob import FileKnob
from mlsysops_agents.plugins.mechanisms.node.ledger import Entry, Ledger
from mlsysops_core.errors import Conflict, InvalidInput, MlsError, NotFound, PartialFailure, Refused
from mlsysops_core.knobs import acting_policy

MAX_0 = f"{CPUFREQ}/policy0/scaling_max_freq"
MAX_2 = f"{CPUFREQ}/policy2/scaling_max_freq"
SUPPORT = Path(__file__).parents[1] / "support"


class Kernel:
    """Stands between mechanism and files the way a kernel does: it refuses values, or keeps others."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuse: dict[str, int] = {}
        self.keep: dict[str, str] = {}
        self.written: list[tuple[str, str]] = []
        self._opened: dict[int, Path] = {}
        self._open, self._write = os.open, os.write
        monkeypatch.setattr("mlsysops_agents.plugins.mechanisms.node.knob.os.open", self.open)
        monkeypatch.setattr("mlsysops_agents.plugins.mechanisms.node.knob.os.write", self.write)

    def open(self, path: Path | str, flags: int, *rest: int) -> int:
        content = Path(path).read_bytes() if flags & os.O_TRUNC and Path(path).is_file() else b""
        descriptor = self._open(path, flags, *rest)
        if content:
            # sysfs ignores O_TRUNC: the value is there until another one is taken.
            Path(path).write_bytes(content)
            self._opened[descriptor] = Path(path)
        return descriptor

    def write(self, descriptor: int, data: bytes) -> int:
        path = self._opened.pop(descriptor, None)
        if path is None:
            return self._write(descriptor, data)
        value = data.decode().strip()
        for name, code in self.refuse.items():
            if str(path).endswith(name):
                raise OSError(code, os.strerror(code))
        self.written.append((str(path), value))
        kept = next((kept for name, kept in self.keep.items() if str(path).endswith(name)), value)
        path.write_text(f"{kept}\n")
        return len(data)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.EINVAL, InvalidInput),
        (errno.EACCES, Refused),
        (errno.EROFS, Refused),
        (errno.EBUSY, Conflict),
        (errno.EIO, MlsError),
        (errno.ENODEV, NotFound),
    ],
)
async def test_a_later_knob_that_fails_takes_the_earlier_ones_back(
    machine: Machine, kernel: Kernel, code: int, error: type[MlsError]
) -> None:
    acpi_cpufreq(machine.root)
    before = snapshot(machine.root)
    mechanism = CpuFrequency(machine.handle)
    kernel.refuse["policy2/scaling_governor"] = code

    with pytest.raises(MlsError) as caught:
        await mechanism.apply({"governor": "performance", "max": "2.1GHz"})

    assert type(caught.value) is error
    assert "policy2/scaling_governor" in str(caught.value)
    assert any(path.endswith(MAX_0) and value == "2100000" for path, value in kernel.written)
    assert snapshot(machine.root) == before
    assert mechanism.get_status()["held"] == {}
    assert "policy2/scaling_governor" in mechanism.get_status()["fault"]


async def test_a_value_that_does_not_stick_is_no_success(machine: Machine, kernel: Kernel) -> None:
    acpi_cpufreq(machine.root)
    before = snapshot(machine.root)
    kernel.keep[MAX_2] = "1400000"

    with pytest.raises(PartialFailure, match=r"was set to '2100000' but reads '1400000'; and not put back: .*policy2"):
        await CpuFrequency(machine.handle).apply({"max": "2.1GHz"})

    assert snapshot(machine.root) == {**before, MAX_2: "1400000"}
    # What could not be put back stays on record, for the next try.
    del kernel.keep[MAX_2]
    again = CpuFrequency(machine.handle)
    assert list(again.get_status()["held"]) == [f"/{MAX_2}"]
    await again.restore()
    assert snapshot(machine.root) == before


async def test_a_file_that_may_not_be_written(machine: Machine) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write read-only files; the refusal of a file system is injected above")
    acpi_cpufreq(machine.root)
    (machine.root / MAX_0).chmod(0o444)
    with pytest.raises(Refused, match="the agent needs the right to write there"):
        await CpuFrequency(machine.handle).apply({"max": "2.1GHz"})


async def test_nothing_is_changed_that_cannot_be_recorded(machine: Machine) -> None:
    acpi_cpufreq(machine.root)
    before = snapshot(machine.root)
    machine.state.write_text("no directory")

    with pytest.raises(MlsError, match="previous settings cannot be recorded"):
        await CpuFrequency(machine.handle).apply({"max": "2.1GHz"})

    assert snapshot(machine.root) == before


def test_a_knob_that_is_not_there_never_becomes_a_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        FileKnob(tmp_path, "/sys/absent").write("1")
    assert not list(tmp_path.iterdir())


# -- killed in between --------------------------------------------------------------------------------------

_CHILD = """
import asyncio, os, signal, sys
sys.path.insert(0, {support!r})
from pathlib import Path
from machines import Machine
from mlsysops_agents.plugins.mechanisms.node import CpuFrequency
from mlsysops_agents.plugins.mechanisms.node import transaction

count = 0
original = transaction._set

def deadly(knob, value):
    global count
    if {before} and count == {survives}:
        os.kill(os.getpid(), signal.SIGKILL)
    original(knob, value)
    count += 1
    if not {before} and count == {survives}:
        os.kill(os.getpid(), signal.SIGKILL)

transaction._set = deadly
machine = Machine(Path({root!r}), Path({state!r}))
asyncio.run(CpuFrequency(machine.handle).apply({{"governor": "performance", "max": "1GHz"}}))
"""


@pytest.mark.parametrize(("survives", "before"), [(0, True), (1, True), (1, False), (3, False)])
async def test_what_a_killed_agent_changed_is_put_back(machine: Machine, survives: int, before: bool) -> None:
    big_little(machine.root)
    untouched = snapshot(machine.root)
    code = _CHILD.format(
        support=str(SUPPORT), root=str(machine.root), state=str(machine.state), survives=survives, before=before
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stderr=asyncio.subprocess.PIPE)
    _, errors = await child.communicate()
    assert child.returncode == -signal.SIGKILL, errors.decode()
    changed = {name for name, value in snapshot(machine.root).items() if untouched[name] != value}
    assert len(changed) == survives

    successor = CpuFrequency(machine.handle)
    assert len(successor.get_status()["held"]) == 4
    await successor.restore()

    assert snapshot(machine.root) == untouched
    assert CpuFrequency(machine.handle).get_status()["held"] == {}


# -- the record ---------------------------------------------------------------------------------------------


async def test_the_first_setting_is_what_comes_back(machine: Machine) -> None:
    acpi_cpufreq(machine.root)
    for value in ("performance", "powersave", "userspace"):
        await CpuFrequency(machine.handle).apply({"cpus": 0, "governor": value})
    mechanism = CpuFrequency(machine.handle)
    (entry,) = mechanism.get_status()["held"].values()
    assert (entry["previous"], entry["set"]) == ("schedutil", "userspace")
    await mechanism.apply({"cpus": 0, "governor": "schedutil"})
    assert mechanism.get_status()["held"] == {}


async def test_what_somebody_else_set_since_is_left_alone(machine: Machine) -> None:
    acpi_cpufreq(machine.root)
    mechanism = CpuFrequency(machine.handle)
    await mechanism.apply({"cpus": 0, "governor": "performance", "max": "2.1GHz"})
    (machine.root / CPUFREQ / "policy0/scaling_governor").write_text("conservative\n")
    (machine.root / MAX_0).write_text("1400000\n")  # a thermal limit: the system's own doing

    told = await mechanism.restore()

    assert any("'conservative', which somebody else set; left alone" in line for line in told)
    assert read(machine.root, f"{CPUFREQ}/policy0/scaling_governor") == "conservative"
    assert read(machine.root, MAX_0) == "2800000"


async def test_only_what_a_removed_policy_asked_for_last(machine: Machine) -> None:
    acpi_cpufreq(machine.root)
    mechanism = CpuFrequency(machine.handle)
    for policy, command in (
        ("saver", {"governor": "powersave", "max": "1.4GHz"}),
        ("racer", {"cpus": 0, "governor": "performance"}),
    ):
        token = acting_policy.set(policy)
        await mechanism.apply(command)
        acting_policy.reset(token)
    assert mechanism.policies() == {"saver", "racer"}

    await mechanism.restore(policy="saver")

    assert read(machine.root, f"{CPUFREQ}/policy0/scaling_governor") == "performance"
    assert read(machine.root, f"{CPUFREQ}/policy2/scaling_governor") == "schedutil"
    assert read(machine.root, MAX_0) == read(machine.root, MAX_2) == "2800000"
    assert mechanism.policies() == {"racer"}


def test_settings_of_another_boot_count_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    lasting = Entry("b", "1", ("2",), "a", "p", 0.0, lasting=True)
    Ledger(path, boot="one").record([Entry("a", "1", ("2",), "a", "p", 0.0), lasting])

    assert set(Ledger(path, boot="one").entries()) == {"a", "b"}
    assert dict(Ledger(path, boot="two").entries()) == {"b": lasting}


def test_a_record_that_somebody_broke_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"entries": [{"key": 1}')
    assert dict(Ledger(path).entries()) == {}
    assert (tmp_path / "x.broken").exists()
    Ledger(path).record([Entry("a", "1", ("2",), "a", "p", 0.0)])
    assert json.loads(path.read_text())["entries"][0]["key"] == "a"


async def test_a_command_can_be_taken_back_exactly(machine: Machine) -> None:
    acpi_cpufreq(machine.root)
    mechanism = CpuFrequency(machine.handle)
    await mechanism.apply({"governor": "powersave"})
    before = snapshot(machine.root)
    outcome = await mechanism.apply({"governor": "schedutil", "frequency": "1.4GHz"})
    assert outcome.undo is not None
    assert mechanism.assets(outcome.undo) == {"cpu_frequency/policy0", "cpu_frequency/policy2"}
    machine.permit(node=())  # what is taken back needs no permission

    assert (await mechanism.apply(outcome.undo)).ok

    assert snapshot(machine.root) == before
    assert (await mechanism.apply({"command": "reset"})).ok
    assert read(machine.root, f"{CPUFREQ}/policy0/scaling_governor") == "schedutil"


async def test_undo_is_no_way_around(machine: Machine) -> None:
    acpi_cpufreq(machine.root)
    mechanism = CpuFrequency(machine.handle)
    with pytest.raises(Refused, match="was not changed here"):
        await mechanism.apply({"command": "undo", "values": {f"/{MAX_0}": "1400000"}})
    with pytest.raises(Refused, match="was not changed here"):
        await mechanism.apply({"command": "undo", "values": {"/etc/passwd": "root"}})
    assert read(machine.root, MAX_0) == "2800000"


async def test_undo_brings_back_nothing_but_what_was_there(machine: Machine) -> None:
    """It asks for no permission and checks no range, so it must not be a way to set values of one's own."""
    acpi_cpufreq(machine.root)
    mechanism = CpuFrequency(machine.handle)
    outcome = await mechanism.apply({"cpus": 0, "max": "1.4GHz"})
    assert outcome.undo is not None
    machine.permit(node=())
    with pytest.raises(Refused, match="was not '9900000' before"):
        await mechanism.apply({"command": "undo", "values": {f"/{MAX_0}": "9900000"}})
    assert read(machine.root, MAX_0) == "1400000"
    await mechanism.apply(outcome.undo)
    assert read(machine.root, MAX_0) == "2800000"


async def test_undo_leaves_alone_what_somebody_else_set_since(machine: Machine) -> None:
    acpi_cpufreq(machine.root)
    mechanism = CpuFrequency(machine.handle)
    outcome = await mechanism.apply({"cpus": 0, "governor": "powersave", "max": "1.4GHz"})
    (machine.root / CPUFREQ / "policy0/scaling_governor").write_text("ondemand\n")
    assert outcome.undo is not None
    await mechanism.apply(outcome.undo)
    assert read(machine.root, f"{CPUFREQ}/policy0/scaling_governor") == "ondemand"
    assert read(machine.root, MAX_0) == "2800000"


async def test_what_somebody_else_set_between_two_commands_is_what_comes_back(machine: Machine) -> None:
    acpi_cpufreq(machine.root)
    governor = f"{CPUFREQ}/policy0/scaling_governor"
    await CpuFrequency(machine.handle).apply({"cpus": 0, "governor": "powersave"})
    (machine.root / governor).write_text("ondemand\n")
    # The agent was restarted in between, too.
    mechanism = CpuFrequency(machine.handle)
    await mechanism.apply({"cpus": 0, "governor": "performance"})
    assert read(machine.root, governor) == "performance"
    await mechanism.restore()
    assert read(machine.root, governor) == "ondemand"


async def test_a_limit_that_somebody_raised_is_not_the_system_s_doing(machine: Machine) -> None:
    acpi_cpufreq(machine.root)
    mechanism = CpuFrequency(machine.handle)
    await mechanism.apply({"cpus": 0, "max": "1.4GHz"})
    (machine.root / MAX_0).write_text("2100000\n")
    assert any("somebody else set" in line for line in await mechanism.restore())
    assert read(machine.root, MAX_0) == "2100000"


async def test_a_dry_run_of_putting_back_tells_what_it_would_change(machine: Machine) -> None:
    acpi_cpufreq(machine.root)
    mechanism = CpuFrequency(machine.handle)
    await mechanism.apply({"governor": "powersave", "max": "2.1GHz"})
    (machine.root / CPUFREQ / "policy0/scaling_governor").write_text("ondemand\n")
    (machine.root / CPUFREQ / "policy2/scaling_governor").write_text("schedutil\n")
    (machine.root / MAX_2).write_text("1400000\n")
    before = snapshot(machine.root)

    told = (await mechanism.apply({"command": "reset", "dry_run": True})).details["changes"]

    assert snapshot(machine.root) == before
    await mechanism.apply({"command": "reset"})
    after = snapshot(machine.root)
    assert {item["path"].lstrip("/"): (item["from"], item["to"]) for item in told} == {
        path: (before[path], value) for path, value in after.items() if before[path] != value
    }
    assert len(told) == 2  # both limits; one governor is somebody else's, the other is as it was
