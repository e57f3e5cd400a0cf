"""Which plug-ins an agent runs: entry points meant for its tier, and the files of its plug-in directories."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from mlsysops_core.contracts import Mechanism, PluginHandle, Policy, PolicyContext

from .aliases import with_aliases
from .declaration import Declaration, PluginError
from .modules import check_policy, gives_way, load_mechanism_file, load_policy_file, plugin_files

__all__ = [
    "MECHANISM_GROUP",
    "POLICY_GROUP",
    "LoadedMechanism",
    "LoadedPolicy",
    "load_mechanisms",
    "load_policies",
    "load_policy_entry",
    "policy_entries",
    "version_of",
]

POLICY_GROUP = "mlsysops.policies"
MECHANISM_GROUP = "mlsysops.mechanisms"
#: The distribution that built-in plug-ins come with; names are compared as by the packaging specifications.
_DISTRIBUTION = "mlsysops-cli"
_SEPARATORS = re.compile(r"[-_.]+")
_MECHANISM_METHODS = ("apply", "assets", "check", "get_state", "get_status", "get_options")


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy ready to run.

    Attributes:
        name: Its name.
        policy: The policy.
        declaration: What it said of itself.
        context: Its first context; every asset gets a copy.
        version: Version of the distribution, or ``sha256:…`` of the file.
        source: Entry point or path.
        configuration: What people set over the ``configuration`` of its context.
    """

    name: str
    policy: Policy
    declaration: Declaration
    context: Mapping[str, Any]
    version: str
    source: str
    configuration: Mapping[str, Any] = field(default_factory=dict)

    def make_context(self, asset: str, kept: Mapping[str, Any] | None = None) -> PolicyContext:
        """Return the context for an asset: the one kept, or a copy of the first one, with what people set over it."""
        context = PolicyContext(asset, copy.deepcopy(dict(self.context if kept is None else kept)))
        if self.configuration:
            present = context.get("configuration")
            given = dict(present) if isinstance(present, Mapping) else {}
            context["configuration"] = {**given, **copy.deepcopy(dict(self.configuration))}
        return context


@dataclass(frozen=True, slots=True)
class LoadedMechanism:
    """A mechanism ready to act; attributes as for policies."""

    name: str
    mechanism: Mechanism
    version: str
    source: str


def load_policies(
    handle: PluginHandle, directories: Iterable[str | Path] = (), *, entries: Iterable[EntryPoint] | None = None
) -> list[LoadedPolicy]:
    """Load policies into this process; a file replaces an entry point of the same name.

    Args:
        handle: What typed policies get to reach the agent.
        directories: Where ``policy-<name>.py`` files are.
        entries: Entry points instead of those that come with the project; others' are for a process of their own.

    Raises:
        PluginError: One of them cannot be used; it names all that are wrong.
    """
    found: dict[str, LoadedPolicy] = {}
    faults: list[PluginError] = []
    for entry in policy_entries()[0] if entries is None else _entries(POLICY_GROUP, entries):
        with _Collect(faults):
            made = load_policy_entry(entry, handle)
            if made is not None:
                found[entry.name] = made
    for path in _files(directories, "policy", faults):
        with _Collect(faults):
            name, policy, digest = load_policy_file(path)
            loaded = _policy(name, policy, f"sha256:{digest}", str(path))
            if loaded.declaration.node_name in (None, handle.agent.name):
                found[name] = loaded
    _complain(faults)
    return list(found.values())


def load_policy_entry(entry: EntryPoint, handle: PluginHandle) -> LoadedPolicy | None:
    """Make a typed policy; None where it is meant for other tiers.

    Raises:
        PluginError: It cannot be used.
    """
    made = _construct(entry, handle, kind="policy")
    if made is None:
        return None
    check_policy(made, f"policy {entry.name} ({entry.value})")
    return _policy(entry.name, made, version_of(entry), entry.value)


def policy_entries() -> tuple[list[EntryPoint], list[EntryPoint]]:
    """Return the typed policies that are installed: those that come with the project, and those of others."""
    ours: list[EntryPoint] = []
    others: list[EntryPoint] = []
    for entry in _entries(POLICY_GROUP, None):
        name = _SEPARATORS.sub("-", entry.dist.name).lower() if entry.dist is not None else ""
        (ours if name == _DISTRIBUTION else others).append(entry)
    return ours, others


def load_mechanisms(
    handle: PluginHandle,
    directories: Iterable[str | Path] = (),
    *,
    entries: Iterable[EntryPoint] | None = None,
    agent_state: Any = None,
    listener: Callable[[Any], None] | None = None,
) -> list[LoadedMechanism]:
    """Load every mechanism of the agent; arguments and errors as for policies.

    Args:
        handle: What typed mechanisms get to reach the agent.
        directories: Where ``mechanism-<name>.py`` files are.
        entries: Entry points instead of the installed ones.
        agent_state: Third argument of a module mechanism's `initialize`.
        listener: Called with each message that a module mechanism puts on its outbound queue.

    Raises:
        PluginError: One of them cannot be used; it names all that are wrong.
    """
    found: dict[str, LoadedMechanism] = {}
    faults: list[PluginError] = []
    for entry in _entries(MECHANISM_GROUP, entries):
        with _Collect(faults):
            made = _construct(entry, handle, kind="mechanism")
            if made is not None:
                _check_mechanism(made, f"mechanism {entry.name} ({entry.value})")
                for name, mechanism in with_aliases(entry.name, made).items():
                    found[name] = LoadedMechanism(name, mechanism, version_of(entry), entry.value)
    built_in = frozenset(found)
    for path in _files(directories, "mechanism", faults):
        if gives_way(path, built_in):
            continue
        with _Collect(faults):
            name, mechanism, digest = load_mechanism_file(path, agent_state=agent_state, listener=listener)
            found[name] = LoadedMechanism(name, mechanism, f"sha256:{digest}", str(path))
    _complain(faults)
    return list(found.values())


class _Collect:
    """Gathers plug-in errors, so that all are told at once."""

    def __init__(self, faults: list[PluginError]) -> None:
        self._faults = faults

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, PluginError):
            self._faults.append(error)
            return True
        return False


def _entries(group: str, given: Iterable[EntryPoint] | None) -> Sequence[EntryPoint]:
    return sorted(given if given is not None else entry_points(group=group), key=lambda entry: entry.name)


def _files(
    directories: Iterable[str | Path], kind: Literal["policy", "mechanism"], faults: list[PluginError]
) -> list[Path]:
    files: list[Path] = []
    for directory in map(Path, directories):
        if not directory.is_dir():
            faults.append(PluginError(f"plug-in directory {directory} does not exist"))
            continue
        files.extend(plugin_files(directory, kind))
    return files


def _construct(entry: EntryPoint, handle: PluginHandle, *, kind: str) -> Any:
    """Make a typed plug-in; None where it is meant for another tier."""
    subject = f"{kind} {entry.name} ({entry.value})"
    try:
        cls = entry.load()
    except Exception as exc:  # third-party code: whatever importing it raises makes the plug-in unusable
        raise PluginError(f"{subject}: does not load: {type(exc).__name__}: {exc}") from exc
    if not inspect.isclass(cls):
        raise PluginError(f"{subject}: must be a class, not {type(cls).__name__}")
    tiers = getattr(cls, "tiers", None)
    if not isinstance(tiers, (frozenset, set, tuple, list)) or not all(isinstance(tier, str) for tier in tiers):
        raise PluginError(f"{subject}: class attribute 'tiers' must name the tiers that run it")
    if handle.agent.tier not in tiers:
        return None
    try:
        factory: Callable[[PluginHandle], Any] = cls
        return factory(handle)
    except Exception as exc:  # third-party code, as above
        raise PluginError(f"{subject}: cannot be made: {type(exc).__name__}: {exc}") from exc


def _policy(name: str, policy: Policy, version: str, source: str) -> LoadedPolicy:
    try:
        context = policy.initialize()
    except Exception as exc:  # user code: whatever it raises makes the plug-in unusable
        raise PluginError(f"policy {name} ({source}): initialize() failed: {type(exc).__name__}: {exc}") from exc
    return LoadedPolicy(name, policy, Declaration.from_context(context, plugin=name), context, version, source)


def _check_mechanism(made: Any, subject: str) -> None:
    missing = [name for name in _MECHANISM_METHODS if not callable(getattr(made, name, None))]
    if missing:
        raise PluginError(f"{subject}: {', '.join(f'{name}()' for name in missing)} missing")
    if not inspect.iscoroutinefunction(made.apply):
        raise PluginError(f"{subject}: apply() must be 'async def'")


def version_of(entry: EntryPoint) -> str:
    """Return the version of the distribution that an entry point is of."""
    return entry.dist.version if entry.dist is not None else "unknown"


def _complain(faults: Sequence[PluginError]) -> None:
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise PluginError("; ".join(str(fault) for fault in faults))
