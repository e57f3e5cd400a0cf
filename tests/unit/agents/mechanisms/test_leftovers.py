"""What resists when it is put back is tried again while the agent runs, and not only by its successor."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from machines import CPUFREQ, Machine, acpi_cpufreq, read
from mlsysops_agents.loop import VirtualClock
from mlsysops_agents.node.settings import put_back, put_back_orphans
from mlsysops_agents.plugins.mechanisms.node import CpuFrequency
from mlsysops_agents.plugins.mechanisms.node.knob import FileKnob
from mlsysops_core.errors import Conflict, MlsError
from mlsysops_core.knobs import acting_policy


async def test_what_resists_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, tmp_path / "state")
    acpi_cpufreq(machine.root)
    mechanism = CpuFrequency(machine.handle)
    for policy, command in (("gone", {"cpus": 0}), ("runs", {"cpus": 2})):
        token = acting_policy.set(policy)
        await mechanism.apply({**command, "governor": "powersave"})
        acting_policy.reset(token)
    mechanisms = {mechanism.name: mechanism}
    write = FileKnob.write

    def busy(knob: FileKnob, value: str) -> None:
        raise Conflict(f"{knob.key} is busy")

    monkeypatch.setattr(FileKnob, "write", busy)
    tried: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()

    async def back(policy: str) -> bool:
        try:
            await put_back(mechanisms, policy=policy)
            done = True
        except MlsError:
            done = False
        tried.put_nowait((policy, done))
        return done

    clock = VirtualClock()
    task = asyncio.create_task(put_back_orphans(mechanisms, lambda: {"runs"}, clock, back, asyncio.Event()))
    try:
        async with asyncio.timeout(60):
            assert await tried.get() == ("gone", False)
            await clock.advance(60)
            assert await tried.get() == ("gone", False)
            monkeypatch.setattr(FileKnob, "write", write)
            await clock.advance(60)
            assert await tried.get() == ("gone", True)
    finally:
        task.cancel()
    assert mechanism.policies() == {"runs"}
    assert read(machine.root, f"{CPUFREQ}/policy0/scaling_governor") == "schedutil"
    assert read(machine.root, f"{CPUFREQ}/policy2/scaling_governor") == "powersave"
