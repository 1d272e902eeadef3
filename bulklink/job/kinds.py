"""The three kinds of job: links between records, records that bind others, parties of activities.

Owns: the keys of [link], [record] and [parties], and what must hold within one of them.
Does not know: metadata (whether a table or column exists), the input's header, TOML.
Source: the public contract (README, "Job file", "Which form does what").
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from bulklink.errors import nearest
from bulklink.job.settings import Section
from bulklink.job.values import Flag, MaybeTexts, Name
from bulklink.vocabulary import Form

LINK_ACTIONS = ("associate", "disassociate", "clear", "sync")
LINK_FORMS = (
    Form.AUTO,
    Form.REF_ADD,
    Form.REF_REMOVE,
    Form.REF_REMOVE_ID,
    Form.REF_SET,
    Form.REF_CLEAR,
    Form.BIND,
    Form.BIND_CLEAR,
    Form.UPDATE_MULTIPLE,
    Form.MESSAGE,
)
#: The key of `Side.match` that stands for the table's primary key, whatever its name.
PRIMARY_KEY = ""

Headers = dict[Name, Name]


class Side(Section):
    """How the cells of a row name one record: table, and column of the table -> header of the input."""

    table: Name = Field(description="Logical name of the table, such as account.")
    match: dict[str, Name] = Field(
        min_length=1,
        description="Column of the table = header of the input; one or several. The primary key takes GUIDs.",
    )
    where: str = Field(default="", description="OData filter that narrows the records down, such as statecode eq 0.")
    ignore_case: Flag = Field(default=True, description="Upper and lower case count as alike.")
    trim: Flag = Field(default=True, description="Blanks around a cell do not count.")

    @property
    def headers(self) -> tuple[str, ...]:
        """The input's headers that this side reads."""
        return tuple(self.match.values())


class ActionColumn(Section):
    """The action stands in a column: associate/add/link/+ or disassociate/remove/unlink/-."""

    column: Name = Field(description="Header of the column.")


def _link_action(value: object) -> object:
    if isinstance(value, ActionColumn) or (isinstance(value, str) and value in LINK_ACTIONS):
        return value
    if isinstance(value, dict) and set(value) == {"column"} and isinstance(value["column"], str) and value["column"]:
        return ActionColumn(column=value["column"])
    if value in ("create", "update"):
        raise ValueError(f'"{value}" makes it a [record] job; [link] takes {" | ".join(LINK_ACTIONS)}')
    near = nearest(value, LINK_ACTIONS, 1) if isinstance(value, str) else []
    also = f' (nearest: "{near[0]}")' if near else ""
    raise ValueError(f'must be {" | ".join(LINK_ACTIONS)} or {{ column = "HEADER" }}{also}')


def _link_form(value: object) -> Form:
    try:
        form = Form(value) if isinstance(value, str) else None
    except ValueError:
        form = None
    if form is None or form not in LINK_FORMS:
        words = [form.value for form in LINK_FORMS]
        near = nearest(value, words, 1) if isinstance(value, str) else []
        also = f' (nearest: "{near[0]}")' if near else ""
        raise ValueError(f"must be {' | '.join(words)}{also}")
    return form


class Link(Section):
    """Links between records of two tables."""

    relationship: Name = Field(description="Schema name, intersect table or navigation property name.")
    action: Annotated[
        Literal["associate", "disassociate", "clear", "sync"] | ActionColumn,
        BeforeValidator(_link_action),
        WithJsonSchema({"anyOf": [{"enum": list(LINK_ACTIONS)}, ActionColumn.model_json_schema()]}),
    ] = Field(default="associate", description='associate | disassociate | clear | sync | { column = "HEADER" }.')
    from_: Side = Field(alias="from", description="The from record: the navigation property is read on it.")
    to: Side | None = Field(default=None, description="The to record. Only clear goes without.")
    form: Annotated[
        Form, BeforeValidator(_link_form), WithJsonSchema({"enum": [form.value for form in LINK_FORMS]})
    ] = Field(default=Form.AUTO, description="Wire form; auto chooses by relationship and action.")
    scope: Literal["from", "to", "relationship"] = Field(
        default="from", description="sync: whose links the input describes completely."
    )
    empty_to: Literal["invalid", "none"] = Field(
        default="invalid", description='sync: what an empty to cell means; none: "this from record has no links".'
    )
    skip_existing: Literal["auto", "always", "never"] = Field(
        default="auto", description="Whether to read the links before sending associates."
    )

    @property
    def is_sync(self) -> bool:
        """True if links without a row are to be removed."""
        return self.action == "sync"

    @property
    def action_header(self) -> str:
        """The header of the column that holds the action, or "" if all rows have the same."""
        return self.action.column if isinstance(self.action, ActionColumn) else ""

    @property
    def headers(self) -> tuple[str, ...]:
        """The input's headers that this link reads, each once, in order of mention."""
        action = (self.action_header,) if self.action_header else ()
        return tuple(dict.fromkeys((*self.from_.headers, *(self.to.headers if self.to else ()), *action)))

    @model_validator(mode="after")
    def _both_sides_are_named(self) -> Self:
        if self.to is None and self.action != "clear":
            raise ValueError('to = { table = …, match = { … } } is missing; only action = "clear" goes without')
        return self


class Collection(Side):
    """Several records named in one cell, for a collection-valued navigation property."""

    separator: Name = Field(default=";", description="What stands between the values of the cell.")

    @model_validator(mode="after")
    def _one_column_is_split(self) -> Self:
        if len(self.match) != 1:
            raise ValueError("match must name exactly one column: its cell is split at the separator")
        return self


class Child(Section):
    """A record that is created inside another (deep insert)."""

    columns: Headers = Field(min_length=1, description="Column of the child's table = header of the input.")
    lookups: dict[Name, Side] = Field(
        default={}, description="Navigation property of the child = the record it points at."
    )


class Record(Section):
    """Records that are created or updated, with the associations that travel along."""

    table: Name = Field(description="Logical name of the table.")
    action: Literal["create", "update"] = Field(description="create | update.")
    id_from: MaybeTexts = Field(
        default=(),
        description="create: headers whose cells make a record the same one next time. Not given: all mapped cells.",
    )
    match: Headers = Field(default={}, description="update: column of the table = header of the input.")
    columns: Headers = Field(default={}, description="Column of the table = header of the input.")
    lookups: dict[Name, Side] = Field(
        default={}, description="Single-valued navigation property = the record it points at."
    )
    collections: dict[Name, Collection] = Field(
        default={}, description="create: collection-valued navigation property = the records named in one cell."
    )
    children: dict[Name, Child] = Field(
        default={}, description="create: collection-valued navigation property = new records."
    )
    clear_marker: str = Field(
        default="(clear)", description="update: this cell empties the column or lookup; an empty cell leaves it alone."
    )
    if_match: str = Field(
        default="",
        description="update: header of a column with the record's etag (or version number); somebody else's change "
        "since then makes the row rejected.",
    )

    @model_validator(mode="after")
    def _keys_fit_the_action(self) -> Self:
        foreign = ("match", "if_match") if self.action == "create" else ("id_from", "collections", "children")
        for key in foreign:
            if getattr(self, key):
                raise ValueError(f'{key} does not go with action = "{self.action}"')
        if self.action == "update" and not self.match:
            raise ValueError('match = { … } is missing: action = "update" must know which record')
        if not (self.columns or self.lookups or self.collections or self.children):
            raise ValueError("nothing to write: give columns, lookups, collections or children")
        return self


class Party(Section):
    """Who takes part: a record, or a bare e-mail address, or the address where there is no such record."""

    table: str = Field(default="", description="Logical name of the record's table, such as contact.")
    match: dict[str, Name] = Field(
        default={}, description="Column of the table = header of the input. The primary key takes GUIDs."
    )
    where: str = Field(default="", description="OData filter that narrows the records down.")
    ignore_case: Flag = Field(default=True, description="Upper and lower case count as alike.")
    trim: Flag = Field(default=True, description="Blanks around a cell do not count.")
    address: str = Field(
        default="", description="Header of a column with e-mail addresses, for parties that are no record."
    )

    @property
    def side(self) -> Side | None:
        """How the record is found, if there may be one."""
        if not self.table:
            return None
        return Side(table=self.table, match=self.match, where=self.where, ignore_case=self.ignore_case, trim=self.trim)

    @model_validator(mode="after")
    def _somebody_is_named(self) -> Self:
        if bool(self.table) != bool(self.match):
            raise ValueError("table and match go together")
        if not (self.table or self.address):
            raise ValueError('is nobody: give table and match, or address = "HEADER"')
        return self


class Parties(Section):
    """Activity parties: who an e-mail, appointment or other activity is from, to, with."""

    table: Name = Field(description="Logical name of the activity's table, such as email.")
    match: Headers = Field(min_length=1, description="Column of the activity = header of the input.")
    navigation_property: Name = Field(description="Such as email_activity_parties.")
    party: Party = Field(description="Who takes part: a record, or an e-mail address.")
    participation: Name = Field(description="Header: from, to, cc, bcc … or the participationtypemask number.")
    mode: Literal["append", "replace"] = Field(
        default="append", description="append reads the present parties and writes the union."
    )
    form: Literal["auto", "put", "patch"] = Field(
        default="auto", description="auto: put, and patch where the service answers 405 or 501."
    )


def plain(section: Section) -> dict[str, Any]:
    """The section as a job file would say it in the fewest words: what is at its default is left out."""
    return section.model_dump(mode="json", by_alias=True, exclude_defaults=True)
