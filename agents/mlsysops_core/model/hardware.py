"""The hardware of a node, each amount also in plain units."""

from __future__ import annotations

from pydantic import Field

from mlsysops_core import quantities
from mlsysops_core.model import vocabulary as words
from mlsysops_core.model.common import Model
from mlsysops_core.model.scalars import (
    FlashSize,
    Frequency,
    Gigabytes,
    GigabytesOrText,
    GigabytesText,
    Instances,
    NotNegative,
    Text,
)

__all__ = ["Fpga", "Gpu", "Hardware", "NodeCpu", "NodeMcu"]

_INDICATOR = "Processing capability of the platform (BogoMIPS)."


class NodeCpu(Model):
    """The processor of a node."""

    model: Text | None = Field(None, description="CPU model name.")
    architecture: words.Architecture | None = Field(None, description="Instruction set.")
    cores: Instances | None = Field(None, description="Number of cores.")
    frequency: list[Frequency] = Field(
        [], max_length=256, description="All the frequencies the CPU can be set to (Hz)."
    )
    performance_indicator: NotNegative | None = Field(None, description=_INDICATOR)


class NodeMcu(Model):
    """The microcontroller of a far-edge device."""

    architecture: words.McuArchitecture | None = Field(None, description="Instruction set.")
    flash: FlashSize | None = Field(None, description="Size of the flash memory, e.g. 1MB (plain number: bytes).")
    cores: Instances | None = Field(None, description="Number of cores.")
    frequency: Frequency | None = Field(None, description="Clock frequency (Hz).")
    performance_indicator: NotNegative | None = Field(None, description=_INDICATOR)

    @property
    def flash_bytes(self) -> int | None:
        """Size of the flash memory in bytes."""
        return None if self.flash is None else quantities.parse_bytes(self.flash)


class Fpga(Model):
    """The FPGA of a node."""

    model: words.FpgaModel | None = Field(None, description="FPGA model name.")
    memory: GigabytesOrText | None = Field(None, description="Memory (GB).")
    performance_indicator: NotNegative | None = Field(None, description=_INDICATOR)

    @property
    def memory_bytes(self) -> int | None:
        """Memory in bytes."""
        return None if self.memory is None else quantities.parse_bytes(self.memory, default_unit="G")


class Gpu(Model):
    """The GPUs of a node."""

    model: words.GpuModel | None = Field(None, description="GPU model name.")
    memory: GigabytesOrText | None = Field(None, description="Memory of one GPU (GB).")
    instances: NotNegative | None = Field(None, description="Number of GPUs.")
    performance_indicator: NotNegative | None = Field(None, description=_INDICATOR)

    @property
    def memory_bytes(self) -> int | None:
        """Memory of one GPU in bytes."""
        return None if self.memory is None else quantities.parse_bytes(self.memory, default_unit="G")


class Hardware(Model):
    """The hardware of a node."""

    cpu: NodeCpu | None = Field(None, description="Processor.")
    mcu: NodeMcu | None = Field(None, description="Microcontroller (far-edge devices).")
    memory: Gigabytes | None = Field(None, description="Memory (GB).")
    disk: GigabytesText | None = Field(None, description="Local disk space (GB).")
    gpu: Gpu | None = Field(None, description="Graphics processors.")
    fpga: Fpga | None = Field(None, description="Programmable logic.")

    @property
    def memory_bytes(self) -> int | None:
        """Memory in bytes."""
        return None if self.memory is None else quantities.parse_bytes(self.memory, default_unit="G")

    @property
    def disk_bytes(self) -> int | None:
        """Local disk space in bytes."""
        return None if self.disk is None else quantities.parse_bytes(self.disk, default_unit="G")
