"""The power of a node: targets its owner sets, sources and limits."""

from __future__ import annotations

from pydantic import Field

from mlsysops_core.model import vocabulary as words
from mlsysops_core.model.common import Model
from mlsysops_core.model.scalars import Flag, NotNegative, Number

__all__ = [
    "Battery",
    "CarbonTarget",
    "ConsumptionTarget",
    "CostTarget",
    "MaxConsumption",
    "Power",
    "PowerLevels",
    "PowerTargets",
    "Renewable",
]


class ConsumptionTarget(Model):
    """How much energy the node should use."""

    value: Number | None = Field(None, description="Energy, in measurement_unit.")
    relation: words.Relation | None = Field(None, description="How the measured value must relate to the target.")
    measurement_unit: words.EnergyUnit | None = Field(None, description="Unit of energy.")


class CostTarget(Model):
    """What energy should cost."""

    value: Number | None = Field(None, description="Cost for one measurement_unit; no currency is assumed.")
    measurement_unit: words.EnergyUnit | None = Field(None, description="Unit of energy.")
    relation: words.Relation | None = Field(None, description="How the measured value must relate to the target.")


class CarbonTarget(Model):
    """CO2 emission for a unit of energy."""

    value: Number | None = Field(None, description="Emission, in measurement_unit.")
    measurement_unit: words.CarbonUnit | None = Field(None, description="Kilotonnes of CO2 a unit of energy.")
    relation: words.Relation | None = Field(None, description="How the measured value must relate to the target.")


class PowerTargets(Model):
    """Targets set by the node's owner."""

    consumption: ConsumptionTarget | None = Field(None, description="Energy consumption.")
    cost: CostTarget | None = Field(None, description="Cost of energy.")
    co2_emission: CarbonTarget | None = Field(None, description="CO2 emission for a unit of energy.")


class MaxConsumption(Model):
    """The most power the node draws."""

    value: NotNegative | None = Field(None, description="Power, in measurement_unit.")
    measurement_unit: words.PowerUnit | None = Field(None, description="Unit of power.")


class PowerLevels(Model):
    """Levels of energy."""

    levels: list[Number] = Field([], max_length=256, description="Levels, in measurement_unit.")
    measurement_unit: words.WattHours | None = Field(None, description="Unit of energy.")


class Renewable(Model):
    """A renewable source."""

    name: words.RenewableSource | None = Field(None, description="Kind of source.")
    production: PowerLevels | None = Field(None, description="What it produces.")


class Battery(Model):
    """A battery."""

    capacity: PowerLevels | None = Field(None, description="What it holds.")


class Power(Model):
    """The power of a node."""

    target: PowerTargets | None = Field(None, description="Targets set by the node's owner.")
    max_consumption: MaxConsumption | None = Field(None, description="The most power the node draws.")
    grid: Flag | None = Field(None, description="Whether the node is on the power grid.")
    renewable: list[Renewable] = Field([], max_length=16, description="Renewable sources.")
    battery: Battery | None = Field(None, description="Battery.")
