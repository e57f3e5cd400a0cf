"""All APIs of a slice checked at once, every fault named with its host and a fix, before anything is changed."""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import Fault, InvalidInput, MlsError, Unreachable

from mlsysops_cli.existing.api import Findings, look, needs
from mlsysops_cli.existing.kubeconfig import read_kubeconfig
from mlsysops_cli.files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlsysops_cli.slice.existing import KubeconfigSource
    from mlsysops_cli.slice.model import Slice

__all__ = ["KARMADA_HOST", "Probed", "probe_apis"]

#: Stands for Karmada's host cluster among the names of hosts; no host can have it.
KARMADA_HOST = "Karmada's host cluster"


@dataclass(frozen=True, slots=True)
class Probed:
    """What the APIs of a slice were found to be.

    Attributes:
        kubeconfigs: A kubeconfig of its own for each API, by the host that stands for it (and `KARMADA_HOST`).
        nodes: Nodes of each API, as it has them; the same keys.
        before: What each API has that bears a name of ours and was made by others (`before`); the same keys.
    """

    kubeconfigs: dict[str, dict[str, Any]]
    nodes: dict[str, list[dict[str, Any]]]
    before: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)


def probe_apis(slice_: Slice, *, namespace: str, framework_namespace: str) -> Probed:
    """Check every API that the inventory names.

    Args:
        slice_: A slice of the engine ``existing``.
        namespace: Where applications live.
        framework_namespace: Where the framework's own parts live.

    Raises:
        Unreachable: APIs do not answer, and nothing else is wrong.
        InvalidInput: Kubeconfigs, versions, permissions or members are not as they must be; carries every fault.
    """
    faults: list[Fault] = []
    kubeconfigs: dict[str, dict[str, Any]] = {}
    for name, source in _sources(slice_):
        try:
            kubeconfigs[name] = read_kubeconfig(source)
        except MlsError as exc:
            faults.append(Fault(path=_shown(slice_, name), message=exc.message, hint=exc.hint))
    found = _look_at_all(slice_, kubeconfigs, namespace, framework_namespace)
    for name, findings in found.items():
        faults += [Fault(path=_shown(slice_, name), message=text, hint=hint) for text, hint in findings.problems]
    faults += _doubles(slice_, found)
    faults += _members(slice_, found)
    if faults:
        away = [name for name, findings in found.items() if not findings.reached]
        if len(away) == len(faults):
            raise Unreachable("; ".join(map(str, faults)))
        raise InvalidInput(faults=faults)
    return Probed(
        kubeconfigs,
        {name: findings.nodes for name, findings in found.items()},
        {name: findings.before for name, findings in found.items()},
    )


def _sources(slice_: Slice) -> Iterator[tuple[str, KubeconfigSource]]:
    yield from slice_.existing.apis.items()
    if slice_.existing.karmada_host:
        yield KARMADA_HOST, slice_.existing.karmada_host


def _look_at_all(
    slice_: Slice, kubeconfigs: dict[str, dict[str, Any]], namespace: str, framework_namespace: str
) -> dict[str, Findings]:
    if not kubeconfigs:
        return {}
    with tempfile.TemporaryDirectory(prefix="mls-probe-") as scratch, ThreadPoolExecutor(max_workers=8) as pool:
        looking = {}
        for number, (name, kubeconfig) in enumerate(kubeconfigs.items()):
            path = Path(scratch) / f"{number}.kubeconfig"
            write_private(path, json.dumps(kubeconfig))  # JSON is YAML
            karmada = name == slice_.management
            pods = name == KARMADA_HOST or (slice_.agents == "pods" and not karmada)
            wanted = needs(karmada=karmada, pods=pods, namespace=namespace, framework_namespace=framework_namespace)
            namespaces = (namespace, framework_namespace)
            looking[name] = pool.submit(look, str(path), wanted, karmada=karmada, namespaces=namespaces)
        return {name: future.result() for name, future in looking.items()}


def _shown(slice_: Slice, name: str) -> str:
    if name == KARMADA_HOST:
        return name
    host = slice_.hosts[name]
    return f"host {name} (the Karmada API)" if host.role == "management" else f"host {name} (cluster {host.cluster})"


def _doubles(slice_: Slice, found: dict[str, Findings]) -> Iterator[Fault]:
    """Yield a fault for each cluster that is another one of the slice, under another name."""
    seen: dict[str, str] = {}
    for name in slice_.existing.apis:
        identity = found[name].identity if name in found else ""
        first = seen.setdefault(identity, name) if identity else name
        if first != name:
            message = f"it is the same cluster as that of host {first}"
            yield Fault(path=_shown(slice_, name), message=message, hint="correct mls_kubeconfig or mls_context of one")


def _members(slice_: Slice, found: dict[str, Findings]) -> Iterator[Fault]:
    """Yield a fault for each cluster that is no ready member of the Karmada API, and for one that is not the one meant."""
    continuum = found.get(slice_.management)
    if continuum is None or continuum.problems:
        return
    for cluster in slice_.clusters:
        place = _shown(slice_, cluster.servers[0])
        member = continuum.members.get(cluster.name)
        if member is None:
            known = ", ".join(sorted(continuum.members)) or "none"
            hint = f"join it with `karmadactl join {cluster.name}` or `register`, or name it as its member (members: {known})"
            yield Fault(path=place, message=f"Karmada has no member {cluster.name}", hint=hint)
            continue
        conditions = (member.get("status") or {}).get("conditions") or []
        ready: dict[str, Any] = next((c for c in conditions if c.get("type") == "Ready"), {})
        if ready.get("status") != "True":
            why = ready.get("message") or ready.get("reason") or "no condition Ready yet"
            hint = f"see `kubectl describe cluster {cluster.name}` against the Karmada API"
            yield Fault(path=place, message=f"Karmada's member {cluster.name} is not ready: {why}", hint=hint)
        identity = found[cluster.servers[0]].identity if cluster.servers[0] in found else ""
        registered = str((member.get("spec") or {}).get("id") or "")
        if identity and registered and identity != registered:
            message = f"Karmada's member {cluster.name} is another cluster than the one of this kubeconfig"
            yield Fault(path=place, message=message, hint="correct mls_kubeconfig or mls_context")
