"""What a description may say but probably does not mean."""

from __future__ import annotations

from collections.abc import Iterator

from mlsysops_core.model.application import Application
from mlsysops_core.model.common import Problem
from mlsysops_core.model.kinds import Description
from mlsysops_core.model.node import Node
from mlsysops_core.quantities import format_frequency

__all__ = ["warnings_of"]

_SLOWEST_CPU = 1e6
"""No CPU that runs containers is clocked below 1 MHz; such a number was meant in MHz or GHz."""


def warnings_of(description: Description) -> Iterator[Problem]:
    """Lists what is worth a second look; nothing of it is changed or guessed."""
    if isinstance(description, Application):
        yield from _application(description)
    elif isinstance(description, Node):
        cpu = description.hardware.cpu
        for index, frequency in enumerate(cpu.frequency if cpu else ()):
            yield from _frequency(("hardware", "cpu", "frequency", index), frequency)


def _application(application: Application) -> Iterator[Problem]:
    for number, component in enumerate(application.components):
        for index, container in enumerate(component.containers):
            cpu = container.requirements.cpu
            if cpu is not None and cpu.frequency is not None:
                path = ("components", number, "containers", index, "platform_requirements", "cpu", "frequency")
                yield from _frequency(path, cpu.frequency)


def _frequency(path: tuple[str | int, ...], hertz: float) -> Iterator[Problem]:
    if 0 < hertz < _SLOWEST_CPU:
        yield Problem(
            path, f"{format_frequency(hertz)} is slow for a CPU", "plain numbers are in Hz; write a unit, e.g. 1.4GHz"
        )
