"""What is sent to running agents: policies and settings, each for the agents that its target names.

Both travel as ConfigMaps of the framework's namespace with the label ``mlsysops.eu/for-agents``, so that every Kubernetes and
every propagation carries them; the keys of their data are the constants here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlsysops_core.errors import Fault, InvalidInput
from mlsysops_core.model.faults import faults_of
from mlsysops_core.yaml import Document

__all__ = [
    "CONFIG",
    "FOR_AGENTS",
    "KEEP_REVISIONS",
    "MAX_POLICY_BYTES",
    "POLICY",
    "UNINSTALL",
    "UNINSTALLED",
    "AgentSettings",
    "PolicySettings",
    "Revision",
    "SentToAgents",
    "Target",
    "code_key",
    "digest_of",
    "object_name",
    "own_labels",
    "signed_bytes",
]

#: Label of the ConfigMaps; its value says what is in them.
FOR_AGENTS = "mlsysops.eu/for-agents"
POLICY, CONFIG = "policy", "config"
#: ConfigMap of the framework's namespace whose presence says that node agents are uninstalled; one whose name goes on with ``-`` and
#: a node's name says it to that node's agent alone.
UNINSTALL = "mlsysops-uninstall"
#: Annotation of a node agent's Lease that answers it: JSON with ``request`` (the ConfigMap's uid) and ``fault`` (empty where all
#: settings are put back).
UNINSTALLED = "mlsysops.eu/uninstalled"
#: Versions kept for a rollback; all of them share one object, which may hold 1 MiB.
KEEP_REVISIONS = 5
MAX_POLICY_BYTES = 128 * 1024
_ENVELOPE = "envelope.json"
_TIERS = ("continuum", "cluster", "node")
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,62}[A-Za-z0-9])?")
_TERM = re.compile(
    r"(?P<not>!)?(?P<key>[A-Za-z0-9][-A-Za-z0-9_./]*)"
    r"(?:\s*(?P<op>==|=|!=)\s*(?P<value>[-A-Za-z0-9_.]*)|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?"
)


class Target(BaseModel):
    """Which agents something is for.

    Attributes:
        text: As people write it: ``all``, a tier, ``tier/name``, or a label selector.
    """

    model_config = ConfigDict(frozen=True)

    text: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read a target.

        Raises:
            InvalidInput: It is none of the forms.
        """
        text = text.strip()
        made = cls(text=text)
        if text == "all" or text in _TIERS:
            return made
        tier, slash, name = text.partition("/")
        if slash and tier in _TIERS and _NAME.fullmatch(name):
            return made
        if any(sign in text for sign in "=!(") and made._terms() is not None:
            return made
        raise InvalidInput(
            f"{text!r} names no agents",
            hint="all, a tier (continuum, cluster, node), tier/name, or a label selector such as mlsysops.eu/cluster=c1",
        )

    @property
    def rank(self) -> int:
        """How specific it is: what is more specific goes before."""
        if self.text == "all":
            return 0
        if self.text in _TIERS:
            return 1
        return 3 if self.text.partition("/")[0] in _TIERS else 2

    def matches(self, tier: str, name: str, labels: Mapping[str, str]) -> bool:
        """Say whether an agent is meant."""
        if self.rank == 0:
            return True
        if self.rank == 1:
            return self.text == tier
        if self.rank == 3:
            return self.text == f"{tier}/{name}"
        return all(_holds(term, labels) for term in self._terms() or ())

    def _terms(self) -> list[re.Match[str]] | None:
        terms: list[re.Match[str]] = []
        for part in re.split(r",(?![^()]*\))", self.text):
            match = _TERM.fullmatch(part.strip())
            if match is None:
                return None
            terms.append(match)
        return terms


def _holds(term: re.Match[str], labels: Mapping[str, str]) -> bool:
    value = labels.get(term["key"])
    if term["op"]:
        return (value == term["value"]) != (term["op"] == "!=")
    if term["set"]:
        return (value in {item.strip() for item in term["values"].split(",")}) != (term["set"] == "notin")
    return (value is None) == bool(term["not"])


class Revision(BaseModel):
    """One version of what was sent.

    Attributes:
        revision: Counts up from 1.
        digest: SHA-256 of the text, in hexadecimal.
        time: RFC 3339.
        of: The revision it brought back; 0 where it was new.
        signature: Ed25519 signature (RFC 8032) of `signed_bytes`, in base64; empty where it is not signed.
    """

    model_config = ConfigDict(extra="ignore")

    revision: int
    digest: str
    time: str = ""
    of: int = 0
    signature: str = ""


class SentToAgents(BaseModel):
    """A policy or settings for some agents, with the versions before.

    Attributes:
        kind: What it is.
        name: Its name.
        target: For whom it is.
        revisions: The newest first; the first one counts.
        texts: Revision to text.
    """

    model_config = ConfigDict(extra="ignore")

    kind: Literal["policy", "config"]
    name: str
    target: str
    revisions: list[Revision] = Field(min_length=1)
    texts: dict[int, str] = Field(default_factory=dict, exclude=True)

    @property
    def current(self) -> Revision:
        """The version that counts."""
        return self.revisions[0]

    @property
    def text(self) -> str:
        """The text of the version that counts."""
        return self.texts[self.current.revision]

    def to_data(self) -> dict[str, str]:
        """Return the data of the ConfigMap."""
        kept = {item.revision for item in self.revisions}
        texts = {code_key(self.kind, number): text for number, text in self.texts.items() if number in kept}
        return {_ENVELOPE: self.model_dump_json(), **texts}

    @classmethod
    def from_data(cls, data: Mapping[str, str]) -> SentToAgents:
        """Read the data of a ConfigMap.

        Raises:
            InvalidInput: It is not what `to_data` writes.
        """
        try:
            made = cls.model_validate(json.loads(data[_ENVELOPE]))
            made.texts = {
                item.revision: data[key]
                for item in made.revisions
                if (key := code_key(made.kind, item.revision)) in data
            }
            Target.parse(made.target)
            if not _NAME.fullmatch(made.name):
                raise ValueError(f"{made.name!r} is no name")  # noqa: TRY301 -- told as any other fault of the envelope
        except (KeyError, ValueError, RecursionError) as exc:
            raise InvalidInput(f"not a policy or settings for agents: {' '.join(str(exc).split())[:200]}") from exc
        if made.current.revision not in made.texts:
            raise InvalidInput(f"{made.kind} {made.name}: the text of revision {made.current.revision} is missing")
        return made


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicySettings(_Strict):
    """Settings of one policy.

    Attributes:
        enabled: Whether it decides.
        configuration: Set over the ``configuration`` of its context.
    """

    enabled: bool | None = None
    configuration: dict[str, Any] = Field(default_factory=dict)


class AgentSettings(_Strict):
    """What `mls agent set-config` sends.

    Attributes:
        policies: Settings by name of the policy.
        log_level: Least level logged.
    """

    policies: dict[str, PolicySettings] = Field(default_factory=dict)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None

    @classmethod
    def parse(cls, value: Any, source: str = "") -> AgentSettings:
        """Check settings.

        Raises:
            InvalidInput: They do not validate; every fault is told.
        """
        try:
            return cls.model_validate({} if value is None else value)
        except ValidationError as exc:
            faults = [
                Fault(source=source, path=".".join(map(str, item["loc"])), message=item["msg"])
                for item in exc.errors(include_url=False)
            ]
            raise InvalidInput(faults=faults) from exc

    @classmethod
    def of(cls, document: Document) -> AgentSettings:
        """Check settings that a person wrote.

        Raises:
            InvalidInput: They do not validate; every fault is told with line and column.
        """
        try:
            return cls.model_validate({} if document.value is None else document.value)
        except ValidationError as exc:
            raise InvalidInput(faults=sorted(faults_of(exc, cls, document, ()))) from exc


def digest_of(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def signed_bytes(kind: str, name: str, digest: str) -> bytes:
    """Return what a signer signs: the text, by its digest, and what it is, so that no signature serves another name.

    Args:
        kind: ``policy``.
        name: Its name.
        digest: SHA-256 of its text, in hexadecimal.
    """
    return f"mlsysops {kind} v1\n{name}\nsha256:{digest}\n".encode()


def code_key(kind: str, revision: int) -> str:
    """Return the key of a revision's text in the ConfigMap."""
    return f"revision-{revision}.{'py' if kind == POLICY else 'yaml'}"


def object_name(kind: str, name: str, target: str) -> str:
    """Return the name of the ConfigMap for something and its target: readable, and unique by a digest."""
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "x"
    return f"mlsysops-{kind}-{readable}-{digest_of(f'{kind}/{name}/{target}')[:10]}"


def own_labels(tier: str, name: str, obj: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the labels that selectors see of an agent: those of its description, and what it is.

    Args:
        tier: Its tier.
        name: Its name.
        obj: The resource that describes what it looks after; None while there is none.
    """
    labels = {"mlsysops.eu/tier": tier, "mlsysops.eu/agent": name}
    described = (obj or {}).get("spec") or {}
    for label in described.get("labels") or () if isinstance(described.get("labels"), list) else ():
        key, _, value = str(label).replace(":", "=", 1).partition("=")
        labels[key.strip()] = value.strip()
    return {**(((obj or {}).get("metadata") or {}).get("labels") or {}), **labels}
