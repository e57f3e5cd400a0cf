"""What is generated from the descriptions: up to date, structural, and true to the CRDs that users have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from mlsysops_core import model
from mlsysops_core.model import KINDS, Kind
from mlsysops_core.model.export import (
    check_files,
    custom_resource_definition,
    editor_schema,
    generated_files,
    write_files,
)
from mlsysops_core.model.export.__main__ import main
from mlsysops_core.yaml import load_yaml

DATA = Path(__file__).parents[2] / "data" / "mlsysops"
USERS = {
    crd["spec"]["names"]["kind"]: crd
    for path in (DATA / "crds").glob("*.yaml")
    if (crd := load_yaml(path.read_bytes()).value)
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.kind)
# Accepted in another form or spelling, and why.
RESTATED = {"server_side_encryption"}


def schema_of(crd: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from walk(part, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")


def test_generated_files_are_up_to_date(repository: Path) -> None:
    templates, reference = repository / "templates", repository / "docs" / "reference" / "descriptions.md"
    stale = check_files(templates, reference)
    assert stale == [], "run: python -m mlsysops_core.model.export --templates-dir templates"
    extra = {*(templates / "crds").iterdir(), *(templates / "schemas").iterdir()} - set(
        generated_files(templates, reference)
    )
    assert extra == set()


def test_the_generator_writes_once_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--templates-dir", str(tmp_path / "templates")]
    assert main([*arguments, "--check"]) == 1
    assert main(arguments) == 0
    assert main([*arguments, "--check"]) == 0
    assert write_files(tmp_path / "templates", tmp_path / "docs" / "reference" / "descriptions.md") == []
    assert "mlsysopsapps.yaml" in capsys.readouterr().out


@EVERY_KIND
def test_schemas_are_structural(kind: Kind) -> None:
    for path, part in walk(schema_of(custom_resource_definition(kind))):
        assert "$ref" not in part, path
        assert "nullable" not in part, path
        assert "default" not in part, path
        if part.get("x-kubernetes-int-or-string"):
            assert part["anyOf"] == [{"type": "integer"}, {"type": "string"}], path
        else:
            assert part["type"] in {"object", "array", "string", "number", "integer", "boolean"}, path
            assert not {"anyOf", "oneOf", "allOf"} & set(part), path
        if part.get("type") == "array":
            assert "items" in part, path
        if path.startswith(".spec") and part.get("type") == "array":
            assert "maxItems" in part, f"{path}: the cost of rules in CEL is bounded by it"
        if path.startswith(".spec") and part.get("type") == "string" and "enum" not in part:
            assert "maxLength" in part, f"{path}: the cost of rules in CEL is bounded by it"


@EVERY_KIND
def test_every_field_is_described(kind: Kind) -> None:
    for path, part in walk(schema_of(custom_resource_definition(kind))):
        if path.startswith((".spec", ".status")) and not path.endswith("[]"):
            assert part.get("description"), path


@EVERY_KIND
def test_names_are_those_of_today(kind: Kind) -> None:
    ours, users = custom_resource_definition(kind)["spec"], USERS[kind.kind]["spec"]
    assert custom_resource_definition(kind)["metadata"]["name"] == USERS[kind.kind]["metadata"]["name"]
    assert {key: ours["names"][key] for key in users["names"]} == users["names"]
    assert (ours["group"], ours["scope"]) == (users["group"], users["scope"])
    assert ours["versions"][0]["subresources"] == {"status": {}}
    assert ours["versions"][0]["additionalPrinterColumns"][-1]["name"] == "Age"


@EVERY_KIND
def test_every_field_and_word_of_todays_crds_is_there(kind: Kind) -> None:
    ours = dict(walk(schema_of(custom_resource_definition(kind))["properties"]["spec"]))
    for path, part in walk(schema_of(USERS[kind.kind])):
        assert path in ours, path
        mine = ours[path]
        if "enum" in part:
            assert set(map(str, part["enum"])) <= set(mine["enum"]), path
        if "type" in part and part["type"] != mine.get("type"):
            # An integer may be any number, an amount an integer or a text: what was valid stays valid.
            assert mine.get("x-kubernetes-int-or-string") or (part["type"], mine["type"]) == ("integer", "number"), path


@pytest.mark.parametrize("path", sorted((DATA / "descriptions").rglob("*.yaml")), ids=lambda path: path.name)
def test_our_resources_are_valid_under_todays_crds(path: Path) -> None:
    (description,) = model.load_descriptions(path.read_bytes())
    resource = model.to_resource(description)
    jsonschema.Draft4Validator(schema_of(USERS[resource["kind"]])).validate(resource["spec"])


@EVERY_KIND
def test_editor_schemas_take_users_files(kind: Kind) -> None:
    schema = editor_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(json.loads(json.dumps(schema)))
    for path in (DATA / "descriptions").rglob("*.yaml"):
        document = load_yaml(path.read_bytes()).value
        if kind.kind in document:
            validator.validate(document)
            with pytest.raises(jsonschema.ValidationError):
                validator.validate({kind.kind: {**document[kind.kind], "unheard_of": 1}})


def test_rules_in_cel_are_carried() -> None:
    spec = schema_of(custom_resource_definition(KINDS["MLSysOpsApp"]))["properties"]["spec"]
    messages = [rule["message"] for _, part in walk(spec) for rule in part.get("x-kubernetes-validations", ())]
    assert "component names must be unique" in messages
    assert "the weights must sum to 1" in messages
    assert "with host_network, host_port must equal container_port" in messages


def test_statuses_stay_open_for_other_versions() -> None:
    for kind in KINDS.values():
        status = schema_of(custom_resource_definition(kind))["properties"]["status"]
        assert status["x-kubernetes-preserve-unknown-fields"] is True
        conditions = status["properties"]["conditions"]
        assert conditions["x-kubernetes-list-type"] == "map"
        assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_files_survive_yaml_1_1_readers(repository: Path) -> None:
    for path in (repository / "templates" / "crds").iterdir():
        assert yaml.safe_load(path.read_text()) == load_yaml(path.read_bytes()).value
