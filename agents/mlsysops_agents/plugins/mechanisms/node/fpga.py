"""Mechanism ``fpga_bitstream``: which bitstream an FPGA runs (Linux fpga_manager).

Source: Linux ``Documentation/driver-api/fpga/fpga-mgr.rst`` and ``Documentation/ABI/testing/sysfs-class-fpga-manager`` for
``state``; ``firmware`` and ``flags`` are the attributes of AMD's (Xilinx') kernels for programming from user space. The kernel
takes the file from ``/lib/firmware`` and does not say afterwards which one it was, so the agent remembers it.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from mlsysops_core.errors import InvalidInput, MlsError

from .base import NodeMechanism
from .command import Command, one_of
from .knob import UNSURE, CannotRestore, Change, FileKnob, Knob, read_text
from .ledger import Entry

__all__ = ["FpgaBitstream"]

_FPGA = "/sys/class/fpga_manager"
_FIRMWARE = "/lib/firmware"
_SUFFIXES = (".bit", ".bin", ".bit.bin", ".rbf", ".dfl")
_OPERATING = "operating"
#: What stands for a bitstream that was loaded before the agent came.
_UNKNOWN = ""


class FpgaCommand(Command):
    """Form of a command.

    Attributes:
        manager: Which FPGA (``fpga0``); the only one where not given.
        bitstream: File below ``/lib/firmware``.
        flags: Flags of the driver: 0 the whole device, 1 a part of it.
        restore: Bitstream to put back later, where another one than the last known.
    """

    manager: str | None = None
    bitstream: str | None = None
    flags: int | None = None
    restore: str | None = None


class _Loaded:
    """The bitstream of one FPGA: written to ``firmware``, confirmed by ``state``, remembered by the agent."""

    lasting = False
    remembered = True

    def __init__(self, root: Path, manager: str, known: str) -> None:
        self._root = root
        self._manager = manager
        self._loaded = known
        self.key = f"{_FPGA}/{manager}/firmware"

    def read(self) -> str:
        """Return what was loaded last, as far as it is known."""
        return self._loaded

    def write(self, value: str) -> None:
        """Load a bitstream."""
        if value in (_UNKNOWN, UNSURE):
            raise CannotRestore(
                f"{self._manager} keeps {self._loaded}: nobody knows which bitstream it had before (say it with 'restore')"
            )
        FileKnob(self._root, self.key).write(value)
        self._loaded = value
        state = read_text(self._root / f"{_FPGA}/{self._manager}/state".lstrip("/")) or "unknown"
        if state != _OPERATING:
            raise MlsError(
                f"{self._manager}: {value} was loaded but the FPGA is in state {state!r}, not {_OPERATING!r}"
            )

    def same(self, wanted: str, found: str) -> bool:
        """Compare."""
        return wanted == found

    def drifted(self, wanted: str, found: str) -> bool:
        """It may be ours when nobody knows."""
        return found == UNSURE


class FpgaBitstream(NodeMechanism):
    """Acts on FPGA managers."""

    name: ClassVar[str] = "fpga_bitstream"
    #: The descriptions have no word of its own for it.
    permission: ClassVar[str] = "acceleration"
    model: ClassVar[type[Command]] = FpgaCommand

    def _managers(self) -> list[str]:
        directory = self._root / _FPGA.lstrip("/")
        return sorted(path.name for path in directory.glob("*") if (path / "firmware").exists())

    def _unavailable(self) -> str:
        if self._managers():
            return ""
        if (self._root / _FPGA.lstrip("/")).is_dir() and any((self._root / _FPGA.lstrip("/")).iterdir()):
            return f"the FPGA managers in {_FPGA} take no bitstream from user space (no attribute 'firmware')"
        return f"{_FPGA} has no FPGA managers"

    def _manager(self, command: FpgaCommand) -> str:
        managers = self._managers()
        if command.manager is None and len(managers) == 1:
            return managers[0]
        one_of(command.manager or "", managers, "manager")
        return str(command.manager)

    def _assets(self, command: FpgaCommand) -> frozenset[str]:
        return frozenset({f"fpga_bitstream/{self._manager(command)}"})

    def _changes(self, command: FpgaCommand) -> list[Change]:
        manager = self._manager(command)
        if command.bitstream is None:
            raise InvalidInput(f"{self.name}: which bitstream?")
        for name in filter(None, (command.bitstream, command.restore)):
            self._check_file(name)
        asset = f"fpga_bitstream/{manager}"
        changes: list[Change] = []
        if command.flags is not None:
            flags = FileKnob(self._root, f"{_FPGA}/{manager}/flags", compare=_same_number)
            changes.append(Change(flags, str(command.flags), asset))
        held = self._ledger.entries().get(f"{_FPGA}/{manager}/firmware")
        knob = _Loaded(self._root, manager, _known(held) if held is not None else command.restore or _UNKNOWN)
        return [*changes, Change(knob, command.bitstream, asset)]

    def _check_file(self, name: str) -> None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise InvalidInput(f"bitstream {name!r} must be a file below {_FIRMWARE}")
        if not (self._root / _FIRMWARE.lstrip("/") / path).is_file():
            one_of(name, self._bitstreams(), "bitstream")

    def _bitstreams(self) -> list[str]:
        directory = self._root / _FIRMWARE.lstrip("/")
        found = [path for suffix in _SUFFIXES for path in directory.glob(f"*{suffix}")]
        return sorted({path.name for path in found})

    def _knob(self, entry: Entry) -> Knob:
        manager = entry.key.split("/")[-2]
        if entry.key.endswith("/flags"):
            return FileKnob(self._root, entry.key, compare=_same_number)
        return _Loaded(self._root, manager, _known(entry))

    def _look(self) -> dict[str, Any]:
        held = self._ledger.entries()
        found: dict[str, Any] = {}
        for manager in self._managers():
            known = held.get(f"{_FPGA}/{manager}/firmware")
            found[manager] = {
                "name": read_text(self._root / f"{_FPGA}/{manager}/name".lstrip("/")),
                "state": read_text(self._root / f"{_FPGA}/{manager}/state".lstrip("/")),
                "bitstream": known.ours[-1] if known is not None and not known.pending else None,
            }
        return {"managers": found}

    def _offer(self) -> dict[str, Any]:
        return {"managers": self._managers(), "bitstreams": self._bitstreams()}


def _known(entry: Entry) -> str:
    return UNSURE if entry.pending else entry.ours[-1]


def _same_number(wanted: str, found: str) -> bool:
    try:
        return int(wanted, 0) == int(found, 0)
    except ValueError:
        return wanted == found
