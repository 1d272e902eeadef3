# %% [markdown]
# From a DataFrame to links: cells for a notebook, or a script that runs as it is.
#
#     bulklink sandbox --load samples/library/organisation
#     BULKLINK_URL=http://127.0.0.1:8642 python samples/library/notebook.py

# %% What goes in: rows as pandas has them, cleaned with pandas' own means.
import os
import time
from typing import NamedTuple

import pandas as pd

import bulklink

frame = pd.DataFrame(
    {
        "Account": [1, 1, 2, 3, 3, 9],
        "Lead": ["Ann", "Bob", "CLEO", "Dora", "Dora", "Emil"],
    }
)
frame["Account No"] = frame["Account"].map("{:05}".format)
frame["E-mail"] = frame["Lead"].str.lower() + "@leads.example"


# %% Who signs in: any credential of azure-identity, or anything with its get_token. Secrets stay out of the job.
class Token(NamedTuple):
    token: str
    expires_on: int


class FromTheSandbox:
    def get_token(self, *scopes: str, **options: object) -> Token:
        return Token("any", int(time.time()) + 3600)


def credential() -> object:
    if os.environ["BULKLINK_URL"].startswith("http://127.0.0.1"):
        return FromTheSandbox()
    from azure.identity import DefaultAzureCredential  # pip install "bulklink[azure]"

    return DefaultAzureCredential()


# %% The job: a dict shaped like a job file, or the path of one.
job = {
    "name": "from-a-notebook",
    "dataverse": {"url": os.environ["BULKLINK_URL"]},
    "link": {
        "relationship": "accountleads_association",
        "from": {"table": "account", "match": {"accountnumber": "Account No"}},
        "to": {"table": "lead", "match": {"emailaddress1": "E-mail"}},
    },
}


# %% Look first: nothing is sent. How it goes is told to a listener, if there is one.
class Aloud(bulklink.Listener):
    def note(self, text: str) -> None:
        print(text)


foreseen = bulklink.run(job, frame=frame, credential=credential(), listener=Aloud(), dry_run=True)
print(foreseen.facts["outcomes"])

# %% Then do it. In a notebook `await bulklink.arun(...)` does the same.
summary = bulklink.run(job, frame=frame, credential=credential())
print(summary.exit_code, summary.facts["outcomes"])

# %% One line per row, to go on with.
outcomes = summary.outcomes
print(outcomes[["row", "Account No", "E-mail", "outcome", "message"]].to_string(index=False))
assert len(outcomes) == len(frame)

# %% What cannot be used is an exception with the exit code of the command and a hint.
try:
    bulklink.run(job | {"link": job["link"] | {"relationship": "acountleads"}}, frame=frame, credential=credential())
except bulklink.BulklinkError as error:
    print(f"exit code {int(error.exit_code)}: {error} {error.hint}")
