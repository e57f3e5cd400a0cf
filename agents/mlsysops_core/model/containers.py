"""The containers of a component: image, command, environment, ports and what they need of a node."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Strict

from mlsysops_core import quantities
from mlsysops_core.model import vocabulary as words
from mlsysops_core.model.common import Model, rule, with_rules
from mlsysops_core.model.scalars import (
    DNS_LABEL,
    Bytes,
    Cores,
    FlashSize,
    Frequency,
    FrequencyInGigahertz,
    GigabytesOrText,
    GigabytesText,
    Instances,
    NotNegative,
    Percent,
    Text,
)

__all__ = [
    "AccelerationRequest",
    "Container",
    "CpuRequest",
    "EnvironmentVariable",
    "FieldReference",
    "FpgaRequest",
    "GpuRequest",
    "McuRequest",
    "MemoryRequest",
    "PlatformRequirements",
    "Port",
    "ValueSource",
]

_INDICATOR = "Processing capability the node must have at least (BogoMIPS); filters nodes at first placement."
_PORT = Annotated[int, Strict(), Field(ge=1, le=65535)]
_ENV_NAME = r"^[-._a-zA-Z][-._a-zA-Z0-9]*$"
# The downward API of Kubernetes: https://kubernetes.io/docs/concepts/workloads/pods/downward-api/
_FIELD_PATH = (
    r"^(metadata\.(name|namespace|uid|(labels|annotations)\['[^']+'\])"
    r"|spec\.(nodeName|serviceAccountName)|status\.(hostIPs?|podIPs?))$"
)


class AccelerationRequest(Model):
    """An accelerated call the container makes."""

    call_name: words.AccelerationCall = Field(description="The (unique) name of the API call.")
    required_framework: words.AnyFramework | None = Field(None, description='Framework that must serve it; "*" is any.')


class CpuRequest(Model):
    """Processor needs."""

    requests: Cores | None = Field(None, description="CPU that is kept for the container (cores, e.g. 250m).")
    limits: Cores | None = Field(None, description="CPU the container may use at most (cores).")
    architecture: list[words.Architecture] = Field([], max_length=8, description="Instruction sets the image runs on.")
    frequency: Frequency | None = Field(None, description="Frequency the CPU must reach (Hz).")
    performance_indicator: NotNegative | None = Field(None, description=_INDICATOR)


class MemoryRequest(Model):
    """Memory needs."""

    requests: Bytes | None = Field(None, description="Memory that is kept for the container (bytes, e.g. 64Mi).")
    limits: Bytes | None = Field(None, description="Memory the container may use at most (bytes).")


class McuRequest(Model):
    """Microcontroller needs (far-edge devices)."""

    requests: Cores | None = Field(None, description="Processor time that is kept for the container (cores).")
    limits: Cores | None = Field(None, description="Processor time the container may use at most (cores).")
    architecture: list[words.McuArchitecture] = Field(
        [], max_length=8, description="Instruction sets the image runs on."
    )
    flash: FlashSize | None = Field(None, description="Flash memory that is needed, e.g. 512KB (plain number: bytes).")
    frequency: FrequencyInGigahertz | None = Field(None, description="Frequency the MCU must have (GHz).")
    performance_indicator: NotNegative | None = Field(None, description=_INDICATOR)

    @property
    def frequency_hz(self) -> float | None:
        """Frequency the MCU must have, in Hz."""
        return None if self.frequency is None else self.frequency * 1e9


class GpuRequest(Model):
    """Graphics processor needs."""

    model_config = with_rules(
        rule(
            "!has(self.requests) || !has(self.limits) || self.requests <= self.limits",
            "requests must not exceed limits",
        )
    )

    requests: Instances | None = Field(None, description="GPUs that are kept for the container.")
    limits: Instances | None = Field(None, description="GPUs the container may use at most.")
    model: words.GpuModel | None = Field(None, description="GPU model that is needed.")
    memory: GigabytesOrText | None = Field(None, description="GPU memory that is needed (GB).")
    utilization_request: Percent | None = Field(None, description="Expected utilisation (percent).")
    performance_indicator: NotNegative | None = Field(None, description=_INDICATOR)

    @property
    def memory_bytes(self) -> int:
        """GPU memory that is needed, in bytes."""
        return quantities.parse_bytes(self.memory or 0, default_unit="G")


class FpgaRequest(Model):
    """Programmable logic needs."""

    model: words.FpgaModel | None = Field(None, description="FPGA model that is needed.")
    memory: GigabytesOrText | None = Field(None, description="FPGA memory that is needed (GB).")
    utilization_request: Percent | None = Field(None, description="Expected utilisation (percent).")
    performance_indicator: NotNegative | None = Field(None, description=_INDICATOR)

    @property
    def memory_bytes(self) -> int:
        """FPGA memory that is needed, in bytes."""
        return quantities.parse_bytes(self.memory or 0, default_unit="G")


class PlatformRequirements(Model):
    """What a container needs of its node."""

    cpu: CpuRequest | None = Field(None, description="Processor needs.")
    memory: MemoryRequest | None = Field(None, description="Memory needs.")
    mcu: McuRequest | None = Field(None, description="Microcontroller needs (far-edge devices).")
    disk: GigabytesText | None = Field(None, description="Disk space that is needed (GB).")
    gpu: GpuRequest | None = Field(None, description="Graphics processor needs.")
    fpga: FpgaRequest | None = Field(None, description="Programmable logic needs.")


class Port(Model):
    """A port of a container."""

    container_port: _PORT = Field(description="Port on the component's IP address, 0 < x < 65536.")
    host_ip: Text | None = Field(None, description="Host IP address to bind the host port to.")
    host_port: _PORT | None = Field(
        None, description="Port on the host, 0 < x < 65536; with host_network it must match container_port."
    )
    name: Annotated[str, Strict(), Field(min_length=1, max_length=15, pattern=DNS_LABEL)] | None = Field(
        None, description="Name by which Services refer to the port; unique in the component."
    )
    protocol: words.TransportProtocol | None = Field(None, description="Protocol. Default: TCP.")


class FieldReference(Model):
    """A field of the pod."""

    field_path: Annotated[str, Strict(), Field(max_length=512, pattern=_FIELD_PATH)] = Field(
        description="Path of the field, e.g. status.hostIP."
    )


class ValueSource(Model):
    """Where a value comes from."""

    field_ref: FieldReference = Field(description="A field of the pod.")


class EnvironmentVariable(Model):
    """An environment variable of a container."""

    model_config = with_rules(
        rule("!(has(self.value) && has(self.value_from))", "value and value_from exclude each other")
    )

    name: Annotated[str, Strict(), Field(min_length=1, max_length=253, pattern=_ENV_NAME)] = Field(
        description="Name of the environment variable."
    )
    value_from: ValueSource | None = Field(None, description="Where the value comes from.")
    value: Annotated[str, Strict(), Field(max_length=32768)] | None = Field(
        None, description="Value; $(NAME) stands for a variable defined above it."
    )


class Container(Model):
    """A container."""

    image: Text = Field(description="Name of the container image.")
    command: list[Annotated[str, Strict(), Field(max_length=32768)]] = Field(
        [], max_length=256, description="Command and arguments; default: those of the image."
    )
    image_pull_policy: words.PullPolicy | None = Field(
        None, description="When the image is pulled. Default: Always for the tag latest, else IfNotPresent."
    )
    acceleration_api: list[AccelerationRequest] = Field(
        [], max_length=64, description="Accelerated calls the container makes."
    )
    platform_requirements: PlatformRequirements | None = Field(
        None, description="What the container needs of its node."
    )
    ports: list[Port] = Field([], max_length=16, description="Ports of the container.")
    env: list[EnvironmentVariable] = Field([], max_length=256, description="Environment variables.")

    @property
    def requirements(self) -> PlatformRequirements:
        """What the container needs; empty where nothing is said."""
        return self.platform_requirements or PlatformRequirements()

    @property
    def cpu_request(self) -> float:
        """Requested cores; 0 where nothing is said."""
        cpu = self.requirements.cpu
        return quantities.parse_cpu(cpu.requests) if cpu and cpu.requests else 0.0

    @property
    def cpu_limit(self) -> float | None:
        """Most cores it may use."""
        cpu = self.requirements.cpu
        return quantities.parse_cpu(cpu.limits) if cpu and cpu.limits else None

    @property
    def memory_request(self) -> int:
        """Requested memory in bytes; 0 where nothing is said."""
        memory = self.requirements.memory
        return quantities.parse_bytes(memory.requests) if memory and memory.requests else 0

    @property
    def memory_limit(self) -> int | None:
        """Most memory it may use, in bytes."""
        memory = self.requirements.memory
        return quantities.parse_bytes(memory.limits) if memory and memory.limits else None

    @property
    def disk_request(self) -> int:
        """Disk space it needs, in bytes; 0 where nothing is said."""
        disk = self.requirements.disk
        return quantities.parse_bytes(disk, default_unit="G") if disk else 0
