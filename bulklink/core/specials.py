"""Relationships that the service does not take references for: messages of their own, or another kind of job.

Owns: the table of them, and what is known about each message.
Does not know: requests; how a message is written into one is the forms' business.
Source: Microsoft's Web API reference, "AddMemberList Action"; its table reference, "Marketing List" (RemoveMemberList
action) and "Marketing List Member"; XrmToolBox#308 and Microsoft.Xrm.Data.PowerShell#202: "Associate is not supported
for ListMember". The parameter of RemoveMemberList is on no page of Microsoft that is public; it is as a widely used
integration sends it (WP Fusion). If an environment wants another, it refuses the rows, and nothing has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bulklink.vocabulary import Action


@dataclass(frozen=True, slots=True)
class Message:
    """A bound action that does to one pair what a reference does elsewhere. body: around the other record's id."""

    name: str
    body: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Special:
    """What one of these relationships takes. bound_to: the table whose record the message is sent to."""

    bound_to: str
    messages: Mapping[Action, Message]


_LIST_MEMBERS: Final = Special(
    "list",
    {
        Action.ASSOCIATE: Message("AddMemberList", ('{"EntityId":"', '"}')),
        Action.DISASSOCIATE: Message(
            "RemoveMemberList",
            ('{"ListMember":{"@odata.type":"Microsoft.Dynamics.CRM.listmember","listmemberid":"', '"}}'),
        ),
    },
)

#: By schema name.
SPECIALS: Final[Mapping[str, Special]] = dict.fromkeys(
    ("listaccount_association", "listcontact_association", "listlead_association"), _LIST_MEMBERS
)

#: Tables whose records cannot be linked one by one, and what to do instead.
NOT_LINKED: Final[Mapping[str, str]] = {
    "activityparty": "participants are written with their activity: describe them in a [parties] job",
}
