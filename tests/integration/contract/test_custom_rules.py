"""`x-kubernetes-validations`: rules in CEL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kube_api import Api, Obj, causes, failure, path
from kube_crds import INTEGER, STRING, Definition, defined, spec_schema


def schema() -> Obj:
    return {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "x-kubernetes-validations": [
                    {"rule": "self.low <= self.high", "message": "low must not be above high"},
                    {
                        "rule": "!has(self.names) || self.names.all(n, n.startsWith('a'))",
                        "messageExpression": "'names start with a, not ' + self.names[0]",
                        "message": "fallback",
                    },
                    {
                        "rule": "!has(self.parts) || self.parts.map(p, p.weight).sum() == 10",
                        "message": "weights sum to 10",
                        "fieldPath": ".parts",
                    },
                    {
                        "rule": "!has(self.links) || self.links.all(l, self.parts.exists(p, p.name == l))",
                        "message": "links name parts",
                        "reason": "FieldValueForbidden",
                    },
                ],
                "required": ["low", "high"],
                "properties": {
                    "low": INTEGER,
                    "high": INTEGER,
                    "names": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 20}},
                    "links": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 20}},
                    "fixed": {
                        "type": "string",
                        "maxLength": 20,
                        "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed is immutable"}],
                    },
                    "code": {
                        "type": "string",
                        "maxLength": 20,
                        "x-kubernetes-validations": [{"rule": "self.matches('^[a-z]+$')"}],
                    },
                    "parts": {
                        "type": "array",
                        "maxItems": 5,
                        "items": {
                            "type": "object",
                            "required": ["weight"],
                            "properties": {"name": {"type": "string", "maxLength": 20}, "weight": INTEGER},
                            "x-kubernetes-validations": [{"rule": "self.weight > 0", "message": "weighs nothing"}],
                        },
                    },
                    "shares": {"type": "object", "maxProperties": 5, "additionalProperties": {"type": "number"}},
                    "amount": {
                        "x-kubernetes-int-or-string": True,
                        "x-kubernetes-validations": [
                            {"rule": "type(self) == int ? self > 0 : self.size() > 1", "message": "no amount"}
                        ],
                    },
                },
            }
        },
    }


@pytest.fixture(scope="module")
def ruled(api: Api) -> Iterator[Definition]:
    with defined(api, Definition(schema())) as definition:
        yield definition


GOOD: Obj = {"low": 1, "high": 2}


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"low": 3, "high": 2}, "spec", "low must not be above high"),
        ({**GOOD, "names": ["xa", "ab"]}, "spec", "names start with a, not xa"),
        ({**GOOD, "code": "X"}, "spec.code", "failed rule: self.matches('^[a-z]+$')"),
        ({**GOOD, "parts": [{"weight": 4}, {"weight": 5}]}, "spec.parts", "weights sum to 10"),
        ({**GOOD, "parts": [{"weight": 10}, {"weight": 0}]}, "spec.parts[1]", "weighs nothing"),
        (
            {**GOOD, "links": ["b"], "parts": [{"name": "a", "weight": 10}]},
            "spec",
            "links name parts",
        ),
        ({**GOOD, "amount": 0}, "spec.amount", "no amount"),
        ({**GOOD, "amount": "x"}, "spec.amount", "no amount"),
    ],
)
def test_refuses(api: Api, namespace: str, ruled: Definition, spec: Obj, field: str, message: str) -> None:
    status = failure(api.post(ruled.url(namespace), ruled.widget("w", spec)), 422, "Invalid")
    found = causes(status)
    assert field in found, status
    assert message in found[field]


@pytest.mark.parametrize(
    "spec",
    [
        GOOD,
        {**GOOD, "names": ["ab", "ac"], "code": "abc"},
        {**GOOD, "parts": [{"name": "a", "weight": 4}, {"name": "b", "weight": 6}], "links": ["b"]},
        {**GOOD, "amount": 5},
        {**GOOD, "amount": "5Mi"},
    ],
)
def test_takes(api: Api, namespace: str, ruled: Definition, spec: Obj) -> None:
    assert api.create(ruled.url(namespace), ruled.widget("w", spec))["spec"] == spec


def test_rules_do_not_run_on_what_the_schema_refuses(api: Api, namespace: str, ruled: Definition) -> None:
    found = causes(failure(api.post(ruled.url(namespace), ruled.widget("w", {"low": "x", "high": 1})), 422, "Invalid"))
    assert "must be of type integer" in found["spec.low"]


def test_transitions(api: Api, namespace: str, ruled: Definition) -> None:
    api.create(ruled.url(namespace), ruled.widget("w", {**GOOD, "fixed": "one"}))
    url = ruled.url(namespace, "w")
    found = causes(failure(api.patch(url, {"spec": {"fixed": "two"}}), 422, "Invalid"))
    assert "fixed is immutable" in found["spec.fixed"]
    assert api.merge(url, {"spec": {"low": 0}})["spec"]["fixed"] == "one"
    # Without an old value there is no transition.
    assert "fixed" not in api.merge(url, {"spec": {"fixed": None}})["spec"]
    assert api.merge(url, {"spec": {"fixed": "three"}})["spec"]["fixed"] == "three"


def test_rules_see_defaults(api: Api, namespace: str) -> None:
    body = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "x-kubernetes-validations": [{"rule": "self.a == 5", "message": "a is 5"}],
                "properties": {"a": {"type": "integer", "default": 5}},
            }
        },
    }
    with defined(api, Definition(body)) as definition:
        assert api.create(definition.url(namespace), definition.widget("w", {}))["spec"] == {"a": 5}


@pytest.mark.parametrize("rule", ["self.nope >", "self.missing == 1", "self.a", "", "unknown(self.a)"])
def test_rules_are_checked_with_the_definition(api: Api, rule: str) -> None:
    body = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {"a": INTEGER, "b": STRING},
                "x-kubernetes-validations": [{"rule": rule}],
            }
        },
    }
    status = failure(api.post(path("customresourcedefinitions"), Definition(body).body), 422, "Invalid")
    assert any("x-kubernetes-validations[0].rule" in where for where in causes(status)), status


def test_root_rules_see_the_name(api: Api, namespace: str) -> None:
    body = {
        "type": "object",
        "x-kubernetes-validations": [{"rule": "self.metadata.name.startsWith('w')", "message": "starts with w"}],
        "properties": {"spec": {"type": "object", "properties": {"a": INTEGER}}},
    }
    with defined(api, Definition(body)) as definition:
        api.create(definition.url(namespace), definition.widget("w", {}))
        failure(api.post(definition.url(namespace), definition.widget("x", {})), 422, "Invalid")


#: Functions of Kubernetes' own, by the version that brought them: each expression is true.
LIBRARIES: dict[str, list[str]] = {
    "addresses": [
        "ip('127.0.0.1').isLoopback()",
        "ip('::1').family() == 6",
        "!isIP('1.2.3.4.5')",
        "!isIP('::ffff:1.2.3.4')",
        "!isIP('01.2.3.4')",
        "!ip.isCanonical('2001:db8::0')",
        "ip('2001:DB8::1') == ip('2001:db8::1')",
        "ip('224.0.0.5').isLinkLocalMulticast()",
        "ip('169.254.1.1').isLinkLocalUnicast()",
        "ip('10.0.0.1').isGlobalUnicast()",
        "!ip('255.255.255.255').isGlobalUnicast()",
    ],
    "networks": [
        "cidr('10.0.0.0/8').containsIP('10.1.2.3')",
        "!cidr('10.0.0.0/8').containsIP(ip('11.1.2.3'))",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
        "!cidr('10.0.0.0/8').containsCIDR(cidr('10.1.0.0/7'))",
        "cidr('10.1.2.3/8').ip() == ip('10.1.2.3')",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')",
        "cidr('10.1.2.3/8').prefixLength() == 8",
        "!isCIDR('10.0.0.0')",
        "!isCIDR('10.0.0.0/08')",
    ],
    "urls": [
        "url('https://user@example.com:80/a%20b?x=1&y=2&x=3').getHost() == 'example.com:80'",
        "url('https://example.com:80/').getHostname() == 'example.com'",
        "url('https://[::1]:80/').getHostname() == '::1'",
        "url('https://[::1]:80/').getPort() == '80'",
        "url('https://example.com/').getPort() == ''",
        "url('https://example.com/a%20b').getEscapedPath() == '/a%20b'",
        "url('https://example.com/?x=1&y=2&x=3').getQuery()['x'].size() == 2",
        "url('/abs/path').getScheme() == ''",
        "!isURL('../rel')",
        "!isURL('https://a:b')",
        "url('mailto:x').getEscapedPath() == ''",
        "!isURL('https://exa mple')",
    ],
    "versions": [
        "semver('1.2.3').isLessThan(semver('1.10.0'))",
        "semver('1.0.0-alpha').isLessThan(semver('1.0.0'))",
        "semver('1.0.0-alpha.1').compareTo(semver('1.0.0-alpha.beta')) == -1",
        "!isSemver('v1.0')",
        "isSemver('v1.0', true)",
        "semver('v01.01', true).minor() == 1",
        "semver('1.2.3').major() == 1",
        "semver('2.0.0').isGreaterThan(semver('1.9.9'))",
    ],
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries(api: Api, namespace: str, library: str) -> None:
    definition_schema = spec_schema(name=STRING)
    rules = [{"rule": rule, "message": rule} for rule in LIBRARIES[library]]
    definition_schema["properties"]["spec"]["x-kubernetes-validations"] = rules
    with defined(api, Definition(definition_schema)) as definition:
        api.create(definition.url(namespace), definition.widget("w", {"name": "x"}))


@pytest.mark.parametrize("rule", ["ip(5).family() == 4", "semver('1.2.3').isLessThan(quantity('1'))"])
def test_types_of_libraries(api: Api, rule: str) -> None:
    definition_schema = spec_schema(name=STRING)
    definition_schema["properties"]["spec"]["x-kubernetes-validations"] = [{"rule": rule}]
    failure(api.post(path("customresourcedefinitions"), Definition(definition_schema).body), 422, "Invalid")
