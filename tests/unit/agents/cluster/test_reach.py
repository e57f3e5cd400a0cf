"""What a cluster says of components in other clusters: reached, not reached, not known."""

from __future__ import annotations

import json

import pytest
from mlsysops_agents.cluster.reach import Partner, reach_condition

from .test_world_and_status import Cluster, component

DB = Partner("db", "c2", "10.0.0.7", (5432,))


@pytest.mark.parametrize(
    ("known", "status", "text"),
    [
        ({DB: ""}, True, "db in c2"),
        ({DB: "10.0.0.7:5432 does not answer"}, False, "db in c2 (10.0.0.7:5432 does not answer)"),
        ({DB: None}, None, "was not tried yet"),
        ({Partner("db", "c2", "", (1,)): None}, None, "not ready in c2"),
        ({Partner("db", "", "", (1,)): None}, None, "has no cluster yet"),
        ({Partner("db", "c2", "10.0.0.7", ()): None}, None, "UDP"),
        ({DB: "", Partner("mq", "c2", "10.0.0.8", (1,)): "refused"}, False, "mq in c2 (refused)"),
    ],
)
def test_the_worst_word_counts(known: dict[Partner, str | None], status: bool | None, text: str) -> None:
    found = reach_condition(known)
    assert found[0] is status
    assert text in found[2]


def test_partners_are_components_with_ports_of_other_clusters() -> None:
    cluster = Cluster()
    ports = {
        "containers": [{"image": "x", "ports": [{"container_port": 53, "protocol": "UDP"}, {"container_port": 80}]}]
    }
    db = {**component("db"), **ports}
    cluster.app("app", component("web"), db, clusters={"web": "c1", "db": "c2"})
    assert cluster.world.partners("app") == [Partner("db", "c2", "", (80,))]
    obj = cluster.objects.stored["MLSysOpsApp", "app"]
    said = {"db": {"cluster": "c2", "address": "10.0.0.7"}}
    obj["metadata"]["annotations"]["mlsysops.eu/component-endpoints"] = json.dumps(said)
    assert cluster.world.partners("app") == [Partner("db", "c2", "10.0.0.7", (80,))]
    cluster.app("whole", component("web"), db)
    assert cluster.world.partners("whole") == []
    cluster.app("elsewhere", component("web"), db, clusters={"web": "c2", "db": "c2"})
    assert cluster.world.partners("elsewhere") == []
