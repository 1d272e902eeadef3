"""Whole runs of the command against a server that costs next to nothing, beside the floor of the same run.

Every client is a process of its own: its CPU (user and system) and its peak memory are the operating system's figures.
Start-up is a run of one row, and subtracted where that is said. Judge by the ratios: they carry over to other machines.

    python -m benchmarks.whole_run [cpu latency memory failing lookups help profile] [--rows 1000000] [--repeats 3]
"""

import argparse
import json
import os
import pstats
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cheap_server import BAD, RunningServer, cheap_server
from benchmarks.floor import measure_floor
from bulklink.core.keys import guid_texts

IN_FLIGHT, BATCH, LATENCY_S = 16, 1_000, 0.1
SPAN_ROWS = 50_000
MB = 1 << 20
LINK = ("--relationship", "accountleads_association", "--from", "account=from_id", "--to", "lead=to_id")
LOOKUP = ("--relationship", "parentaccountid", "--from", "opportunity=from_id", "--to", "account=to_id")
#: What people call the parts of a run -> the functions that are it, as the profiler names them; indented: inside.
PARTS = {
    "read, check and spool the input": ("link_intake.py", "read"),
    "judge repeats and contradictions": ("linking.py", "judge"),
    "engine: what to send": ("engine.py", "next_step"),
    "  draw rows": ("packing.py", "draw"),
    "  ids and operations": ("link_work.py", "operations"),
    "  the body": ("request.py", "write_batch"),
    "engine: what was answered": ("engine.py", "replied"),
    "  read the answer": ("reply.py", "read_batch_reply"),
    "  settle rows": ("fates.py", "answered"),
    "journal": ("journal.py", "record"),
    "outcomes": ("outcomes.py", "write_outcomes"),
    "report": ("facts.py", "gather"),
}


@dataclass(frozen=True)
class Ran:
    """What one client took. sending: rows a second between the first batch and the last."""

    cpu_s: float
    wall_s: float
    peak_bytes: int
    sending: float
    summary: dict[str, Any]


@dataclass
class Bench:
    """Where the files are, and how large the usual input is."""

    folder: Path
    rows: int
    repeats: int
    floor_s: float

    def pairs(self, rows: int, bad_share: float = 0.0) -> Path:
        """A CSV of random pairs; so many of its rows are refused by the server."""
        path = self.folder / f"pairs-{rows}-{bad_share}.csv"
        if not path.exists():
            write_pairs(path, rows, bad_share)
        return path

    def run(self, server: RunningServer, path: Path, *, report: bool = False, link: tuple[str, ...] = LINK) -> Ran:
        """Run `bulklink associate` to its end."""
        run_dir = self.folder / "run"
        command = ["-m", "bulklink", "associate", str(path), "--url", server.url, *link, "--run-dir", str(run_dir)]
        command += ["--batch-size", str(BATCH), "--concurrency", str(IN_FLIGHT), "--json", "--quiet"]
        try:
            return run_client(command, run_dir, {"BULKLINK_REPORT_HTML": str(report).lower()})
        finally:
            shutil.rmtree(run_dir, ignore_errors=True)

    def row_cpu_s(self, server: RunningServer, path: Path, rows: int, **how: Any) -> tuple[float, Ran]:
        """CPU seconds per row without the start-up, and the run: the best of `repeats` of both."""
        start = min(self.run(server, self.pairs(1), **how).cpu_s for _ in range(self.repeats))
        ran = min((self.run(server, path, **how) for _ in range(self.repeats)), key=lambda one: one.cpu_s)
        return (ran.cpu_s - start) / rows, ran


def write_pairs(path: Path, rows: int, bad_share: float) -> None:
    random = np.random.default_rng(1)
    with path.open("wb") as file:
        file.write(b"from_id,to_id\n")
        for start in range(0, rows, SPAN_ROWS):
            ids = random.integers(0, 256, (min(SPAN_ROWS, rows - start), 2, 16), np.uint8)
            bad = random.random(len(ids)) < bad_share
            ids[bad, 1, :4] = np.frombuffer(bytes.fromhex(BAD), np.uint8)
            texts = guid_texts(ids.reshape(-1, 16))
            file.writelines(b"%b,%b\n" % pair for pair in zip(texts[::2], texts[1::2], strict=True))


def run_client(arguments: list[str], run_dir: Path, settings: dict[str, str]) -> Ran:
    """A client process from its start to its end, by what the operating system says of it."""
    env = {**os.environ, "BULKLINK_TOKEN": "any", **settings}
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=output, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read()
    if process.returncode not in (0, 3):
        raise SystemExit(f"exit code {process.returncode}: {said.decode()}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Ran(usage.ru_utime + usage.ru_stime, wall_s, peak, sending_rate(run_dir), json.loads(said))


def sending_rate(run_dir: Path) -> float:
    """Rows a second between the first batch and the last; when that left, `IN_FLIGHT - 1` others were under way."""
    with closing(sqlite3.connect(run_dir / "journal.sqlite")) as journal:
        moments = [(at, rows) for at, rows in journal.execute("SELECT at, rows FROM batch ORDER BY number")]
    answered = sum(rows for _, rows in moments[:-IN_FLIGHT])
    return answered / (moments[-1][0] - moments[0][0]) if answered else 0.0


def said(name: str, value: str, goal: str = "", met: bool | None = None) -> None:
    verdict = "" if met is None else ("met" if met else "MISSED")
    print(f"{name:<46}{value:>34}   {goal:<22}{verdict}", flush=True)


def cpu(bench: Bench) -> None:
    path = bench.pairs(bench.rows)
    with cheap_server() as server:
        for report in (False, True):
            row_s, ran = bench.row_cpu_s(server, path, bench.rows, report=report)
            ratio = row_s / bench.floor_s
            name = f"CPU per row, {bench.rows:,} rows, report {'on' if report else 'off'}"
            said(name, f"{row_s * 1e6:.3f} us = {ratio:.1f}x floor", "<= 12x (stretch 6x)", met=ratio <= 12)
            said("  wall, whole run", f"{bench.rows / ran.wall_s:,.0f} rows/s")


def latency(bench: Bench) -> None:
    with cheap_server(LATENCY_S) as server:
        ran = bench.run(server, bench.pairs(bench.rows))
    ideal = IN_FLIGHT * BATCH / LATENCY_S
    share = ran.sending / ideal
    name = f"sending at {LATENCY_S * 1000:.0f} ms, {IN_FLIGHT} in flight"
    said(name, f"{ran.sending:,.0f} rows/s = {share:.1%}", ">= 93% (stretch 96%)", met=share >= 0.93)


def memory(bench: Bench) -> None:
    sizes = [bench.rows // 10, bench.rows, bench.rows * 5]
    with cheap_server() as server:
        peaks = [bench.run(server, bench.pairs(rows), report=True).peak_bytes for rows in sizes]
    small, usual, large = peaks
    said(f"peak memory, {sizes[0]:,} rows", f"{small / MB:.0f} MB")
    ratio = usual / small
    said(f"peak memory, {sizes[1]:,} rows", f"{usual / MB:.0f} MB = {ratio:.2f}x", "<= 1.5x, <= 220 MB",
         met=ratio <= 1.5 and usual <= 220 * MB)  # fmt: skip
    ratio = (large - 16 * (sizes[2] - sizes[1])) / usual
    said(f"peak memory, {sizes[2]:,} rows", f"{large / MB:.0f} MB = {ratio:.2f}x + 16 B/row", "<= 1.15x + 16 B/row",
         met=ratio <= 1.15)  # fmt: skip


def failing(bench: Bench) -> None:
    rows = bench.rows // 5
    with cheap_server() as server:
        clean_s, _ = bench.row_cpu_s(server, bench.pairs(rows), rows)
        for share in (0.01, 0.05):
            row_s, ran = bench.row_cpu_s(server, bench.pairs(rows, share), rows)
            ratio, operations = row_s / clean_s, ran.summary["operations_sent"] / rows
            said(f"{share:.0%} of {rows:,} rows refused", f"{ratio:.2f}x CPU, {operations:.2f} operations/row",
                 "<= 2x CPU, <= 1.3", met=ratio <= 2 and operations <= 1.3)  # fmt: skip


def lookups(bench: Bench) -> None:
    rows = bench.rows // 5
    with cheap_server() as server:
        row_s, _ = bench.row_cpu_s(server, bench.pairs(rows), rows, link=LOOKUP)
    said(f"CPU per row, {rows:,} lookups read and set", f"{row_s * 1e6:.3f} us = {row_s / bench.floor_s:.1f}x floor")


def help_time(_: Bench) -> None:
    walls = []
    for _time in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "bulklink", "--help"], check=True, stdout=subprocess.DEVNULL)
        walls.append(time.perf_counter() - started)
    said("bulklink --help", f"{min(walls):.2f} s", "<= 0.3 s (stretch 0.15)", met=min(walls) <= 0.3)


def profile(bench: Bench) -> None:
    """Where the time goes: the shares of a run under the profiler, which makes everything slower."""
    stats_file, run_dir = bench.folder / "profile", bench.folder / "run"
    with cheap_server() as server:
        command = ["-m", "cProfile", "-o", str(stats_file), "-m", "bulklink", "associate"]
        command += [str(bench.pairs(bench.rows)), "--url", server.url, *LINK, "--run-dir", str(run_dir)]
        command += ["--batch-size", str(BATCH), "--concurrency", str(IN_FLIGHT), "--json", "--quiet"]
        run_client(command, run_dir, {})
    stats = pstats.Stats(str(stats_file)).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in stats.values())
    left = total
    for name, (file, function) in PARTS.items():
        spent = max(v[3] for (path, _, called), v in stats.items() if path.endswith("/" + file) and called == function)
        left -= 0 if name.startswith(" ") else spent
        said(f"  {name}", f"{spent / total:.1%}")
    said("  HTTP, event loop, start-up, the rest", f"{left / total:.1%}")
    print("the functions with the most time of their own:")
    for (path, line, called), v in sorted(stats.items(), key=lambda item: -item[1][2])[:25]:
        print(f"  {v[2] / total:6.1%} {v[1]:9,} calls  {Path(path).name}:{line} {called}")


BENCHMARKS = {
    "cpu": cpu,
    "latency": latency,
    "memory": memory,
    "failing": failing,
    "lookups": lookups,
    "help": help_time,
    "profile": profile,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"of {', '.join(BENCHMARKS)}; all if none is named")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    floor_s = min(measure_floor() for _ in range(options.repeats))
    said("the floor: raw socket, CPU per row", f"{floor_s * 1e6:.3f} us")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.rows, options.repeats, floor_s)
        for name in options.what or BENCHMARKS:
            BENCHMARKS[name](bench)


if __name__ == "__main__":
    main()
