"""A model as JSON, so that a data file can say what its tables are.

Owns: the two directions of that one conversion.
Does not know: where the JSON is kept.
"""

import dataclasses
from typing import Any

from bulklink.sandbox.model import AlternateKey, Column, Kind, ManyToMany, Model, OneToMany, Table


def to_json(model: Model) -> dict[str, Any]:
    """The model as plain lists and dictionaries."""
    return {
        "tables": [dataclasses.asdict(table) for table in model.tables.values()],
        "one_to_many": [dataclasses.asdict(r) for r in model.one_to_many.values()],
        "many_to_many": [dataclasses.asdict(r) for r in model.many_to_many.values()],
        "abstract": model.abstract,
        "unserved": model.unserved,
    }


def from_json(value: dict[str, Any]) -> Model:
    """The model again."""
    tables = [_table(item) for item in value["tables"]]
    one_to_many = [OneToMany(**item) for item in value["one_to_many"]]
    many_to_many = [ManyToMany(**item) for item in value["many_to_many"]]
    return Model(
        {t.name: t for t in tables},
        {r.name: r for r in one_to_many},
        {r.name: r for r in many_to_many},
        {name: tuple(derived) for name, derived in value["abstract"].items()},
        {name: tuple(navigations) for name, navigations in value["unserved"].items()},
    )


def _table(item: dict[str, Any]) -> Table:
    keys = tuple(AlternateKey(k["name"], tuple(k["columns"]), k["status"]) for k in item.pop("keys"))
    columns = {name: _column(column) for name, column in item.pop("columns").items()}
    return Table(**item, columns=columns, keys=keys)


def _column(item: dict[str, Any]) -> Column:
    options = tuple((number, label) for number, label in item["options"])
    # A data file of an earlier version knows no translations.
    translations = tuple((number, language, label) for number, language, label in item.get("translations", ()))
    typed = {"kind": Kind(item["kind"]), "targets": tuple(item["targets"])}
    return Column(**{**item, **typed, "options": options, "translations": translations})
