"""A snapshot of one organisation is all that a rehearsal needs to know of it."""

import csv
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest

from bulklink.sandbox.csdl_reader import read_csdl
from bulklink.sandbox.model import AlternateKey, Column, Kind, ManyToMany, Model, OneToMany, Table
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.sample import sample_model
from bulklink.sandbox.server import Sandbox

#: Names that CSDL does not give away: a relationship unlike its navigation properties, an intersect unlike both.
WIRED = ManyToMany(
    "cont_wiring", "cont_machine", "cont_machineid", "cont_Sites", "cont_site", "cont_siteid", "cont_Machines",
    "cont_x17",
)  # fmt: skip
JOB = """
version = 1
name = "wiring"
[dataverse]
url = "{url}"
auth = "token"
[input]
file = "wires.csv"
[link]
relationship = "cont_wiring"
from = {{ table = "cont_machine", match = {{ cont_serial = "Serial", cont_kind = "Kind", cont_spare = "Spare" }} }}
to = {{ table = "cont_site", match = {{ cont_siteid = "Site" }} }}
"""
SITE = "7d3c1e4d-5a51-4f0c-8d83-6f1a2f0be1{:02x}"


def model():
    """The sample with two tables of a customer's own."""
    sample = sample_model()
    machine = Table(
        "cont_machine", "cont_machines", "cont_machineid",
        {
            column.name: column
            for column in (
                Column("cont_machineid", Kind.UNIQUEIDENTIFIER),
                Column("cont_serial", Kind.STRING, "cont_Serial", 40),
                Column("cont_kind", Kind.PICKLIST, "cont_Kind", options=((7, "Press"), (8, "Lathe")),
                       translations=((7, 1031, "Presse"), (8, 1031, "Drehbank"))),
                Column("cont_spare", Kind.BOOLEAN, "cont_Spare", options=((1, "Spare part"), (0, "In use"))),
                Column("cont_built", Kind.DATETIME, "cont_Built", date_only=True),
                Column("cont_price", Kind.MONEY, "cont_Price"),
                Column("cont_maker", Kind.LOOKUP, "cont_Maker"),
                Column("versionnumber", Kind.BIGINT),
            )
        },
        "cont_serial", "cont_Machine", (AlternateKey("cont_bySerial", ("cont_serial", "cont_kind")),
                                        AlternateKey("cont_byPrice", ("cont_price",), "Failed")),
        is_custom=True, type_code=10711,
    )  # fmt: skip
    site = Table("cont_site", "cont_sites", "cont_siteid", {"cont_siteid": Column("cont_siteid", Kind.UNIQUEIDENTIFIER),
                 "versionnumber": Column("versionnumber", Kind.BIGINT)}, is_custom=True)  # fmt: skip
    intersect = Table(
        "cont_x17", "cont_x17set", "cont_x17id",
        {name: Column(name, Kind.UNIQUEIDENTIFIER) for name in ("cont_x17id", "cont_machineid", "cont_siteid")}
        | {"versionnumber": Column("versionnumber", Kind.BIGINT)},
        is_intersect=True,
    )  # fmt: skip
    maker = OneToMany(
        "cont_made_by", "account", "cont_machine", "cont_maker", "cont_Machines", "cont_Maker", "Restrict"
    )
    return Model(
        {**sample.tables, "cont_machine": machine, "cont_site": site, "cont_x17": intersect},
        {**sample.one_to_many, maker.name: maker},
        {**sample.many_to_many, WIRED.name: WIRED},
        sample.abstract,
        sample.unserved,
    )


def bulklink(folder, *words):
    env = {name: value for name, value in os.environ.items() if not name.startswith("BULKLINK_")}
    env |= {"BULKLINK_STATE_DIR": str(folder / "state"), "BULKLINK_TOKEN": "any"}
    command = [sys.executable, "-m", "bulklink", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


@contextmanager
def environment(folder):
    """A live environment, and a job that is about it."""
    with Sandbox(Organisation.in_memory(model())).serving() as sandbox:
        (folder / "wiring.toml").write_text(JOB.format(url=sandbox.url), encoding="utf-8")
        with (folder / "wires.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["Serial", "Kind", "Spare", "Site"])
            writer.writerows(
                [f"S-{k % 7}", "Drehbank" if k % 2 else "press", "In use" if k % 3 else "Spare part", SITE.format(n)]
                for n, k in ((n, n % 14) for n in range(42))
            )
        yield sandbox


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a snapshot was taken; the environment is gone."""
    folder = tmp_path_factory.mktemp("snapshot")
    with environment(folder) as sandbox:
        done = bulklink(folder, "sandbox", "--snapshot-from", "wiring.toml", "--metadata", "contoso.xml")
        assert done.returncode == 0, done.stderr
        assert "cont_machine, cont_site" in done.stdout
        assert sandbox.url in done.stdout
        assert sandbox.reception.tally.requests <= 4
    return folder


def test_what_was_read_is_what_the_environment_has(folder):
    real, found = model(), read_csdl(folder / "contoso.xml")
    machine = found.tables["cont_machine"]
    for name, column in real.tables["cont_machine"].columns.items():
        # Lengths are not read: nothing depends on them.
        assert machine.columns[name] == replace(column, length_max=0, schema_name=column.schema_name or name), name
    assert machine.keys == real.tables["cont_machine"].keys
    assert (machine.schema_name, machine.primary_name, machine.type_code) == ("cont_Machine", "cont_serial", 10711)
    assert found.many_to_many["cont_wiring"] == WIRED
    assert found.tables["cont_x17"].entity_set == "cont_x17set"
    assert found.one_to_many["cont_made_by"] == real.one_to_many["cont_made_by"]


def test_without_the_snapshot_most_of_it_would_be_guesswork(folder, tmp_path):
    """What CSDL alone gives; if it ever gave more, the snapshot could hold less."""
    text = (folder / "contoso.xml").read_text(encoding="utf-8")
    plain = tmp_path / "plain.xml"
    plain.write_text(text[: text.index("<Annotations")] + text[text.rindex("</Annotations>") + 14 :], encoding="utf-8")
    found = read_csdl(plain)
    assert "cont_wiring" not in found.many_to_many
    assert found.tables["cont_machine"].columns["cont_kind"].kind is Kind.INTEGER


def test_it_tells_nothing_of_where_it_was_taken(folder):
    assert "127.0.0.1" not in (folder / "contoso.xml").read_text(encoding="utf-8")


def test_a_rehearsal_on_the_snapshot_links_every_row(folder):
    done = bulklink(folder, "rehearse", "wiring.toml", "--metadata", "contoso.xml", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["outcomes"] == {"associated": 42}


def test_without_the_snapshot_the_rehearsal_says_how_to_take_one(folder):
    done = bulklink(folder, "rehearse", "wiring.toml")
    assert done.returncode == 2
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert "'cont_machine'" in said
    assert "--metadata" in said
    assert "--snapshot-from" in said


def test_a_relationship_that_the_sample_lacks_gets_the_same_advice(folder):
    job = JOB.format(url="https://contoso.example").replace("cont_machine", "account").replace("cont_site", "lead")
    for column in ("cont_serial", "cont_kind", "cont_spare"):
        job = job.replace(f"{column} = ", {"cont_serial": "accountnumber = "}.get(column, "name = "), 1)
    (folder / "other.toml").write_text(job.replace(', name = "Spare"', ""), encoding="utf-8")
    done = bulklink(folder, "rehearse", "other.toml")
    assert done.returncode == 2
    assert "cont_wiring" in done.stderr
    assert "--snapshot-from" in done.stderr


def test_a_snapshot_of_a_table_that_is_not_there_is_refused(tmp_path):
    with environment(tmp_path):
        job = (tmp_path / "wiring.toml").read_text(encoding="utf-8")
        (tmp_path / "wiring.toml").write_text(job.replace("cont_machine", "cont_machin"), encoding="utf-8")
        done = bulklink(tmp_path, "sandbox", "--snapshot-from", "wiring.toml")
    assert done.returncode == 2
    assert "Did you mean" in done.stderr
    assert not list(tmp_path.glob("*.xml"))


def test_a_snapshot_goes_with_no_other_option(folder):
    done = bulklink(folder, "sandbox", "--snapshot-from", "wiring.toml", "--port", "8000")
    assert done.returncode == 2
    assert "--port does not go with it" in done.stderr


@pytest.mark.parametrize(("broken", "words"), [("[{", "no JSON"), ('[{"SchemaName":1}]', "not understood")])
def test_a_damaged_snapshot_is_refused_in_one_sentence(folder, broken, words):
    text = (folder / "contoso.xml").read_text(encoding="utf-8")
    start = text.index("<String>", text.index('V1.Keys"')) + 8
    (folder / "damaged.xml").write_text(
        text[:start] + broken + text[text.index("</String>", start) :], encoding="utf-8"
    )
    done = bulklink(folder, "rehearse", "wiring.toml", "--metadata", "damaged.xml")
    assert done.returncode == 2
    assert words in done.stderr
