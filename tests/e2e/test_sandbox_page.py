"""``/__sandbox/`` in a real browser: it logs nothing, fits a telephone, leads to the records, and reset empties it."""

import asyncio
import io
import urllib.request
import zipfile

import pytest

from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.protection import Limits
from bulklink.sandbox.server import Sandbox
from tests.e2e.chromium import browser, find_chromium, opened

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine")

GUID = "00000000-0000-4000-8000-00000000{:04x}"


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as port:
        yield port


@pytest.fixture
def sandbox():
    """Records, links, and refusals by service protection: everything that the page can show."""
    organisation = Organisation.sample()
    organisation.load_table("account", [{"accountid": GUID.format(n), "name": f"<b>{n}</b>"} for n in range(40)])
    organisation.load_table("lead", [{"leadid": GUID.format(1000 + n)} for n in range(40)])
    organisation.load_table(
        "accountleads", [{"accountid": GUID.format(n), "leadid": GUID.format(1000 + n)} for n in range(40)]
    )
    with Sandbox(organisation, limits=Limits(requests=3)).serving() as sandbox:
        for _ in range(6):
            ask(f"{sandbox.api_url}/WhoAmI")
        yield sandbox


def ask(url, method="GET"):
    request = urllib.request.Request(url, headers={"Authorization": "Bearer any"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read()
    except urllib.error.HTTPError as error:
        return error.read()


def browse(port, url, visit):
    async def look():
        async with opened(port, url) as page:
            found = await visit(page)
            # A browser asks every server for its icon; that there is none is no trouble of the page.
            return found, [line for line in page.logged if "favicon" not in line]

    return asyncio.run(look())


async def shown(page):
    return await page.value("document.body.innerText")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_readable_at_400_pixels_and_logs_nothing(port, sandbox, scheme):
    async def visit(page):
        await page.look(400, scheme=scheme)
        wide = await page.value(
            "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth"
            " && !e.closest('.wide')).map(e => e.outerHTML.slice(0, 80))"
        )
        scrolls = await page.value("document.documentElement.scrollWidth > innerWidth")
        return wide, scrolls, await shown(page)

    (wide, scrolls, text), logged = browse(port, f"{sandbox.url}/__sandbox/", visit)
    assert (wide, scrolls, logged) == ([], False, [])
    for words in ("accountleads_association", "account", "0x80072322", "Latest refusals"):
        assert words in text


def test_the_page_leads_to_the_links_and_the_dump(port, sandbox):
    async def visit(page):
        return await page.value("[...document.links].map(a => a.href)")

    links, _ = browse(port, f"{sandbox.url}/__sandbox/", visit)
    found = {link.rpartition("/")[2]: ask(link) for link in links}
    assert found["accountleads_association"].count(b"\r\n") == 41
    with zipfile.ZipFile(io.BytesIO(found["dump.zip"])) as archive:
        assert archive.read("account.csv").count(b"\n") == 41
    assert b'"relationships"' in found["?format=json"]


def test_reset_empties_what_the_page_shows(port, sandbox):
    ask(f"{sandbox.url}/__sandbox/reset", "POST")
    text, logged = browse(port, f"{sandbox.url}/__sandbox/", shown)
    assert "accountleads_association" not in text
    assert "Latest refusals" not in text
    assert logged == []
