"""Which components should leave their cluster: because it is gone, or because it says that they do not fit.

Patience comes before both, so that a short silence or a passing shortage moves nothing. Where most clusters are silent at once, it
is likelier that the continuum is cut off, and nothing leaves them. A cluster that refused is left alone
for a while, so that two full clusters cannot pass an application to and fro. What leaves a silent cluster needs the owner's
permission (``component_relocation``): behind a cut link it may still run.

How long something lasts is measured by the continuum's own clock, from when it was seen: a cluster's clock may be wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlsysops_core.model import Application

from mlsysops_agents.adapters.health import since
from mlsysops_agents.placement.disruption import is_disrupted, returned

__all__ = ["Failover", "Leaving"]

_PERMISSION = frozenset({"component_relocation", "*"})


@dataclass(frozen=True, slots=True)
class Leaving:
    """What an application should do about its clusters.

    Attributes:
        components: Components that should leave their cluster if another takes them.
        refused: Cluster to why it is not asked again yet.
        due: When something will be due that is not yet (monotonic seconds); None where nothing will.
        held: Why what would leave silent clusters does not; empty where it does.
    """

    components: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)
    due: float | None = None
    held: str = ""


class Failover:
    """Remembers who refused what; everything else is worked out from what objects say.

    Args:
        gone_seconds: How long a cluster is silent until what may move is moved.
        refusal_seconds: How long a cluster says that nothing fits until another is tried.
        rest_seconds: How long a cluster that refused is not asked again.
    """

    def __init__(
        self, *, gone_seconds: float = 60.0, refusal_seconds: float = 20.0, rest_seconds: float = 300.0
    ) -> None:
        self._gone = gone_seconds
        self._refusal = refusal_seconds
        self._rest = rest_seconds
        self._resting: dict[tuple[str, str], tuple[float, str]] = {}
        #: Application and cluster that refuses it: the time that this cluster says, and when that was seen (monotonic seconds).
        self._refusing: dict[tuple[str, str], tuple[float, float]] = {}

    def forget(self, application: str) -> None:
        """Drop what is known of an application that is gone."""
        self._resting = {key: value for key, value in self._resting.items() if key[0] != application}
        self._refusing = {key: value for key, value in self._refusing.items() if key[0] != application}

    def look(
        self,
        application: Application,
        placed: Mapping[str, str],
        *,
        silent: Mapping[str, float | None],
        said: Mapping[str, Mapping[str, Any]],
        now: float,
        clusters: Mapping[str, float | None] | None = None,
    ) -> Leaving:
        """Say what should leave.

        Args:
            application: The application.
            placed: Component to cluster.
            silent: Cluster that is not ready to since when (monotonic seconds), also one without the application; None where that is
                not known.
            said: Cluster to the application's status there.
            now: Monotonic seconds.
            clusters: The others: cluster that is ready to since when; None where that is not known.
        """
        ready = clusters if clusters is not None else {}
        disrupted = is_disrupted(len(ready), len(ready) + len(silent))
        held = f"{len(silent)} of {len(ready) + len(silent)} clusters are silent at once" if disrupted else ""
        first = min((float("-inf") if at is None else at for at in ready.values()), default=None)
        leaving: set[str] = set()
        due: list[float] = []
        may_move = bool(_PERMISSION & set(application.permitted_actions))
        for cluster in sorted(set(placed.values())):
            here = {component for component, host in placed.items() if host == cluster}
            if cluster in silent:
                began = silent[cluster]
                if may_move and began is not None and not held:
                    # Back from an outage of its own, the continuum hears of one cluster after the other.
                    began = max(began, returned(began, first) or began)
                    if now - began >= self._gone:
                        leaving |= here
                    else:
                        due.append(began + self._gone)
                continue
            refusal, key = _refusal(said.get(cluster) or {}, here), (application.name, cluster)
            if refusal is None:
                self._refusing.pop(key, None)
                continue
            stated, components, message = refusal
            if key not in self._refusing or self._refusing[key][0] != stated:
                self._refusing[key] = (stated, now)
            began = self._refusing[key][1]
            if now - began < self._refusal:
                due.append(began + self._refusal)
                continue
            self._resting.setdefault(key, (now + self._rest, message))
            leaving |= components
        self._resting = {key: value for key, value in self._resting.items() if value[0] > now}
        refused = {
            cluster: f"said that it does not fit: {message}"
            for (name, cluster), (_, message) in self._resting.items()
            if name == application.name
        }
        due += [until for (name, _), (until, _) in self._resting.items() if name == application.name]
        return Leaving(frozenset(leaving), refused, min(due, default=None), held)


def _refusal(said: Mapping[str, Any], here: Collection[str]) -> tuple[float, set[str], str] | None:
    """Return since when a cluster refuses by its own clock, which of its components do not run there, and what it says."""
    for item in said.get("conditions") or ():
        if item.get("type") == "Placed" and item.get("reason") == "NoFit":
            began = since([item], "Placed")
            waiting = {
                str(entry.get("name"))
                for entry in said.get("components") or ()
                if entry.get("phase") == "Pending" and not entry.get("node") and entry.get("name") in here
            }
            if began is not None and waiting:
                return began, waiting, str(item.get("message") or "")
    return None
