"""What the demo plays with: an organisation's records as CSV, spreadsheets of links, and their job files.

Owns: the made-up records, and the mistakes in the spreadsheets: the kinds that people make.
Does not know: how the demo runs. Everything is the same each time.
"""

import csv
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

ACCOUNTS: Final = 200
LEADS: Final = 2_500
CONTACTS: Final = 1_500
OPPORTUNITIES: Final = 1_000

_SPACE: Final = uuid.UUID("3d6c1a52-7f0e-4b5b-9a58-6a1f2f0c9e11")

#: Job file -> the relationship whose links the sandbox holds afterwards.
JOBS: Final = {
    "account-leads": "accountleads_association",
    "account-contacts": "contact_customer_accounts",
    "opportunity-accounts": "opportunity_parent_account",
}

_JOB_FILES: Final = {
    "account-leads": """\
# N:N between accounts and leads: GUIDs, semicolons, and what goes wrong when people copy and paste.
version = 1
name = "account-leads"

[input]
file = "account-leads.csv"

[link]
relationship = "accountleads_association"
from = { table = "account", match = { accountid = "Account" } }
to = { table = "lead", match = { leadid = "Lead" } }
""",
    "account-contacts": """\
# 1:N from the account's side: accounts by number, contacts by e-mail address.
version = 1
name = "account-contacts"

[input]
file = "account-contacts.xlsx"
sheet = "Contacts"

[link]
relationship = "contact_customer_accounts"
from = { table = "account", match = { accountnumber = "Account No" } }
to = { table = "contact", match = { emailaddress1 = "E-mail" } }
""",
    "opportunity-accounts": """\
# A lookup: what is right already is not sent, what points elsewhere is moved.
version = 1
name = "opportunity-accounts"

[input]
file = "opportunity-accounts.xlsx"

[link]
relationship = "parentaccountid"
from = { table = "opportunity", match = { opportunityid = "Opportunity" } }
to = { table = "account", match = { accountid = "Account" } }
""",
}


def record_id(table: str, number: int) -> str:
    """The id of one made-up record."""
    return str(uuid.uuid5(_SPACE, f"{table}/{number}"))


def write_demo_files(folder: Path) -> None:
    """Write organisation/, spreadsheets and job files into `folder`."""
    organisation = folder / "organisation"
    organisation.mkdir(parents=True, exist_ok=True)
    for table, (header, rows) in _organisation().items():
        _write_csv(organisation / f"{table}.csv", [header, *rows])
    _write_csv(folder / "account-leads.csv", [("Account", "Lead", "Comment"), *_account_leads()], delimiter=";")
    _write_workbook(folder / "account-contacts.xlsx", "Contacts", [("Account No", "E-mail"), *_account_contacts()])
    _write_workbook(folder / "opportunity-accounts.xlsx", "Links", [("Opportunity", "Account"), *_opportunities()])
    for name, text in _JOB_FILES.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")


def _organisation() -> dict[str, tuple[Sequence[str], Iterable[Sequence[str]]]]:
    return {
        "account": (
            ("accountid", "name", "accountnumber"),
            [(record_id("account", n), f"Account {n}", _account_number(n)) for n in range(ACCOUNTS)],
        ),
        "lead": (("leadid", "fullname"), [(record_id("lead", n), f"Lead {n}") for n in range(LEADS)]),
        "contact": (
            ("contactid", "fullname", "emailaddress1"),
            [(record_id("contact", n), f"Contact {n}", _e_mail(n)) for n in range(CONTACTS)],
        ),
        "opportunity": (
            ("opportunityid", "name", "parentaccountid"),
            [(record_id("opportunity", n), f"Opportunity {n}", _account_before(n)) for n in range(OPPORTUNITIES)],
        ),
    }


def _account_number(number: int) -> str:
    return f"{number:05}"


def _e_mail(number: int) -> str:
    return f"contact{number}@contoso.example"


def _account_of(opportunity: int) -> str:
    return record_id("account", opportunity * 7 % ACCOUNTS)


def _account_before(opportunity: int) -> str:
    """A quarter points at the right account already, a tenth at another one, the rest nowhere."""
    if opportunity % 4 == 0:
        return _account_of(opportunity)
    return _account_of(opportunity + 1) if opportunity % 10 == 1 else ""


def _account_leads() -> Iterator[tuple[str, str, str]]:
    """4,060 rows: 4,000 pairs in several spellings, one busy account among them, and sixty mistakes."""
    for n in range(4_000):
        is_busy = n % 5 == 0
        account = record_id("account", 0 if is_busy else n * 7 % ACCOUNTS)
        lead = record_id("lead", n // 5 if is_busy else (n * 3 + n // LEADS) % LEADS)
        yield account, (f"{{{lead.upper()}}}" if n % 3 == 0 else lead), ""
    first_account, first_lead = record_id("account", 0), record_id("lead", 0)
    for n in range(20):
        yield first_account.upper(), f" {first_lead} ", f"the same pair again, {n + 1}"
    for n in range(20):
        yield record_id("account", n), record_id("lead", n)[: n + 8], "a GUID that lost its end"
    for n in range(15):
        yield record_id("account", n), record_id("lead", LEADS + n), "a lead that was deleted"
    for n in range(5):
        yield record_id("account", n), "", "no lead"


def _account_contacts() -> Iterator[tuple[str, str]]:
    """1,515 rows: each contact once, and keys that nobody has."""
    for n in range(CONTACTS):
        yield _account_number(n * 11 % ACCOUNTS), _e_mail(n).upper() if n % 7 == 0 else _e_mail(n)
    for n in range(10):
        yield _account_number(ACCOUNTS + n), _e_mail(n)
    for n in range(5):
        yield _account_number(n), f"nobody{n}@contoso.example"


def _opportunities() -> Iterator[tuple[str, str]]:
    """1,006 rows: each opportunity once, three of them a second time with another account."""
    for n in range(OPPORTUNITIES):
        yield record_id("opportunity", n), _account_of(n)
    for n in (3, 5, 7):
        yield record_id("opportunity", n), record_id("account", 1)
    for n in range(3):
        yield "#N/A", record_id("account", n)


def _write_csv(path: Path, rows: Iterable[Sequence[str]], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\r\n").writerows(rows)


def _write_workbook(path: Path, sheet: str, rows: Iterable[Sequence[str]]) -> None:
    import openpyxl

    workbook = openpyxl.Workbook(write_only=True)
    worksheet = workbook.create_sheet(sheet)
    for row in rows:
        worksheet.append(row)
    workbook.save(path)
