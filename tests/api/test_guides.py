"""Guides and runbooks as pages: every one is listed and readable, links lead somewhere, nothing else is served."""

import re

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.guides import FOLDER, Guides
from engine.payments.alarms import AlarmKind


@pytest.fixture
async def guides():
    app = web.Application()
    Guides().add_to(app)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_every_guide_is_listed_and_its_links_lead_to_guides(guides: TestClient) -> None:
    listed = set(re.findall(r'href="(/docs/[^"]+)"', await (await guides.get("/docs")).text()))
    written = {f"/docs/{path.relative_to(FOLDER).with_suffix('').as_posix()}" for path in FOLDER.rglob("*.md")}
    assert written <= listed
    for address in written:
        page = await guides.get(address)
        assert page.status == 200
        for link in re.findall(r'<a href="([^"/][^":]*)"', await page.text()):
            other = await guides.get(f"{address.rpartition('/')[0]}/{link}")
            assert other.status == 200, f"{address} links to {link}"


async def test_nothing_outside_the_folder_is_served(guides: TestClient) -> None:
    for path in ("/docs/../pages.py", "/docs/%2e%2e/pages", "/docs/runbooks", "/docs/nothing"):
        assert (await guides.get(path)).status != 200


def test_every_alarm_has_its_runbook() -> None:
    """A kind of alarm without a page would leave somebody alone at night."""
    pages = {path.stem for path in (FOLDER / "runbooks").glob("*.md")}
    assert {kind.value for kind in AlarmKind} == pages
