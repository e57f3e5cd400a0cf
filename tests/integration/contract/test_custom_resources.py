"""Custom resources: schemas, pruning, defaults, subresources, versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kube_api import APPLY, STRATEGIC, Api, Obj, answer, causes, failure, names, path, version, wait_for
from kube_crds import INTEGER, STRING, Definition, conditions, defined, spec_schema
from kube_targets import Target

SCHEMA = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 10},
                "share": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
                "color": {"type": "string", "enum": ["red", "green"], "default": "red"},
                "code": {"type": "string", "pattern": "^[A-Z]+$", "maxLength": 5, "minLength": 2},
                "when": {"type": "string", "format": "date-time"},
                "port": {"x-kubernetes-int-or-string": True},
                "maybe": {"type": "string", "nullable": True},
                "tags": {"type": "array", "items": STRING, "maxItems": 3, "x-kubernetes-list-type": "set"},
                "parts": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": STRING, "weight": {"type": "integer", "default": 7}, "note": STRING},
                    },
                },
                "limits": {"type": "object", "additionalProperties": INTEGER},
                "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "nested": {
                    "type": "object",
                    "default": {},
                    "properties": {"depth": {"type": "integer", "default": 3}},
                },
                "steps": {"type": "integer", "multipleOf": 5},
                "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": STRING},
                "fixed": {"type": "array", "items": INTEGER},
            },
        },
        "status": {"type": "object", "properties": {"ready": INTEGER, "replicas": INTEGER, "selector": STRING}},
    },
}
SUBRESOURCES = {
    "status": {},
    "scale": {
        "specReplicasPath": ".spec.size",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    },
}


@pytest.fixture(scope="module")
def widgets(api: Api) -> Iterator[Definition]:
    names = {"shortNames": ["wd"], "categories": ["all"]}
    with defined(api, Definition(SCHEMA, version={"subresources": SUBRESOURCES}, names=names)) as definition:
        yield definition


class TestDefinition:
    def test_is_accepted(self, api: Api, widgets: Definition) -> None:
        crd = api.read(path("customresourcedefinitions", name=widgets.name))
        found = conditions(crd)
        assert found["NamesAccepted"] == "True"
        assert found["Established"] == "True"
        assert crd["status"]["acceptedNames"]["kind"] == "Widget"
        assert crd["status"]["acceptedNames"]["shortNames"] == ["wd"]
        assert crd["status"]["storedVersions"] == ["v1"]
        assert crd["spec"]["conversion"] == {"strategy": "None"}
        assert crd["metadata"]["generation"] == 1

    def test_is_discovered(self, api: Api, widgets: Definition) -> None:
        assert widgets.group in [group["name"] for group in api.read("/apis")["groups"]]
        found = {r["name"]: r for r in api.read(f"/apis/{widgets.group}/v1")["resources"]}
        assert set(found) == {"widgets", "widgets/status", "widgets/scale"}
        assert found["widgets"]["shortNames"] == ["wd"]
        assert found["widgets"]["categories"] == ["all"]
        assert found["widgets"]["singularName"] == "widget"
        assert found["widgets/scale"]["kind"] == "Scale"
        assert found["widgets/scale"]["group"] == "autoscaling"

    def test_is_in_openapi(self, api: Api, widgets: Definition) -> None:
        def document() -> Obj | None:
            found: Obj = api.read("/openapi/v3")["paths"]
            if key := found.get(f"apis/{widgets.group}/v1"):
                return api.read(key["serverRelativeURL"])
            return None

        schemas = wait_for("published", document)["components"]["schemas"]
        marker = {"group": widgets.group, "version": "v1", "kind": "Widget"}
        ours = [s for s in schemas.values() if marker in s.get("x-kubernetes-group-version-kind", ())]
        assert len(ours) == 1
        assert ours[0]["properties"]["spec"]["properties"]["size"]["maximum"] == 10

    def test_goes_with_its_objects(self, api: Api, namespace: str) -> None:
        definition = Definition()
        with defined(api, definition):
            api.create(definition.url(namespace), definition.widget("w"))
        url = path("customresourcedefinitions", name=definition.name)
        wait_for("definition goes", lambda: api.gone(url))
        wait_for("resource goes", lambda: api.get(definition.url(namespace)).status_code == 404)
        with defined(api, definition):
            assert api.read(definition.url(namespace))["items"] == []

    def test_waits_for_finalizers_of_objects(self, api: Api, namespace: str) -> None:
        definition = Definition()
        with defined(api, definition):
            body = definition.widget("w")
            body["metadata"]["finalizers"] = ["example.com/hold"]
            api.create(definition.url(namespace), body)
        url = path("customresourcedefinitions", name=definition.name)
        wait_for(
            "object is being deleted",
            lambda: "deletionTimestamp" in api.read(definition.url(namespace, "w"))["metadata"],
        )
        assert conditions(api.read(url))["Terminating"] == "True"
        api.merge(definition.url(namespace, "w"), {"metadata": {"finalizers": []}})
        wait_for("definition goes", lambda: api.gone(url))

    @pytest.mark.parametrize(
        ("field", "change"),
        [
            ("metadata.name", {"metadata": {"name": "other.example.com"}}),
            ("spec.scope", {"spec": {"scope": "Nowhere"}}),
            ("spec.versions", {"spec": {"versions": []}}),
            ("spec.names.kind", {"spec": {"names": {"plural": "widgets"}}}),
        ],
    )
    def test_is_checked(self, api: Api, field: str, change: Obj) -> None:
        body = Definition().body
        for part, values in change.items():
            body[part] = {**body[part], **values}
        status = failure(api.post(path("customresourcedefinitions"), body), 422, "Invalid")
        assert any(where.startswith(field) for where in causes(status)), status

    @pytest.mark.parametrize(
        "schema",
        [
            {"type": "object", "properties": {"spec": {}}},
            {"type": "object", "properties": {"spec": {"type": "list"}}},
            {"type": "array", "items": STRING},
            {"type": "object", "properties": {"a": {"type": "string", "default": 5}}},
            {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}},
            {
                "type": "object",
                "properties": {
                    "a": {"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}},
                },
            },
            {
                "type": "object",
                "properties": {"a": {"type": "object", "properties": {}, "additionalProperties": STRING}},
            },
        ],
    )
    def test_schemas_are_structural(self, api: Api, schema: Obj) -> None:
        if "additionalProperties" in str(schema):
            schema["properties"]["a"]["properties"] = {"b": STRING}
        failure(api.post(path("customresourcedefinitions"), Definition(schema).body), 422, "Invalid")

    def test_exactly_one_version_is_stored(self, api: Api) -> None:
        versions = [
            {"name": name, "served": True, "storage": True, "schema": {"openAPIV3Schema": spec_schema()}}
            for name in ("v1", "v2")
        ]
        status = failure(
            api.post(path("customresourcedefinitions"), Definition(versions=versions).body), 422, "Invalid"
        )
        assert "must have exactly one version marked as storage version" in str(status["message"])

    def test_names_cannot_be_taken_twice(self, api: Api, widgets: Definition) -> None:
        second = Definition(names={"plural": "gadgets"})
        second.body["metadata"]["name"] = f"gadgets.{widgets.group}"
        second.body["spec"]["group"] = widgets.group
        api.create(path("customresourcedefinitions"), second.body)
        url = path("customresourcedefinitions", name=second.name)
        wait_for("refused", lambda: conditions(api.read(url)).get("NamesAccepted") == "False")
        assert conditions(api.read(url)).get("Established") == "False"
        api.remove(url)

    def test_changes_count_at_once(self, api: Api, namespace: str) -> None:
        with defined(api, Definition(spec_schema(a=STRING))) as definition:
            url = path("customresourcedefinitions", name=definition.name)
            versions = api.read(url)["spec"]["versions"]
            versions[0]["schema"]["openAPIV3Schema"] = spec_schema(a=STRING, b=INTEGER)
            api.merge(url, {"spec": {"versions": versions}})

            def known() -> bool:
                response = api.post(definition.url(namespace), definition.widget("w", {"b": 1}), dryRun="All")
                # While Kubernetes puts another storage in place, it asks to come again.
                assert response.status_code in (201, 429, 503), response.text
                return response.status_code == 201 and bool(response.json()["spec"] == {"b": 1})

            wait_for("new field is known", known)


class TestSchema:
    @pytest.mark.parametrize(
        ("spec", "field", "message"),
        [
            ({}, "spec.size", "Required value"),
            ({"size": "x"}, "spec.size", 'spec.size in body must be of type integer: "string"'),
            ({"size": 1.5}, "spec.size", "must be of type integer"),
            ({"size": True}, "spec.size", 'must be of type integer: "boolean"'),
            ({"size": None}, "spec.size", ""),
            ({"size": 0}, "spec.size", "spec.size in body should be greater than or equal to 1"),
            ({"size": 11}, "spec.size", "spec.size in body should be less than or equal to 10"),
            ({"size": 1, "share": 0}, "spec.share", "should be greater than 0"),
            ({"size": 1, "steps": 7}, "spec.steps", "should be a multiple of 5"),
            ({"size": 1, "color": "pink"}, "spec.color", 'Unsupported value: "pink": supported values: "red", "green"'),
            ({"size": 1, "code": "ab"}, "spec.code", "spec.code in body should match '^[A-Z]+$'"),
            ({"size": 1, "code": "ABCDEF"}, "spec.code", "Too long"),
            ({"size": 1, "code": "A"}, "spec.code", "should be at least 2 chars long"),
            ({"size": 1, "when": "today"}, "spec.when", "must be of type date-time"),
            ({"size": 1, "port": True}, "spec.port", "must be of type"),
            ({"size": 1, "tags": ["a", "b", "c", "d"]}, "spec.tags", "must have at most 3 items"),
            ({"size": 1, "tags": ["a", "a"]}, "spec.tags[1]", "Duplicate value"),
            ({"size": 1, "tags": "a"}, "spec.tags", 'must be of type array: "string"'),
            ({"size": 1, "parts": [{"name": "a"}, {"name": "a"}]}, "spec.parts[1]", "Duplicate value"),
            ({"size": 1, "parts": [{}]}, "spec.parts[0].name", "Required value"),
            ({"size": 1, "limits": {"a": "x"}}, "spec.limits.a", 'must be of type integer: "string"'),
            ({"size": 1, "nested": []}, "spec.nested", 'must be of type object: "array"'),
            ({"size": 1, "fixed": [1, "x"]}, "spec.fixed[1]", 'must be of type integer: "string"'),
        ],
    )
    def test_refuses(self, api: Api, namespace: str, widgets: Definition, spec: Obj, field: str, message: str) -> None:
        status = failure(api.post(widgets.url(namespace), widgets.widget("w", spec)), 422, "Invalid")
        found = causes(status)
        assert field in found, status
        assert message in found[field]
        assert status["message"].startswith(f'Widget.{widgets.group} "w" is invalid: ')
        assert status["details"]["kind"] == "Widget"
        assert status["details"]["group"] == widgets.group
        assert status["details"]["name"] == "w"

    def test_names_all_faults(self, api: Api, namespace: str, widgets: Definition) -> None:
        body = widgets.widget("w", {"size": 0, "color": "pink", "code": "ab"})
        found = causes(failure(api.post(widgets.url(namespace), body), 422, "Invalid"))
        assert {"spec.size", "spec.color", "spec.code"} <= set(found)

    def test_spec_is_required(self, api: Api, namespace: str, widgets: Definition) -> None:
        found = causes(failure(api.post(widgets.url(namespace), widgets.widget("w")), 422, "Invalid"))
        assert found["spec"] == "Required value"

    @pytest.mark.parametrize(
        "spec",
        [
            {"size": 1, "port": 80},
            {"size": 1, "port": "http"},
            {"size": 1, "when": "2026-01-02T03:04:05Z"},
            {"size": 1, "share": 0.5},
            {"size": 1, "share": 1},
            {"size": 1, "open": {"any": [{"thing": 1}]}},
            {"size": 1, "limits": {}},
            {"size": 1, "tags": []},
        ],
    )
    def test_takes(self, api: Api, namespace: str, widgets: Definition, spec: Obj) -> None:
        created = api.create(widgets.url(namespace), widgets.widget("w", spec))
        assert spec.items() <= created["spec"].items()

    def test_updates_are_checked(self, api: Api, namespace: str, widgets: Definition) -> None:
        api.create(widgets.url(namespace), widgets.widget("w", {"size": 1}))
        failure(api.patch(widgets.url(namespace, "w"), {"spec": {"size": 99}}), 422, "Invalid")
        assert api.read(widgets.url(namespace, "w"))["spec"]["size"] == 1


LITTERED = {"size": 1, "nonsense": 1, "nested": {"depth": 1, "nonsense": 2}, "open": {"kept": {"x": 1}}}


class TestPruning:
    def test_unknown_fields_are_dropped(self, api: Api, namespace: str, widgets: Definition) -> None:
        response = api.post(widgets.url(namespace), widgets.widget("w", LITTERED, nonsense=3))
        created = answer(response, 201)
        assert "nonsense" not in created
        assert "nonsense" not in created["spec"]
        assert created["spec"]["nested"] == {"depth": 1}
        assert created["spec"]["open"] == {"kept": {"x": 1}}
        found = " ".join(response.headers.get_list("warning"))
        for field in ("nonsense", "spec.nonsense", "spec.nested.nonsense"):
            assert f'unknown field \\"{field}\\"' in found

    def test_strict(self, api: Api, namespace: str, widgets: Definition) -> None:
        response = api.post(widgets.url(namespace), widgets.widget("w", LITTERED), fieldValidation="Strict")
        status = failure(response, 400, "BadRequest")
        assert "strict decoding error: " in status["message"]
        assert 'unknown field "spec.nonsense"' in status["message"]
        assert 'unknown field "spec.nested.nonsense"' in status["message"]

    def test_metadata_is_known(self, api: Api, namespace: str, widgets: Definition) -> None:
        body = widgets.widget("w", {"size": 1})
        body["metadata"]["nonsense"] = 1
        created = api.create(widgets.url(namespace), body)
        assert "nonsense" not in created["metadata"]


class TestDefaults:
    def test_are_filled_in(self, api: Api, namespace: str, widgets: Definition) -> None:
        body = widgets.widget("w", {"size": 1, "parts": [{"name": "a"}]})
        spec = api.create(widgets.url(namespace), body)["spec"]
        assert spec["color"] == "red"
        assert spec["nested"] == {"depth": 3}
        assert spec["parts"] == [{"name": "a", "weight": 7}]

    def test_null_is_replaced_where_it_may_not_stand(self, api: Api, namespace: str, widgets: Definition) -> None:
        spec = api.create(widgets.url(namespace), widgets.widget("w", {"size": 1, "color": None, "maybe": None}))[
            "spec"
        ]
        assert spec["color"] == "red"
        assert spec["maybe"] is None

    def test_are_filled_in_when_read(self, api: Api, namespace: str) -> None:
        with defined(api, Definition(spec_schema(a=STRING))) as definition:
            api.create(definition.url(namespace), definition.widget("old", {}))
            url = path("customresourcedefinitions", name=definition.name)
            versions = api.read(url)["spec"]["versions"]
            versions[0]["schema"]["openAPIV3Schema"] = spec_schema(a={"type": "string", "default": "new"})
            api.merge(url, {"spec": {"versions": versions}})
            one = definition.url(namespace, "old")
            wait_for("default in effect", lambda: api.read(one)["spec"] == {"a": "new"})
            # What answers the next request may still know the former schema.
            wait_for(
                "default in effect in lists",
                lambda: api.read(definition.url(namespace))["items"][0]["spec"] == {"a": "new"},
            )


class TestObjects:
    def test_generation(self, api: Api, namespace: str, widgets: Definition) -> None:
        url = widgets.url(namespace, "w")
        created = api.create(widgets.url(namespace), widgets.widget("w", {"size": 1}))
        assert created["metadata"]["generation"] == 1
        assert api.merge(url, {"metadata": {"labels": {"a": "b"}}})["metadata"]["generation"] == 1
        assert api.merge(url, {"spec": {"size": 2}})["metadata"]["generation"] == 2
        assert api.merge(f"{url}/status", {"status": {"ready": 1}})["metadata"]["generation"] == 2

    def test_replace_needs_the_version(self, api: Api, namespace: str, widgets: Definition) -> None:
        api.create(widgets.url(namespace), widgets.widget("w", {"size": 1}))
        status = failure(api.put(widgets.url(namespace, "w"), widgets.widget("w", {"size": 2})), 422, "Invalid")
        assert "must be specified for an update" in causes(status)["metadata.resourceVersion"]

    def test_status_is_written_apart(self, api: Api, namespace: str, widgets: Definition) -> None:
        url = widgets.url(namespace, "w")
        created = api.create(widgets.url(namespace), widgets.widget("w", {"size": 1}, status={"ready": 1}))
        assert "status" not in created
        reported = api.replace(f"{url}/status", {**created, "spec": {"size": 9}, "status": {"ready": 2}})
        assert reported["spec"]["size"] == 1
        assert reported["status"] == {"ready": 2}
        changed = api.replace(url, {**reported, "spec": {"size": 3}, "status": {"ready": 9}})
        assert changed["spec"]["size"] == 3
        assert changed["status"] == {"ready": 2}
        failure(api.patch(f"{url}/status", {"status": {"ready": "x"}}), 422, "Invalid")

    def test_scale(self, api: Api, namespace: str, widgets: Definition) -> None:
        url = widgets.url(namespace, "w")
        api.create(widgets.url(namespace), widgets.widget("w", {"size": 2}))
        api.merge(f"{url}/status", {"status": {"replicas": 1, "selector": "a=b"}})
        scale = api.read(f"{url}/scale")
        assert (scale["apiVersion"], scale["kind"]) == ("autoscaling/v1", "Scale")
        assert scale["spec"] == {"replicas": 2}
        assert scale["status"] == {"replicas": 1, "selector": "a=b"}
        scale["spec"]["replicas"] = 4
        assert api.replace(f"{url}/scale", scale)["spec"]["replicas"] == 4
        assert api.read(url)["spec"]["size"] == 4
        assert api.merge(f"{url}/scale", {"spec": {"replicas": 5}})["spec"]["replicas"] == 5
        failure(api.patch(f"{url}/scale", {"spec": {"replicas": 99}}), 422, "Invalid")

    def test_subresources_are_opt_in(self, api: Api, namespace: str) -> None:
        with defined(api, Definition()) as definition:
            created = api.create(definition.url(namespace), definition.widget("w", {}, status={"ready": 1}))
            assert created["status"] == {"ready": 1}
            assert api.get(definition.url(namespace, "w") + "/status").status_code == 404
            assert api.get(definition.url(namespace, "w") + "/scale").status_code == 404
            changed = api.merge(definition.url(namespace, "w"), {"status": {"ready": 2}})
            assert changed["metadata"]["generation"] == 2

    def test_strategic_patches_are_not_for_them(self, api: Api, namespace: str, widgets: Definition) -> None:
        api.create(widgets.url(namespace), widgets.widget("w", {"size": 1}))
        response = api.patch(widgets.url(namespace, "w"), {"spec": {"size": 2}}, STRATEGIC)
        failure(response, 415, "UnsupportedMediaType")

    def test_protobuf_is_not_for_them(self, target: Target, api: Api, namespace: str, widgets: Definition) -> None:
        kind = "application/vnd.kubernetes.protobuf"
        assert api.get(widgets.url(namespace), accept=kind).status_code == 406
        if target.embedded:  # Kubernetes 1.36 drops the connection
            response = api.http.post(widgets.url(namespace), content=b"k8s\x00", headers={"Content-Type": kind})
            failure(response, 415, "UnsupportedMediaType")

    def test_cluster_scope(self, api: Api, namespace: str) -> None:
        with defined(api, Definition(scope="Cluster")) as definition:
            api.create(definition.url(), definition.widget("w", {}))
            assert names(api.read(definition.url())) == ["w"]
            assert api.get(definition.url(namespace)).status_code == 404

    def test_watch(self, api: Api, namespace: str, widgets: Definition) -> None:
        listing = api.read(widgets.url(namespace))
        assert listing["kind"] == "WidgetList"
        created = api.create(widgets.url(namespace), widgets.widget("w", {"size": 1}))
        with api.watch(widgets.url(namespace), resourceVersion=listing["metadata"]["resourceVersion"]) as watch:
            assert watch.next() == {"type": "ADDED", "object": created}

    def test_list_items_say_what_they_are(self, api: Api, namespace: str, widgets: Definition) -> None:
        api.create(widgets.url(namespace), widgets.widget("w", {"size": 1}))
        item = api.read(widgets.url(namespace))["items"][0]
        assert (item["apiVersion"], item["kind"]) == (f"{widgets.group}/v1", "Widget")


class TestApply:
    def apply(self, api: Api, widgets: Definition, namespace: str, spec: Any, manager: str, **params: str) -> Obj:
        return api.apply(widgets.url(namespace, "w"), widgets.widget("w", spec), manager, **params)

    def owned(self, obj: Obj, manager: str) -> Obj:
        for entry in obj["metadata"]["managedFields"]:
            if entry["manager"] == manager:
                result: Obj = entry["fieldsV1"]
                return result
        raise AssertionError(manager)

    def test_list_map(self, api: Api, namespace: str, widgets: Definition) -> None:
        self.apply(api, widgets, namespace, {"size": 1, "parts": [{"name": "a", "note": "x"}]}, "alice")
        now = self.apply(api, widgets, namespace, {"size": 1, "parts": [{"name": "b"}]}, "bob")
        assert [part["name"] for part in now["spec"]["parts"]] == ["a", "b"]
        assert 'k:{"name":"a"}' in self.owned(now, "alice")["f:spec"]["f:parts"]
        now = self.apply(api, widgets, namespace, {"size": 1}, "alice")
        assert [part["name"] for part in now["spec"]["parts"]] == ["b"]

    def test_set(self, api: Api, namespace: str, widgets: Definition) -> None:
        self.apply(api, widgets, namespace, {"size": 1, "tags": ["a"]}, "alice")
        now = self.apply(api, widgets, namespace, {"size": 1, "tags": ["b"]}, "bob")
        assert sorted(now["spec"]["tags"]) == ["a", "b"]
        assert self.owned(now, "bob")["f:spec"]["f:tags"] == {'v:"b"': {}}

    def test_atomic(self, api: Api, namespace: str, widgets: Definition) -> None:
        self.apply(api, widgets, namespace, {"size": 1, "whole": {"a": "1"}, "fixed": [1]}, "alice")
        body = widgets.widget("w", {"size": 1, "whole": {"b": "2"}, "fixed": [2]})
        response = api.patch(widgets.url(namespace, "w"), body, APPLY, fieldManager="bob")
        assert set(causes(failure(response, 409, "Conflict"))) == {".spec.whole", ".spec.fixed"}
        now = self.apply(api, widgets, namespace, {"size": 1, "whole": {"b": "2"}}, "bob", force="true")
        assert now["spec"]["whole"] == {"b": "2"}

    def test_granular_maps(self, api: Api, namespace: str, widgets: Definition) -> None:
        self.apply(api, widgets, namespace, {"size": 1, "limits": {"a": 1}}, "alice")
        now = self.apply(api, widgets, namespace, {"size": 1, "limits": {"b": 2}}, "bob")
        assert now["spec"]["limits"] == {"a": 1, "b": 2}

    def test_again_changes_nothing(self, api: Api, namespace: str, widgets: Definition) -> None:
        spec = {"size": 1, "parts": [{"name": "a"}], "tags": ["x"]}
        first = self.apply(api, widgets, namespace, spec, "alice")
        assert version(self.apply(api, widgets, namespace, spec, "alice")) == version(first)

    def test_status(self, api: Api, namespace: str, widgets: Definition) -> None:
        self.apply(api, widgets, namespace, {"size": 1}, "alice")
        body = widgets.widget("w", None, status={"ready": 1})
        now = api.apply(widgets.url(namespace, "w") + "/status", body, "reporter")
        assert now["status"] == {"ready": 1}
        entries = [(e["manager"], e.get("subresource", "")) for e in now["metadata"]["managedFields"]]
        assert sorted(entries) == [("alice", ""), ("reporter", "status")]


@pytest.fixture(scope="module")
def two(api: Api) -> Iterator[Definition]:
    versions = [
        {
            "name": "v1alpha1",
            "served": True,
            "storage": False,
            "deprecated": True,
            "deprecationWarning": "v1alpha1 is old, use v1",
            "schema": {"openAPIV3Schema": spec_schema(a=STRING, old=STRING)},
        },
        {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": spec_schema(a=STRING, new=STRING)},
        },
        {
            "name": "v0",
            "served": False,
            "storage": False,
            "schema": {"openAPIV3Schema": spec_schema(a=STRING)},
        },
    ]
    with defined(api, Definition(versions=versions)) as definition:
        yield definition


class TestVersions:
    def test_one_object_in_each(self, api: Api, namespace: str, two: Definition) -> None:
        made = api.create(two.url(namespace, version="v1alpha1"), two.widget("w", {"a": "x"}, version="v1alpha1"))
        assert made["apiVersion"] == f"{two.group}/v1alpha1"
        same = api.read(two.url(namespace, "w", version="v1"))
        assert same["apiVersion"] == f"{two.group}/v1"
        assert same["metadata"]["uid"] == made["metadata"]["uid"]
        assert same["spec"] == {"a": "x"}
        changed = api.merge(two.url(namespace, "w", version="v1"), {"spec": {"new": "y"}})
        assert changed["spec"] == {"a": "x", "new": "y"}
        old = api.read(two.url(namespace, version="v1alpha1"))
        assert [item["apiVersion"] for item in old["items"]] == [f"{two.group}/v1alpha1"]

    def test_watch_in_its_own_version(self, api: Api, namespace: str, two: Definition) -> None:
        since = api.read(two.url(namespace))["metadata"]["resourceVersion"]
        api.create(two.url(namespace), two.widget("w", {"a": "x"}))
        with api.watch(two.url(namespace, version="v1alpha1"), resourceVersion=since) as watch:
            assert watch.next()["object"]["apiVersion"] == f"{two.group}/v1alpha1"

    def test_deprecation_warns(self, api: Api, namespace: str, two: Definition) -> None:
        response = api.get(two.url(namespace, version="v1alpha1"))
        assert response.headers.get_list("warning") == ['299 - "v1alpha1 is old, use v1"']
        assert "warning" not in api.get(two.url(namespace)).headers

    def test_what_is_not_served(self, api: Api, namespace: str, two: Definition) -> None:
        assert api.get(two.url(namespace, version="v0")).status_code == 404

    def test_preferred_version(self, api: Api, two: Definition) -> None:
        group = api.read(f"/apis/{two.group}")
        assert group["preferredVersion"]["version"] == "v1"
        assert [version["version"] for version in group["versions"]] == ["v1", "v1alpha1"]

    def test_version_of_path_and_object_have_to_agree(self, api: Api, namespace: str, two: Definition) -> None:
        response = api.post(two.url(namespace), two.widget("w", {}, version="v1alpha1"))
        failure(response, 400, "BadRequest")


class TestWatches:
    """A watch tells of objects as the definition has them; another definition ends it."""

    def test_end_when_the_schema_changes(self, api: Api, namespace: str) -> None:
        with defined(api, Definition()) as definition:
            made = api.create(definition.url(namespace), definition.widget("w", {}))
            url = path("customresourcedefinitions", name=definition.name)
            with api.watch(definition.url(namespace)) as watch:
                assert watch.next()["object"] == made
                changed = api.read(url)
                schema = changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
                schema["properties"]["spec"]["properties"] = {"more": STRING}
                del changed["metadata"]["resourceVersion"]
                api.merge(url, {"spec": changed["spec"]})
                assert list(watch.rest()) == []
            wait_for("served again", lambda: api.get(definition.url(namespace)).status_code == 200)
            more = api.create(definition.url(namespace), definition.widget("x", {"more": "1"}))
            assert more["spec"] == {"more": "1"}

    def test_end_with_the_definition(self, api: Api, namespace: str) -> None:
        with defined(api, Definition()) as definition:
            made = api.create(definition.url(namespace), definition.widget("w", {}))
            with api.watch(definition.url(namespace), resourceVersion=made["metadata"]["resourceVersion"]) as watch:
                api.remove(path("customresourcedefinitions", name=definition.name))
                assert [(event["type"], event["object"]["metadata"]["name"]) for event in watch.rest()] == [
                    ("DELETED", "w")
                ]
