"""Those whose signature under a policy counts, by their public keys.

What reads keys is imported with the first one: it takes 7 MiB, and most agents know no signer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ["Signer", "read_signer"]


@dataclass(frozen=True, slots=True)
class Signer:
    """Somebody whose signature counts.

    Attributes:
        name: Comment of the key, for messages; the key itself where it has none.
        key: Ed25519 public key.
    """

    name: str
    key: Ed25519PublicKey

    def has_signed(self, data: bytes, signature: bytes) -> bool:
        """Say whether a signature of some data is this one's.

        Args:
            data: What was signed.
            signature: 64 bytes (RFC 8032); of others it is none.
        """
        from cryptography.exceptions import InvalidSignature

        try:
            self.key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


def read_signer(line: str) -> Signer:
    """Read a public key as OpenSSH writes it (sshd(8), AUTHORIZED_KEYS FILE FORMAT): ``ssh-ed25519 AAAA… comment``.

    Raises:
        ValueError: It is none.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    parts = line.split(None, 2)
    try:
        key = load_ssh_public_key(" ".join(parts[:2]).encode())
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ValueError(f"{line[:40]!r} is no public key of the form ssh-ed25519 AAAA…") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{parts[0]} is no key for signing policies: only ssh-ed25519 is")  # noqa: TRY004 -- as above
    return Signer(parts[2].strip() if len(parts) > 2 else parts[1][-12:], key)
