"""Loopback addresses of a slice's local hosts, so that slices live side by side on standard ports.

Linux answers on all of 127.0.0.0/8. A slice gets one block ``127.S.0.0/16``, 16 <= S <= 119; in it

- ``127.S.0.10`` upwards are hosts (the management host is .10), 250 to a /24, up to ``127.S.63.0``,
- ``127.S.(64+i).0/24`` are the pods of worker number i (i < 64),
- ``127.S.(128+8k).0/21`` are the services of control plane number k (the continuum is 0). On one machine k < 16; on hosts over
  SSH, each of which belongs to one control plane and has a loopback of its own, number 16 has the network of number 0 again.

Numbers are given once and kept, so that a host that joins later moves nobody.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import socket
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import Conflict, InvalidInput

from mlsysops_cli.files import write_private
from mlsysops_cli.slice.claims import claim_block, wait_for_claim
from mlsysops_cli.slice.state import slices_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlsysops_cli.slice.model import Slice

__all__ = ["Addresses", "held_addresses", "preview_addresses", "release_addresses"]

FIRST_BLOCK, LAST_BLOCK = 16, 119
_LOCK = ".addresses.lock"
_CLAIM_SECONDS = 5.0
_FIRST_HOST, _HOSTS_PER_NET = 10, 240
_MAX_HOSTS, _MAX_WORKERS, _NETS_OF_PLANES = 64 * _HOSTS_PER_NET, 64, 16


@dataclass(slots=True)
class Addresses:
    """The numbers of one slice.

    Attributes:
        block: Second octet of all its addresses.
        hosts: Number of each host, from 0 (the management host).
        workers: Number of each worker, from 0.
        planes: Number of each control plane, from 0 (the continuum, under the empty name).
    """

    block: int
    hosts: dict[str, int] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=dict)
    planes: dict[str, int] = field(default_factory=dict)

    def host(self, name: str) -> str:
        """Return a host's address."""
        net, offset = divmod(self.hosts[name], _HOSTS_PER_NET)
        return f"127.{self.block}.{net}.{_FIRST_HOST + offset}"

    def pod_cidr(self, worker: str) -> str:
        """Return the network of a worker's pods."""
        return f"127.{self.block}.{64 + self.workers[worker]}.0/24"

    def service_cidr(self, cluster: str) -> str:
        """Return the network of a control plane's services; the continuum's has the empty name."""
        return f"127.{self.block}.{128 + 8 * (self.planes[cluster] % _NETS_OF_PLANES)}.0/21"

    def extend(self, slice_: Slice) -> None:
        """Give numbers to whatever of the slice has none yet.

        Raises:
            InvalidInput: More hosts, or more workers or clusters on one machine, than a block holds.
        """
        ordered = [slice_.management, *(name for name in slice_.hosts if name != slice_.management)]
        _number(self.hosts, ordered, _MAX_HOSTS, "hosts")
        workers = [h.name for h in slice_.hosts.values() if h.role == "worker" and h.local]
        _number(self.workers, workers, _MAX_WORKERS, "workers on one machine")
        planes = ["", *(c.name for c in slice_.clusters)]
        together = slice_.local and slice_.engine == "embedded"  # their services are on one loopback
        _number(self.planes, planes, _NETS_OF_PLANES if together else _MAX_HOSTS, "control planes on one machine")

    def drop(self, hosts: Iterable[str]) -> None:
        """Take the numbers of hosts back."""
        for name in hosts:
            self.hosts.pop(name, None)
            self.workers.pop(name, None)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"block": self.block, "hosts": self.hosts, "workers": self.workers, "planes": self.planes}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Addresses:
        """Build from the JSON form."""
        return cls(
            block=int(value["block"]),
            hosts={str(k): int(v) for k, v in value.get("hosts", {}).items()},
            workers={str(k): int(v) for k, v in value.get("workers", {}).items()},
            planes={str(k): int(v) for k, v in value.get("planes", {}).items()},
        )


def preview_addresses(slice_: Slice, known: Mapping[str, Any] | None = None) -> Addresses:
    """Return the addresses a slice has, or would first be offered; nothing is written.

    Args:
        slice_: The slice.
        known: Its allocation, where it was deployed before.
    """
    addresses = Addresses.from_dict(known) if known else Addresses(next(_candidates(slice_)))
    addresses.extend(slice_)
    return addresses


@contextmanager
def held_addresses(slice_: Slice, known: Mapping[str, Any] | None = None) -> Iterator[Addresses]:
    """Give a slice a block of its own and write that down; until the end nobody else on this machine takes it.

    The registry of blocks is one locked file beside the slices, so it knows this user's slices. Those of others are seen by
    the ports that they hold, and by their claims while their processes are being started.

    Args:
        slice_: The slice.
        known: Its allocation, where it was deployed before.

    Raises:
        Conflict: All blocks are taken, or the one that the inventory pins is.
        InvalidInput: More hosts than a block holds.
    """
    with ExitStack() as claims:
        if known:
            addresses = preview_addresses(slice_, known)
            if slice_.local and _free(addresses.block):  # nothing runs there by which others could see whose it is
                claims.enter_context(wait_for_claim(addresses.block, _CLAIM_SECONDS))
        else:
            addresses = _allocate(slice_, claims)
        yield addresses


def _allocate(slice_: Slice, claims: ExitStack) -> Addresses:
    with _registry() as blocks:
        mine = [int(block) for block, owner in blocks.items() if owner == slice_.name]
        open_blocks = mine or [block for block in _candidates(slice_) if str(block) not in blocks]
        if not open_blocks:
            taken = "127.16 to 127.119" if slice_.loopback_block is None else f"127.{slice_.loopback_block}"
            raise Conflict(f"loopback block {taken} is taken by another slice", hint="set another mls_loopback_block")
        block = next((block for block in open_blocks if _take(block, claims, mine=bool(mine))), None)
        if block is None:  # somebody holds a port on all addresses: preflight names the holder
            block = open_blocks[0]
            claims.enter_context(wait_for_claim(block, _CLAIM_SECONDS))
        addresses = Addresses(block)
        addresses.extend(slice_)
        blocks[str(block)] = slice_.name
        return addresses


def _take(block: int, claims: ExitStack, *, mine: bool) -> bool:
    """Claim a block; let go of it again where somebody listens on its ports."""
    claim = claim_block(block)
    if claim is None:
        return False
    if mine or _free(block):
        claims.enter_context(claim)
        return True
    claim.close()
    return False


def release_addresses(name: str) -> None:
    """Give a slice's block back."""
    root = slices_root()
    if not root.is_dir():
        return
    with _registry() as blocks:
        for block in [block for block, owner in blocks.items() if owner == name]:
            del blocks[block]
        last = not blocks
    if last:  # the last slice leaves nothing behind
        with contextlib.suppress(OSError):
            if {path.name for path in root.iterdir()} == {_LOCK}:
                (root / _LOCK).unlink()
                root.rmdir()
                root.parent.rmdir()


def _number(table: dict[str, int], names: list[str], limit: int, what: str) -> None:
    taken = set(table.values())
    free = (number for number in range(limit) if number not in taken)
    for name in names:
        if name not in table:
            number = next(free, None)
            if number is None:
                raise InvalidInput(f"more than {limit} {what}", hint="spread the slice over more machines")
            table[name] = number


def _candidates(slice_: Slice) -> Iterator[int]:
    """Blocks in the order in which a slice is offered them; the name decides the first, so it rarely moves."""
    if slice_.loopback_block is not None:
        yield slice_.loopback_block
        return
    count = LAST_BLOCK - FIRST_BLOCK + 1
    start = zlib.crc32(slice_.name.encode())
    for step in range(count):
        yield FIRST_BLOCK + (start + step) % count


def _free(block: int) -> bool:
    """Whether nobody listens on the ports that the slice's first hosts would use."""
    for host in range(_FIRST_HOST, _FIRST_HOST + 4):
        for port in (6443, 8000, 43170, 10250):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((f"127.{block}.0.{host}", port))
                except OSError:
                    return False
    return True


@contextmanager
def _registry() -> Iterator[dict[str, str]]:
    """Yield the table block -> slice under a lock; it is written back when it changed."""
    root = slices_root()
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = root / "addresses.json"
    with (root / _LOCK).open("a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            blocks: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            blocks = {}
        before = dict(blocks)
        yield blocks
        if blocks != before:
            if blocks:
                write_private(path, json.dumps(blocks, indent=2, sort_keys=True) + "\n")
            else:
                path.unlink(missing_ok=True)
