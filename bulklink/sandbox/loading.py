"""Records from files and back to files.

Owns: reading CSV and XLSX (file name = table), turning text into column values, making ids where a row has none, and
the dump.
Does not know: requests, rules; what is loaded is taken as it stands.
Source: the sandbox's own.
"""

from __future__ import annotations

import csv
import datetime
import sqlite3
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bulklink.sandbox.errors import SandboxUsageError, nearest
from bulklink.sandbox.model import NUMBERS, TARGET_SUFFIX, WHOLE_NUMBERS, Column, Kind, LookupNavigation, Table
from bulklink.sandbox.storage import from_storage, quoted, to_storage

if TYPE_CHECKING:
    from bulklink.sandbox.organisation import Organisation

_ID_SPACE = uuid.UUID("8a1f5a0e-6d0c-5b57-9a3e-3f4f6b0c7d21")
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_FIELD_CHARACTERS_MAX = 1 << 24

#: (storage column, how to convert a value, the target table if the header names it)
_Setter = tuple[str, Callable[[Any], Any], str]


def load_directory(organisation: Organisation, directory: Path) -> dict[str, int]:
    """Fill tables from every CSV and XLSX file; the rows loaded by table. SandboxUsageError names what does not fit."""
    if not directory.is_dir():
        raise SandboxUsageError(f"{directory} is not a directory.")
    files = sorted(p for p in directory.iterdir() if p.suffix.lower() in (".csv", ".xlsx"))
    if not files:
        raise SandboxUsageError(f"{directory} holds no CSV or XLSX file.")
    loaded: Counter[str] = Counter()
    for file in files:
        table = _table_of(organisation, file)
        try:
            loaded[table.name] += load_rows(organisation, table, _rows_of(file))
        except (SandboxUsageError, UnicodeDecodeError, csv.Error) as error:
            raise SandboxUsageError(f"{file.name}: {error}") from error
    # A file may point at records of a file that came later.
    for name in loaded:
        _find_targets(organisation, organisation.model.tables[name])
    return dict(loaded)


def _table_of(organisation: Organisation, file: Path) -> Table:
    model, name = organisation.model, file.stem
    table = model.tables.get(name) or model.entity_sets.get(name)
    if table is None:
        valid = [*model.tables, *model.entity_sets]
        raise SandboxUsageError(f"{file.name}: there is no table '{name}'.{nearest(name, valid)}")
    return table


def _rows_of(file: Path) -> Iterator[dict[str, Any]]:
    if file.suffix.lower() == ".xlsx":
        yield from _sheet_rows(file)
        return
    csv.field_size_limit(_FIELD_CHARACTERS_MAX)
    with file.open(encoding="utf-8-sig", newline="") as stream:
        header = stream.readline()
        delimiter = max(",;\t", key=header.count)
        stream.seek(0)
        for row in csv.DictReader(stream, delimiter=delimiter):
            if None in row:
                raise SandboxUsageError(f"a row has more cells than the header: {row[None]}")
            yield row


def _sheet_rows(file: Path) -> Iterator[dict[str, Any]]:
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_path(file)
        header, *rows = book.get_sheet_by_index(0).to_python()
    except (python_calamine.CalamineError, ValueError) as error:
        raise SandboxUsageError(f"this is not a readable workbook ({error})") from error
    for row in rows:
        if any(cell != "" for cell in row):
            yield {str(name): _cell_text(cell) for name, cell in zip(header, row, strict=False)}


def _cell_text(cell: Any) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, (datetime.date, datetime.datetime)):
        return cell.isoformat()
    return str(cell)


def load_rows(organisation: Organisation, table: Table, rows: Iterable[Mapping[str, Any]]) -> int:
    """Add records; the number of rows. All or nothing."""
    organisation.begin()
    try:
        count = _insert_all(organisation, table, rows)
        _find_targets(organisation, table)
    except BaseException:
        organisation.rollback()
        raise
    organisation.commit()
    return count


def create_record(organisation: Organisation, table: Table, values: Mapping[str, Any]) -> str:
    """Add one record; its id."""
    record = _Reader(organisation, table).record(values)
    if not table.is_intersect and table.primary_id not in record:
        record[table.primary_id] = organisation.new_id()
    load_rows(organisation, table, [record])
    return str(record[table.primary_id])


def _insert_all(organisation: Organisation, table: Table, rows: Iterable[Mapping[str, Any]]) -> int:
    reader, seen, count = _Reader(organisation, table), Counter[str](), 0
    for count, row in enumerate(rows, 1):
        try:
            record = reader.record(row)
            if table.is_intersect:
                _insert_link(organisation, table, record)
                continue
            if not record.get(table.primary_id):
                record[table.primary_id] = _made_id(table, record, seen)
            organisation.insert(table, record)
        except (ValueError, SandboxUsageError) as error:
            raise SandboxUsageError(f"row {count}: {error}") from error
        except sqlite3.IntegrityError as error:
            raise SandboxUsageError(f"row {count}: a record with this key is there already ({error})") from error
    return count


def _insert_link(organisation: Organisation, table: Table, record: dict[str, Any]) -> None:
    record.pop(table.primary_id, None)
    row = {**record, "versionnumber": organisation.next_version()}
    marks = ", ".join("?" * len(row))
    sql = f"INSERT INTO {quoted(table.name)} ({', '.join(map(quoted, row))}) VALUES ({marks})"
    organisation.connection.execute(sql, tuple(row.values()))


def _made_id(table: Table, record: dict[str, Any], seen: Counter[str]) -> str:
    """The same row of the same table always gets the same id; a repeated row the next one."""
    content = repr((table.name, sorted(item for item in record.items() if item[1] is not None)))
    seen[content] += 1
    return str(uuid.uuid5(_ID_SPACE, f"{content}#{seen[content]}"))


class _Reader:
    """Turns rows of one table into storage values; looks a header up once."""

    def __init__(self, organisation: Organisation, table: Table) -> None:
        self._model, self._table = organisation.model, table
        self._setters: dict[str, _Setter] = {}

    def record(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Storage values by storage column; ValueError names the cell."""
        record: dict[str, Any] = {}
        for name, value in row.items():
            setter = self._setters.get(name)
            if setter is None:
                setter = self._setters[name] = self._setter(name)
            column, convert, target = setter
            if value is None or value == "":
                continue
            try:
                record[column] = convert(value)
            except ValueError as error:
                raise ValueError(f"column '{name}': {error}") from error
            if target:
                record[column + TARGET_SUFFIX] = target
        return record

    def _setter(self, name: str) -> _Setter:
        column = self._table.columns.get(name) or self._model.properties[self._table.name].get(name)
        if column is not None:
            return column.name, _converter(column), ""
        if name.removesuffix(TARGET_SUFFIX) in self._table.columns:
            return name, str, ""
        navigation = self._model.navigations[self._table.name].get(name)
        if isinstance(navigation, LookupNavigation):
            column = self._table.columns[navigation.column]
            target = navigation.targets[0] if column.is_polymorphic and len(navigation.targets) == 1 else ""
            return column.name, _converter(column), target
        valid = [*self._table.columns, *self._model.navigations[self._table.name]]
        raise SandboxUsageError(f"table '{self._table.name}' has no column '{name}'.{nearest(name, valid)}")


def _converter(column: Column) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        return to_storage(column, _from_text(column, value) if isinstance(value, str) else value)

    return convert


def _from_text(column: Column, text: str) -> Any:
    labels = [*column.options, *((number, words) for number, _, words in column.translations)]
    for number, label in labels:
        if label.casefold() == text.strip().casefold():
            return bool(number) if column.kind is Kind.BOOLEAN else number
    if column.kind is Kind.BOOLEAN:
        if text.strip().lower() not in _BOOLEANS:
            raise ValueError(f"'{text}' is neither true nor false")
        return _BOOLEANS[text.strip().lower()]
    if column.kind in WHOLE_NUMBERS:
        return int(text)
    if column.kind in NUMBERS:
        return float(text)
    if column.is_lookup or column.kind is Kind.UNIQUEIDENTIFIER:
        return str(uuid.UUID(text.strip()))
    return text


def _find_targets(organisation: Organisation, table: Table) -> None:
    """Say of polymorphic lookups that were given as plain ids which table they point at."""
    for column in table.columns.values():
        for target in column.targets if column.is_polymorphic else ():
            other, name = organisation.model.tables[target], quoted(column.name)
            organisation.connection.execute(
                f"UPDATE {quoted(table.name)} SET {quoted(column.name + TARGET_SUFFIX)} = ? "
                f"WHERE {name} IS NOT NULL AND {quoted(column.name + TARGET_SUFFIX)} IS NULL "
                f"AND {name} IN (SELECT {quoted(other.primary_id)} FROM {quoted(other.name)})",
                (target,),
            )


def dump(organisation: Organisation, directory: Path) -> list[Path]:
    """Write each table that has rows as CSV, in a form that `load_directory` reads; the files."""
    directory.mkdir(parents=True, exist_ok=True)
    return [_dump_table(organisation, name, directory / f"{name}.csv") for name in organisation.counts()]


def _dump_table(organisation: Organisation, name: str, file: Path) -> Path:
    columns = organisation.model.tables[name].columns
    cursor = organisation.connection.execute(f"SELECT * FROM {quoted(name)} ORDER BY rowid")
    names = [description[0] for description in cursor.description]
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(names)
        for row in cursor:
            writer.writerow(_as_text(columns.get(n), value) for n, value in zip(names, row, strict=True))
    return file


def _as_text(column: Column | None, value: Any) -> Any:
    shown = from_storage(column, value) if column else value
    return str(shown).lower() if isinstance(shown, bool) else shown
