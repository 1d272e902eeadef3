"""Wire forms: which fits, and its bytes."""

import pytest

from bulklink.core.forms import OperationTemplate, Slot, choose_form, fitting_forms, operation_template
from bulklink.core.relationships import choose_relationship
from bulklink.errors import BulklinkError, FormError
from bulklink.vocabulary import Action, Form
from tests.organisation import FACTS

API = "https://contoso.crm4.dynamics.com/api/data/v9.2"
A, B = b"0a000000-0000-0000-0000-000000000001", b"0b000000-0000-0000-0000-000000000002"
ETAG = b'W/"42"'
ADD, REMOVE, CLEAR = Action.ASSOCIATE, Action.DISASSOCIATE, Action.CLEAR

N_TO_N = choose_relationship(FACTS, "accountleads_association", "account", "lead")
LOOKUP = choose_relationship(FACTS, "primarycontactid", "account", "contact")
COLLECTION = choose_relationship(FACTS, "contact_customer_accounts", "account", "contact")
CUSTOM = choose_relationship(FACTS, "new_Lead", "new_project", "lead")
OWNER = choose_relationship(FACTS, "ownerid", "account", "team")
OWNED = choose_relationship(FACTS, "owner_accounts", "team", "account")


def written(form, relationship, action, **options):
    template = operation_template(form, relationship, API, action, **options)
    (operation,) = template.render([A], [B], [ETAG])
    return operation.decode().replace(A.decode(), "A").replace(B.decode(), "B").replace(API, "API")


ROOT, TAG = "/api/data/v9.2", "?tag=night%20%26%20day"
JSON = "Content-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("form", "relationship", "action", "expected"),
    [
        (Form.REF_ADD, N_TO_N, ADD,
         "POST /api/data/v9.2/accounts(A)/accountleads_association/$ref HTTP/1.1\r\n" + JSON
         + '\r\n{"@odata.id":"API/leads(B)"}'),
        (Form.REF_ADD, COLLECTION, ADD,
         "POST /api/data/v9.2/accounts(A)/contact_customer_accounts/$ref HTTP/1.1\r\n" + JSON
         + '\r\n{"@odata.id":"API/contacts(B)"}'),
        (Form.REF_REMOVE, N_TO_N, REMOVE,
         "DELETE /api/data/v9.2/accounts(A)/accountleads_association(B)/$ref HTTP/1.1\r\n\r\n"),
        (Form.REF_REMOVE, COLLECTION, REMOVE,
         "DELETE /api/data/v9.2/accounts(A)/contact_customer_accounts(B)/$ref HTTP/1.1\r\n\r\n"),
        (Form.REF_REMOVE_ID, N_TO_N, REMOVE,
         ("DELETE /api/data/v9.2/accounts(A)/accountleads_association/$ref?$id="
         "https%3A%2F%2Fcontoso.crm4.dynamics.com%2Fapi%2Fdata%2Fv9.2%2Fleads%28B%29 HTTP/1.1\r\n\r\n")),
        (Form.REF_SET, LOOKUP, ADD,
         "PUT /api/data/v9.2/accounts(A)/primarycontactid/$ref HTTP/1.1\r\n" + JSON
         + '\r\n{"@odata.id":"API/contacts(B)"}'),
        (Form.REF_CLEAR, LOOKUP, REMOVE,
         "DELETE /api/data/v9.2/accounts(A)/primarycontactid/$ref HTTP/1.1\r\n\r\n"),
        (Form.BIND, LOOKUP, ADD,
         "PATCH /api/data/v9.2/accounts(A) HTTP/1.1\r\nIf-Match: *\r\n" + JSON
         + '\r\n{"primarycontactid@odata.bind":"contacts(B)"}'),
        (Form.BIND, COLLECTION, ADD,
         "PATCH /api/data/v9.2/contacts(B) HTTP/1.1\r\nIf-Match: *\r\n" + JSON
         + '\r\n{"parentcustomerid_account@odata.bind":"accounts(A)"}'),
        (Form.BIND, OWNER, ADD,
         "PATCH /api/data/v9.2/accounts(A) HTTP/1.1\r\nIf-Match: *\r\n" + JSON
         + '\r\n{"ownerid@odata.bind":"teams(B)"}'),
        (Form.BIND_CLEAR, CUSTOM, REMOVE,
         'PATCH /api/data/v9.2/new_projects(A) HTTP/1.1\r\nIf-Match: W/"42"\r\n' + JSON
         + '\r\n{"new_Lead":null}'),
        (Form.BIND_CLEAR, COLLECTION, REMOVE,
         'PATCH /api/data/v9.2/contacts(B) HTTP/1.1\r\nIf-Match: W/"42"\r\n' + JSON
         + '\r\n{"parentcustomerid_account":null}'),
        (Form.BIND_CLEAR, LOOKUP, CLEAR,
         "PATCH /api/data/v9.2/accounts(A) HTTP/1.1\r\nIf-Match: *\r\n" + JSON
         + '\r\n{"primarycontactid":null}'),
    ],
)  # fmt: skip
def test_the_bytes_of_a_form(form, relationship, action, expected):
    assert choose_form(relationship, action, form) is form
    assert written(form, relationship, action) == expected


@pytest.mark.parametrize(
    ("relationship", "action", "expected"),
    [
        (N_TO_N, ADD, Form.REF_ADD),
        (N_TO_N, REMOVE, Form.REF_REMOVE),
        (LOOKUP, ADD, Form.BIND),
        (LOOKUP, REMOVE, Form.BIND_CLEAR),
        (LOOKUP, CLEAR, Form.BIND_CLEAR),
        (COLLECTION, ADD, Form.BIND),
        (COLLECTION, REMOVE, Form.BIND_CLEAR),
        (OWNER, ADD, Form.BIND),
        (OWNED, ADD, Form.BIND),
    ],
)
def test_auto_writes_lookups_on_the_record_that_holds_them(relationship, action, expected):
    assert choose_form(relationship, action, Form.AUTO) is expected


@pytest.mark.parametrize(
    ("form", "relationship", "action", "words"),
    [
        (Form.REF_SET, N_TO_N, ADD, "is N:N"),
        (Form.BIND, N_TO_N, ADD, "is N:N"),
        (Form.REF_ADD, LOOKUP, ADD, "is a lookup on account"),
        (Form.REF_REMOVE, LOOKUP, REMOVE, "is a lookup on account"),
        (Form.REF_SET, COLLECTION, ADD, "is a collection on account"),
        (Form.REF_CLEAR, COLLECTION, REMOVE, "is a collection on account"),
        (Form.REF_SET, LOOKUP, REMOVE, "cannot disassociate"),
        (Form.BIND_CLEAR, LOOKUP, ADD, "cannot associate"),
        (Form.REF_ADD, N_TO_N, REMOVE, "cannot disassociate"),
        (Form.AUTO, N_TO_N, CLEAR, "cannot clear a lookup"),
        (Form.REF_SET, OWNER, ADD, "an owner cannot be set by reference"),
        (Form.REF_ADD, OWNED, ADD, "no navigation property on team"),
        (Form.CREATE, N_TO_N, ADD, "not a form of"),
        (Form.PARTIES, N_TO_N, ADD, "not a form of"),
        (Form.UPDATE_MULTIPLE, N_TO_N, ADD, "N:N"),
    ],
)
def test_a_form_that_does_not_fit_is_refused_and_those_that_do_are_named(form, relationship, action, words):
    with pytest.raises(FormError, match=words) as caught:
        choose_form(relationship, action, form)
    assert caught.value.exit_code == 2
    for fitting in fitting_forms(relationship, action):
        assert fitting.value in caught.value.hint


def test_every_fitting_form_can_be_chosen_and_written():
    for relationship in (N_TO_N, LOOKUP, COLLECTION, CUSTOM, OWNER, OWNED):
        for action in (ADD, REMOVE, CLEAR):
            for form in fitting_forms(relationship, action):
                assert choose_form(relationship, action, form) is form
                assert written(form, relationship, action)


def test_extra_headers_stand_on_every_operation():
    text = written(Form.REF_ADD, N_TO_N, ADD, extra_headers=[("CallerObjectId", "x"), ("MSCRM.Bypass", "y")])
    assert text.partition("\r\n\r\n")[0].endswith("\r\nCallerObjectId: x\r\nMSCRM.Bypass: y")


def test_a_header_cannot_smuggle_in_a_line():
    with pytest.raises(FormError):
        written(Form.REF_ADD, N_TO_N, ADD, extra_headers=[("CallerObjectId", "x\r\nEvil: 1")])


@pytest.mark.parametrize(
    ("form", "relationship", "action", "target"),
    [
        (Form.REF_ADD, N_TO_N, ADD, ROOT + "/accounts(A)/accountleads_association/$ref" + TAG),
        (Form.REF_REMOVE, N_TO_N, REMOVE, ROOT + "/accounts(A)/accountleads_association(B)/$ref" + TAG),
        (Form.REF_CLEAR, LOOKUP, REMOVE, ROOT + "/accounts(A)/primarycontactid/$ref" + TAG),
        (Form.BIND, COLLECTION, ADD, ROOT + "/contacts(B)" + TAG),
    ],
)  # fmt: skip
def test_a_tag_travels_in_the_query(form, relationship, action, target):
    assert written(form, relationship, action, tag="night & day").split(" ")[1] == target


def test_a_tag_follows_the_id_of_a_removal():
    text = written(Form.REF_REMOVE_ID, N_TO_N, REMOVE, tag="x")
    assert text.split(" ")[1].endswith("%28B%29&tag=x")


def test_rows_are_rendered_in_order_and_lists_without_a_hole_may_be_empty():
    template = operation_template(Form.REF_REMOVE, N_TO_N, API, REMOVE)
    operations = template.render([A, B], [B, A], [])
    assert operations[0].startswith(b"DELETE /api/data/v9.2/accounts(" + A)
    assert operations[1].startswith(b"DELETE /api/data/v9.2/accounts(" + B)
    assert template.render([], [], []) == []
    clear = operation_template(Form.BIND_CLEAR, LOOKUP, API, CLEAR)
    assert len(clear.render([A, B], [], [])) == 2


def test_lists_of_different_length_are_a_bug_and_say_so():
    template = OperationTemplate((b"x", Slot.FROM_ID, Slot.TO_ID), Form.REF_ADD, idempotent=True)
    with pytest.raises(ValueError, match="zip"):
        template.render([A], [A, B], [])


@pytest.mark.parametrize(
    ("form", "relationship", "action", "idempotent"),
    [
        (Form.REF_ADD, N_TO_N, ADD, True),
        (Form.REF_REMOVE, N_TO_N, REMOVE, True),
        (Form.REF_REMOVE, COLLECTION, REMOVE, False),
        (Form.REF_CLEAR, LOOKUP, REMOVE, False),
        (Form.BIND, LOOKUP, ADD, True),
        (Form.BIND_CLEAR, LOOKUP, REMOVE, True),
    ],
)
def test_a_late_repeat_of_a_removal_without_etag_could_empty_what_others_set(form, relationship, action, idempotent):
    assert operation_template(form, relationship, API, action).idempotent is idempotent


def test_a_delete_that_lost_its_ref_is_never_written():
    from bulklink.core import forms

    with pytest.raises(BulklinkError, match="does not address a reference"):
        forms._check_delete(forms._Request("DELETE", ("/api/accounts(", Slot.FROM_ID, ")?x=/$ref")))
