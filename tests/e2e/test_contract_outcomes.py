"""Every outcome word of the contract, from the command line, with its reason and what stands beside it."""

import os
import re

from tests.desk import Desk, account, contact, lead, outcomes, words

#: "given the way it is not read, so turned": a sentence of its own for people.
TURNED = "turned"
KEYS = (
    'from = { table = "account", match = { name = "Account" } }\nto = { table = "lead", match = { leadid = "Lead" } }'
)
PARENT = """relationship = "parentcustomerid_account"
action = { column = "Action" }
from = { table = "contact", match = { contactid = "C" } }
to = { table = "account", match = { accountid = "A" } }"""


def test_one_file_with_everything_that_can_happen_to_an_associate(desk: Desk) -> None:
    desk.write("earlier.csv", f"A,L\n{account(1)},{lead(2)}\n")
    assert desk.associate("earlier.csv").code == 0
    desk.write(
        "in.csv",
        "Account,Lead,Note\r\n"
        f"Account 1,{lead(1)},linked\r\n"
        f"Account 1,{lead(2)},there already\r\n"
        ",,\r\n"
        f" account 1 ,{{{lead(1).upper()}}},the first row in other spellings\r\n"
        f"Account 2,{lead(3)[:-1]},half a GUID\r\n"
        f",{lead(3)},no key\r\n"
        f"Account 99,{lead(3)},nobody\r\n"
        f"Account 8,{lead(3)},two of this name\r\n"
        f"Account 3,{lead(99)},no such lead\r\n"
        f"Account 4\r\n",
    )
    desk.job(f'relationship = "accountleads_association"\n{KEYS}')
    assert desk.bulklink("run", "job.toml").code == 3
    (first, there, again, half, empty, nobody, both, refused, short) = outcomes(desk.run_dirs("job")[0])
    assert [first["row"], there["row"], again["row"], short["row"]] == ["1", "2", "4", "10"]

    assert (first["outcome"], first["before"]) == ("associated", "absent")
    assert (first["http_status"], first["attempts"], first["code"]) == ("204", "1", "")
    assert first["request_id"]
    assert (there["outcome"], there["before"]) == ("already-associated", "present")

    assert again["outcome"] == "duplicate"
    assert "row 1" in again["message"]
    assert "associated" in again["message"]
    assert (half["outcome"], "Lead" in half["message"], "GUID" in half["message"]) == ("invalid", True, True)
    assert (empty["outcome"], "from" in empty["message"]) == ("invalid", True)
    assert (nobody["outcome"], "from" in nobody["message"], "Account 99" in nobody["message"]) == (
        "unresolved", True, True,
    )  # fmt: skip
    assert both["outcome"] == "ambiguous"
    assert [sign for sign in ("from", "2", account(8), account(9)) if sign not in both["message"]] == []
    assert (refused["outcome"], refused["code"], refused["http_status"]) == ("rejected", "0x80040217", "404")
    assert lead(99) in refused["message"]
    assert (short["outcome"], short["Lead"], short["Note"]) == ("invalid", "", "")

    for row in (again, half, empty, nobody, both, short):
        assert (row["http_status"], row["request_id"], row["attempts"]) == ("", "", "0")
    assert desk.links() == {(account(1), lead(1)), (account(1), lead(2))}


def test_a_removal_of_what_is_not_linked_or_not_there_is_already_so(desk: Desk) -> None:
    desk.pairs("in.csv", (account(1), lead(1)))
    desk.associate("in.csv")
    desk.pairs("out.csv", (account(1), lead(1)), (account(1), lead(2)), (account(99), lead(1)), (account(1), lead(99)))
    ran = desk.link("disassociate", "out.csv", "accountleads_association", "account=A", "lead=L")
    assert ran.code == 0
    found = outcomes(desk.run_dirs("disassociate*")[0])
    assert [row["outcome"] for row in found] == ["disassociated", *["already-disassociated"] * 3]
    assert [row["before"] for row in found[:2]] == ["present", "absent"]
    assert desk.links() == set()


def test_a_lookup_is_set_moved_and_cleared_only_if_it_points_where_the_row_says(desk: Desk) -> None:
    desk.write("start.csv", "A,C\n" + "".join(f"{account(1)},{contact(n)}\n" for n in (1, 2, 3, 4)))
    assert desk.link("associate", "start.csv", "parentcustomerid_account", "contact=C", "account=A").code == 0
    rows = [
        (contact(1), account(1), "disassociate"),
        (contact(2), account(2), "Remove"),
        (contact(3), account(1), "unlink"),
        (contact(3), account(2), "link"),
        (contact(4), account(1), "add"),
        (contact(5), account(1), "+"),
        (contact(6), account(1), "-"),
        (contact(7), account(1), "associate"),
        (contact(7), account(2), "associate"),
        (contact(7), account(1), "associate"),
        (contact(8), account(1), "associate"),
        (contact(8), account(1), "disassociate"),
        (contact(9), account(1), "delete"),
        (contact(9), account(1), ""),
    ]
    desk.write("in.csv", "C,A,Action\n" + "".join(",".join(row) + "\n" for row in rows))
    desk.job(PARENT)
    assert desk.bulklink("run", "job.toml").code == 3
    found = outcomes(desk.run_dirs("job")[0])
    assert [row["outcome"] for row in found] == [
        "disassociated",
        "already-disassociated",
        "disassociated",
        "associated",
        "already-associated",
        "associated",
        "already-disassociated",
        *["conflicting"] * 5,
        "invalid",
        "invalid",
    ]
    assert [row["before"] for row in found[:7]] == [*[account(1)] * 5, "absent", "absent"]
    assert account(1) in found[1]["message"]
    assert "row 4" in found[2]["message"]
    # One operation for both rows of the move.
    assert found[2]["request_id"] == found[3]["request_id"] != ""
    assert all(re.search(r"row \d+", row["message"]) for row in found[7:12])
    assert "delete" in found[12]["message"]
    assert [desk.held("contact", n, "parentcustomerid") for n in range(1, 9)] == [
        None, account(1), account(2), account(1), account(1), None, None, None,
    ]  # fmt: skip


def test_clear_empties_a_lookup_whatever_it_holds_and_needs_no_to(desk: Desk) -> None:
    desk.write("start.csv", f"A,C\n{account(1)},{contact(1)}\n{account(2)},{contact(2)}\n")
    desk.link("associate", "start.csv", "parentcustomerid_account", "contact=C", "account=A")
    desk.write("in.csv", f"C\n{contact(1)}\n{contact(2)}\n{contact(3)}\n{contact(1)}\n")
    desk.job(
        'relationship = "parentcustomerid_account"\naction = "clear"\n'
        'from = { table = "contact", match = { contactid = "C" } }'
    )
    assert desk.bulklink("run", "job.toml").code == 0
    found = outcomes(desk.run_dirs("job")[0])
    assert [row["outcome"] for row in found] == ["disassociated", "disassociated", "already-disassociated", "duplicate"]
    assert [row["before"] for row in found[:3]] == [account(1), account(2), "absent"]
    assert desk.links("contact_customer_accounts") == set()


def test_a_pair_given_the_wrong_way_round_is_turned_and_said_so(desk: Desk) -> None:
    # primarycontactid is a lookup of the account; the file gives the contact as its from record.
    desk.write("in.csv", f"C,A\n{contact(1)},{account(1)}\n{contact(2)},{account(1)}\nx,{account(2)}\n")
    ran = desk.link("associate", "in.csv", "primarycontactid", "contact=C", "account=A")
    assert ran.code == 3
    assert TURNED in ran.err
    # Both rows speak of one lookup: judged after turning.
    assert words(desk.run_dir()) == ["conflicting", "conflicting", "invalid"]
    desk.write("in.csv", f"C,A\n{contact(1)},{account(1)}\n{contact(1)},{account(2)}\n")
    assert desk.link("associate", "in.csv", "primarycontactid", "contact=C", "account=A").code == 0
    assert desk.links("account_primary_contact") == {(contact(1), account(1)), (contact(1), account(2))}
    assert any(TURNED in note for note in desk.summary(desk.run_dirs()[-1])["notes"])


def test_a_turned_pair_is_told_by_the_side_that_the_person_typed(desk: Desk) -> None:
    desk.write("in.csv", f"C,A\nnobody@contoso.example,{account(1)}\n")
    ran = desk.link("associate", "in.csv", "primarycontactid", "contact.emailaddress1=C", "account=A")
    assert ran.code == 3
    (row,) = outcomes(desk.run_dir())
    assert (row["outcome"], row["message"].startswith("from")) == ("unresolved", True)


def test_repeats_and_contradictions_are_judged_on_the_records_not_on_their_spelling(desk: Desk) -> None:
    desk.write(
        "in.csv",
        f"Name,Lead,Action\nAccount 1,{lead(1)},+\naccount 1,{lead(1).replace('-', '')},+\nACCOUNT 1 ,{lead(1)},-\n"
        f"Account 2,{lead(1)},+\nACCOUNT 2,({lead(1)}),+\n",
    )
    desk.job(
        'relationship = "accountleads_association"\naction = { column = "Action" }\n'
        + KEYS.replace('"Account"', '"Name"')
    )
    assert desk.bulklink("run", "job.toml").code == 3
    assert words(desk.run_dir()) == ["conflicting", "conflicting", "conflicting", "associated", "duplicate"]
    assert desk.links() == {(account(2), lead(1))}


def test_a_duplicate_of_a_row_that_failed_is_not_as_asked(desk: Desk) -> None:
    desk.pairs("in.csv", (account(1), lead(99)), (account(1), lead(99)))
    assert desk.associate("in.csv").code == 3
    row = outcomes(desk.run_dir())[1]
    assert (row["outcome"], "rejected" in row["message"]) == ("duplicate", True)
    assert desk.summary()["not_as_asked"] == 2


def test_a_row_does_not_fall_because_of_its_neighbours(desk: Desk) -> None:
    desk.pairs("in.csv", *((account(1), lead(99 if n == 5 else n)) for n in range(1, 10)))
    assert desk.associate("in.csv", "--change-set-size", 9, "--batch-size", 9).code == 3
    assert words(desk.run_dir()) == ["associated"] * 4 + ["rejected"] + ["associated"] * 4


GROUPS = 'relationship = "accountleads_association"\n' + KEYS.replace('name = "Account"', 'accountid = "Account"')


def test_the_rows_of_a_group_stand_and_fall_together(desk: Desk) -> None:
    desk.write(
        "in.csv",
        "Order,Account,Lead\n"
        f"one,{account(1)},{lead(1)}\none,{account(1)},{lead(2)}\n"
        f"two,{account(2)},{lead(1)}\ntwo,{account(2)},{lead(99)}\ntwo,{account(2)},{lead(2)}\n"
        f"three,{account(3)},{lead(1)}\nthree,{account(3)},no lead\n"
        f",{account(4)},{lead(1)}\n,{account(4)},{lead(99)}\n",
    )
    desk.job(GROUPS, more='[send]\nisolation = "group"\ngroup_by = "Order"')
    assert desk.bulklink("run", "job.toml").code == 3
    found = outcomes(desk.run_dir())
    assert [row["outcome"] for row in found] == [
        "associated", "associated",
        "group-failed", "rejected", "group-failed",
        "group-failed", "invalid",
        "associated", "rejected",
    ]  # fmt: skip
    assert "row 4" in found[2]["message"]
    assert "row 7" in found[5]["message"]
    # Nobody was sent of a group with a row that was wrong before.
    assert (found[5]["attempts"], found[5]["http_status"]) == ("0", "")
    assert desk.links() == {(account(1), lead(1)), (account(1), lead(2)), (account(4), lead(1))}


def test_a_guard_holds_back_what_would_have_been_sent_and_leaves_the_others_their_word(desk: Desk) -> None:
    desk.write(
        "in.csv",
        f"Account,Lead\nAccount 1,{lead(1)}\nAccount 77,{lead(1)}\nAccount 8,{lead(1)}\nAccount 2,x\n"
        f"Account 1,{lead(1)}\n",
    )
    desk.job(f'relationship = "accountleads_association"\n{KEYS}', more="[guard]\nmax_unresolved = 1")
    ran = desk.bulklink("run", "job.toml")
    assert ran.code == 5
    found = outcomes(desk.run_dir())
    assert [row["outcome"] for row in found] == ["guarded", "unresolved", "ambiguous", "invalid", "duplicate"]
    assert "max_unresolved" in found[0]["message"]
    assert "max_unresolved" in ran.err
    assert (desk.run_dir() / "troubles.csv").exists()
    assert (desk.run_dir() / "report.html").exists()
    assert desk.summary()["exit_code"] == 5
    assert desk.links() == set()


def test_the_other_guards_stop_a_run_too(desk: Desk) -> None:
    desk.write("in.csv", f"Account,Lead\nAccount 1,{lead(1)}\n")
    link = f'relationship = "accountleads_association"\n{KEYS}'
    for guard, said in (("min_rows = 2", "min_rows"), ('max_input_age = "1s"', "max_input_age")):
        desk.job(link, more=f"[guard]\n{guard}")
        old = desk.folder / "in.csv"
        os.utime(old, (1_700_000_000, 1_700_000_000))
        ran = desk.bulklink("run", "job.toml")
        assert (ran.code, said in ran.err) == (5, True)
    desk.job(link, more='[guard]\nmin_rows = 1\nmax_unresolved = 0\nmax_input_age = "99999h"')
    assert desk.bulklink("run", "job.toml").code == 0
