"""Hints of headers and cells, and how they are weighed."""

import pytest

from bulklink.core.facts import AlternateKey, Column, ColumnKind
from bulklink.core.proposing import (
    ColumnWords,
    TableWords,
    look_at,
    rank_columns,
    rank_relationships,
    rank_tables,
    words,
)
from bulklink.core.relationships import Listed
from tests.organisation import TABLES

KNOWN = [TableWords(table, name.capitalize()) for name, table in TABLES.items()]
GUID = "5f0c6a1e-3f6b-4f37-9a4e-1f7a0c3b5d21"
ACCOUNT = [
    ColumnWords(Column("accountid", ColumnKind.GUID), "Account"),
    ColumnWords(Column("name", ColumnKind.TEXT), "Account Name"),
    ColumnWords(Column("accountnumber", ColumnKind.TEXT), "Account Number"),
    ColumnWords(Column("emailaddress1", ColumnKind.TEXT), "Email"),
    ColumnWords(Column("createdon", ColumnKind.DATETIME), "Created On"),
]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Account No", ["account", "no"]),
        ("LeadIds", ["lead", "ids"]),
        ("E-Mail", ["e", "mail"]),
        ("companies_of", ["company", "of"]),
        ("ERPCode 2", ["erp", "code", "2"]),
    ],
)
def test_headers_are_taken_apart_into_words(header: str, expected: list[str]) -> None:
    assert words(header) == expected


@pytest.mark.parametrize(
    ("header", "table"),
    [
        ("Account No", "account"), ("accountid", "account"), ("Accounts", "account"), ("LEAD", "lead"),
        ("Project Name", "new_project"), ("User e-mail", "systemuser"), ("Customer", "account"), ("Remarks", ""),
    ],
)  # fmt: skip
def test_a_header_speaks_of_a_table(header: str, table: str) -> None:
    ranked = rank_tables(look_at(header, []), KNOWN)
    assert (ranked[0][1].logical_name if ranked else "") == table


def test_cells_show_what_they_are() -> None:
    assert look_at("x", [GUID, GUID.upper(), "", "#N/A"]).holds_guids
    assert not look_at("x", [GUID, "1", "2"]).holds_guids
    assert look_at("x", ["a@b.example", "c@d.example"]).e_mails == 1
    assert look_at("x", ["add", "Remove", "+"]).holds_actions
    assert not look_at("x", ["add", "perhaps"]).holds_actions
    assert not look_at("x", []).holds_actions


def names(header: str, cells: list[str], keys: list[AlternateKey]) -> list[str]:
    found = rank_columns(look_at(header, cells), TABLES["account"], ACCOUNT, keys)
    return [one.column.logical_name for one in found]


def test_columns_are_ranked_by_keys_words_and_shape() -> None:
    key = AlternateKey("k", ("accountnumber",), is_active=True)
    assert names("Account", [GUID], [key]) == ["accountid"]
    assert names("Account No", ["001"], [key])[0] == "accountnumber"
    assert names("Account Name", ["Acme"], [])[0] == "name"
    assert names("Account E-mail", ["a@b.example"], [key])[0] == "emailaddress1"
    assert "createdon" not in names("Account created on", ["2026-01-01"], [])
    assert names("Account", ["001"], [AlternateKey("k", ("accountnumber",), is_active=False)]) == ["name"]


def test_n_to_n_goes_before_the_others_and_words_decide_between_those() -> None:
    listed = [
        ("account", Listed("contact_customer_accounts", "1:N", "contact", "contact_customer_accounts", "p", "")),
        ("account", Listed("account_primary_contact", "N:1", "contact", "primarycontactid", "a", "")),
        ("account", Listed("accountleads_association", "N:N", "lead", "accountleads_association", "a", "")),
    ]
    ranked = rank_relationships(listed, [("account", "contact")], ["primary"])
    assert [one.name for _, _, one in ranked] == ["account_primary_contact", "contact_customer_accounts"]
    both = rank_relationships(listed, [("account", "contact"), ("account", "lead")], [])
    assert both[0][2].name == "accountleads_association"
