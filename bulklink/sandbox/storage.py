"""How an organisation lies in SQLite: tables, indexes, and values on their way in and out.

Owns: the data definition, the text comparison of the service (case and trailing blanks do not count), and the
conversion of values between JSON and storage.
Does not know: rules, requests.
Source: sqlite.org; Microsoft Learn, "Query data using the Web API" (comparison of strings).
"""

import datetime
import re
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from bulklink.sandbox.model import NUMBERS, TARGET_SUFFIX, TEXTS, WHOLE_NUMBERS, Column, Kind, ManyToMany, Model, Table

GUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")

#: The form of the ids that the sandbox makes, as SQLite's printf and Python's % both read it: ascending, like the
#: service's.
NEW_ID_FORMAT: Final = "%08x-%04x-f011-8d4a-6045bdf00001"
#: The table for the sandbox's own notes in a data file.
NOTES: Final = "sandbox notes"

#: The column that the service fills, and from what.
FULL_NAME: Final = "fullname"
PARTS_OF_NAME: Final = frozenset({"firstname", "lastname"})
#: Above it no number of a double is exact to the unit, nor fits a decimal column of the service.
_NUMBER_MAX = 1e28
_FIRST_STATES = {Kind.STATE: 0, Kind.STATUS: 1}
_AFFINITIES = {Kind.BOOLEAN: "INTEGER"} | dict.fromkeys(WHOLE_NUMBERS, "INTEGER") | dict.fromkeys(NUMBERS, "REAL")


def quoted(name: str) -> str:
    """A name as SQL wants it."""
    return '"' + name.replace('"', '""') + '"'


def folded(value: Any) -> Any:
    """Text as the service compares it."""
    return value.rstrip(" ").casefold() if isinstance(value, str) else value


def new_id(number: int) -> str:
    """The id of the record that was the `number`-th write."""
    return NEW_ID_FORMAT % (number >> 16 & 0xFFFFFFFF, number & 0xFFFF)


def connect(file: Path | None) -> sqlite3.Connection:
    """Open the database; in memory without a file."""
    connection = sqlite3.connect(
        str(file) if file else ":memory:", isolation_level=None, check_same_thread=False, cached_statements=2000
    )
    connection.create_function("folded", 1, folded, deterministic=True)
    if file:
        connection.execute("PRAGMA journal_mode=WAL")
        # Survives the end of the process at any moment; only a power cut may cost the last commits.
        connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def define(connection: sqlite3.Connection, model: Model) -> None:
    """Create what the model needs and the database lacks."""
    pairs = {r.intersect: r for r in model.many_to_many.values()}
    for table in model.tables.values():
        for statement in _intersect(table, pairs[table.name]) if table.name in pairs else _records(table):
            connection.execute(statement)
    connection.execute(f"CREATE TABLE IF NOT EXISTS {quoted(NOTES)} (name TEXT PRIMARY KEY, value TEXT)")


def _records(table: Table) -> Iterable[str]:
    name = quoted(table.name)
    columns = [f"{quoted(table.primary_id)} TEXT NOT NULL UNIQUE"]
    columns += [_definition(c) for c in table.columns.values() if c.name not in (table.primary_id, "versionnumber")]
    columns += [f"{quoted(c.name + TARGET_SUFFIX)} TEXT" for c in table.columns.values() if c.is_polymorphic]
    columns.append("versionnumber INTEGER NOT NULL")
    yield f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(columns)})"
    for key in (k for k in table.keys if k.status == "Active"):
        expressions = ", ".join(comparable(table.columns[column]) for column in key.columns)
        yield f"CREATE UNIQUE INDEX IF NOT EXISTS {quoted(f'key {table.name} {key.name}')} ON {name} ({expressions})"


def _definition(column: Column) -> str:
    return f"{quoted(column.name)} {_AFFINITIES.get(column.kind, 'TEXT')}"


def _intersect(table: Table, pairing: ManyToMany) -> Iterable[str]:
    # The write's number is the row's key and its version; its id follows from it, so a link costs one row and two
    # indexes.
    name, first, second = quoted(table.name), quoted(pairing.attribute1), quoted(pairing.attribute2)
    own = (table.primary_id, pairing.attribute1, pairing.attribute2, "versionnumber")
    others = "".join(f", {_definition(c)}" for c in table.columns.values() if c.name not in own)
    yield (
        f"CREATE TABLE IF NOT EXISTS {name} (versionnumber INTEGER PRIMARY KEY, {first} TEXT NOT NULL, "
        f"{second} TEXT NOT NULL{others}, {quoted(table.primary_id)} TEXT GENERATED ALWAYS AS "
        f"(printf('{NEW_ID_FORMAT}', versionnumber >> 16, versionnumber & 65535)) VIRTUAL, UNIQUE ({first}, {second}))"
    )
    yield f"CREATE INDEX IF NOT EXISTS {quoted('second of ' + table.name)} ON {name} ({second})"


def comparable(column: Column, alias: str = "") -> str:
    """The SQL expression by which a column is compared and sorted."""
    name = f"{alias}.{quoted(column.name)}" if alias else quoted(column.name)
    return f"folded({name})" if column.kind in TEXTS else name


def completed(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a new record with what the service adds by itself: state, status, full name."""
    row = dict(values)
    for column in table.columns.values():
        if column.kind in _FIRST_STATES and row.get(column.name) is None:
            row[column.name] = column.options[0][0] if column.options else _FIRST_STATES[column.kind]
    if FULL_NAME in table.columns and not row.get(FULL_NAME) and not PARTS_OF_NAME.isdisjoint(row):
        row[FULL_NAME] = f"{row.get('firstname') or ''} {row.get('lastname') or ''}".strip()
    return row


def to_storage(column: Column, value: Any) -> Any:
    """A JSON value as SQLite keeps it; ValueError, in the library's words, if it does not fit the column."""
    if value is None:
        return None
    if column.kind in TEXTS or column.kind in (Kind.DATETIME, Kind.VIRTUAL):
        if not isinstance(value, str):
            raise ValueError(f"Cannot convert the literal '{value}' to the expected type '{edm_type(column)}'.")
        return _moment(value) if column.kind is Kind.DATETIME else value
    if column.kind is Kind.BOOLEAN:
        if not isinstance(value, bool):
            raise ValueError(f"Cannot convert the literal '{value}' to the expected type 'Edm.Boolean'.")
        return int(value)
    if column.kind in WHOLE_NUMBERS or column.kind in NUMBERS:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _fits(column, value):
            raise ValueError(f"Cannot convert the literal '{value}' to the expected type '{edm_type(column)}'.")
        return value if column.kind in WHOLE_NUMBERS else float(value)
    if not isinstance(value, str) or not GUID.fullmatch(value):
        raise ValueError(f"Cannot convert the literal '{value}' to the expected type 'Edm.Guid'.")
    return value.lower()


def _moment(text: str) -> str:
    """A date as it stands, a time in UTC: so that text sorts as time."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"Cannot convert the literal '{text}' to the expected type 'Edm.DateTimeOffset'.") from None
    if len(text) <= len("2000-01-01"):
        return text
    aware = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return aware.astimezone(datetime.UTC).replace(tzinfo=None, microsecond=0).isoformat() + "Z"


def _fits(column: Column, value: float) -> bool:
    if column.kind not in WHOLE_NUMBERS:
        return abs(value) <= _NUMBER_MAX
    bits = 64 if column.kind is Kind.BIGINT else 32
    return isinstance(value, int) and -(1 << bits - 1) <= value < 1 << bits - 1


def from_storage(column: Column, value: Any) -> Any:
    """A stored value as JSON shows it."""
    return bool(value) if column.kind is Kind.BOOLEAN and value is not None else value


_EDM_TYPES = {
    Kind.STRING: "Edm.String",
    Kind.MEMO: "Edm.String",
    Kind.INTEGER: "Edm.Int32",
    Kind.PICKLIST: "Edm.Int32",
    Kind.STATE: "Edm.Int32",
    Kind.STATUS: "Edm.Int32",
    Kind.BIGINT: "Edm.Int64",
    Kind.DECIMAL: "Edm.Decimal",
    Kind.MONEY: "Edm.Decimal",
    Kind.DOUBLE: "Edm.Double",
    Kind.BOOLEAN: "Edm.Boolean",
    Kind.DATETIME: "Edm.DateTimeOffset",
    Kind.VIRTUAL: "Edm.Binary",
}


def edm_type(column: Column) -> str:
    """The OData type of a column's property."""
    if column.date_only:
        return "Edm.Date"
    return _EDM_TYPES.get(column.kind, "Edm.Guid")
