"""What the sandbox holds and has done, for people and for scripts.

Owns: the JSON and the page of ``/__sandbox/``, links as CSV, the dump as a zip of CSV files.
Does not know: how it is served.
"""

import csv
import io
import tempfile
import zipfile
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.tally import Tally

_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1f}"
    "h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #dcdce3;vertical-align:top}"
    ".wide{overflow-x:auto}td.long{min-width:14rem}td.n,th.n{text-align:right}"
    "code{background:#f1f1f5;padding:.1rem .3rem;border-radius:3px}"
    "@media(prefers-color-scheme:dark){body{background:#16161a;color:#e6e6ea}th,td{border-color:#34343c}"
    "code{background:#25252c}a{color:#8ab4ff}}"
)
#: Texts above this many characters get room, so that they do not become a column of words.
_LONG: Final = 40
_INTRODUCTION: Final = (
    "<p>A local server that behaves like the Dataverse Web API. "
    'The same as <a href="?format=json">JSON</a>, all records as <a href="dump.zip">CSV files</a>.</p>'
)


def state(organisation: Organisation, tally: Tally) -> dict[str, Any]:
    """Tables with records, relationships with links, and what was served, as plain values."""
    counts = organisation.counts()
    model = organisation.model
    many_to_many = [
        {
            "name": r.name,
            "kind": "N:N",
            "tables": [r.table1, r.table2],
            "navigation_properties": [r.navigation1, r.navigation2],
            "intersect": r.intersect,
            "links": counts.get(r.intersect, 0),
        }
        for r in model.many_to_many.values()
    ]
    # The links of a 1:N are counted only where both tables have records: an organisation has thousands of these.
    one_to_many = [
        {
            "name": r.name,
            "kind": "1:N",
            "tables": [r.one, r.many],
            "navigation_properties": [r.collection_navigation, r.lookup_navigation],
            "column": r.column,
            "links": sum(1 for _ in organisation.links(r.name)),
        }
        for r in model.one_to_many.values()
        if counts.get(r.many) and any(counts.get(one) for one in model.concrete(r.one))
    ]
    return {
        "tables": {name: count for name, count in counts.items() if not model.tables[name].is_intersect},
        "tables_known": len(model.tables),
        "relationships": many_to_many + one_to_many,
        **tally.as_json(),
    }


def page(found: Mapping[str, Any]) -> str:
    """The same for the eye."""
    throttled = found["throttled"]
    sections = [
        "<h1>bulklink sandbox</h1>",
        _INTRODUCTION,
        _counts("Served", {name: found[name] for name in ("requests", "batches", "operations", "in_flight")}),
        _counts("Answers by status", found["statuses"]),
        _counts("Weather", found["faults"]),
        _counts("Throttled", throttled["by_code"]),
        _table(
            "Latest refusals by service protection",
            ("at s", "user", "server", "code", "why", "wait s"),
            [tuple(refused.values()) for refused in reversed(throttled["latest"])],
        ),
        _counts("Records", found["tables"]),
        _relationships(found["relationships"]),
        f"<p>{found['tables_known']} tables are known. <code>POST reset</code> empties them.</p>",
    ]
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>bulklink sandbox</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body>{''.join(sections)}</body></html>"
    )


def links_csv(organisation: Organisation, relationship: str) -> str:
    """The pairs of one relationship; SandboxUsageError if there is none of that name."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    pairing = organisation.model.many_to_many.get(relationship)
    pairs = organisation.links(relationship)
    single = organisation.model.one_to_many.get(relationship)
    if pairing:
        writer.writerow((f"{pairing.table1}_id", f"{pairing.table2}_id"))
    if single:
        writer.writerow((f"{single.one}_id", f"{single.many}_id"))
    writer.writerows(pairs)
    return out.getvalue()


def dump_zip(organisation: Organisation) -> bytes:
    """Every table that has records, as CSV files in a zip."""
    out = io.BytesIO()
    with tempfile.TemporaryDirectory() as directory, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in organisation.dump(Path(directory)):
            archive.write(file, file.name)
    return out.getvalue()


def _counts(title: str, counts: Mapping[str, int]) -> str:
    return _table(title, ("", "count"), list(counts.items()))


def _relationships(relationships: list[dict[str, Any]]) -> str:
    rows = [
        (r["name"], r["kind"], " – ".join(r["tables"]), ", ".join(filter(None, r["navigation_properties"])), r["links"])
        for r in sorted(relationships, key=lambda r: (-r["links"], r["name"]))
        if r["links"]
    ]
    return _table("Links", ("relationship", "kind", "tables", "navigation properties", "links"), rows, links=True)


def _table(title: str, header: tuple[str, ...], rows: list[tuple[Any, ...]], *, links: bool = False) -> str:
    if not rows:
        return ""
    numbers = [isinstance(value, int) for value in rows[0]]
    head = "".join(
        f"<th{' class=n' if is_number else ''}>{escape(text)}</th>"
        for text, is_number in zip(header, numbers, strict=True)
    )
    lines = []
    for row in rows:
        cells = [_cell(value) for value in row]
        if links:
            name = escape(str(row[0]))
            cells[0] = f'<td><a href="links/{name}">{name}</a></td>'
        lines.append(f"<tr>{''.join(cells)}</tr>")
    # On a narrow screen a wide table moves sideways by itself; the page stays.
    table = f"<table><tr>{head}</tr>{''.join(lines)}</table>"
    return f'<h2>{escape(title)}</h2><div class="wide" tabindex="0">{table}</div>'


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f'<td class="n">{value:,}</td>'
    text = str(value)
    return f"<td{' class=long' if len(text) > _LONG else ''}>{escape(text)}</td>"
