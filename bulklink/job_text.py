"""A proposal as a job file for people: commented, with the schema line, ready to run.

Owns: the words of the file that `bulklink init` writes.
Does not know: how the proposal was found.
Source: the public contract (README, "Job file").
"""

import json
from collections.abc import Mapping

from bulklink.proposing import Key, Proposal

_TEXT = """\
#:schema ./bulklink.schema.json
# Written by `bulklink init`. For completion in an editor: bulklink schema > bulklink.schema.json
# Look first:  bulklink check {file}
# Try it:      bulklink run {file} --dry-run
# Do it:       bulklink run {file}
version = 1
name = {name}

[dataverse]
url = {url}
# auth = "client-secret"            # not given: BULKLINK_TOKEN, or BULKLINK_CLIENT_ID and its like, or `bulklink login`

[input]
{input}

[link]
# {kind}, read on {from_table}: {navigation}
relationship = {relationship}
action = {action}
# {from_words}
from = {from_side}
# {to_words}
to = {to_side}

[guard]                             # stops the run before anything is sent
# min_rows = 1
# max_unresolved = 100              # unresolved and ambiguous rows

[send]
# deadline = "06:00"
# isolation = "row"                 # change-set (the default), row or group
"""


def job_text(proposal: Proposal, *, name: str, file: str, url: str, input_words: Mapping[str, str]) -> str:
    """The job file. file: its own name. input_words: the keys of [input], paths relative to the job file."""
    action = f"{{ column = {_toml(proposal.action_header)} }}" if proposal.action_header else '"associate"'
    return _TEXT.format(
        file=file,
        name=_toml(name),
        url=_toml(url),
        input="\n".join(f"{key} = {_toml(value)}" for key, value in input_words.items()),
        kind=proposal.kind,
        from_table=proposal.from_key.table,
        navigation=proposal.navigation_property,
        relationship=_toml(proposal.relationship),
        action=action,
        from_words=_why(proposal.from_key),
        to_words=_why(proposal.to_key),
        from_side=_side(proposal.from_key),
        to_side=_side(proposal.to_key),
    )


def _side(key: Key) -> str:
    return f"{{ table = {_toml(key.table)}, match = {{ {key.column} = {_toml(key.header)} }} }}"


def _why(key: Key) -> str:
    what = "an alternate key" if key.is_alternate_key else "a column that is no alternate key"
    found = f"{key.found} of {key.tried} sampled values are one record each"
    return found if key.is_primary_key else f"{found}; {key.column} is {what}"


def _toml(text: str) -> str:
    """A TOML string; JSON's escapes are TOML's, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
