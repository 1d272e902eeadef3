"""A spreadsheet's columns and an environment's tables -> which column may name which record.

Owns: how headers and cells are read as hints, and how hints are weighed.
Does not know: how facts are fetched; files. A hint decides nothing: what is proposed is probed against the records.
Source: names as Microsoft Learn's table reference has them (account number: accountnumber, e-mail: emailaddress1).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bulklink.core.directions import Cardinality
from bulklink.core.facts import AlternateKey, Column, ColumnKind, Table
from bulklink.core.keys import guid_bytes
from bulklink.core.relationships import Listed
from bulklink.core.table import ACTION_WORDS

#: Cells looked at, and distinct ones that are looked for in a table.
SAMPLE_ROWS: Final = 500
PROBES_MAX: Final = 25
#: Share of cells from which on a column is of a kind.
MOSTLY: Final = 0.6
#: Columns of a table that are probed for one header, and tables that are thought of.
COLUMNS_MAX: Final = 4
TABLES_MAX: Final = 3

_E_MAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_WORD: Final = re.compile(r"[A-Z]?[a-zà-ÿ]+|[A-Z]+(?![a-z])|\d+", re.UNICODE)
#: Words that say how a record is named, not which one.
_MANNER: Final = {
    "id": "id", "ids": "id", "guid": "id", "uuid": "id", "no": "number", "nr": "number", "num": "number",
    "number": "number", "nummer": "number", "code": "code", "key": "number", "name": "name", "title": "name",
    "mail": "email", "email": "email", "emailaddress": "email", "e": "email",
}  # fmt: skip
#: What people call tables whose own names are others.
_NICKNAMES: Final = {
    "user": "systemuser", "employee": "systemuser", "company": "account", "customer": "account", "person": "contact",
    "case": "incident", "ticket": "incident", "marketing": "list",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TableWords:
    """A table and what people call it."""

    table: Table
    display: str = ""


@dataclass(frozen=True, slots=True)
class ColumnWords:
    """A column of a table and what people call it."""

    column: Column
    display: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What a column of the input looks like. values: distinct filled cells, as many as are probed."""

    header: str
    values: tuple[str, ...]
    guids: float = 0.0
    e_mails: float = 0.0
    actions: float = 0.0

    @property
    def holds_guids(self) -> bool:
        """Most cells are GUIDs."""
        return self.guids >= MOSTLY

    @property
    def holds_actions(self) -> bool:
        """All cells are words such as add and remove."""
        return self.actions == 1.0


def look_at(header: str, cells: Sequence[str]) -> Look:
    """What the cells below a header look like."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    values = tuple(dict.fromkeys(filled))
    if not filled:
        return Look(header, ())
    return Look(
        header,
        values[:PROBES_MAX],
        guids=sum(guid_bytes(cell) is not None for cell in filled) / len(filled),
        e_mails=sum(_E_MAIL.fullmatch(cell) is not None for cell in filled) / len(filled),
        actions=sum(cell.lower() in ACTION_WORDS for cell in filled) / len(filled),
    )


def words(text: str) -> list[str]:
    """Lower-case words in the singular, joined names taken apart: ``AccountIds`` -> account, id."""
    return [_singular(word.lower()) for word in _WORD.findall(text)]


def rank_tables(look: Look, tables: Iterable[TableWords]) -> list[tuple[int, Table]]:
    """The tables that a header may speak of, best first: (score, table)."""
    said = [word for word in words(look.header) if word not in _MANNER]
    nicknames = {_NICKNAMES[word] for word in said if word in _NICKNAMES}
    ranked = []
    for one in tables:
        score = _likeness(said, one, nicknames)
        if score:
            ranked.append((score, one.table))
    return sorted(ranked, key=lambda pair: (-pair[0], pair[1].logical_name))[:TABLES_MAX]


def _likeness(said: Sequence[str], one: TableWords, nicknames: set[str]) -> int:
    name = one.table.logical_name
    together = "".join(said).removesuffix("id")
    forms = {name, _singular(one.table.entity_set), "".join(words(one.display)), name.partition("_")[2]} - {""}
    if together in forms:
        return 4
    if set(said) & forms:
        return 3
    return 2 if name in nicknames else 0


def rank_columns(
    look: Look, table: Table, columns: Sequence[ColumnWords], keys: Sequence[AlternateKey]
) -> list[ColumnWords]:
    """The columns of a table that the cells may hold, best first. The primary key for GUIDs."""
    if look.holds_guids:
        return [one for one in columns if one.column.logical_name == table.primary_id]
    single_keys = {key.columns[0] for key in keys if key.is_active and len(key.columns) == 1}
    scored = []
    for place, one in enumerate(columns):
        score = _fitness(look, table, one, single_keys)
        if score > 0:
            scored.append((-score, place, one))
    return [one for _, _, one in sorted(scored, key=lambda entry: entry[:2])][:COLUMNS_MAX]


def _fitness(look: Look, table: Table, one: ColumnWords, keys: set[str]) -> int:
    column = one.column
    if column.kind not in (ColumnKind.TEXT, ColumnKind.WHOLE, ColumnKind.BIG):
        return 0
    name = column.logical_name
    manners = {_MANNER[word] for word in words(look.header) if word in _MANNER}
    own = words(one.display or name)
    score = 4 * (name in keys) + 2 * (name == table.primary_name)
    score += 5 * (words(look.header) == own) + 3 * any(manner in name for manner in manners)
    if look.e_mails >= MOSTLY:
        score += 4 if "email" in name else -4
    return score


def rank_relationships(
    listed: Iterable[tuple[str, Listed]], pairs: Iterable[tuple[str, str]], hints: Sequence[str]
) -> list[tuple[int, str, Listed]]:
    """(score, the table it was read on, relationship) for those between the tables of a pair, best first.

    hints: words of headers and of the file's name. Each relationship once, as read on the from table.
    """
    wanted = set(pairs)
    found: dict[tuple[str, str], tuple[int, str, Listed]] = {}
    for table, one in listed:
        if (table, one.other_table) not in wanted or not one.navigation_property:
            continue
        name = set(words(f"{one.name} {one.navigation_property}".replace("_", " ")))
        score = 3 * (one.kind == Cardinality.MANY_TO_MANY.value) + len(name.intersection(hints))
        found.setdefault((one.name, one.navigation_property), (score, table, one))
    return sorted(found.values(), key=lambda entry: (-entry[0], entry[2].name.lower()))


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
