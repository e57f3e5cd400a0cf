"""Plug-ins that are plain module files: ``policy-<name>.py`` and ``mechanism-<name>.py``, checked when they are loaded."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from mlsysops_core.contracts import Outcome, Policy

from .compat import framework_telemetry, install_framework_modules
from .declaration import PluginError

__all__ = [
    "ModuleMechanism",
    "check_policy",
    "load_mechanism_file",
    "load_policy_file",
    "load_policy_source",
    "policy_name_of",
]

#: context, application_description, system_description, mechanisms, telemetry, ml_connector
_POLICY_ARGUMENTS = 6


class Outbox(asyncio.Queue[Any]):
    """The queue on which a module mechanism reports: every message wakes the agent, none piles up."""

    def __init__(self, listener: Callable[[Any], None]) -> None:
        super().__init__()
        self._listener = listener

    def _put(self, item: Any) -> None:
        self._listener(item)

    def put_nowait(self, item: Any) -> None:
        """Hand a message over at once."""
        self._listener(item)


class ModulePolicy:
    """A module policy in the shape of a typed one."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def initialize(self) -> dict[str, Any]:
        """Return the first context."""
        context: dict[str, Any] = self._module.initialize()
        return context

    async def analyze(
        self,
        context: dict[str, Any],
        application_description: list[dict[str, Any]],
        system_description: dict[str, Any],
        mechanisms: dict[str, dict[str, Any]],
        telemetry: dict[str, Any],
        ml_connector: Any,
    ) -> tuple[bool, dict[str, Any]]:
        """Ask the module."""
        result: tuple[bool, dict[str, Any]] = await self._module.analyze(
            context,
            application_description,
            system_description,
            mechanisms,
            framework_telemetry(telemetry),
            ml_connector,
        )
        return result

    async def plan(
        self,
        context: dict[str, Any],
        application_description: list[dict[str, Any]],
        system_description: dict[str, Any],
        mechanisms: dict[str, dict[str, Any]],
        telemetry: dict[str, Any],
        ml_connector: Any,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Ask the module."""
        result: tuple[dict[str, Any], dict[str, Any]] = await self._module.plan(
            context,
            application_description,
            system_description,
            mechanisms,
            framework_telemetry(telemetry),
            ml_connector,
        )
        return result


class ModuleMechanism:
    """A module mechanism in the shape of a typed one.

    Its commands are opaque here, so all of its plans count as touching one asset: the mechanism itself.
    """

    def __init__(
        self,
        name: str,
        module: ModuleType,
        *,
        agent_state: Any = None,
        listener: Callable[[Any], None] | None = None,
    ) -> None:
        self._name = name
        self._module = module
        self.inbound: asyncio.Queue[Any] = asyncio.Queue()
        self.outbound = Outbox(listener or (lambda _message: None))
        arguments = (self.inbound, self.outbound, agent_state)
        # Some of the framework's mechanisms take the two queues alone.
        count = _positional(module.initialize, len(arguments))
        try:
            module.initialize(*arguments[:count])
        except Exception as exc:  # user code: whatever it raises makes the plug-in unusable
            raise PluginError(f"mechanism {name}: initialize() failed: {type(exc).__name__}: {exc}") from exc

    async def apply(self, command: Mapping[str, Any]) -> Outcome:
        """Carry out a command; a module says no by returning False."""
        result = self._module.apply(command)
        if inspect.isawaitable(result):
            result = await result
        return Outcome(ok=result is not False, message="" if result is not False else "the mechanism returned False")

    def assets(self, command: Mapping[str, Any]) -> frozenset[str]:
        """Return the mechanism itself."""
        return frozenset({f"mechanism/{self._name}"})

    def check(self, command: Mapping[str, Any]) -> str:
        """Nothing is known of the command, so nothing speaks against it."""
        return ""

    def get_state(self) -> dict[str, Any]:
        """Return the module's state."""
        return dict(self._module.get_state() or {})

    def get_status(self) -> dict[str, Any]:
        """Return the module's status."""
        return dict(self._module.get_status() or {}) if hasattr(self._module, "get_status") else {}

    def get_options(self) -> dict[str, Any]:
        """Return the module's options."""
        return dict(self._module.get_options() or {})


def load_policy_file(path: Path) -> tuple[str, Policy, str]:
    """Load ``policy-<name>.py``.

    Returns:
        Name, the policy, and the SHA-256 of the file.

    Raises:
        PluginError: The file does not load or does not have the functions of a policy.
    """
    name = _name_of(path, "policy")
    return load_policy_source(name, path, _read(name, path, "policy"))


def load_policy_source(name: str, path: Path, source: bytes) -> tuple[str, Policy, str]:
    """Load a module policy from its text; arguments, results and errors otherwise as of `load_policy_file`."""
    module, digest = _load(name, path, "policy", source)
    check_policy(module, f"policy {name} ({path})")
    return name, ModulePolicy(module), digest


def policy_name_of(path: Path) -> str:
    """Return the ``<name>`` of ``policy-<name>.py``.

    Raises:
        PluginError: The file is not called like that.
    """
    return _name_of(path, "policy")


def load_mechanism_file(
    path: Path, *, agent_state: Any = None, listener: Callable[[Any], None] | None = None
) -> tuple[str, ModuleMechanism, str]:
    """Load ``mechanism-<name>.py`` and initialise it.

    Returns:
        Name, the mechanism, and the SHA-256 of the file.

    Raises:
        PluginError: The file does not load or does not have the functions of a mechanism.
    """
    name = _name_of(path, "mechanism")
    module, digest = _load(name, path, "mechanism", _read(name, path, "mechanism"))
    for function in ("initialize", "apply", "get_state", "get_options"):
        if not callable(getattr(module, function, None)):
            raise PluginError(f"mechanism {name} ({path}): function {function}() is missing")
    if _positional(module.apply, 1) != 1:
        raise PluginError(f"mechanism {name} ({path}): apply() must take the command")
    return name, ModuleMechanism(name, module, agent_state=agent_state, listener=listener), digest


def check_policy(policy: object, subject: str) -> None:
    """Check the functions of a policy.

    Raises:
        PluginError: One is missing, is not a coroutine function, or takes other arguments.
    """
    if not callable(getattr(policy, "initialize", None)):
        raise PluginError(f"{subject}: function initialize() is missing")
    for name in ("analyze", "plan"):
        function = getattr(policy, name, None)
        if not callable(function):
            raise PluginError(f"{subject}: function {name}() is missing")
        if not inspect.iscoroutinefunction(function):
            raise PluginError(f"{subject}: {name}() must be 'async def'")
        if _positional(function, _POLICY_ARGUMENTS) != _POLICY_ARGUMENTS:
            raise PluginError(
                f"{subject}: {name}() must take (context, application_description, system_description, mechanisms,"
                f" telemetry, ml_connector), not {inspect.signature(function)}"
            )


def _name_of(path: Path, kind: str) -> str:
    name = path.stem.removeprefix(f"{kind}-")
    if path.suffix != ".py" or name == path.stem or not name:
        raise PluginError(f"{path}: a {kind} file is called {kind}-<name>.py")
    return name


def _read(name: str, path: Path, kind: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise PluginError(f"{kind} {name}: cannot read {path}: {exc.strerror}") from exc


def _load(name: str, path: Path, kind: str, source: bytes) -> tuple[ModuleType, str]:
    install_framework_modules()
    digest = hashlib.sha256(source).hexdigest()
    # The digest keeps two versions of one file apart while an agent replaces the one by the other.
    module_name = f"mlsysops_plugin_{kind}_{name.replace('-', '_').replace('.', '_')}_{digest[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None:
        raise PluginError(f"{kind} {name}: {path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        # Compiled from what was hashed: no byte-code is written beside a user's file, and none can be stale.
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 -- running user code is the purpose
    except Exception as exc:  # user code: whatever it raises makes the plug-in unusable
        del sys.modules[module_name]
        raise PluginError(f"{kind} {name} ({path}): does not load: {type(exc).__name__}: {exc}") from exc
    return module, digest


def _positional(function: Callable[..., Any], wanted: int) -> int:
    """Return how many of ``wanted`` positional arguments a function takes; -1 where it needs other ones."""
    signature = inspect.signature(function)
    for count in range(wanted, -1, -1):
        try:
            signature.bind(*[None] * count)
        except TypeError:
            continue
        return count
    return -1
