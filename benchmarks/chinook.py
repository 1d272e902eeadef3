"""Real pairs from beginning to end: the playlists and tracks of the Chinook sample database.

    python -m benchmarks.chinook DIRECTORY

DIRECTORY holds playlists.csv (PlaylistId, Name), tracks.csv (TrackId, Track, ...) and playlist_track.csv (PlaylistId,
Playlist, TrackId, Track, ...). A sandbox gets tables of its own for them, with GUIDs made from the numbers, and real
runs over real HTTP link all pairs: by GUID, then by number, then by name. After every run the sandbox's links are
compared with the file. Nothing is taken on trust: what must come out is counted from the files.
"""

import argparse
import csv
import os
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bulklink
from bulklink.sandbox.model import Column, Kind, ManyToMany, Model, Table
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.server import Sandbox

SPACE = uuid.UUID("b1f0a7de-6e1c-4c55-8a5e-0d5c1c7a9e01")
RELATIONSHIP = "new_playlist_track"
Pair = tuple[str, str]


@dataclass(frozen=True)
class Figure:
    """One run: its outcomes, those counted from the files, the links afterwards, those that must be there."""

    name: str
    outcomes: Mapping[str, int]
    expected: Mapping[str, int]
    links: int
    is_as_in_file: bool
    rows_per_s: float

    @property
    def is_right(self) -> bool:
        return self.outcomes == self.expected and self.is_as_in_file


class Chinook:
    """The three files. A record's id is made from its table and number."""

    def __init__(self, directory: Path) -> None:
        self.playlists = {row["PlaylistId"]: row["Name"] for row in _rows(directory / "playlists.csv")}
        self.tracks = {row["TrackId"]: row["Track"] for row in _rows(directory / "tracks.csv")}
        self.pairs_file = (directory / "playlist_track.csv").absolute()
        self.rows = list(_rows(self.pairs_file))
        self.pairs = [
            (record_id("new_playlist", row["PlaylistId"]), record_id("new_track", row["TrackId"])) for row in self.rows
        ]

    def organisation(self) -> Organisation:
        """A sandbox organisation that holds the playlists and tracks, and no links yet."""
        sides = {"new_playlist": self.playlists, "new_track": self.tracks}
        tables = {name: _table(name) for name in sides}
        intersect = Table(
            "new_playlist_track",
            "new_playlist_trackset",
            "new_playlist_trackid",
            {
                name: Column(name, Kind.UNIQUEIDENTIFIER)
                for name in ("new_playlist_trackid", "new_playlistid", "new_trackid")
            },
            is_intersect=True,
            is_custom=True,
        )
        link = ManyToMany(
            RELATIONSHIP, "new_playlist", "new_playlistid", RELATIONSHIP, "new_track", "new_trackid", RELATIONSHIP,
            intersect.name,
        )  # fmt: skip
        organisation = Organisation.in_memory(Model({**tables, intersect.name: intersect}, {}, {RELATIONSHIP: link}))
        for table, records in sides.items():
            organisation.load_table(
                table,
                [
                    {f"{table}id": record_id(table, number), "new_name": name, "new_number": int(number)}
                    for number, name in records.items()
                ],
            )
        return organisation

    def named_once(self) -> set[Pair]:
        """The pairs that can be made by names: both names are names of one record only."""
        playlists, tracks = (Counter(map(_as_compared, names.values())) for names in (self.playlists, self.tracks))
        return {
            pair
            for row, pair in zip(self.rows, self.pairs, strict=True)
            if playlists[_as_compared(row["Playlist"])] == 1 and tracks[_as_compared(row["Track"])] == 1
        }


def record_id(table: str, number: str) -> str:
    return str(uuid.uuid5(SPACE, f"{table}/{number}"))


def figures(directory: Path, folder: Path) -> Iterator[Figure]:
    """Run every job against a sandbox; input and runs go into `folder`."""
    data = Chinook(directory)
    guids = folder / "guids.csv"
    with guids.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("Playlist", "Track"), *data.pairs])
    every, none, rows = set(data.pairs), set[Pair](), len(data.rows)
    by_guid = (guids, ("new_playlistid", "Playlist"), ("new_trackid", "Track"))
    by_number = (data.pairs_file, ("new_number", "PlaylistId"), ("new_number", "TrackId"))
    by_name = (data.pairs_file, ("new_name", "Playlist"), ("new_name", "Track"))
    named = data.named_once()
    told = {"associated": len(named), "ambiguous": rows - len(named)}
    plan: list[tuple[str, str, Any, Mapping[str, int], set[Pair]]] = [
        ("link by GUID", "associate", by_guid, {"associated": rows}, every),
        ("the same again", "associate", by_guid, {"already-associated": rows}, every),
        ("unlink by GUID", "disassociate", by_guid, {"disassociated": rows}, none),
        ("unlink again", "disassociate", by_guid, {"already-disassociated": rows}, none),
        ("link by number", "associate", by_number, {"associated": rows}, every),
        ("unlink by number", "disassociate", by_number, {"disassociated": rows}, none),
        ("link by name", "associate", by_name, told, named),
    ]
    with Sandbox(data.organisation()).serving() as sandbox:

        def links() -> set[Pair]:
            return set(sandbox.organisation.links(RELATIONSHIP))

        for name, action, keys, expected, left in plan:
            yield _figure(name, _job(sandbox.url, action, keys), folder / name.replace(" ", "-"), expected, left, links)


def _figure(
    name: str,
    job: Mapping[str, Any],
    run_dir: Path,
    expected: Mapping[str, int],
    left: set[Pair],
    links: Callable[[], set[Pair]],
) -> Figure:
    facts = bulklink.run(job, run_dir=run_dir).facts
    found = links()
    expected = {outcome: count for outcome, count in expected.items() if count}
    return Figure(name, facts["outcomes"], expected, len(found), found == left, facts["rows_per_s"])


def _job(url: str, action: str, keys: tuple[Path, Pair, Pair]) -> dict[str, Any]:
    file, playlist, track = keys
    return {
        "version": 1,
        "name": "chinook",
        "dataverse": {"url": url, "auth": "token"},
        "input": {"file": str(file)},
        "link": {
            "relationship": RELATIONSHIP,
            "action": action,
            "from": {"table": "new_playlist", "match": dict([playlist])},
            "to": {"table": "new_track", "match": dict([track])},
        },
    }


def _table(name: str) -> Table:
    columns = (
        Column(f"{name}id", Kind.UNIQUEIDENTIFIER),
        Column("new_name", Kind.STRING, length_max=400),
        Column("new_number", Kind.INTEGER),
        Column("versionnumber", Kind.BIGINT),
    )
    return Table(name, name + "s", f"{name}id", {c.name: c for c in columns}, "new_name", name, is_custom=True)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _as_compared(name: str) -> str:
    """Names are compared without regard to case and to blanks around them, as the service does."""
    return name.strip().casefold()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    os.environ["BULKLINK_TOKEN"] = "any"
    print(f"{'run':<18}{'outcomes':<44}{'links':>7}  {'as counted from the files':<26}{'rows/s':>8}")
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for one in figures(parser.parse_args().directory, Path(folder)):
            outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in one.outcomes.items())
            verdict = "yes" if one.is_right else f"NO: {dict(one.expected)}"
            print(f"{one.name:<18}{outcomes:<44}{one.links:>7,}  {verdict:<26}{one.rows_per_s:>8,.0f}", flush=True)
            wrong += not one.is_right
    raise SystemExit(wrong)


if __name__ == "__main__":
    main()
