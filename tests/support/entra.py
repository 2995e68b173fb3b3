"""A sign-in service and a managed identity endpoint on this machine, with the responses of Microsoft Entra ID and
Azure.
"""

import base64
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.http_service import Asked, Reply, answering, json_reply

TENANT, CLIENT_ID, SECRET = "contoso", "0f1c0000-0000-4000-8000-00000000c11e", "s3cret-value"
IDENTITY_HEADER = "header-of-the-machine"


class Certificate:
    """A self-signed certificate of this machine, and its key."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
        now = datetime.now(UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def written(self, path: Path) -> Path:
        """Write certificate and key to one file, readable by its owner only."""
        path.touch(mode=0o600)
        path.write_text(self.key_pem + self.pem, encoding="ascii")
        return path


class Entra:
    """Issues numbered one-hour tokens to callers that authenticate as the application or the managed identity.

    `replies` replace a response, by the end of its path. `forms` are the token requests, `asked` all paths.
    """

    def __init__(self) -> None:
        self.address = ""
        self.known: Certificate | None = None
        """Certificate registered for the application."""
        self.replies: dict[str, Reply] = {}
        self.forms: list[dict[str, str]] = []
        self.asked: list[str] = []

    def answer(self, asked: Asked) -> Reply:
        path = asked.path
        self.asked.append(path)
        for end, reply in self.replies.items():
            if path.endswith(end):
                return reply
        if path == f"/{TENANT}/v2.0/.well-known/openid-configuration":
            at = f"{self.address}/{TENANT}"
            names = {"authorization_endpoint": "authorize", "token_endpoint": "token"}
            return json_reply(200, {"issuer": at, **{key: f"{at}/oauth2/v2.0/{name}" for key, name in names.items()}})
        if path == f"/{TENANT}/oauth2/v2.0/token":
            return self._token(dict(parse_qsl(asked.body.decode())))
        if path == "/msi/token":
            return self._identity(dict(parse_qsl(asked.query)), asked.headers)
        return json_reply(400, {"error": "invalid_tenant", "error_description": "AADSTS90002: Tenant not found."})

    def _token(self, form: dict[str, str]) -> Reply:
        self.forms.append(form)
        if form.get("client_id") != CLIENT_ID:
            return json_reply(400, {"error": "unauthorized_client", "error_description": "AADSTS700016: not found"})
        if not (form.get("client_secret") == SECRET or self._proves(form.get("client_assertion", ""))):
            return json_reply(
                401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret"}
            )
        return json_reply(200, {"token_type": "Bearer", "expires_in": 3600, "access_token": f"token-{len(self.forms)}"})

    def _proves(self, assertion: str) -> bool:
        if self.known is None:
            return False
        try:
            claims = jwt.decode(
                assertion,
                self.known.key.public_key(),
                algorithms=["PS256"],
                audience=f"{self.address}/{TENANT}/oauth2/v2.0/token",
            )
        except jwt.PyJWTError:
            return False
        thumbprint = base64.urlsafe_b64encode(self.known.certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
        named = jwt.get_unverified_header(assertion)["x5t#S256"].rstrip("=")
        return (claims["iss"], claims["sub"], named) == (CLIENT_ID, CLIENT_ID, thumbprint)

    def _identity(self, query: dict[str, str], headers: Any) -> Reply:
        """Respond as App Service does."""
        self.forms.append(query)
        if headers.get("X-IDENTITY-HEADER") != IDENTITY_HEADER:
            return json_reply(401, {"statusCode": 401, "message": "the header is wrong"})
        ends = int(time.time()) + 3600
        token = f"token-{len(self.forms)}"
        return json_reply(200, {"access_token": token, "expires_on": str(ends), "resource": query.get("resource")})


@contextmanager
def signing_in(certificate: Certificate | None = None, folder: Path | None = None) -> Iterator[Entra]:
    """Serve sign-in over TLS with a certificate; over HTTP without one, as a machine's own endpoint does."""
    entra = Entra()
    context = None
    if certificate is not None:
        assert folder is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.written(folder / "server.pem"))
    with answering(entra.answer, context) as entra.address:
        yield entra
