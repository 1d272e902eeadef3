"""Marketing lists, teams and a user's privileges: the operations that have messages of their own.

Owns: AddMemberList, RemoveMemberList, AddListMembersList, AddMembersTeam, RemoveMembersTeam, RetrieveUserPrivileges.
Does not know: references.
Source: Microsoft's Web API action and function reference for these names.
"""

from typing import Any

from bulklink.sandbox.addresses import Address
from bulklink.sandbox.context import Context, Operation
from bulklink.sandbox.errors import NAMESPACE, ODataError, bad_payload, bad_syntax, does_not_exist, not_supported
from bulklink.sandbox.messages import Response, json_answer, no_content
from bulklink.sandbox.model import LinkNavigation, Table
from bulklink.sandbox.privileges import RIGHTS, privilege_id, privilege_name
from bulklink.sandbox.references import add_link
from bulklink.sandbox.storage import GUID, quoted

_MEMBER_TABLES = {1: "account", 2: "contact", 4: "lead"}


def add_member_list(context: Context, operation: Operation, address: Address) -> Response:
    """Add one record to the list; who is on it already stays."""
    list_id = _bound_to(context, address, "list")
    member_id = _guid(operation.request.payload().get("EntityId"), "EntityId")
    row = _add_member(context, address.table, list_id, member_id)
    kind = f"{operation.request.api_url}/$metadata#Microsoft.Dynamics.CRM.AddMemberListResponse"
    return json_answer({"@odata.context": kind, "ListMemberId": row})


def remove_member_list(context: Context, operation: Operation, address: Address) -> Response:
    """Take one record off the list."""
    list_id = _bound_to(context, address, "list")
    member = operation.request.payload().get("ListMember")
    if not isinstance(member, dict):
        raise ODataError(400, "0x80040203", "The parameter 'ListMember' is required.")
    member_id = _guid(member.get("listmemberid"), "listmemberid")
    removed = context.organisation.connection.execute(
        f"DELETE FROM {quoted('listmember')} WHERE listid = ? AND entityid = ?", (list_id, member_id)
    )
    if removed.rowcount == 0:
        raise ODataError(400, "0x80048458", "Specified Item not a member of the specified List.")
    return no_content()


def add_list_members(context: Context, operation: Operation) -> Response:
    """Add many records to a list."""
    payload = operation.request.payload()
    lists, rows = payload.get("List"), payload.get("Members")
    table = context.organisation.model.tables.get("list")
    if table is None:
        raise not_supported("lists in an organisation without the table 'list'")
    if not isinstance(lists, dict) or not isinstance(rows, list):
        raise ODataError(400, "0x80040203", "The parameters 'List' and 'Members' are required.")
    list_id = _guid(lists.get("listid"), "listid")
    if not context.organisation.exists(table, list_id):
        raise does_not_exist("list", list_id)
    for row in rows:
        _add_member(context, table, list_id, _entity_id(context, row))
    return no_content()


def _add_member(context: Context, table: Table, list_id: str, member_id: str) -> str:
    """The id of the list member; the record's table must be the one that the list is made for."""
    record = context.organisation.read(table, list_id) or {}
    wanted = _MEMBER_TABLES.get(record.get("createdfromcode") or 0)
    names = [wanted] if wanted else list(_MEMBER_TABLES.values())
    tables = [context.organisation.model.tables[name] for name in names if name in context.organisation.model.tables]
    member = next((t for t in tables if context.organisation.exists(t, member_id)), None)
    if member is None:
        raise does_not_exist(names[0], member_id)
    sql = f"SELECT listmemberid FROM {quoted('listmember')} WHERE listid = ? AND entityid = ?"
    found = context.organisation.connection.execute(sql, (list_id, member_id)).fetchone()
    if found is None:
        navigation = context.organisation.model.navigations["list"].get(f"list{member.name}_association")
        if not isinstance(navigation, LinkNavigation):
            raise not_supported(f"members of the table '{member.name}'")
        add_link(context, navigation, (table, list_id), (member, member_id))
        found = context.organisation.connection.execute(sql, (list_id, member_id)).fetchone()
    return str(found[0])


def add_members_team(context: Context, operation: Operation, address: Address) -> Response:
    """Add users to the team; who is in it already stays."""
    navigation, team_id, users = _team(context, operation, address)
    for user_id in users:
        if not context.organisation.exists(context.organisation.model.tables["systemuser"], user_id):
            raise does_not_exist("systemuser", user_id)
        if not _is_member(context, navigation, team_id, user_id):
            context.organisation.add_link(navigation, team_id, user_id)
    return no_content()


def remove_members_team(context: Context, operation: Operation, address: Address) -> Response:
    """Take users out of the team."""
    navigation, team_id, users = _team(context, operation, address)
    for user_id in users:
        context.organisation.remove_link(navigation, team_id, user_id)
    return no_content()


def _team(context: Context, operation: Operation, address: Address) -> tuple[LinkNavigation, str, list[str]]:
    team_id = _bound_to(context, address, "team")
    rows = operation.request.payload().get("Members")
    if not isinstance(rows, list):
        raise ODataError(400, "0x80040203", "The parameter 'Members' is required.")
    navigation = context.organisation.model.navigations["team"].get("teammembership_association")
    if not isinstance(navigation, LinkNavigation):
        raise not_supported("team membership in this organisation")
    return navigation, team_id, [_entity_id(context, row) for row in rows]


def _is_member(context: Context, navigation: LinkNavigation, own_id: str, other_id: str) -> bool:
    sql = (
        f"SELECT 1 FROM {quoted(navigation.intersect)} "
        f"WHERE {quoted(navigation.own_attribute)} = ? AND {quoted(navigation.other_attribute)} = ?"
    )
    return context.organisation.connection.execute(sql, (own_id, other_id)).fetchone() is not None


def _bound_to(context: Context, address: Address, table: str) -> str:
    if address.table.name != table or address.key is None:
        raise not_supported(f"the operation '{address.operation}' on '{address.table.name}'")
    return context.addresses.existing_id(address.table, address.key)


def _entity_id(context: Context, row: Any) -> str:
    """The id in an entity parameter: typed, with its primary key."""
    kind = str(row.get("@odata.type", "")).lstrip("#") if isinstance(row, dict) else ""
    table = context.organisation.model.tables.get(kind.removeprefix(f"{NAMESPACE}."))
    if table is None:
        keys = [t for t in context.organisation.model.tables.values() if isinstance(row, dict) and t.primary_id in row]
        table = next(iter(keys), None)
    if table is None:
        raise bad_payload("", "Each member must have '@odata.type' and its primary key.")
    return _guid(row.get(table.primary_id) or row.get("ownerid"), table.primary_id)


def _guid(value: Any, name: str) -> str:
    if not isinstance(value, str) or not GUID.fullmatch(value):
        raise ODataError(400, "0x80040203", f"The parameter '{name}' must be a GUID.")
    return value.lower()


# ---------------------------------------------------------------------- privileges


def user_privileges(context: Context, _operation: Operation, address: Address) -> Response:
    """Every privilege that the user has: all but the organisation's missing ones."""
    _bound_to(context, address, "systemuser")
    names = [
        privilege_name(right, table)
        for table in context.organisation.model.tables.values()
        for right in RIGHTS
        if not table.is_intersect and (right, table.name) not in context.organisation.missing_privileges
    ]
    return _privileges(context, names)


def user_privilege_by_name(context: Context, _operation: Operation, address: Address) -> Response:
    """One privilege by its name: an empty answer if the user lacks it."""
    _bound_to(context, address, "systemuser")
    name, _, value = address.arguments.partition("=")
    if name.strip() != "PrivilegeName" or not value.strip().startswith("'"):
        raise bad_syntax("The function wants PrivilegeName='…'.")
    wanted = value.strip()[1:-1].lower()
    tables = context.organisation.model.tables
    lacking = {privilege_name(right, tables[table]).lower() for right, table in context.organisation.missing_privileges}
    return _privileges(context, [] if wanted in lacking else [wanted])


def _privileges(context: Context, names: list[str]) -> Response:
    found = [
        {
            "Depth": "Global",
            "PrivilegeId": privilege_id(name),
            "BusinessUnitId": context.organisation.business_unit_id,
            "PrivilegeName": name,
        }
        for name in names
    ]
    return json_answer({"RolePrivileges": found})
