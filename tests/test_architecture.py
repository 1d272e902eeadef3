"""The house holds: one line of imports, no I/O in the core, a sandbox of its own, small modules."""

import ast
import graphlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bulklink"

#: A module may import only what is to its left. The same line is the order to read the code in.
#: ``files.*`` stands for all modules of a room; among themselves they only must not go round in a circle.
IMPORT_LINE = (
    "vocabulary",
    "errors", "explanations",
    # The job file.
    "job.values", "job.settings", "job.kinds", "job.toml_lines", "job.problems", "job.layers", "job.document",
    "job.schema", "job.options", "job", "listener",
    # What is asked for: keys, relationships, wire forms.
    "core", "core.keys", "core.facts", "core.key_values", "core.directions", "core.misnaming", "core.relationships",
    "core.specials", "core.forms", "core.record_values", "core.record_shape", "core.privileges",
    # Pass 1: rows into wishes.
    "core.table", "core.hygiene", "core.proposing", "core.ledger", "core.wishes", "core.record_wishes",
    "core.packing", "core.groups",
    # The wire, in bytes.
    "core.answer", "core.multipart", "core.request", "core.parts", "core.reply", "core.fault_codes", "core.verdict",
    # Pass 2: the engine.
    "core.parallelism", "core.pace", "core.change_set_size", "core.work", "core.looking", "core.resolving",
    "core.row_keys", "core.whole", "core.doubts", "core.halting", "core.settling", "core.look_desk", "core.link_work",
    "core.record_work", "core.party_work",
    "core.open_rows", "core.riding",
    "core.fates", "core.steps", "core.engine",
    # Disk and network.
    "files.*",
    "service.*",
    # Runs.
    "summary", "gate", "logged", "run_place", "driving", "connecting", "first_pass", "link_intake", "linking",
    "record_plan", "record_intake", "recording", "party_recording", "tasks", "watching", "examples",
    "progress", "finishing", "guards", "foreseeing", "superseding", "session", "links_place", "several", "findings",
    "checking", "proposing", "job_text", "api",
    # The front door.
    "cli.*", "__main__",
)  # fmt: skip

#: What reads clocks, chance, disks or networks, or waits.
IO_MODULES = frozenset(
    {
        "aiohttp", "anyio", "asyncio", "fileinput", "http", "io", "logging", "msal", "multiprocessing", "os",
        "pathlib", "platform", "queue", "random", "requests", "sched", "secrets", "select", "selectors",
        "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time",
    }
)  # fmt: skip
IO_CALLS = frozenset({"open", "print", "input", "exec", "eval"})
CLOCK_READINGS = frozenset({"now", "today", "utcnow", "uuid1", "uuid4", "default_rng"})

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60


def module_name(path: Path) -> str:
    """``core.keys`` for bulklink/core/keys.py, ``job`` for bulklink/job/__init__.py, "" for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_type_checking(node: ast.AST) -> bool:
    """``if TYPE_CHECKING:``"""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imported(tree: ast.AST, *, for_types: bool = True) -> Iterator[str]:
    """The full name of everything that is imported, inside functions as well. for_types: also under TYPE_CHECKING."""
    skipped = () if for_types else [node for node in ast.walk(tree) if is_type_checking(node)]
    for node in ast.walk(tree):
        if any(node in ast.walk(block) for block in skipped):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(name: str) -> str | None:
    """The module of ours that an imported name belongs to; "" is the package itself (its version)."""
    package, _, inner = name.partition(".")
    if package != "bulklink":
        return None
    return inner if inner in MODULES else inner.rpartition(".")[0]


def neighbours(name: str, *, for_types: bool) -> set[str]:
    """The modules of ours that a module imports."""
    found = {own(full) for full in imported(TREES[name], for_types=for_types)}
    return {target for target in found if target and target != name}


IMPORTS = {name: neighbours(name, for_types=True) for name in TREES}


def position(name: str) -> int:
    """Place of a module in the line. A room's star stands for the room itself as well."""
    for place, entry in enumerate(IMPORT_LINE):
        if entry == name or (entry.endswith(".*") and f"{name}.".startswith(entry.removesuffix("*"))):
            return place
    raise AssertionError(f"{name} has no place in IMPORT_LINE: put it where its imports are all to its left")


IN_LINE = [name for name in MODULES if name and name.split(".")[0] != "sandbox"]


@pytest.mark.parametrize("name", IN_LINE)
def test_a_module_imports_only_what_is_to_its_left(name: str) -> None:
    in_line = [target for target in IMPORTS[name] if target.split(".")[0] != "sandbox"]
    assert [target for target in in_line if position(target) > position(name)] == []


def test_the_line_names_no_module_that_is_gone() -> None:
    gone = [name for name in IMPORT_LINE if not name.endswith(".*") and name not in MODULES]
    assert gone == []
    assert len(set(IMPORT_LINE)) == len(IMPORT_LINE)


def test_no_imports_go_round_in_a_circle() -> None:
    try:
        graphlib.TopologicalSorter({name: neighbours(name, for_types=False) for name in TREES}).prepare()
    except graphlib.CycleError as error:
        circle = [name for name, _ in pairwise(error.args[1])]
        pytest.fail(f"a circle of imports: {' <- '.join(circle)}")


@pytest.mark.parametrize("name", [name for name in MODULES if name.split(".")[0] == "core"])
def test_the_core_does_no_io_and_reads_no_clock(name: str) -> None:
    tree = TREES[name]
    assert [full for full in imported(tree) if full.split(".")[0] in IO_MODULES] == []
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert [call.id for call in calls if isinstance(call, ast.Name) and call.id in IO_CALLS] == []
    assert [call.attr for call in calls if isinstance(call, ast.Attribute) and call.attr in CLOCK_READINGS] == []
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]


@pytest.mark.parametrize("name", [name for name in MODULES if name.split(".")[0] == "sandbox"])
def test_the_sandbox_shares_only_the_words_with_the_client(name: str) -> None:
    assert {target for target in IMPORTS[name] if target.split(".")[0] != "sandbox"} <= {"vocabulary"}


def test_only_the_front_door_knows_the_sandbox() -> None:
    knowing = {name for name in IN_LINE for target in IMPORTS[name] if target.split(".")[0] == "sandbox"}
    assert {name for name in knowing if not name.startswith("cli.")} == set()


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_is_and_stays_small(name: str) -> None:
    tree = TREES[name]
    assert ast.get_docstring(tree), "a module begins by saying what it owns"
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= FILE_LINES_MAX, "it holds two ideas"
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {one.name: n for one in functions if (n := (one.end_lineno or 0) - one.lineno + 1) > FUNCTION_LINES_MAX}
    assert long == {}
