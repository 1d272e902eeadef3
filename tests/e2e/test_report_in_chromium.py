"""report.html in a real browser: it loads nothing, logs nothing, can be filtered, read aloud, narrowed and printed."""

import asyncio
import base64

import pytest

from bulklink.files.about_run import InputFacts, RunEnd, RunState, from_iso
from bulklink.files.journal import Event, EventKind, Journal
from bulklink.files.outcomes import write_outcomes
from bulklink.files.report import gather, write_report
from bulklink.files.summary import summarise
from bulklink.vocabulary import Outcome
from tests.e2e.chromium import browser, find_chromium, opened
from tests.journaled_runs import Part, about, block, make_spool

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine")

START = from_iso("2026-11-23T12:45:00Z")
HOSTILE = "\"'><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report with trouble of three kinds in 240 of 1,000 rows."""
    directory = tmp_path_factory.mktemp("run")
    rows = Part([[f"A-{i:05d}", HOSTILE if i % 40 == 3 else f"name {i}"] for i in range(1000)])
    spool = make_spool(directory / "input.arrow", ["Account No", "Name " + HOSTILE], rows)
    outcomes = [{3: Outcome.REJECTED, 4: Outcome.INVALID}.get(i % 8, Outcome.ASSOCIATED) for i in range(1000)]
    codes = ["0x80040217" if i % 16 == 3 else "0x80040220" if i % 16 == 11 else "" for i in range(1000)]
    facts = about(
        command="bulklink run nightly.toml",
        inputs=(InputFacts("links.csv", 1000),),
        task={"Relationship": HOSTILE},
        settings={"send.share": "100%"},
        environment={"Signed in as": "svc"},
    )
    events = [Event(START, EventKind.SESSION), *(Event(START + k, EventKind.PACE, k % 7, 50 + k) for k in range(1, 60))]
    events.append(Event(START + 60, EventKind.WAIT, seconds=9, why="service protection limit: requests"))
    with Journal.create(directory / "journal.sqlite", facts.to_meta()) as journal:
        journal.record(
            settled=[block(range(1000), outcomes, code=codes, message=[f"about {i} {HOSTILE}" for i in range(1000)])],
            events=events,
        )
        journal.set_meta(**RunEnd(RunState.FINISHED, 3, "2026-11-23T12:46:00Z").to_meta())
        written = write_outcomes(directory, spool, journal)
        found = gather(directory, spool, journal, summarise(journal, written.books), lambda word: ("It means", "Do"))
    write_report(directory / "report.html", found)
    return directory / "report.html"


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as port:
        yield port


def browse(report, port, visit):
    """Open the report, let `visit` use it, and see that nothing was logged or asked for meanwhile."""

    async def go():
        async with opened(port, report) as page:
            result = await visit(page)
            assert await page.value("document.title") == "nightly: 750 of 1,000 rows are as asked; 250 are not."
            assert page.logged == []
            assert page.requested == [report.as_uri()]
            return result

    return asyncio.run(go())


def test_rows_of_trouble_can_be_filtered_with_the_keyboard_alone(report, port):
    async def visit(page):
        shown = "[...document.querySelectorAll('#rows tbody tr')].filter((row) => row.offsetParent).length"
        seen = [await page.value(shown)]

        async def press(key):
            for kind in ("keyDown", "keyUp"):
                await page.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=9)

        while await page.value("document.activeElement.id") != "f-text":
            await press("Tab")
        await page.call("Input.insertText", text="A-0001 name")
        seen.append(await page.value(shown))
        said = await page.value("document.getElementById('f-said').textContent")
        await page.value("document.getElementById('f-text').value = ''")
        for field, value in (("f-outcome", "rejected"), ("f-code", "0x80040220")):
            await page.value(
                f"document.getElementById('{field}').value = '{value}';"
                f"document.getElementById('{field}').dispatchEvent(new Event('input', {{bubbles: true}}))"
            )
            seen.append(await page.value(shown))
        return seen, said

    seen, said = browse(report, port, visit)
    assert seen == [250, 3, 125, 62]  # of A-00010 to A-00019 three are in trouble: 11, 12 and 19
    assert said == "3 of 250 rows shown"


def test_every_control_and_drawing_has_a_name_to_be_read_aloud(report, port):
    async def visit(page):
        return (await page.call("Accessibility.getFullAXTree"))["nodes"]

    roles = {"textbox", "searchbox", "combobox", "img", "image", "region", "link", "table", "button"}
    named = {}
    for node in browse(report, port, visit):
        role = node.get("role", {}).get("value")
        if role in roles and not node.get("ignored"):
            named.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    assert {"Search"} == set(named["searchbox"])
    assert {"Outcome", "Code"} == set(named["combobox"])
    assert all(named.get("img", []) + named.get("image", []))
    assert all(named["region"])
    assert all(named["link"])


@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_and_keeps_its_contrast(report, port, width, scheme):
    contrast = """(() => {
        const parse = (text) => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
            .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
        const behind = (element) => {
            for (let at = element; at; at = at.parentElement) {
                const colour = parse(getComputedStyle(at).backgroundColor);
                if (colour.length === 3 || colour[3] > 0) return colour;
            }
        };
        let worst = 99;
        for (const element of document.querySelectorAll("p, dt, dd, th, td, h1, h2, h3, span, code, li, label")) {
            if (!element.offsetParent || !element.textContent.trim()) continue;
            const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
            worst = Math.min(worst, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
        }
        return worst;
    })()"""

    async def visit(page):
        await page.look(width, scheme=scheme)
        return (
            await page.value("document.documentElement.scrollWidth"),
            await page.value("getComputedStyle(document.body).backgroundColor"),
            await page.value(contrast),
        )

    scroll_width, background, worst = browse(report, port, visit)
    assert scroll_width <= width
    assert (background == "rgb(255, 255, 255)") is (scheme == "light")
    assert worst >= 4.5  # WCAG 2.2, 1.4.3


def test_it_prints_on_a4_in_few_pages(report, port):
    async def visit(page):
        await page.look(1200, scheme="dark", media="print")
        shown = await page.value(
            "[...document.querySelectorAll('#rows tbody tr')].filter((row) => row.offsetParent).length"
        )
        background = await page.value("getComputedStyle(document.body).backgroundColor")
        printed = await page.call("Page.printToPDF", preferCSSPageSize=True)
        return shown, background, base64.b64decode(printed["data"])

    shown, background, pdf = browse(report, port, visit)
    assert shown == 40
    assert background == "rgb(255, 255, 255)"
    assert 2 <= pdf.count(b"/Type /Page\n") <= 9
    assert b"/MediaBox [0 0 594.95996 841.91998]" in pdf or b"/MediaBox [0 0 595" in pdf
