"""Playlists and tracks, made up in the shape of a real database: two hubs, and names that mean several records."""

import csv
from pathlib import Path

import pytest

from benchmarks.chinook import figures

PLAYLISTS = {1: "Music", 2: "Old films", 3: "music ", 4: "Quiet, please", 5: 'The "best"'}
TRACKS = {n: f"Song {n}" for n in range(1, 41)} | {7: "Intro", 19: "INTRO", 23: "Élégie, op. 24", 31: 'Say "no"'}
#: Two large playlists of one name, three small ones of which one is no playlist of that name.
PAIRS = [(p, t) for p in (1, 3) for t in TRACKS] + [(p, t) for p in (2, 4, 5) for t in range(p, 41, 6)]
#: Rows of playlists 2, 4 and 5 whose track is not called "Intro".
NAMED_ONCE = sum(p not in (1, 3) and t not in (7, 19) for p, t in PAIRS)


def write(path: Path, header: list[str], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def test_real_runs_link_unlink_and_tell_names_that_mean_several_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write(data / "playlists.csv", ["PlaylistId", "Name"], list(PLAYLISTS.items()))
    write(data / "tracks.csv", ["TrackId", "Track"], list(TRACKS.items()))
    names = ["PlaylistId", "Playlist", "TrackId", "Track"]
    write(data / "playlist_track.csv", names, [(p, PLAYLISTS[p], t, TRACKS[t]) for p, t in PAIRS])
    monkeypatch.setenv("BULKLINK_TOKEN", "any")
    found = list(figures(data, tmp_path))
    assert [(one.name, one.outcomes) for one in found] == [
        ("link by GUID", {"associated": len(PAIRS)}),
        ("the same again", {"already-associated": len(PAIRS)}),
        ("unlink by GUID", {"disassociated": len(PAIRS)}),
        ("unlink again", {"already-disassociated": len(PAIRS)}),
        ("link by number", {"associated": len(PAIRS)}),
        ("unlink by number", {"disassociated": len(PAIRS)}),
        ("link by name", {"associated": NAMED_ONCE, "ambiguous": len(PAIRS) - NAMED_ONCE}),
    ]
    assert [one.name for one in found if not one.is_right] == []
