"""What was sent to one agent, read from the ConfigMaps that hold it: its policies, and its settings in one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlsysops_core.contracts import AgentIdentity
from mlsysops_core.errors import InvalidInput
from mlsysops_core.model.agents import CONFIG, POLICY, AgentSettings, SentToAgents, Target
from mlsysops_core.yaml import load_yaml

from .settings import SETTINGS

__all__ = ["Wanted"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an agent is told.

    Attributes:
        policies: Policies by name; of one name the most specific.
        settings: All settings in one; the more specific ones count where several say something.
        faults: What is wrong with the objects that could not be understood, by name.
    """

    policies: Mapping[str, SentToAgents]
    settings: AgentSettings
    faults: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, objects: Mapping[str, Mapping[str, Any]], agent: AgentIdentity, labels: Mapping[str, str]) -> Wanted:
        """Read what is meant for an agent.

        Args:
            objects: The ConfigMaps by name.
            agent: The agent.
            labels: Its labels, which selectors look at.
        """
        mine: list[SentToAgents] = []
        faults: dict[str, str] = {}
        for name, obj in objects.items():
            if name == SETTINGS:
                continue
            try:
                sent = SentToAgents.from_data(obj.get("data") or {})
            except InvalidInput as exc:
                faults[name] = str(exc)
                _log.warning("ConfigMap %s: %s", name, exc)
                continue
            if Target.parse(sent.target).matches(agent.tier, agent.name, labels):
                mine.append(sent)
        mine.sort(key=lambda item: (Target.parse(item.target).rank, item.target, item.name))
        settings = _merged([item for item in mine if item.kind == CONFIG], faults)
        return cls({item.name: item for item in mine if item.kind == POLICY}, settings, faults)


def _merged(configs: Sequence[SentToAgents], faults: dict[str, str]) -> AgentSettings:
    merged: dict[str, dict[str, Any]] = {}
    level = None
    for sent in configs:
        try:
            settings = AgentSettings.of(load_yaml(sent.text, sent.name))
        except InvalidInput as exc:
            faults[sent.name] = " ".join(str(exc).split())
            _log.warning("settings %s: %s", sent.name, exc)
            continue
        level = settings.log_level or level
        for name, item in settings.policies.items():
            mine = merged.setdefault(name, {"configuration": {}})
            mine["configuration"] = {**mine["configuration"], **item.configuration}
            if item.enabled is not None:
                mine["enabled"] = item.enabled
    return AgentSettings.model_validate({"policies": merged, "log_level": level})
