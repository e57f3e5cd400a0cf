"""Which policy code an agent runs: any, or only texts whose digest is allowed or whose signer is trusted."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from mlsysops_core.model.agents import SentToAgents, signed_bytes

from mlsysops_agents.signers import Signer, read_signer

__all__ = ["Trust"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trust:
    """What one who has a say asks for.

    Attributes:
        whose: Who that is, for messages.
        digests: SHA-256 digests of texts that may run, in hexadecimal; None where none are asked for.
        signers: Those whose signature lets a text run; None where none is asked for.
    """

    whose: str
    digests: frozenset[str] | None = None
    signers: tuple[Signer, ...] | None = None

    @classmethod
    def read(cls, whose: str, digests: Iterable[str] | None, signers: Iterable[str] | None) -> Trust:
        """Make it from texts; a signer that is none trusts nobody, and is told in the log."""
        read: list[Signer] | None = None
        if signers is not None:
            read = []
            for line in signers:
                try:
                    read.append(read_signer(line))
                except ValueError as exc:
                    _log.warning("%s: %s", whose, exc)
        kept = frozenset(item.removeprefix("sha256:") for item in digests) if digests is not None else None
        return cls(whose, kept, tuple(read) if read is not None else None)

    def refusal(self, sent: SentToAgents, digest: str) -> str:
        """Say why a text may not run; empty where it may."""
        if self.digests is None and self.signers is None:
            return ""
        if digest in (self.digests or ()) or self._is_signed(sent, digest):
            return ""
        if self.signers is None:
            return f"its digest sha256:{digest} is not among those that the {self.whose} allows"
        known = ", ".join(signer.name for signer in self.signers) or "nobody"
        what = "its signature is of none of those" if sent.current.signature else "it is not signed by one of those"
        return f"{what} whom the {self.whose} trusts ({known}), and its digest sha256:{digest} is not allowed by itself"

    def _is_signed(self, sent: SentToAgents, digest: str) -> bool:
        try:
            signature = base64.b64decode(sent.current.signature, validate=True)
        except (binascii.Error, ValueError):
            return False
        signed = signed_bytes(sent.kind, sent.name, digest)
        return any(signer.has_signed(signed, signature) for signer in self.signers or ())
