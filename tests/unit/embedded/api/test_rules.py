"""Rules in CEL: what they can say, what they see, which are refused."""

from __future__ import annotations

from typing import Any

import pytest
from mlsysops_embedded.validation import rules
from mlsysops_embedded.validation.cel import program

Obj = dict[str, Any]
SCHEMA: Obj = {
    "type": "object",
    "properties": {
        "a": {"type": "integer"},
        "b": {"type": "string"},
        "f": {"type": "number"},
        "in": {"type": "string"},
        "x-y": {"type": "object", "properties": {"size": {"type": "string"}}},
        "list": {"type": "array", "items": {"type": "integer"}},
        "lists": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        "map": {"type": "object", "additionalProperties": {"type": "number"}},
        "foo_bar": {"type": "object", "additionalProperties": {"type": "integer"}},
        "fooBar": {"type": "object", "additionalProperties": {"type": "integer"}},
        "time": {"type": "string", "format": "date-time"},
        "duration": {"type": "string", "format": "duration"},
        "bytes": {"type": "string", "format": "byte"},
        "any": {"x-kubernetes-preserve-unknown-fields": True},
        "either": {"x-kubernetes-int-or-string": True},
    },
}
OBJ: Obj = {
    "a": 1,
    "b": "x",
    "f": 2,
    "in": "v",
    "x-y": {"size": "5Gi"},
    "list": [1, 2, 3],
    "lists": [[1, 2]],
    "map": {"k": 1},
    "foo_bar": {"k": 1},
    "fooBar": {"k": 2},
    "time": "2024-01-01T00:00:00+01:00",
    "duration": "1h30m",
    "bytes": "YWJj",
    "any": {"z": [1]},
    "either": 5,
}


def ruled(*found: Obj | str, **more: Any) -> Obj:
    return {**SCHEMA, "x-kubernetes-validations": [{"rule": r} if isinstance(r, str) else r for r in found], **more}


def run(schema: Obj, obj: Any, old: Any = None) -> list[str]:
    assert list(rules.faults(schema, "schema")) == []
    found = rules.Rules.of(schema)
    assert found is not None
    return [str(cause) for cause in found.check(obj, old)]


@pytest.mark.parametrize(
    "rule",
    [
        "self.a + 1 == 2",
        "self.f == 2.0 && self.f > 1 && self.a < 1.5",
        "self.__in__ == 'v' && self.x__dash__y.size == '5Gi'",
        "self.list.sum() == 6 && self.list.map(i, double(i) / 2.0).sum() == 3.0",
        "self.list.isSorted() && self.list.min() == 1 && self.list.max() == 3",
        "self.list.indexOf(2) == 1 && self.list.lastIndexOf(9) == -1 && 'abc'.indexOf('b') == 1",
        "self.lists[0][1] == 2.0 && self.any.z[0] == 1 && self.map.k == 1.0 && 'k' in self.map",
        "self.foo_bar.k + self.fooBar.k == 3",
        "self.time < timestamp('2024-01-01T00:00:00Z') && self.time.getFullYear() == 2023",
        "self.duration == duration('90m') && self.bytes == b'abc'",
        "type(self.either) == int && self.either == 5",
        "!has(self.x__dash__y.size) || self.x__dash__y.size != ''",
        "self.?b.orValue('') == 'x'",
        "'a1b22'.find('[0-9]+') == '1' && 'a1b22'.findAll('[0-9]+') == ['1', '22'] && self.b.matches('^[a-z]$')",
        "'a,b'.split(',').join('-') == 'a-b' && ' A '.trim().lowerAscii() == 'a' && 'abc'.substring(1, 2) == 'b'",
        "'%s is %d'.format([self.b, self.a]) == 'x is 1' && 'aa'.replace('a', 'b', 1) == 'ba' && 'abc'.charAt(2) == 'c'",
        "sets.contains(self.list, [1, 2]) && !sets.intersects([1], [2]) && sets.equivalent([1, 1], [1])",
        "math.greatest(self.a, 5) == 5 && base64.encode(b'abc') == 'YWJj'",
        "quantity(self.x__dash__y.size).isGreaterThan(quantity('4Gi')) && quantity('1k') == quantity('1000')",
        "quantity('1').add(quantity('500m')).compareTo(quantity('1500m')) == 0 && !isQuantity('x')",
        "quantity('2k').isInteger() && quantity('2k').asInteger() == 2000 && quantity('-1').sign() == -1",
    ],
)
def test_what_rules_can_say(rule: str) -> None:
    assert run(ruled(rule), OBJ) == []


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("self.a >", "Syntax error"),
        ("self.missing == 1", "undefined field 'missing'"),
        ("unknown(self.a)", "undeclared reference to 'unknown'"),
        ("self.a", "must evaluate to a bool"),
        ("self.a == 'x'", "no matching overload"),
        ("self.a == 1.0", "no matching overload"),
        ("self.list.all(i, i.name == 'x')", "int"),
        ("self.x__dash__y == 3", "no matching overload"),
        ("a == 1", "undeclared reference to 'a'"),
    ],
)
def test_rules_that_do_not_compile(rule: str, why: str) -> None:
    (cause,) = rules.faults(ruled(rule), "schema")
    assert cause["field"] == "schema.x-kubernetes-validations[0].rule"
    assert cause["reason"] == "FieldValueInvalid"
    assert why in cause["message"]


@pytest.mark.parametrize(
    ("rule", "field", "why"),
    [
        ({"rule": " "}, "rule", "rule is not specified"),
        ({"rule": "true", "reason": "Nonsense"}, "reason", "Unsupported value"),
        ({"rule": "true", "message": "two\nlines"}, "message", "single line"),
        ({"rule": "true\n&& true"}, "message", "must be specified if rule contains line breaks"),
        ({"rule": "true", "messageExpression": "1"}, "messageExpression", "must evaluate to a string"),
        ({"rule": "true", "messageExpression": "'"}, "messageExpression", "Syntax error"),
        ({"rule": "true", "fieldPath": ".nope"}, "fieldPath", "valid path"),
        ({"rule": "true", "fieldPath": "a"}, "fieldPath", "valid path"),
        ({"rule": "true", "optionalOldSelf": True}, "optionalOldSelf", "oldSelf is not used"),
        ({"rule": "self.b != 'oldSelf'", "optionalOldSelf": True}, "optionalOldSelf", "oldSelf is not used"),
    ],
)
def test_wrong_rules(rule: Obj, field: str, why: str) -> None:
    (cause,) = rules.faults(ruled(rule), "schema")
    assert cause["field"] == f"schema.x-kubernetes-validations[0].{field}"
    assert why in cause["message"]


def test_old_values_need_a_place_that_can_be_matched() -> None:
    item = {
        "type": "object",
        "properties": {"n": {"type": "string"}},
        "x-kubernetes-validations": [{"rule": "self == oldSelf"}],
    }
    array: Obj = {"type": "array", "items": item}
    (cause,) = rules.faults({"type": "object", "properties": {"l": array}}, "s")
    assert "uncorrelatable" in cause["message"]
    array |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]}
    assert not list(rules.faults({"type": "object", "properties": {"l": array}}, "s"))


class TestMessages:
    def test_forms(self) -> None:
        schema = ruled(
            {"rule": "self.a > 5", "message": "a is small"},
            {"rule": "self.a > 6", "messageExpression": "'a is ' + string(self.a)"},
            {"rule": "self.a > 7", "message": "fixed", "messageExpression": "self.any.missing"},
            {"rule": "self.a > 8", "reason": "FieldValueForbidden", "fieldPath": ".a"},
            {"rule": "self.a > 9", "reason": "FieldValueRequired", "message": "more", "fieldPath": "['x-y'].size"},
        )
        found = rules.Rules.of({"type": "object", "properties": {"spec": schema}})
        assert found is not None
        assert [(c["field"], c["reason"], c["message"]) for c in found.check({"spec": OBJ}, None)] == [
            ("spec", "FieldValueInvalid", 'Invalid value: "object": a is small'),
            ("spec", "FieldValueInvalid", 'Invalid value: "object": a is 1'),
            ("spec", "FieldValueInvalid", 'Invalid value: "object": fixed'),
            ("spec.a", "FieldValueForbidden", "Forbidden: failed rule: self.a > 8"),
            ("spec.x-y.size", "FieldValueRequired", "Required value: more"),
        ]

    def test_an_evaluation_that_fails_is_a_fault(self) -> None:
        (text,) = run(ruled({"rule": "self.a / (self.a - 1) == 1", "message": "m"}), OBJ)
        assert "divide by zero evaluating rule: m" in text

    def test_a_missing_field_is_a_fault(self) -> None:
        (text,) = run(ruled("self.b == 'x'"), {"a": 1})
        assert "b" in text


class TestTransitions:
    FIXED = ruled({"rule": "self.a == oldSelf.a", "message": "fixed"})

    def test_run_with_an_old_value_only(self) -> None:
        assert run(self.FIXED, {"a": 1}) == []
        assert run(self.FIXED, {"a": 1}, {"a": 1, "b": "y"}) == []
        assert len(run(self.FIXED, {"a": 1}, {"a": 2})) == 1

    def test_optional_old_values(self) -> None:
        rule = {"rule": "oldSelf.hasValue() ? oldSelf.value().a < self.a : self.a == 0", "optionalOldSelf": True}
        assert run(ruled(rule), {"a": 0}) == []
        assert len(run(ruled(rule), {"a": 1})) == 1
        assert run(ruled(rule), {"a": 2}, {"a": 1}) == []
        assert len(run(ruled(rule), {"a": 1}, {"a": 1})) == 1

    def test_items_are_matched_by_their_keys(self) -> None:
        item = {
            "type": "object",
            "properties": {"n": {"type": "string"}, "v": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "grows"}],
        }
        array = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": item}
        schema = {"type": "object", "properties": {"l": array}}
        old = {"l": [{"n": "x", "v": 5}, {"n": "y", "v": 1}]}
        assert run(schema, {"l": [{"n": "y", "v": 2}, {"n": "z", "v": 0}, {"n": "x", "v": 5}]}, old) == []
        (text,) = run(schema, {"l": [{"n": "y", "v": 2}, {"n": "x", "v": 4}]}, old)
        assert text.startswith("l[1]: ")


def test_what_a_write_does_not_change_is_not_refused() -> None:
    schema = {"type": "object", "properties": {"spec": ruled("self.a > 5")}}
    assert run(schema, {"spec": {"a": 1}, "status": 1}, {"spec": {"a": 1}}) == []
    assert len(run(schema, {"spec": {"a": 2}}, {"spec": {"a": 1}})) == 1


def test_costs_are_bounded() -> None:
    schema = ruled("self.list.all(a, self.list.all(b, self.list.all(c, a + b + c >= 0)))")
    (text,) = run(schema, {"list": list(range(1000))})
    assert "budget" in text.lower()


@pytest.mark.parametrize("clause", ["%.999999999f", "%.1001f", "%z", "%"])
def test_clauses_that_format_knows_none_of(clause: str) -> None:
    """A number with a thousand million digits would hold up the server."""
    with pytest.raises(ValueError, match="formatting clause"):
        program(f"'{clause}'.format([5.0])").run(None)


def test_format_needs_a_value_a_clause() -> None:
    with pytest.raises(ValueError, match="more clauses"):
        program("'%s %s'.format([5])").run(None)
