"""Plug-ins that are plain module files: ``policy-<name>.py`` and ``mechanism-<name>.py``, checked when they are loaded."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import inspect
import sys
import uuid
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from mlsysops_core.contracts import Outcome, Policy

from .compat import framework_telemetry, install_framework_modules
from .declaration import PluginError

__all__ = [
    "ModuleMechanism",
    "check_policy",
    "gives_way",
    "load_mechanism_file",
    "load_mechanism_source",
    "load_policy_file",
    "load_policy_source",
    "mechanism_name_of",
    "plugin_files",
    "policy_name_of",
]

#: Where the MLSysOps framework keeps plug-ins below its agents' directories.
FRAMEWORK_DIRECTORIES = {"policy": "policies", "mechanism": "mechanisms"}
#: context, application_description, system_description, mechanisms, telemetry, ml_connector
_POLICY_ARGUMENTS = 6


class Channel(asyncio.Queue[Any]):
    """One of the two queues of a module mechanism: what it puts goes to the agent at once, what it gets the agent has given.

    Mechanisms disagree on which queue is for which direction, so both serve both.

    Args:
        listener: Takes what the mechanism puts.
    """

    def __init__(self, listener: Callable[[Any], None]) -> None:
        super().__init__()
        self._listener = listener

    def put_nowait(self, item: Any) -> None:
        """Hand a message over to the agent."""
        self._listener(item)

    def give(self, item: Any) -> None:
        """Hand a message of the agent over to the mechanism."""
        super().put_nowait(item)


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
        listener = listener or (lambda _message: None)
        self.inbound, self.outbound = Channel(listener), Channel(listener)
        initialize = getattr(module, "initialize", None)
        if initialize is None:
            return  # as in the framework's design, where only what acts and what tells is asked for
        arguments = (self.inbound, self.outbound, agent_state)
        # Some of the framework's mechanisms take the two queues alone.
        count = _positional(initialize, len(arguments))
        try:
            initialize(*arguments[:count])
        except Exception as exc:  # user code: whatever it raises makes the plug-in unusable
            raise PluginError(f"mechanism {name}: initialize() failed: {type(exc).__name__}: {exc}") from exc

    async def apply(self, command: Mapping[str, Any]) -> Outcome:
        """Carry out a command.

        A module says no by raising. Returning False means, as in the MLSysOps framework, that it goes on by itself and tells the
        end on its queue.
        """
        # The framework names its plans, and its mechanisms tell by that name what became of them.
        result = self._module.apply({"plan_uid": uuid.uuid4().hex, **command})
        if inspect.isawaitable(result):
            result = await result
        return Outcome(ok=True, message="begun, not finished yet" if result is False else "")

    def assets(self, command: Mapping[str, Any]) -> frozenset[str]:
        """Return the mechanism itself."""
        return frozenset({f"mechanism/{self._name}"})

    def check(self, command: Mapping[str, Any]) -> str:
        """Nothing is known of the command, so nothing speaks against it."""
        return ""

    def get_state(self) -> Any:
        """Return the module's state, of whatever type it is; a module may call it its status, or have none."""
        return self._ask("get_state") if hasattr(self._module, "get_state") else self.get_status()

    def get_status(self) -> Any:
        """Return the module's status."""
        return self._ask("get_status") if hasattr(self._module, "get_status") else {}

    def get_options(self) -> Any:
        """Return the module's options."""
        return self._ask("get_options")

    def _ask(self, function: str) -> Any:
        answer = getattr(self._module, function)()
        return {} if answer is None else answer


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
    name = mechanism_name_of(path)
    source = _read(name, path, "mechanism")
    return load_mechanism_source(name, path, source, agent_state=agent_state, listener=listener)


def load_mechanism_source(
    name: str,
    path: Path,
    source: bytes,
    *,
    agent_state: Any = None,
    listener: Callable[[Any], None] | None = None,
) -> tuple[str, ModuleMechanism, str]:
    """Load a module mechanism from its text; arguments, results and errors otherwise as of `load_mechanism_file`."""
    module, digest = _load(name, path, "mechanism", source)
    for function in ("apply", "get_options"):
        if not callable(getattr(module, function, None)):
            raise PluginError(f"mechanism {name} ({path}): function {function}() is missing")
    if _positional(module.apply, 1) != 1:
        raise PluginError(f"mechanism {name} ({path}): apply() must take the command")
    return name, ModuleMechanism(name, module, agent_state=agent_state, listener=listener), digest


def mechanism_name_of(path: Path) -> str:
    """Return the ``<name>`` of ``mechanism-<name>.py``, or of ``<name>.py`` in a directory ``mechanisms``.

    Raises:
        PluginError: The file is not called like that.
    """
    if path.parent.name == FRAMEWORK_DIRECTORIES["mechanism"] and path.suffix == ".py":
        return path.stem.removeprefix("mechanism-")
    return _name_of(path, "mechanism")


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


def plugin_files(directory: Path, kind: Literal["policy", "mechanism"]) -> list[Path]:
    """Return the plug-in files of a directory.

    They are called ``policy-<name>.py`` and ``mechanism-<name>.py``. A directory of the MLSysOps framework is taken as it is, too:
    ``policies/policy-<name>.py`` and ``mechanisms/<name>.py``.
    """
    below = directory / FRAMEWORK_DIRECTORIES[kind]
    theirs = [path for path in below.glob("policy-*.py" if kind == "policy" else "*.py") if path.name[0] not in "._"]
    return sorted([*directory.glob(f"{kind}-*.py"), *theirs])


def gives_way(path: Path, built_in: Container[str]) -> bool:
    """Say whether a mechanism's file is left aside for a built-in one of its name.

    The MLSysOps framework's own mechanisms of such names speak to other parts of the framework, which are not here; what they do,
    the built-in ones do. A file called ``mechanism-<name>.py`` was meant to take a built-in one's place.
    """
    return path.parent.name == FRAMEWORK_DIRECTORIES["mechanism"] and mechanism_name_of(path) in built_in


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
