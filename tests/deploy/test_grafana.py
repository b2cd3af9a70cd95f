"""The dashboards on real data: a daemon at an emulated vendor with an incident, scraped by a real Prometheus.

Every query of every panel is asked as Grafana would ask it, variables filled in, and must return numbers. The alerts'
expressions are asked as well: a rule on a metric that does not exist would be silent for ever.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import yaml

from tests.deploy.files import DEPLOY, ROOT
from tests.deploy.test_prometheus import rules as alerting_rules
from tests.real.stand import Stand, hook, story

GRAFANA = DEPLOY / "grafana"
BOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
WITHIN = 90.0  # real seconds in which every panel must have data
RATE_INTERVAL = "15s"  # what Grafana makes of scrapes every second, with room for two
METRIC = re.compile(r"\b(?:watcher|process)_[a-z0-9_]+\b")


def board(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def panels(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that show something."""
    return [panel for panel in document["panels"] if panel["type"] != "row"]


class Grafana:
    """Asks Prometheus as Grafana does."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def values(self, expression: str) -> list[float]:
        """Every number that an expression returns; one that is wrong fails."""
        reply = (await self._client.get("/api/v1/query", params={"query": expression})).json()
        assert reply["status"] == "success", (expression, reply)
        found = reply["data"]["result"]
        return [float(found[1])] if reply["data"]["resultType"] == "scalar" else [float(s["value"][1]) for s in found]

    async def choices(self, variable: dict[str, Any]) -> list[str]:
        """What a variable offers: `label_values(SELECTOR, LABEL)`, and the regular expression's group."""
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", _filled(variable["query"]["query"], {}))
        assert found, variable
        reply = await self._client.get(f"/api/v1/label/{found[2]}/values", params={"match[]": found[1]})
        values: list[str] = reply.json()["data"]
        pattern = re.compile(variable["regex"].strip("/") or "(.*)")
        return [match[1] for value in values if (match := pattern.search(value))]

    async def missing(self, path: Path) -> list[str]:
        """The queries of a dashboard that return nothing, or nothing but NaN."""
        document = board(path)
        offered = {v["name"]: await self.choices(v) for v in document["templating"]["list"] if v["type"] == "query"}
        found = [f"variable {name}" for name, values in offered.items() if not values]
        for panel in panels(document):
            for chosen in offered[panel["repeat"]] if "repeat" in panel else [""]:
                for target in panel["targets"]:
                    filled = _filled(target["expr"], {panel.get("repeat", ""): chosen})
                    if all(math.isnan(value) for value in await self.values(filled)):
                        found.append(f"{path.stem}: {panel['title']} {target['refId']}: {filled}")
        return found


def _filled(expression: str, chosen: dict[str, str]) -> str:
    """An expression with its variables: those that are not chosen stand at All."""
    expression = expression.replace("$__rate_interval", RATE_INTERVAL)
    for name, value in chosen.items():
        expression = expression.replace(f"${name}", value) if name else expression
    return re.sub(r"\$(account|project)\b", ".*", expression)


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    """The shipped rules, one target that takes messages."""
    built = Stand(tmp_path)
    built.write_story(story())
    built.more = {"rules": [str(ROOT / "rules")]}
    return built


@pytest.mark.timeout(180)
async def test_every_panel_shows_something(stand: Stand) -> None:
    """Queries and variables of both dashboards, and the metrics that alerts name, against a daemon that was scraped."""
    async with hook() as pager, stand.vendor():
        stand.targets = {"pager": pager.url}
        stand.write_config()
        async with (
            stand.daemon() as process,
            stand.prometheus() as address,
            httpx.AsyncClient(base_url=address, timeout=10) as client,
        ):
            grafana = Grafana(client)
            await assert_dashboards_have_data(grafana)
            await assert_what_fires_is_annotated(grafana)
            for rule in alerting_rules():
                for metric in METRIC.findall(rule["expr"]):
                    assert await grafana.values(metric), (rule["alert"], metric)
            await stand.stops(process)


async def assert_dashboards_have_data(grafana: Grafana) -> None:
    missing = ["not asked yet"]
    with anyio.move_on_after(WITHIN):
        while missing:
            await anyio.sleep(1)
            missing = [text for path in BOARDS for text in await grafana.missing(path)]
    assert not missing, "\n".join(missing)


async def assert_what_fires_is_annotated(grafana: Grafana) -> None:
    marks = [mark for path in BOARDS for mark in board(path)["annotations"]["list"]]
    found = {mark["name"]: await grafana.values(mark["expr"]) for mark in marks}
    assert found["firing"] == [1.0]


# ── the files themselves ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_whole(path: Path) -> None:
    """Own ids, no overlap, the chosen data source everywhere, and a description where a title is not enough."""
    document = board(path)
    assert re.fullmatch(r"watcher-[a-z-]+", document["uid"])
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        cells = set(_cells(panel["gridPos"]))
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in panels(document):
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
    variables = {v["name"] for v in document["templating"]["list"]} | {"__rate_interval", "__all"}
    assert set(re.findall(r"\$\{?(\w+)", path.read_text())) <= variables


def _cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    assert place["x"] + place["w"] <= 24
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y


def test_grafana_finds_them() -> None:
    """The provider's path is where docs/deploy.md copies the dashboards; the two have their own uid."""
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/watcher.yaml").read_text())["providers"][0]
    assert provider["options"]["path"] in (ROOT / "docs/deploy.md").read_text()
    assert len({board(path)["uid"] for path in BOARDS}) == len(BOARDS) == 2
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/watcher.yaml").read_text())["datasources"][0]
    assert source["type"] == "prometheus"
