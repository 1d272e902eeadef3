"""A sign-in authority over TLS and an environment that believes its tokens, both on loopback."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import trustme
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from bulklink.sandbox.authority import Authority
from bulklink.service import sign_in
from bulklink.service.transport import Transport

SECRET = "planted-secret-Zq8~x"
CLIENT = "aaaaaaaa-1111-4111-8111-aaaaaaaaaaaa"


@dataclass
class World:
    authority: Authority
    environment: str
    ca_file: str
    state_dir: Path
    env: dict[str, str] = field(default_factory=dict)
    tokens_seen: list[str] = field(default_factory=list)
    extra_challenge: str = ""
    told: list[str] = field(default_factory=list)
    waited_s: list[float] = field(default_factory=list)

    async def wait(self, seconds: float) -> None:
        self.waited_s.append(seconds)

    def source(
        self, auth: str | None = None, *, credential: object = None, prompt: bool = False, **settings: Any
    ) -> sign_in.NamedTokenSource:
        settings = {"url": self.environment, "auth": auth, "ca_file": self.ca_file, **settings}
        return sign_in.token_source(
            sign_in.Settings(**settings),
            self.env,
            self.state_dir,
            credential=credential,
            prompt=self.told.append if prompt else None,
            sleep=self.wait,
        )

    def transport(self, source: Any) -> Transport:
        return Transport(f"{self.environment}/api/data/v9.2", source, request_timeout_s=20.0)

    async def answer(self, request: web.Request) -> web.Response:
        """204 for a token that the authority stands by, else 401 with the challenge."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.tokens_seen.append(token)
        if self.authority.is_valid(token):
            return web.Response(status=204)
        challenge = self.authority.challenge(self.environment) + self.extra_challenge
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})


@asynccontextmanager
async def sign_in_world(state_dir: Path, user: str = "") -> AsyncIterator[World]:
    ca = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(tls)
    ca_file = state_dir / "ca.pem"
    ca_file.write_bytes(ca.cert_pem.bytes())
    authority = Authority(user=user)
    authority.device_code_interval_s = 1
    world = World(authority, "", str(ca_file), state_dir)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(authority.serving(tls))
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", world.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        world.environment = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield world


@dataclass
class KeyPair:
    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    def pem(self, password: str = "") -> bytes:
        lock = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        pem = serialization.Encoding.PEM
        key = self.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, lock)
        return self.certificate.public_bytes(pem) + key  # certificate first: the order must not matter

    def pfx(self, password: str) -> bytes:
        lock = serialization.BestAvailableEncryption(password.encode())
        return pkcs12.serialize_key_and_certificates(b"bulklink", self.key, self.certificate, None, lock)

    @property
    def public_pem(self) -> str:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()

    def assertion(self, **claims: Any) -> str:
        """A federated token as a platform would project it into a file."""
        now = datetime.now(UTC)
        return jwt.encode({"iat": now, "exp": now + timedelta(hours=1), **claims}, self.key, algorithm="RS256")


def key_pair(days: int = 30) -> KeyPair:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bulklink test")])
    end = datetime.now(UTC) + timedelta(days=days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=365))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(key, certificate)
