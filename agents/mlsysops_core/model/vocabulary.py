"""The words descriptions choose from: continuum layers, architectures, relations, units and places.

Letter case does not matter in users' files. `Choice` brings other spellings that are in use to one value; CRDs list both, so that
objects made earlier stay valid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

__all__ = [
    "AccelerationCall",
    "Accelerator",
    "AccelerometerModel",
    "AccelerometerUnit",
    "AirQualityModel",
    "AirQualityUnit",
    "AnyFramework",
    "ApplicationAction",
    "Architecture",
    "Availability",
    "BarometerModel",
    "BarometerUnit",
    "CameraModel",
    "CameraType",
    "CarbonUnit",
    "Choice",
    "City",
    "CloudProvider",
    "ContainerRuntime",
    "Continent",
    "Country",
    "Criticality",
    "EnergyUnit",
    "FpgaModel",
    "Framework",
    "GpuModel",
    "InteractionMetricName",
    "InteractionType",
    "InteractionUnit",
    "InterfaceMode",
    "Layer",
    "LayerOrAny",
    "McuArchitecture",
    "NetworkTechnology",
    "NodeAction",
    "NodeType",
    "OperatingSystem",
    "Platform",
    "PowerUnit",
    "PullPolicy",
    "Redundancy",
    "Relation",
    "RenewableSource",
    "Resolution",
    "RestartPolicy",
    "RuntimeClass",
    "SatisfactionRelation",
    "ScalingCriteria",
    "ScalingMode",
    "SensorProtocol",
    "Switch",
    "SystemMetric",
    "TemperatureModel",
    "TemperatureUnit",
    "TransportProtocol",
    "WattHours",
]


@dataclass(frozen=True, eq=False)
class Choice:
    """Marks a ``Literal`` of texts as a vocabulary.

    Attributes:
        spellings: Other spelling -> value of the ``Literal``.
        truth: What ``true`` and ``false`` stand for: YAML 1.1 parsers make them of ``on`` and ``off``.
    """

    spellings: Mapping[str, str] = field(default_factory=dict)
    truth: tuple[str, str] | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        exact = frozenset(get_args(source))
        table = {spelling.casefold(): value for spelling, value in self.spellings.items()} | {
            value.casefold(): value for value in exact
        }

        def normalise(value: Any) -> Any:
            if isinstance(value, bool) and self.truth is not None:
                return self.truth[0] if value else self.truth[1]
            if isinstance(value, str) and value not in exact:
                return table.get(value.casefold(), value)
            return value

        return core_schema.no_info_before_validator_function(normalise, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        out = dict(handler(schema))
        values = [out.pop("const")] if "const" in out else list(out["enum"])
        return out | {"type": "string", "enum": [*values, *(word for word in self.spellings if word not in values)]}


Layer = Annotated[Literal["cloud", "edge_infrastructure", "edge", "far_edge"], Choice()]
LayerOrAny = Annotated[Literal["cloud", "edge_infrastructure", "edge", "far_edge", "*"], Choice()]
Relation = Annotated[
    Literal["lower_or_equal", "greater_or_equal", "equal", "lower_than", "greater_than"],
    Choice({"lower_or_qqual": "lower_or_equal"}),  # so spelled in the CRDs in use
]
SatisfactionRelation = Annotated[Literal["greater_or_equal", "equal", "greater_than"], Choice()]
Criticality = Annotated[Literal["low", "medium", "high"], Choice()]

Continent = Annotated[
    Literal["europe", "asia", "africa", "australia", "north_america", "south_america", "antarctica"],
    Choice({"Europe": "europe", "Asia": "asia"}),
]
Country = Annotated[Literal["el", "it", "fr", "nl", "ie", "pt", "dk", "il"], Choice()]
City = Annotated[
    Literal["volos", "athens", "rende", "milan", "lille", "delft", "dublin", "aveiro", "porto", "aarhus", "jerusalem"],
    Choice(),
]
CloudProvider = Annotated[Literal["private", "aws", "microsoft_azure", "gcp"], Choice()]

Architecture = Annotated[Literal["amd64", "arm64"], Choice({"x86_64": "amd64", "aarch64": "arm64"})]
McuArchitecture = Annotated[Literal["arm-m4"], Choice({"arm-M4": "arm-m4"})]
Accelerator = Annotated[Literal["gpu", "fpga", "tpu"], Choice()]
Platform = Annotated[Literal["cpu", "gpu", "fpga", "tpu"], Choice()]
GpuModel = Annotated[Literal["k80", "k40"], Choice()]
FpgaModel = Annotated[Literal["zcu102"], Choice()]
Framework = Annotated[Literal["pytorch", "tensorflow", "opencl"], Choice()]
AnyFramework = Annotated[Literal["pytorch", "tensorflow", "opencl", "*"], Choice()]
AccelerationCall = Annotated[Literal["calc_optical_flow", "image_inference"], Choice()]
NodeType = Annotated[Literal["virtualized", "native", "bare_metal"], Choice()]
OperatingSystem = Annotated[Literal["ubuntu", "debian", "kali", "zephyr"], Choice()]
ContainerRuntime = Annotated[Literal["containerd", "docker", "emb_serve", "process"], Choice()]
RuntimeClass = Annotated[
    Literal[
        "nvidia",
        "default",
        "kata-fc",
        "kata-dragon",
        "urunc",
        "crun",
        "lunatic",
        "nvidia-experimental",
        "spin",
        "wasmedge",
        "slight",
    ],
    Choice(),
]
Availability = Annotated[Literal["transient", "stable"], Choice()]

RestartPolicy = Annotated[Literal["Always", "OnFailure", "Never"], Choice()]
PullPolicy = Annotated[Literal["Always", "Never", "IfNotPresent"], Choice()]
TransportProtocol = Annotated[Literal["UDP", "TCP", "SCTP"], Choice()]
ScalingMode = Annotated[Literal["manual", "auto"], Choice()]
ScalingCriteria = Annotated[
    Literal[
        "min_cpu_utilization",
        "max_cpu_utilization",
        "min_memory_percent",
        "max_memory_percent",
        "min_requests_per_sec",
        "max_request_per_sec",
        "min_number_of_instances",
        "max_number_of_instances",
    ],
    Choice({"max_requests_per_sec": "max_request_per_sec"}),
]
InteractionType = Annotated[Literal["ingress", "egress"], Choice()]
InteractionMetricName = Annotated[Literal["latency", "bandwidth", "end_to_end_invocation_delay"], Choice()]
InteractionUnit = Annotated[Literal["milliseconds", "Mbps", "seconds"], Choice({"ms": "milliseconds", "s": "seconds"})]
SystemMetric = Annotated[Literal["cpu_frequency"], Choice()]
Redundancy = Annotated[Literal["high", "one", "none"], Choice()]
Switch = Annotated[Literal["on", "off"], Choice(truth=("on", "off"))]
ApplicationAction = Annotated[
    Literal[
        "component_relocation",
        "traffic_redirection",
        "change_container_image",
        "change_container_runtime_class",
        "change_container_cpu_set",
        "change_container_resource_requirements",
        "acceleration",
        "*",
    ],
    Choice(),
]
NodeAction = Annotated[
    Literal[
        "set_power_cap",
        "traffic_redirection",
        "acceleration",
        "cpu_frequency",
        "gpu_frequency",
        "change_container_cpu_set",
        "change_container_image",
        "*",
    ],
    Choice(),
]

SensorProtocol = Annotated[Literal["MQTT", "RTSP"], Choice()]
CameraModel = Annotated[Literal["imx415", "imx219", "d455", "imx477", "picamera-v2"], Choice()]
CameraType = Annotated[Literal["rgb", "nir", "thermal", "monocular"], Choice()]
Resolution = Annotated[Literal["1024x768", "4056x3040"], Choice()]
TemperatureModel = Annotated[Literal["sdc30", "ds18b20"], Choice()]
TemperatureUnit = Annotated[Literal["celsius", "fahrenheit"], Choice()]
AccelerometerModel = Annotated[Literal["3038-smt"], Choice()]
AccelerometerUnit = Annotated[Literal["m/s^2"], Choice()]
BarometerModel = Annotated[Literal["sb-100"], Choice()]
BarometerUnit = Annotated[Literal["pa"], Choice()]
AirQualityModel = Annotated[Literal["mq-135"], Choice()]
AirQualityUnit = Annotated[Literal["ug/m^3"], Choice()]

NetworkTechnology = Annotated[Literal["4g", "5g", "wifi", "bluetooth", "lora", "zigbee", "ethernet"], Choice()]
InterfaceMode = Annotated[Literal["infrastructure", "adhoc"], Choice()]
EnergyUnit = Annotated[Literal["wh", "kwh", "Mwh"], Choice()]
CarbonUnit = Annotated[Literal["kt/wh", "kt/kwh", "kt/Mwh"], Choice()]
PowerUnit = Annotated[Literal["w", "kw", "Mw"], Choice()]
WattHours = Annotated[Literal["wh"], Choice()]
RenewableSource = Annotated[Literal["solar_panel"], Choice()]
