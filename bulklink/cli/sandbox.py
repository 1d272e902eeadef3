"""`bulklink sandbox`: the local Dataverse-like server for people.

Owns: its options, what it prints. Does not know: how the sandbox works.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bulklink.cli.snapshot import write_snapshot
from bulklink.errors import UsageError

if TYPE_CHECKING:
    from bulklink.sandbox.organisation import Organisation
    from bulklink.sandbox.server import Sandbox

_HINT = "See `bulklink sandbox --help`."
_FILE = click.Path(dir_okay=False, path_type=Path)
_DIRECTORY = click.Path(file_okay=False, path_type=Path)


def _print_toggles(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from bulklink.sandbox.toggles import Toggles

    click.echo(
        "Where no documentation or recording says what the service does, a toggle decides. Default first marked *.\n"
    )
    for toggle in Toggles.listing():
        values = ", ".join(f"{value}*" if value == toggle.default else value for value in toggle.values)
        if toggle.default not in toggle.values:
            values = f"{toggle.default}*, {values}"
        click.echo(f"{toggle.point:>4}  {toggle.name} = {values}\n      {toggle.question}")
    context.exit()


def _print_weather(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from bulklink.sandbox.weather_file import PRESETS, listing, places

    click.echo(f"Presets: {', '.join(PRESETS)}. A file of your own:\n")
    click.echo('  seed = 7\n\n  [latency]\n  kind = "lognormal"    # or "fixed"')
    click.echo(
        "  request_s = 0.05      # median for each request ...\n  operation_s = 0.002   # ... and each operation in it"
    )
    click.echo('  sigma = 0.4           # lognormal only\n\n  [[fault]]\n  kind = "reset"\n  probability = 0.01\n')
    click.echo(f"Where a fault strikes (all that is set must hold): {', '.join(places())}.\n")
    for kind, level, meaning, settings in listing():
        click.echo(f"  {kind:<20}{level:<12}{meaning}" + (f"\n{'':34}{settings}" if settings else ""))
    context.exit()


@click.command(
    "sandbox",
    epilog="""
\b
Examples:
  bulklink sandbox --weather busy-day --load tables/
  bulklink sandbox --snapshot-from account-leads.toml --metadata contoso-metadata.xml
  bulklink sandbox --metadata contoso-metadata.xml --data contoso.sqlite
""",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8642, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free port.")
@click.option(
    "--metadata", type=_FILE, help="A $metadata document (CSDL) of a real environment: its tables are served."
)
@click.option("--load", type=_DIRECTORY, help="Fill tables from the CSV and XLSX files of a directory (name = table).")
@click.option("--data", type=_FILE, help="Keep everything in this file; in memory without it.")
@click.option("--toggle", "toggles", multiple=True, metavar="NAME=VALUE", help="Settle an uncertain point. Repeatable.")
@click.option("--toggles", "toggles_file", type=_FILE, help="The same from a TOML file.")
@click.option(
    "--help-toggles", is_flag=True, is_eager=True, expose_value=False, callback=_print_toggles, help="List the toggles."
)
@click.option("--weather", metavar="NAME|FILE", help="calm, busy-day, rough-night, or a TOML file of faults.")
@click.option(
    "--help-weather", is_flag=True, is_eager=True, expose_value=False, callback=_print_weather, help="List the faults."
)
@click.option("--seed", type=int, help="Seed of the weather; overrides the file's.")
@click.option("--tls", is_flag=True, help="Serve https with a throwaway certificate.")
@click.option(
    "--limits",
    multiple=True,
    metavar="NAME=NUMBER|off",
    help="Service protection: requests, execution_s, concurrency …",
)
@click.option("--token", "tokens", multiple=True, help="Accept only this bearer token. Repeatable. Default: any.")
@click.option(
    "--snapshot-from",
    "snapshot_from",
    type=_FILE,
    metavar="JOB.toml",
    help="Serve nothing: write a metadata file of this job's environment, to the file that --metadata names.",
)
@click.pass_context
def sandbox(
    ctx: click.Context,
    /,
    host: str,
    port: int,
    metadata: Path | None,
    load: Path | None,
    data: Path | None,
    toggles: tuple[str, ...],
    toggles_file: Path | None,
    weather: str | None,
    seed: int | None,
    tls: bool,
    limits: tuple[str, ...],
    tokens: tuple[str, ...],
    snapshot_from: Path | None,
) -> None:
    """Serve a local Dataverse-like Web API until Ctrl-C.

    Nothing leaves this machine, no account is needed. It behaves like the service down to change-set roll-back,
    duplicate links and service protection; what it does not support it answers with 501 and names what is missing.
    """
    if snapshot_from:
        _refuse_others(ctx)
        write_snapshot(snapshot_from, metadata)
        return
    from bulklink.sandbox.access import Access, only
    from bulklink.sandbox.errors import SandboxUsageError
    from bulklink.sandbox.server import Sandbox
    from bulklink.sandbox.toggles import Toggles
    from bulklink.sandbox.weather_file import load_weather

    try:
        chosen = Toggles.parse({**_toggles_of(toggles_file), **_pairs(toggles, "--toggle")})
        server = Sandbox(
            _organisation(metadata, data, load),
            toggles=chosen,
            limits=_limits(limits),
            weather=load_weather(weather, seed) if weather else None,
            access=Access(only(tokens), claims_wanted=chosen.claims_challenge == "challenge") if tokens else None,
            seed=seed or 0,
            host=host,
            tls=tls,
        )
        server.run(port, lambda started: _greet(started, weather, tokens))
    except SandboxUsageError as error:
        raise UsageError(str(error), hint=_HINT) from error


def _refuse_others(ctx: click.Context) -> None:
    """A snapshot goes with --metadata alone."""
    for parameter in ctx.command.params:
        name = str(parameter.name)
        if name not in ("snapshot_from", "metadata") and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"--snapshot-from serves nothing, so {parameter.opts[0]} does not go with it.", hint=_HINT)


def _organisation(metadata: Path | None, data: Path | None, load: Path | None) -> "Organisation":
    import sqlite3

    from bulklink.sandbox.organisation import Organisation

    try:
        if metadata:
            organisation = Organisation.from_csdl(metadata, data)
        else:
            organisation = Organisation.open(data) if data else Organisation.sample()
    except (OSError, sqlite3.Error) as error:
        raise UsageError(f"The data file {data} cannot be used: {error}.", hint=_HINT) from error
    if load:
        for table, rows in organisation.load(load).items():
            click.echo(f"{table}: {rows:,} records loaded", err=True)
    return organisation


def _limits(settings: tuple[str, ...]) -> Any:
    from bulklink.sandbox.protection import Limits

    if settings == ("off",):
        return Limits.off()
    return Limits.parse(_pairs([pair for text in settings for pair in text.split(",")], "--limits"))


def _pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{option} wants NAME=VALUE, not '{text}'.", hint=_HINT)
        found[name.strip()] = value.strip()
    return found


def _toggles_of(file: Path | None) -> Mapping[str, object]:
    if file is None:
        return {}
    import tomllib

    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"The toggles file {file} cannot be read: {error}", hint=_HINT) from error


def _greet(server: "Sandbox", weather: str | None, tokens: tuple[str, ...]) -> None:
    tables = len(server.organisation.model.tables)
    records = sum(server.organisation.counts().values())
    lines = [
        ("environment", server.url),
        ("token", "one of those given" if tokens else "any text, e.g. BULKLINK_TOKEN=sandbox"),
        ("holds", f"{tables:,} tables, {records:,} records and links"),
        ("weather", weather or "none"),
        ("state", f"{server.url}/__sandbox/"),
    ]
    if server.certificate:
        lines.insert(1, ("trust", f"{server.certificate.ca_file} (ca_file in the job)"))
    if server.host not in {"127.0.0.1", "::1", "localhost"}:
        lines.append(("careful", "everyone who reaches this address can read and change what it holds"))
    for name, text in lines:
        click.echo(f"{name:>12}  {text}")
    click.echo(f"{'Ctrl-C':>12}  stops it")
