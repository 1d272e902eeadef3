"""`bulklink login`, `logout`, `whoami`.

Owns: what these three commands say.
Does not know: how signing in works.
Source: the public contract (README, "Commands", "Sign-in").
"""

import json
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from bulklink.cli.options import json_option, verbose_option
from bulklink.cli.session import Session

if TYPE_CHECKING:
    from bulklink.service.identity import Identity
    from bulklink.service.sign_in import NamedTokenSource, Settings

_ca_file = click.option(
    "--ca-file", metavar="FILE", default="", help="PEM file of certification authorities to trust besides the system's."
)


@click.command()
@click.argument("url", metavar="URL", envvar="BULKLINK_URL")
@click.option("--tenant", metavar="ID", default="", help="Entra tenant. Not given: asked of the environment.")
@click.option("--client-id", metavar="ID", default="", help="App registration. Not given: Microsoft's for samples.")
@click.option("--authority", metavar="URL", default="", help="Sign-in authority, where it is none of Microsoft's.")
@click.option("--device-code", is_flag=True, help="Sign in on another device: for machines without a browser.")
@_ca_file
@verbose_option
def login(url: str, tenant: str, client_id: str, authority: str, device_code: bool, ca_file: str) -> None:
    """Sign in to the environment at URL and remember it for later commands on this machine.

    \b
    Examples:
      bulklink login https://contoso.crm4.dynamics.com
      bulklink login https://contoso.crm4.dynamics.com --device-code
    """
    from bulklink.files.lock import state_directory
    from bulklink.service import sign_in

    kind = "device-code" if device_code or not _has_browser() else "interactive"
    settings = sign_in.Settings(
        _environment(url), kind, tenant_id=tenant, client_id=client_id, authority=authority, ca_file=ca_file
    )

    async def act() -> Any:
        return await sign_in.login(
            settings, os.environ, state_directory(), kind, lambda words: click.echo(words, err=True)
        )

    signed_in, cache = _awaited(act)
    how = "encrypted" if cache.is_encrypted else "readable by you only, not encrypted: this machine has no keyring"
    click.echo(f"Signed in to {signed_in.environment} as {signed_in.username}.")
    click.echo(f"Kept in {cache.directory} ({how}). `bulklink logout` forgets it.")


@click.command()
@click.argument("url", metavar="[URL]", default="")
@verbose_option
def logout(url: str) -> None:
    """Forget the sign-in to URL, or every sign-in on this machine.

    \b
    Examples:
      bulklink logout
      bulklink logout https://contoso.crm4.dynamics.com
    """
    from bulklink.files.lock import state_directory
    from bulklink.service.sign_in_cache import SignInCache

    cache = SignInCache(state_directory())
    environments = [_environment(url)] if url else list(cache.logins())
    forgotten = [found for environment in environments if (found := cache.forget(environment))]
    for gone in forgotten:
        click.echo(f"Signed out of {gone.environment} ({gone.username}).")
    if not forgotten:
        click.echo(f"Nobody was signed in{' to ' + environments[0] if url else ''}.")


@click.command()
@click.option("--url", metavar="URL", envvar="BULKLINK_URL", default="", help="Environment (or BULKLINK_URL).")
@_ca_file
@json_option
@verbose_option
@click.pass_context
def whoami(ctx: click.Context, /, url: str, ca_file: str) -> None:
    """Say who is signed in, where, and how. Without --url: at the one environment of `bulklink login`.

    \b
    Examples:
      bulklink whoami
      BULKLINK_TOKEN_FILE=token.txt bulklink whoami --url https://contoso.crm4.dynamics.com
    """
    from bulklink.files.lock import state_directory
    from bulklink.service import sign_in

    settings = sign_in.Settings(_environment(url) if url else _only_login(), ca_file=ca_file)
    source = sign_in.token_source(settings, os.environ, state_directory())
    identity = _awaited(lambda: _asked(settings, source))
    facts = {
        "environment": settings.url,
        "user": _named(identity.user_name, identity.user_id),
        "organisation": _named(identity.organisation_name, identity.organisation_id),
        "business unit": identity.business_unit_id,
        "sign-in": f"{source.kind}, {source.who}",
    }
    if ctx.ensure_object(Session).json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for name, value in facts.items():
        click.echo(f"{name:<14} {value}")


async def _asked(settings: "Settings", source: "NamedTokenSource") -> "Identity":
    from bulklink.service.identity import who_am_i
    from bulklink.service.transport import Transport

    async with Transport(f"{settings.url}/api/data/v9.2", source, ca_file=settings.ca_file) as transport:
        return await who_am_i(transport, settings.url)


def _awaited(act: Callable[[], Awaitable[Any]]) -> Any:
    import anyio

    return anyio.run(act)


def _environment(url: str) -> str:
    """An address as people copy it from the browser, cut down to the environment's own."""
    from bulklink.service.connections import safe_origin

    return str(safe_origin(url if "://" in url else f"https://{url}"))


def _only_login() -> str:
    from bulklink.errors import UsageError
    from bulklink.files.lock import state_directory
    from bulklink.service.sign_in_cache import SignInCache

    environments = list(SignInCache(state_directory()).logins())
    if len(environments) == 1:
        return environments[0]
    if not environments:
        raise UsageError("Which environment?", hint="Give --url, or sign in first: bulklink login URL.")
    raise UsageError(f"Which environment? Signed in to: {', '.join(environments)}.", hint="Give --url.")


def _has_browser() -> bool:
    import webbrowser

    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _named(name: str, record_id: str) -> str:
    return f"{name} ({record_id})" if name else record_id
