"""What every part of a description is made of: the strict base model and cross-field problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, PrivateAttr, model_validator
from pydantic.config import JsonDict
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, ValidationError

__all__ = ["Model", "Problem", "Root", "known_keys", "raise_problems", "rule", "with_rules"]


class Model(BaseModel):
    """Base of every part of a description: unknown keys are errors, a key without a value counts as absent.

    Keys keep the spelling that users' files have. Where that is a misspelling the right one is accepted too, and the attribute has it.
    """

    # Built on first use: an import must stay cheap, and most commands need one kind of description at most.
    model_config = ConfigDict(extra="forbid", defer_build=True, serialize_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and None in data.values():
            names = known_keys(cls)
            return {key: value for key, value in data.items() if value is not None or key not in names}
        return data

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        reference = handler(core_schema)
        properties = handler.resolve_ref_schema(reference).get("properties", {})
        first: dict[str, str] = {}
        for key, name in known_keys(cls).items():
            if first.setdefault(name, key) != key and first[name] in properties:
                properties[key] = properties[first[name]] | {"description": f"Another spelling of {first[name]}."}
        return reference

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values: what was set, in the users' spelling."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True)


class Root(Model):
    """Base of a whole description; remembers the labels and annotations of the manifest it came from."""

    _labels: dict[str, str] = PrivateAttr(default_factory=dict)
    _annotations: dict[str, str] = PrivateAttr(default_factory=dict)


def known_keys(model: type[BaseModel]) -> dict[str, str]:
    """Maps every key a model accepts, in any spelling, to the name of its field; the users' spelling comes first."""
    keys: dict[str, str] = {}
    for name, info in model.model_fields.items():
        choices = getattr(info.validation_alias, "choices", None) or [info.alias or name]
        keys |= {str(choice): name for choice in choices}
    return keys


@dataclass(frozen=True, slots=True)
class Problem:
    """A cross-field rule that does not hold.

    Attributes:
        path: Keys and indices of the offending value, from the description's root.
        message: What is wrong.
        hint: What to do.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str = ""


def raise_problems(title: str, problems: Iterable[Problem]) -> None:
    """Raises one pydantic error that holds every problem at its own place; returns where there is none.

    pydantic merges a ``ValidationError`` that a validator raises into its own, so nothing is lost.

    Raises:
        ValidationError: There is a problem.
    """
    details = [
        InitErrorDetails(
            type=PydanticCustomError("rule", "{message}", {"message": problem.message, "hint": problem.hint}),
            loc=problem.path,
            input=None,
        )
        for problem in problems
    ]
    if details:
        raise ValidationError.from_exception_data(title, details)


def rule(expression: str, message: str) -> JsonDict:
    """Writes a rule in CEL for ``x-kubernetes-validations``, so that a real API server refuses what we refuse."""
    return {"rule": expression, "message": message}


def with_rules(*rules: JsonDict) -> ConfigDict:
    """Makes the ``model_config`` of a model that carries rules in CEL."""
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": list(rules)})
