"""All wire forms by name: each travels as the contract's table says where it fits, and exits 2 where it does not."""

from collections.abc import Iterator
from typing import Any

import pytest

from bulklink.sandbox.messages import Request
from bulklink.sandbox.service import Service
from tests.desk import Desk, account, contact, lead, words

#: What relates the two records of a row: relationship, from side and to side as typed.
MANY = ("accountleads_association", "account=A", "lead=L")
LOOKUP = ("parentcustomerid_account", "contact=C", "account=A")
COLLECTION = ("contact_customer_accounts", "account=A", "contact=C")
KINDS = {"N:N": MANY, "lookup": LOOKUP, "1:N": COLLECTION}

A, L, C = f"accounts({account(1)})", f"leads({lead(1)})", f"contacts({contact(1)})"
#: Form, kind of relationship -> action, method and the end of the path.
FITS = {
    ("ref-add", "N:N"): ("associate", "POST", f"{A}/accountleads_association/$ref"),
    ("ref-add", "1:N"): ("associate", "POST", f"{A}/contact_customer_accounts/$ref"),
    ("ref-remove", "N:N"): ("disassociate", "DELETE", f"{A}/accountleads_association({lead(1)})/$ref"),
    ("ref-remove", "1:N"): ("disassociate", "DELETE", f"{A}/contact_customer_accounts({contact(1)})/$ref"),
    ("ref-remove-id", "N:N"): ("disassociate", "DELETE", f"{A}/accountleads_association/$ref"),
    ("ref-remove-id", "1:N"): ("disassociate", "DELETE", f"{A}/contact_customer_accounts/$ref"),
    ("ref-set", "lookup"): ("associate", "PUT", f"{C}/parentcustomerid_account/$ref"),
    ("ref-clear", "lookup"): ("disassociate", "DELETE", f"{C}/parentcustomerid_account/$ref"),
    ("bind", "lookup"): ("associate", "PATCH", C),
    ("bind", "1:N"): ("associate", "PATCH", C),
    ("bind-clear", "lookup"): ("disassociate", "PATCH", C),
    ("bind-clear", "1:N"): ("disassociate", "PATCH", C),
    ("auto", "N:N"): ("associate", "POST", f"{A}/accountleads_association/$ref"),
    ("auto", "lookup"): ("associate", "PATCH", C),
    ("auto", "1:N"): ("associate", "PATCH", C),
}
FORMS = ("ref-add", "ref-remove", "ref-remove-id", "ref-set", "ref-clear", "bind", "bind-clear")
ACTIONS = ("associate", "disassociate")
MISFITS = [
    (form, kind, action)
    for form in FORMS
    for kind in KINDS
    for action in ACTIONS
    if FITS.get((form, kind), ("",))[0] != action
]


@pytest.fixture
def overheard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Request]]:
    """What the sandbox is asked to change."""
    heard: list[Request] = []
    execute = Service.execute

    def listening(self: Service, request: Request, *rest: Any) -> Any:
        if request.method != "GET":
            heard.append(request)
        return execute(self, request, *rest)

    monkeypatch.setattr(Service, "execute", listening)
    return iter([heard])


@pytest.mark.parametrize(("form", "kind"), FITS)
def test_a_named_form_is_used_as_named_where_it_fits(
    form: str, kind: str, desk: Desk, overheard: Iterator[list[Request]]
) -> None:
    heard = next(overheard)
    action, method, path = FITS[form, kind]
    relationship = {"N:N": "accountleads_association"}.get(kind, "contact_customer_accounts")
    linked = {(account(1), lead(1) if kind == "N:N" else contact(1))}
    desk.write("in.csv", f"A,L,C\n{account(1)},{lead(1)},{contact(1)}\n")
    if action == "disassociate":
        assert desk.link("associate", "in.csv", *KINDS[kind]).code == 0
        heard.clear()
    ran = desk.link(action, "in.csv", *KINDS[kind], "--form", form)
    assert ran.code == 0, ran.err
    assert words(desk.run_dirs()[-1]) == [f"{action}d"]
    assert [(one.method, one.path.endswith(path)) for one in heard] == [(method, True)], heard
    assert desk.links(relationship) == (linked if action == "associate" else set())
    # Once more: it is so already, and nothing is changed.
    heard.clear()
    assert desk.link(action, "in.csv", *KINDS[kind], "--form", form).code == 0
    assert words(desk.run_dirs()[-1]) == [f"already-{action}d"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_form_that_fits_neither_relationship_nor_action_exits_2_and_names_those_that_fit(
    kind: str, desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bulklink.cli import main

    desk.write("in.csv", f"A,L,C\n{account(1)},{lead(1)},{contact(1)}\n")
    monkeypatch.chdir(desk.folder)
    monkeypatch.setenv("BULKLINK_TOKEN", "any")
    monkeypatch.setenv("BULKLINK_STATE_DIR", str(desk.folder / "state"))
    relationship, from_, to = KINDS[kind]
    for form, _, action in [one for one in MISFITS if one[1] == kind]:
        arguments = [action, "in.csv", "--url", desk.url, "--relationship", relationship, "--from", from_, "--to", to]
        assert main([*arguments, "--form", form]) == 2, (form, action)
        out, err = capsys.readouterr()
        assert (out, form in err) == ("", True)
        fitting = [one for one in FORMS if FITS.get((one, kind), ("",))[0] == action]
        assert [one for one in fitting if one not in err] == [], (form, action, err)
    assert desk.run_dirs() == []
    assert desk.links() | desk.links("contact_customer_accounts") == set()


@pytest.mark.parametrize("form", ["bind-clear", "ref-clear", "ref-remove", "ref-remove-id"])
def test_no_form_removes_a_lookup_that_points_elsewhere(form: str, desk: Desk) -> None:
    desk.write("start.csv", f"A,C\n{account(2)},{contact(1)}\n")
    desk.link("associate", "start.csv", *LOOKUP)
    desk.write("in.csv", f"A,C\n{account(1)},{contact(1)}\n")
    sides = COLLECTION if form.startswith("ref-remove") else LOOKUP
    assert desk.link("disassociate", "in.csv", *sides, "--form", form).code == 0
    assert words(desk.run_dirs()[-1]) == ["already-disassociated"]
    assert desk.held("contact", 1, "parentcustomerid") == account(2)


def test_an_unknown_form_exits_2_with_the_nearest(desk: Desk) -> None:
    desk.write("in.csv", f"A,L\n{account(1)},{lead(1)}\n")
    ran = desk.associate("in.csv", "--form", "ref-ad")
    assert (ran.code, "ref-add" in ran.err) == (2, True)
