"""Scalar types of descriptions: lenient where users' files are, canonical after validation.

Numbers are never taken from texts in passing: where a text with a unit is welcome the type says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, Strict
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError, core_schema

from mlsysops_core import quantities

__all__ = [
    "CPU_QUANTITY",
    "DNS_LABEL",
    "DNS_SUBDOMAIN",
    "QUANTITY",
    "Bytes",
    "Cores",
    "Flag",
    "FlashSize",
    "Frequency",
    "FrequencyInGigahertz",
    "Gigabytes",
    "GigabytesOrText",
    "GigabytesText",
    "Identifier",
    "Instances",
    "Integer",
    "Location",
    "MetricName",
    "Name",
    "NotNegative",
    "Number",
    "Percent",
    "Share",
    "ShareAboveZero",
    "Text",
]

DNS_LABEL: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""RFC 1123 label; names of Kubernetes containers."""
DNS_SUBDOMAIN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
"""RFC 1123 subdomain; ``metadata.name`` of custom resources and nodes."""
QUANTITY: Final = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3}|[numkMGTPE]|[KMGTPE]i)?$"
"""A quantity of Kubernetes (k8s.io/apimachinery/pkg/api/resource), not negative."""
CPU_QUANTITY: Final = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3}|[numkMGTPE])?$"
"""A quantity of Kubernetes without the binary suffixes, which make no sense for cores."""
_IS_QUANTITY = re.compile(QUANTITY)


class _Plain:
    """A scalar with a parser of its own: `parse` returns the canonical value, `json_schema` is what a CRD says of it."""

    def parse(self, value: Any) -> Any:
        raise NotImplementedError

    def json_schema(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self.json_schema())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _whole(number: float) -> float:
    """Returns an int where nothing is lost, so that 4 stays 4 in YAML."""
    return int(number) if float(number).is_integer() and abs(number) < 2**53 else number


def _unquote(value: Any) -> str:
    try:
        float(value)
    except (TypeError, ValueError):
        return ""
    return "write it without quotes" if isinstance(value, str) else ""


@dataclass(frozen=True)
class _Number(_Plain):
    """A number; its bounds stand here, since pydantic does not write constraints of types that validate themselves."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None

    def parse(self, value: Any) -> Any:
        if not _is_number(value):
            raise PydanticCustomError("number", "must be a number", {"hint": _unquote(value)})
        if self.ge is not None and value < self.ge:
            raise PydanticKnownError("greater_than_equal", {"ge": self.ge})
        if self.gt is not None and value <= self.gt:
            raise PydanticKnownError("greater_than", {"gt": self.gt})
        if self.le is not None and value > self.le:
            raise PydanticKnownError("less_than_equal", {"le": self.le})
        return value

    def json_schema(self) -> Mapping[str, Any]:
        bounds = {"minimum": self.ge, "exclusiveMinimum": self.gt, "maximum": self.le}
        return {"type": "number"} | {keyword: bound for keyword, bound in bounds.items() if bound is not None}


class _Flag(_Plain):
    # The words of YAML 1.1, which our parser leaves as text.
    _words: ClassVar = {"yes": True, "on": True, "no": False, "off": False}

    def parse(self, value: Any) -> Any:
        if isinstance(value, str):
            hint = "write it without quotes" if value.lower() in {"true", "false"} else ""
            value = self._words.get(value.lower(), value)
        else:
            hint = ""
        if not isinstance(value, bool):
            raise PydanticCustomError("flag", "must be true or false", {"hint": hint})
        return value

    def json_schema(self) -> Mapping[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class _Quantity(_Plain):
    """A Kubernetes quantity as text; ``64MB`` and a plain number are brought to that form."""

    what: Literal["cores", "bytes"]

    def parse(self, value: Any) -> Any:
        if self.what == "cores":
            quantities.parse_cpu(value)
        else:
            amount = quantities.parse_bytes(value)
            if isinstance(value, str) and not _IS_QUANTITY.match(value.strip()):
                return quantities.format_bytes(amount)
        return value.strip() if isinstance(value, str) else str(_whole(value))

    def json_schema(self) -> Mapping[str, Any]:
        pattern = CPU_QUANTITY if self.what == "cores" else QUANTITY
        return {"x-kubernetes-int-or-string": True, "pattern": pattern, "maxLength": 64}


@dataclass(frozen=True)
class _Gigabytes(_Plain):
    """Gigabytes (10^9 bytes): a plain number, a number in quotes, or a text with its unit.

    `form` is the canonical form, that of the CRDs in use: a number, a text, or (both are in use) a number that is a text where
    it is not whole.
    """

    form: Literal["number", "text", "either"] = "number"

    def parse(self, value: Any) -> Any:
        number = _whole(quantities.parse_bytes(value, default_unit="G") / 1e9)
        if self.form == "text":
            # A text that is fine stays as its author wrote it.
            return value.strip() if isinstance(value, str) else str(number)
        return str(number) if self.form == "either" and not isinstance(number, int) else number

    def json_schema(self) -> Mapping[str, Any]:
        return (
            {"type": "number", "minimum": 0}
            if self.form == "number"
            else {"x-kubernetes-int-or-string": True, "maxLength": 64}
        )


@dataclass(frozen=True)
class _Frequency(_Plain):
    """A frequency; a plain number is in `unit`, and a text with a unit is converted to it."""

    unit: Literal["Hz", "GHz"] = "Hz"

    def parse(self, value: Any) -> Any:
        hertz = quantities.parse_frequency(value, default_unit=self.unit)
        return value if _is_number(value) else _whole(hertz / (1e9 if self.unit == "GHz" else 1))

    def json_schema(self) -> Mapping[str, Any]:
        return {"type": "number", "minimum": 0}


class _FlashSize(_Plain):
    def parse(self, value: Any) -> Any:
        quantities.parse_bytes(value)
        return value.strip() if isinstance(value, str) else str(value)

    def json_schema(self) -> Mapping[str, Any]:
        return {"x-kubernetes-int-or-string": True, "maxLength": 64}


class _Percent(_Plain):
    def parse(self, value: Any) -> Any:
        quantities.parse_percent(value)
        return value.strip() if isinstance(value, str) else str(value)

    def json_schema(self) -> Mapping[str, Any]:
        return {"x-kubernetes-int-or-string": True, "pattern": r"^[0-9]+(\.[0-9]+)?%?$", "maxLength": 16}


Text = Annotated[str, Strict(), Field(min_length=1, max_length=4096)]
MetricName = Annotated[str, Strict(), Field(min_length=1, max_length=253)]
Name = Annotated[str, Strict(), Field(min_length=1, max_length=63, pattern=DNS_LABEL)]
Identifier = Annotated[str, Strict(), Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
Integer = Annotated[int, Strict()]
Instances = Annotated[int, Strict(), Field(ge=0, le=10_000)]
Number = Annotated[float, _Number()]
NotNegative = Annotated[float, _Number(ge=0)]
Share = Annotated[float, _Number(ge=0, le=1)]
ShareAboveZero = Annotated[float, _Number(gt=0, le=1)]
Flag = Annotated[bool, _Flag()]
Cores = Annotated[str, _Quantity("cores")]
Bytes = Annotated[str, _Quantity("bytes")]
Gigabytes = Annotated[float, _Gigabytes()]
GigabytesText = Annotated[str, _Gigabytes("text")]
GigabytesOrText = Annotated[float | str, _Gigabytes("either")]
FlashSize = Annotated[str, _FlashSize()]
Percent = Annotated[str, _Percent()]
Frequency = Annotated[float, _Frequency()]
FrequencyInGigahertz = Annotated[float, _Frequency("GHz")]
Location = Annotated[list[Number], Field(min_length=2, max_length=2)]
