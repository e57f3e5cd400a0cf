"""Makes what extends an agent from its configuration, the same way in every tier."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mlsysops_core.contracts import PluginHandle

from mlsysops_agents.adapters.telemetry import Kind, Point, SeriesKey, TelemetryStore
from mlsysops_agents.adapters.worker import PackageEnvironments, PackageSettings, WorkerLimits

from .mechanisms import Mechanisms
from .policies import PolicyManager
from .settings import TargetedInputs
from .trust import Trust

if TYPE_CHECKING:
    from mlsysops_agents.process import Runtime

__all__ = ["make_extensions"]


def make_extensions(
    runtime: Runtime, handle: PluginHandle, inputs: TargetedInputs, listener: Callable[[Any], None]
) -> tuple[Mechanisms, PolicyManager]:
    """Return what loads an agent's mechanisms, and what keeps its policies.

    Args:
        runtime: What the agent is composed from.
        handle: What typed plug-ins get to reach the agent.
        inputs: Gets the slice's settings.
        listener: Takes each message that a module mechanism puts on its queue.
    """
    config = runtime.config
    limits = WorkerLimits(memory=config.worker.memory, cpu_seconds=config.worker.cpu_seconds)
    wanted = config.worker.packages
    settings = PackageSettings(
        wanted.allowed,
        wanted.plugins,
        wanted.wheelhouse,
        wanted.timeout,
        index=str(wanted.index) if wanted.index is not None else None,
        proxy=str(wanted.proxy) if wanted.proxy is not None else None,
    )
    packages = PackageEnvironments(config.state_dir / "packages", settings)
    mechanisms = Mechanisms(
        handle, config.plugin_dirs, config.state_dir, limits=limits, packages=packages, listener=listener
    )
    policies = PolicyManager(
        handle,
        config.plugin_dirs,
        config.state_dir,
        inputs,
        limits=limits,
        trust=Trust.read("agent's configuration", config.policy_digests, config.policy_signers),
        packages=packages,
    )
    policies.on_metric = _pushed(runtime.telemetry)
    return mechanisms, policies


def _pushed(telemetry: TelemetryStore) -> Callable[[str, float, Mapping[str, str]], None]:
    """Return what takes a metric that a plug-in pushes, as if it had come over OTLP."""

    def take(name: str, value: float, attributes: Mapping[str, str]) -> None:
        key = SeriesKey(name, tuple(sorted(attributes.items())), ())
        telemetry.ingest([Point(key, value, time.time(), Kind.GAUGE)])

    return take
