"""Functions and actions, bound and unbound.

Owns: which there are, and the answer of each.
Does not know: records' rules beyond calling them.
Source: Microsoft Learn, "Use Web API functions", "Use Web API actions", "Bulk operation messages".
"""

import re
from collections.abc import Callable, Mapping

from bulklink.sandbox import bulk, members
from bulklink.sandbox.addresses import Address, Segment
from bulklink.sandbox.context import Context, Operation
from bulklink.sandbox.errors import method_not_allowed, no_http_resource, not_supported
from bulklink.sandbox.messages import Response, json_answer

#: How the service names its operations; entity sets are lower-case.
_OPERATION_NAME = re.compile(
    r"(?:Add|Associate|Bulk|Calculate|Disassociate|Execute|Export|Get|Grant|Import|Initialize|Merge|Modify|Publish|Remove"
    r"|Retrieve|Revoke|Send|Set|Validate)[A-Z]\w*"
)
_VERSION = "9.2.26113.00150"
_ENVIRONMENT_ID = "0b0e7a1c-5f3d-4c4e-9a51-2d6f8c1e0007"
_TENANT_ID = "0b0e7a1c-5f3d-4c4e-9a51-2d6f8c1e0008"


def _who_am_i(context: Context, operation: Operation, _segment: Segment) -> Response:
    organisation = context.organisation
    return json_answer(
        {
            "@odata.context": f"{operation.request.api_url}/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse",
            "BusinessUnitId": organisation.business_unit_id,
            "UserId": organisation.user_id,
            "OrganizationId": organisation.organisation_id,
        }
    )


def _current_organisation(context: Context, operation: Operation, _segment: Segment) -> Response:
    host = operation.request.api_url.partition("/api/")[0] + "/"
    kind = "Microsoft.Dynamics.CRM.RetrieveCurrentOrganizationResponse"
    detail = {
        "OrganizationId": context.organisation.organisation_id,
        "FriendlyName": "bulklink sandbox",
        "OrganizationVersion": _VERSION,
        "EnvironmentId": _ENVIRONMENT_ID,
        "Geo": "EMEA",
        "TenantId": _TENANT_ID,
        "UrlName": "sandbox",
        "UniqueName": "sandbox",
        "Endpoints": {
            "Count": 2,
            "IsReadOnly": False,
            "Keys": ["WebApplication", "OrganizationDataService"],
            "Values": [host, f"{operation.request.api_url}/"],
        },
        "State": "Enabled",
    }
    return json_answer({"@odata.context": f"{operation.request.api_url}/$metadata#{kind}", "Detail": detail})


def _version(context: Context, operation: Operation, _segment: Segment) -> Response:
    kind = "Microsoft.Dynamics.CRM.RetrieveVersionResponse"
    return json_answer({"@odata.context": f"{operation.request.api_url}/$metadata#{kind}", "Version": _VERSION})


def _add_list_members(context: Context, operation: Operation, _segment: Segment) -> Response:
    return members.add_list_members(context, operation)


#: Unbound: name -> (method, rule).
UNBOUND: Mapping[str, tuple[str, Callable[[Context, Operation, Segment], Response]]] = {
    "WhoAmI": ("GET", _who_am_i),
    "RetrieveCurrentOrganization": ("GET", _current_organisation),
    "RetrieveVersion": ("GET", _version),
    "AddListMembersList": ("POST", _add_list_members),
}

#: Bound: name -> (method, rule).
BOUND: Mapping[str, tuple[str, Callable[[Context, Operation, Address], Response]]] = {
    "CreateMultiple": ("POST", bulk.create_multiple),
    "UpdateMultiple": ("POST", bulk.update_multiple),
    "UpsertMultiple": ("POST", bulk.upsert_multiple),
    "AddMemberList": ("POST", members.add_member_list),
    "RemoveMemberList": ("POST", members.remove_member_list),
    "AddMembersTeam": ("POST", members.add_members_team),
    "RemoveMembersTeam": ("POST", members.remove_members_team),
    "RetrieveUserPrivileges": ("GET", members.user_privileges),
    "RetrieveUserPrivilegeByPrivilegeName": ("GET", members.user_privilege_by_name),
}


def looks_unbound(name: str) -> bool:
    """Does a first path segment look like an operation rather than a misspelt entity set?"""
    return name in UNBOUND or _OPERATION_NAME.fullmatch(name) is not None


def unbound(context: Context, operation: Operation, segment: Segment) -> Response:
    """Answer an operation that stands for itself."""
    if segment.name not in UNBOUND:
        raise not_supported(f"the operation '{segment.name}'")
    method, rule = UNBOUND[segment.name]
    if operation.request.method != method:
        # The service words a function that is called by POST as a missing resource.
        raise no_http_resource(f"{operation.request.api_url}/{operation.request.path}")
    return rule(context, operation, segment)


def bound(context: Context, operation: Operation, address: Address) -> Response:
    """Answer an operation that is bound to an entity set or a record."""
    if address.operation not in BOUND:
        raise not_supported(f"the operation '{address.operation}'")
    method, rule = BOUND[address.operation]
    if operation.request.method != method:
        raise method_not_allowed(operation.request.method)
    return rule(context, operation, address)
