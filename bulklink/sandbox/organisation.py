"""An organisation: its model, its records and its links, in one SQLite database.

Owns: storage of records and links, row versions, transactions, and the privileges that the caller lacks.
Does not know: requests, the rules of an operation, HTTP, the clock.
Source: the sandbox's own; "each table a table, each intersect a unique pair".
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from bulklink.sandbox import csdl_reader, link_sql, loading, model_json, sample
from bulklink.sandbox.errors import SandboxUsageError, nearest
from bulklink.sandbox.model import TARGET_SUFFIX, Column, LinkNavigation, ManyToMany, Model, OneToMany, Table
from bulklink.sandbox.storage import (
    FULL_NAME,
    NOTES,
    PARTS_OF_NAME,
    comparable,
    completed,
    connect,
    define,
    new_id,
    quoted,
)

#: The messages whose availability per table a client can ask for.
BULK_MESSAGES = ("CreateMultiple", "UpdateMultiple", "UpsertMultiple")
#: How many of the ids made so far a data file may have lost when its process was ended.
_VERSION_STEP = 1_000


class Organisation:
    """Tables with records. All ids are lower-case text with dashes. One thread, one connection."""

    def __init__(self, model: Model, connection: sqlite3.Connection) -> None:
        self.model = model
        self.connection = connection
        self.missing_privileges: set[tuple[str, str]] = set()
        self.organisation_id = sample.ORGANISATION_ID
        self.business_unit_id = sample.BUSINESS_UNIT_ID
        self.user_id = sample.USER_ID
        self._statements: dict[tuple[str, str, tuple[str, ...]], str] = {}
        self._indexed: set[tuple[str, str]] = set()
        self._version = self._reserved = int(self._note("version") or 0)

    # ------------------------------------------------------------------ making one

    @classmethod
    def in_memory(cls, model: Model | None = None) -> Self:
        """An organisation that ends with the process; the sample model unless another is given."""
        return cls._made(model or sample.sample_model(), None)

    @classmethod
    def sample(cls, file: Path | None = None) -> Self:
        """The built-in sales organisation, with its few fixed records."""
        return cls.open(file) if file else cls.in_memory()

    @classmethod
    def from_csdl(cls, path: Path, file: Path | None = None) -> Self:
        """An organisation with the tables of a ``$metadata`` document; SandboxUsageError if it is none.

        A data file that already holds an organisation with just these tables is opened.
        """
        model = csdl_reader.read_csdl(path)
        if not file or not _holds_data(file):
            return cls._made(model, file)
        organisation = cls.open(file)
        if model_json.to_json(organisation.model) != model_json.to_json(model):
            raise SandboxUsageError(f"{file} holds an organisation with other tables than {path}.")
        return organisation

    @classmethod
    def open(cls, file: Path, model: Model | None = None) -> Self:
        """The organisation in a data file; a new one if there is no such file yet."""
        if not _holds_data(file):
            return cls._made(model or sample.sample_model(), file)
        connection = connect_checked(file)
        stored = connection.execute(f"SELECT value FROM {quoted(NOTES)} WHERE name = 'model'").fetchone()
        return cls(model_json.from_json(json.loads(stored[0])), connection)

    @classmethod
    def _made(cls, model: Model, file: Path | None) -> Self:
        connection = connect(file)
        connection.execute("BEGIN")
        define(connection, model)
        connection.execute("COMMIT")
        organisation = cls(model, connection)
        if file:
            organisation._set_note("model", json.dumps(model_json.to_json(model)))
        organisation._fill()
        return organisation

    def _fill(self) -> None:
        """The records that every organisation has."""
        self.begin()
        for table, values in sample.SAMPLE_RECORDS:
            known = self.model.tables.get(table)
            if known and known.primary_id in values:
                self.insert(known, {name: value for name, value in values.items() if name in known.columns})
        self._fill_messages()
        self.commit()

    def _fill_messages(self) -> None:
        messages, filters = self.model.tables.get("sdkmessage"), self.model.tables.get("sdkmessagefilter")
        if not messages or not filters:
            return
        for message in BULK_MESSAGES:
            message_id = self.insert(messages, {"name": message})
            for table in self.model.tables.values():
                if not table.is_intersect:
                    values = {"primaryobjecttypecode": table.name, "sdkmessageid": message_id}
                    self.insert(filters, values)

    def reset(self) -> None:
        """Delete every record and link; the fixed records come back."""
        self.begin()
        for table in self.model.tables.values():
            self.connection.execute(f"DELETE FROM {quoted(table.name)}")
        self.commit()
        self._fill()

    def close(self) -> None:
        """Close the database."""
        self.connection.close()

    # ------------------------------------------------------------------ transactions

    def begin(self) -> None:
        """Start a transaction."""
        self.connection.execute("BEGIN")

    def commit(self) -> None:
        """Keep what was done."""
        if self._version >= self._reserved:
            self._reserved = self._version + _VERSION_STEP
            self._set_note("version", str(self._reserved))
        self.connection.execute("COMMIT")

    def rollback(self) -> None:
        """Undo what was done."""
        self.connection.execute("ROLLBACK")
        self._indexed.clear()

    def next_version(self) -> int:
        """The number of the next write: row version, and seed of new ids."""
        self._version += 1
        return self._version

    def new_id(self) -> str:
        """An id that no record has."""
        return new_id(self.next_version())

    # ------------------------------------------------------------------ records

    def table(self, name: str) -> Table:
        """A table by logical name; SandboxUsageError with the nearest if there is none."""
        if name not in self.model.tables:
            raise SandboxUsageError(f"There is no table '{name}'.{nearest(name, self.model.tables)}")
        return self.model.tables[name]

    def exists(self, table: Table, record_id: str) -> bool:
        """Is there such a record?"""
        sql = self._sql("exists", table, ())
        return self.connection.execute(sql, (record_id,)).fetchone() is not None

    def read(self, table: Table, record_id: str) -> dict[str, Any] | None:
        """All columns of a record as stored."""
        cursor = self.connection.execute(self._sql("read", table, ()), (record_id,))
        row = cursor.fetchone()
        return dict(zip([d[0] for d in cursor.description], row, strict=True)) if row else None

    def insert(self, table: Table, values: Mapping[str, Any]) -> str:
        """Add a record, making its id if it has none; sqlite3.IntegrityError if a key exists."""
        version = self.next_version()
        record_id: str = values.get(table.primary_id) or new_id(version)
        row = {**completed(table, values), table.primary_id: record_id, "versionnumber": version}
        if table.base == "principal" and "ownerid" in table.columns:
            row["ownerid"] = record_id
        self.connection.execute(self._sql("insert", table, tuple(row)), tuple(row.values()))
        return record_id

    def update(self, table: Table, record_id: str, values: Mapping[str, Any]) -> bool:
        """Change columns of a record; False if there is none. sqlite3.IntegrityError if a key exists."""
        sql = self._sql("update", table, tuple(values))
        cursor = self.connection.execute(sql, (*values.values(), self.next_version(), record_id))
        if FULL_NAME in table.columns and not PARTS_OF_NAME.isdisjoint(values):
            self.connection.execute(self._sql("rename", table, ()), (record_id,))
        return cursor.rowcount == 1

    def delete(self, table: Table, record_id: str) -> bool:
        """Remove a record, and nothing else; False if there is none."""
        return self.connection.execute(self._sql("delete", table, ()), (record_id,)).rowcount == 1

    def children(self, table: Table, column: Column, target: str, target_id: str) -> list[str]:
        """The ids of the records whose lookup points at one record."""
        self.index(table, column)
        sql = f"SELECT {quoted(table.primary_id)} FROM {quoted(table.name)} WHERE {quoted(column.name)} = ?"
        if column.is_polymorphic:
            sql += f" AND coalesce({quoted(column.name + TARGET_SUFFIX)}, ?2) = ?2"
            return [row[0] for row in self.connection.execute(sql, (target_id, target))]
        return [row[0] for row in self.connection.execute(sql, (target_id,))]

    def index(self, table: Table, column: Column) -> None:
        """Make sure that finding records by a column is quick."""
        key = (table.name, column.name)
        if key not in self._indexed:
            self.connection.execute(
                f"CREATE INDEX IF NOT EXISTS {quoted(f'by {table.name} {column.name}')} "
                f"ON {quoted(table.name)} ({comparable(column)})"
            )
            self._indexed.add(key)

    def _sql(self, verb: str, table: Table, columns: tuple[str, ...]) -> str:
        key = (verb, table.name, columns)
        sql = self._statements.get(key)
        if sql is None:
            sql = self._statements[key] = _STATEMENTS[verb](quoted(table.name), quoted(table.primary_id), columns)
        return sql

    # ------------------------------------------------------------------ links

    def add_link(self, navigation: LinkNavigation, own_id: str, other_id: str) -> bool:
        """Pair two records; False if either is missing, sqlite3.IntegrityError if they are paired already."""
        key = ("link", navigation.table, (navigation.name,))
        sql = self._statements.get(key)
        if sql is None:
            sql = self._statements[key] = link_sql.adding(self.model, navigation)
        self._version += 1
        return self.connection.execute(sql, (self._version, own_id, other_id)).rowcount == 1

    def remove_link(self, navigation: LinkNavigation, own_id: str, other_id: str) -> bool:
        """Part two records; False if they were not paired."""
        sql = link_sql.removing(navigation)
        return self.connection.execute(sql, (own_id, other_id)).rowcount == 1

    def links(self, relationship: str) -> Iterator[tuple[str, str]]:
        """Pairs of ids: (table1, table2) of an N:N, (one, many) of a 1:N relationship."""
        known: dict[str, ManyToMany | OneToMany] = {**self.model.many_to_many, **self.model.one_to_many}
        if relationship not in known:
            raise SandboxUsageError(f"There is no relationship '{relationship}'.{nearest(relationship, known)}")
        yield from self.connection.execute(*link_sql.listing(self.model, known[relationship]))

    # ------------------------------------------------------------------ in bulk

    def load_table(self, name: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add records from rows of text or values by column name; SandboxUsageError names what does not fit."""
        return loading.load_rows(self, self.table(name), rows)

    def load(self, directory: Path) -> dict[str, int]:
        """Fill tables from the CSV and XLSX files of a directory; rows loaded by table."""
        return loading.load_directory(self, directory)

    def create_record(self, table: str, values: Mapping[str, Any]) -> str:
        """Add one record; its id."""
        return loading.create_record(self, self.table(table), values)

    def counts(self) -> dict[str, int]:
        """The number of rows of each table that has any, intersects included."""
        found = {}
        for name in sorted(self.model.tables):
            (count,) = self.connection.execute(f"SELECT count(*) FROM {quoted(name)}").fetchone()
            if count:
                found[name] = count
        return found

    def dump(self, directory: Path) -> list[Path]:
        """Write each table that has rows as CSV; the files."""
        return loading.dump(self, directory)

    # ------------------------------------------------------------------ notes of a data file

    def _note(self, name: str) -> str | None:
        found = self.connection.execute(f"SELECT value FROM {quoted(NOTES)} WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def _set_note(self, name: str, value: str) -> None:
        self.connection.execute(f"INSERT OR REPLACE INTO {quoted(NOTES)} VALUES (?, ?)", (name, value))


def _holds_data(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def connect_checked(file: Path) -> sqlite3.Connection:
    """Open a data file; SandboxUsageError if it is not the sandbox's."""
    try:
        connection = connect(file)
        connection.execute(f"SELECT 1 FROM {quoted(NOTES)} WHERE name = 'model'").fetchone()
    except sqlite3.DatabaseError as error:
        raise SandboxUsageError(f"{file} is not a data file of the sandbox ({error}).") from error
    return connection


#: verb -> the statement for a quoted table, its quoted primary key, and columns.
_STATEMENTS: Mapping[str, Callable[[str, str, tuple[str, ...]], str]] = {
    "exists": lambda table, key, _: f"SELECT 1 FROM {table} WHERE {key} = ?",
    "read": lambda table, key, _: f"SELECT * FROM {table} WHERE {key} = ?",
    "rename": lambda table, key, _: (
        f"UPDATE {table} SET fullname = trim(coalesce(firstname, '') || ' ' || coalesce(lastname, '')) WHERE {key} = ?"
    ),
    "delete": lambda table, key, _: f"DELETE FROM {table} WHERE {key} = ?",
    "insert": lambda table, _, columns: (
        f"INSERT INTO {table} ({', '.join(map(quoted, columns))}) VALUES ({', '.join('?' * len(columns))})"
    ),
    "update": lambda table, key, columns: (
        f"UPDATE {table} SET {''.join(f'{quoted(c)} = ?, ' for c in columns)}versionnumber = ? WHERE {key} = ?"
    ),
}
