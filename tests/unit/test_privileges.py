"""What a link job needs to be allowed, and what of it a user lacks."""

import json

import pytest

from bulklink.core.privileges import (
    Lack,
    Need,
    Privilege,
    lacks,
    link_needs,
    read_table_privileges,
    read_user_privileges,
    record_needs,
)
from bulklink.core.relationships import choose_relationship
from tests.organisation import FACTS


def needs(name: str, one: str, other: str) -> set[tuple[str, str]]:
    return {(n.right, n.table) for n in link_needs(choose_relationship(FACTS, name, one, other)) if n.certain}


def test_a_lookup_takes_writing_on_its_holder_and_append_to_on_its_target() -> None:
    expected = {("Read", "account"), ("Read", "contact"), ("Write", "account"), ("Append", "account")}
    expected |= {("AppendTo", "contact")}
    assert needs("primarycontactid", "account", "contact") == expected
    assert needs("account_primary_contact", "contact", "account") == expected


def test_n_to_n_takes_append_and_append_to() -> None:
    expected = {("Read", "account"), ("Read", "lead"), ("Append", "account"), ("AppendTo", "lead")}
    assert needs("accountleads_association", "account", "lead") == expected


def test_a_record_takes_its_own_right_and_append_to_on_what_it_points_at() -> None:
    assert record_needs("task", "Create", []) == [Need("task", "Create")]
    expected = [("task", "Create"), ("task", "Append"), ("account", "Read"), ("account", "AppendTo")]
    assert record_needs("task", "Create", ["account", "", "account"]) == [Need(*one) for one in expected]


def test_what_is_narrow_or_missing_is_lacking_and_what_no_table_defines_is_not() -> None:
    privileges = {"lead": {right: Privilege(f"id-{right}", f"prv{right}Lead") for right in ("Read", "Append", "Write")}}
    wanted = [Need("lead", "Read"), Need("lead", "Append"), Need("lead", "Write"), Need("activityparty", "Read")]
    assert lacks(wanted, privileges, {"id-Read": "Global", "id-Append": "Basic"}) == [
        Lack(wanted[1], "prvAppendLead", "Basic"),
        Lack(wanted[2], "prvWriteLead"),
    ]


def test_the_widest_depth_counts_whether_it_is_a_name_or_a_number() -> None:
    rows = [{"PrivilegeId": "A", "Depth": depth} for depth in ("Basic", 3, "Local")] + [{"PrivilegeId": "B"}]
    assert read_user_privileges(json.dumps({"RolePrivileges": rows}).encode()) == {"a": "Global", "b": "Basic"}


def test_privileges_of_a_table_are_known_by_their_right() -> None:
    body = {"Privileges": [{"PrivilegeType": "Append", "PrivilegeId": "AB", "Name": "prvAppendLead"}]}
    assert read_table_privileges(json.dumps(body).encode()) == {"Append": Privilege("ab", "prvAppendLead")}
    with pytest.raises(KeyError):
        read_user_privileges(b"{}")
