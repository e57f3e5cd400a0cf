"""Model <-> YAML <-> custom resource: nothing is lost or changed on any way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mlsysops_core import model
from mlsysops_core.model import KINDS, Description, Kind
from mlsysops_core.model.export import custom_resource_definition
from mlsysops_core.model.export.structural import structural_schema
from mlsysops_core.model.scalars import CPU_QUANTITY, DNS_LABEL, DNS_SUBDOMAIN, QUANTITY

DATA = Path(__file__).parents[2] / "data" / "mlsysops"
_NAME = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), min_size=1, max_size=12)
_PATTERNS = {
    DNS_LABEL: _NAME,
    DNS_SUBDOMAIN: st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z]{1,3})?", fullmatch=True),
    CPU_QUANTITY: st.from_regex(r"[1-9][0-9]{0,3}(m|k)?", fullmatch=True) | st.integers(0, 10**3),
    QUANTITY: st.from_regex(r"[1-9][0-9]{0,3}(Mi|Gi|M|G|k)?", fullmatch=True) | st.integers(0, 10**6),
}


def strategy(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Makes values of a structural schema: so every field of the descriptions takes part, also those to come."""
    pattern = schema.get("pattern", "")
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if pattern in _PATTERNS:
        return _PATTERNS[pattern]
    if pattern.startswith("^(metadata"):
        return st.sampled_from(["status.hostIP", "metadata.name", "metadata.labels['a']"])
    if pattern.endswith("%?$"):
        return st.integers(0, 100).map(lambda percent: f"{percent}%")
    if pattern:
        return st.from_regex(r"[a-zA-Z_][a-zA-Z0-9]{0,8}", fullmatch=True)
    if schema.get("x-kubernetes-int-or-string"):
        return st.integers(1, 10**6).map(str) | st.integers(1, 10**6) | st.integers(1, 999).map(lambda n: f"{n}Mi")
    match schema["type"]:
        case "object":
            required = set(schema.get("required", ()))
            # 'components' of an application and the like first draw what they must have, then some of the rest.
            parts = {name: strategy(part) for name, part in schema["properties"].items() if not _alias(part)}
            return st.fixed_dictionaries(
                {name: part for name, part in parts.items() if name in required},
                optional={name: part for name, part in parts.items() if name not in required},
            )
        case "array":
            low = schema.get("minItems", 0)
            return st.lists(strategy(schema["items"]), min_size=low, max_size=max(low, 2))
        case "integer":
            return st.integers(schema.get("minimum", -9), schema.get("maximum", 10**6))
        case "number":
            high = schema.get("maximum", 1e9)
            # No subnormal numbers: a library in the process may have told the processor to take them for zero.
            floats = st.floats(
                schema.get("minimum", -1e9), high, exclude_min="exclusiveMinimum" in schema, allow_subnormal=False
            )
            return floats | st.integers(1, int(high))
        case "boolean":
            return st.booleans()
        case _:
            return _TEXT


def _alias(schema: dict[str, Any]) -> bool:
    return str(schema.get("description", "")).startswith("Another spelling of")


def _mend(data: dict[str, Any]) -> dict[str, Any]:
    """Brings generated data under the cross-field rules, without leaving a field out for good."""
    names = []
    for index, component in enumerate(data.get("components", ())):
        component["metadata"]["name"] = f"c{index}"
        component["depends_on"] = names[:1]
        names.append(f"c{index}")
        component["sensors"] = [s for s in component.get("sensors", ()) if _ordered(s)]
        component["qos_metrics"] = [m for m in component.get("qos_metrics", ()) if ("target" in m) == ("relation" in m)]
        _mend_scaling(component.get("node_placement", {}))
        for number, container in enumerate(component["containers"]):
            for index_, port in enumerate(container.get("ports", ())):
                port |= {"container_port": 1000 + 10 * number + index_, "name": f"p{number}-{index_}"}
                port.pop("host_port", None) if component.get("host_network") else None
            for index_, variable in enumerate(container.get("env", ())):
                variable["name"] += str(index_)
                if "value" in variable:
                    variable.pop("value_from", None)
            for amount in container.get("platform_requirements", {}).values():
                if isinstance(amount, dict) and "requests" in amount:
                    amount["limits"] = amount["requests"]
    for group in data.get("single_node", ()):
        group["components"] = names[:1]
        _mend_scaling(group)
    data["single_node"] = data.get("single_node", [])[:1]
    for interaction in data.get("component_interactions", ()):
        interaction |= {"component_name1": names[0], "component_name2": names[-1]}
        for metric in interaction.get("interaction_metrics", ()):
            metric.pop("measurement_unit", None)
    satisfaction = data.get("global_satisfaction", {})
    metrics = [m["application_metric_id"] for c in data["components"] for m in c["qos_metrics"]]
    if "achievement_weights" in satisfaction:
        satisfaction["achievement_weights"] = [{"metric_id": metrics[0], "weight": 1}] if metrics else []
    return data


def _mend_scaling(placement: dict[str, Any]) -> None:
    scaling = placement.get("scaling", {})
    if scaling.get("scaling_mode") == "manual":
        scaling["instances"] = max(1, scaling.get("instances", 1))


def _ordered(sensor: dict[str, Any]) -> bool:
    parts = [part for part in sensor.values() if isinstance(part, dict)]
    return bool(parts) and all(
        p.get("measurement_min", 0) <= p.get("measurement_max", 0)
        for p in parts
        if {"measurement_min", "measurement_max"} <= set(p)
    )


def _mend_node(data: dict[str, Any]) -> dict[str, Any]:
    data["sensors"] = [s for s in data.get("sensors", ()) if _ordered(s)]
    data["acceleration_api"] = data.get("acceleration_api", [])[:1]
    return _mend_location(data)


def _mend_location(data: dict[str, Any]) -> dict[str, Any]:
    if "location" in data:
        data["location"] = [data["location"][0] % 180, data["location"][1] % 90]
    for key in ("nodes", "clusters"):
        if key in data:
            data[key] = sorted(set(data[key]))
    return data


_MEND = {"MLSysOpsApp": _mend, "MLSysOpsNode": _mend_node}


def check(kind: Kind, data: dict[str, Any]) -> None:
    description = kind.model.model_validate(data)
    assert model.load_descriptions(yaml.safe_dump(model.to_document(description), default_style='"')) == [description]
    resource = json.loads(json.dumps(model.to_resource(description)))
    assert model.from_resource(resource) == description
    assert model.load_descriptions(json.dumps(resource)) == [description]
    again: Description = model.from_resource(resource)
    assert model.to_resource(again) == resource
    jsonschema.Draft4Validator(spec_schema(kind)).validate(resource["spec"])


def spec_schema(kind: Kind) -> dict[str, Any]:
    schema: dict[str, Any] = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"][
        "properties"
    ]["spec"]
    return schema


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.kind)
def test_generated_descriptions_survive_every_way(kind: Kind) -> None:
    @settings(
        max_examples=40, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(strategy(structural_schema(kind.model)))
    def run(data: dict[str, Any]) -> None:
        check(kind, _MEND.get(kind.kind, _mend_location)(data))

    run()


@pytest.mark.parametrize("path", sorted((DATA / "descriptions").rglob("*.yaml")), ids=lambda path: path.name)
def test_users_descriptions_survive_every_way(path: Path) -> None:
    ((kind, data),) = yaml.safe_load(path.read_text()).items()
    check(KINDS[kind], data)
