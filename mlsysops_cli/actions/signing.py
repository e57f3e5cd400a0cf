"""Signatures of policies: made here with somebody's private key, checked by the agents with the public one."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mlsysops_core.errors import InvalidInput, UsageError
from mlsysops_core.model.agents import POLICY, digest_of, signed_bytes

from mlsysops_cli.output import emit_document

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from mlsysops_cli.settings import Settings

__all__ = ["PASSPHRASE", "name_of", "read_signature", "sign_policy"]

#: Variable of the environment with the passphrase of a key.
PASSPHRASE = "MLS_SIGNING_PASSPHRASE"  # noqa: S105 -- its name, not one
_SUFFIX = ".sig"


def name_of(kind: str, file: str) -> str:
    """Return the name that a file gives: ``<name>`` of ``policy-<name>.py``, or what a file of settings is called."""
    stem = Path(file).stem if file != "-" else ""
    if kind != POLICY:
        return stem
    return stem.removeprefix("policy-") if stem.startswith("policy-") else ""


def sign_policy(settings: Settings, file: str, key: str, *, name: str | None, output: str | None) -> None:
    """Sign a policy and write the signature beside it.

    Raises:
        InvalidInput: The policy or the key cannot be read, or the key is of another kind.
        UsageError: The file does not give the policy's name.
    """
    name = name or name_of(POLICY, file)
    if not name:
        raise UsageError("--name NAME is needed", hint="a file called policy-<name>.py gives it, too")
    try:
        text = Path(file).read_bytes().decode()
    except OSError as exc:
        raise InvalidInput(f"{file}: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"{file}: not UTF-8: {exc.reason} at byte {exc.start}") from exc
    private = _private_key(key)
    digest = digest_of(text)
    signature = base64.b64encode(private.sign(signed_bytes(POLICY, name, digest))).decode()
    to = output or f"{file}{_SUFFIX}"
    if to != "-":
        try:
            Path(to).write_text(f"{signature}\n", encoding="ascii")
        except OSError as exc:
            raise InvalidInput(f"{to}: {exc.strerror or exc}") from exc
    signer = _public(private)
    answer = {"name": name, "digest": f"sha256:{digest}", "signature": signature, "signer": signer, "file": to}
    emit_document(settings, answer, kind="signature", text=f"{signature}\n" if to == "-" else f"{to}\n")
    settings.note(f"agents that trust {signer} take it (mls_policy_signers in the inventory)")


def read_signature(file: str | None, given: str | None) -> str:
    """Return the signature to send with a policy: of the file given, or beside the policy; empty where there is none.

    Raises:
        InvalidInput: The file given cannot be read.
    """
    if given is None:
        beside = Path(f"{file}{_SUFFIX}")
        if not file or file == "-" or not beside.is_file():
            return ""
        given = str(beside)
    try:
        return "".join(Path(given).read_text(encoding="ascii").split())
    except OSError as exc:
        raise InvalidInput(f"{given}: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"{given}: no signature", hint="`mls agent sign-policy` writes one") from exc


def _private_key(file: str) -> Ed25519PrivateKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key
    except ImportError as exc:
        raise UsageError("signing needs the library cryptography", hint="pip install 'mlsysops-cli[deploy]'") from exc
    try:
        data = Path(file).read_bytes()
    except OSError as exc:
        raise InvalidInput(f"{file}: {exc.strerror or exc}") from exc
    passphrase = os.environ.get(PASSPHRASE)
    load = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in data else load_pem_private_key
    try:
        key = load(data, passphrase.encode() if passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        reason = " ".join(str(exc).split()).partition(". ")[0]
        hint = f"`ssh-keygen -t ed25519` makes one; its passphrase goes into {PASSPHRASE}"
        raise InvalidInput(f"{file}: no private key that can be used: {reason}", hint=hint) from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(f"{file}: no Ed25519 key", hint="`ssh-keygen -t ed25519` makes one")
    return key


def _public(private: Ed25519PrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
