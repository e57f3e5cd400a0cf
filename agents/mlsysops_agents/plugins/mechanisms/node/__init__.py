"""Mechanisms of the node tier: they turn the knobs of a machine, and put them back."""

from __future__ import annotations

from .base import NodeMechanism
from .cpu_frequency import CpuFrequency
from .cpu_set import ContainerCpuSet
from .fpga import FpgaBitstream
from .gpu import GpuFrequency
from .limits import ContainerLimits
from .network import TrafficRedirection
from .power_cap import PowerCap
from .proxy import FluidityProxy
from .specification import Acceleration, ContainerImage, ContainerResources, ContainerRuntimeClass

__all__ = [
    "Acceleration",
    "ContainerCpuSet",
    "ContainerImage",
    "ContainerLimits",
    "ContainerResources",
    "ContainerRuntimeClass",
    "CpuFrequency",
    "FluidityProxy",
    "FpgaBitstream",
    "GpuFrequency",
    "NodeMechanism",
    "PowerCap",
    "TrafficRedirection",
]
