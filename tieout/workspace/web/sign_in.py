"""Sign-in: from the first request of a browser over the identity provider to a session (R83).

What belongs to a sign-in in progress is in a cookie of the browser that began it, so a response of the provider is
accepted from that browser alone, and people without an account cannot fill the store. Each sign-in has a cookie of its
own, because a browser may open several tabs at once.
"""

import base64
import re
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
from sqlalchemy.exc import DatabaseError
from starlette.requests import Request
from starlette.responses import Response

from store import clock
from store.operational.sessions import MINUTE, NOTED_EVERY, Session, Sessions
from tieout.access.errors import SignInRefused
from tieout.access.identities import LOCAL, Identity
from tieout.access.role_values import grants_of, values_of
from tieout.settings import Settings
from tieout.sync.planning import RECURRING
from tieout.workspace.web.security import own_path

if TYPE_CHECKING:
    # It loads authlib, which a workspace without sign-in does not need.
    from tieout.access.provider import Provider, SignedIn

IN_PROGRESS_SECONDS: Final = 600
"""How long a person may take at the identity provider."""
RETURN_MAX: Final = 2_500
"""Characters of the address that is opened after the sign-in: a cookie has 4,096 at most."""
_TOKEN: Final = re.compile(r"[\w-]{20,100}", re.ASCII)
_NAME_MAX: Final = 200
_RESERVED: Final = (RECURRING, "general journals")
"""Names under which workers act."""

log = structlog.get_logger(__name__)


class InProgress(msgspec.Struct, frozen=True):
    """A sign-in in progress: its state, nonce and PKCE verifier, and the address to open after it."""

    state: str
    nonce: str
    verifier: str
    then: str

    def __repr__(self) -> str:
        return "InProgress()"


class SignIn:
    """The sign-in of one workspace; thread-safe."""

    def __init__(
        self, settings: Settings, provider: "Provider", sessions: Sessions, now: Callable[[], int] = clock.now
    ) -> None:
        assert settings.workspace_address is not None
        self.address = settings.workspace_address
        self.provider = provider
        self._settings = settings
        self._sessions = sessions
        self._now = now
        # A browser accepts the prefix by https only; it proves that no other host has set the cookie.
        self._prefix = "__Host-" if self.address.startswith("https:") else ""
        self._noting = ThreadPoolExecutor(1, thread_name_prefix="sessions")
        self._noted: dict[str, int] = {}
        self._lock = Lock()

    def close(self) -> None:
        """Close the connections to the provider, and stop noting requests."""
        self._noting.shutdown(wait=False, cancel_futures=True)
        self.provider.close()

    # --- requests of a session -------------------------------------------------------------------------------------

    def identity(self, request: Request) -> Identity | None:
        """Return the identity of a request; None without a session."""
        token = self.token(request)
        now = self._now()
        session = self._sessions.find(token, now) if token else None
        if session is None:
            return None
        if now >= session.seen + NOTED_EVERY:
            self._note(token, now)
        return Identity(session.name, grants_of(session.roles, session.subject, self._settings.roles))

    def token(self, request: Request) -> str:
        """Return the token of the session of a request; '' without one."""
        token = request.cookies.get(f"{self._prefix}tieout-session", "")
        return token if _TOKEN.fullmatch(token) else ""

    def _note(self, token: str, now: int) -> None:
        """Note a request in the background: a page must not wait for the writer of the store."""
        with self._lock:
            if now < self._noted.get(token, 0) + NOTED_EVERY:
                return
            self._noted = {key: at for key, at in self._noted.items() if now < at + NOTED_EVERY}
            self._noted[token] = now
        self._noting.submit(self._note_now, token, now)

    def _note_now(self, token: str, now: int) -> None:
        try:
            self._sessions.note(token, now)
        except DatabaseError as error:
            log.warning("session_not_noted", error=type(error).__name__)

    # --- a sign-in -------------------------------------------------------------------------------------------------

    def begin(self, response: Callable[[str], Response], then: str) -> Response:
        """Begin a sign-in that opens the address `then`. `response` makes the redirect to an address of the provider.

        Raises `ProviderUnavailable`.
        """
        entry = InProgress(
            secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), after_sign_in(then)
        )
        answer = response(self.provider.authorization_address(entry.state, entry.nonce, entry.verifier))
        value = base64.urlsafe_b64encode(msgspec.json.encode(entry)).decode().rstrip("=")
        self._set(answer, self._entry_name(entry.state), value, IN_PROGRESS_SECONDS)
        return answer

    def entry(self, request: Request) -> InProgress:
        """Return the sign-in in progress that a response of the provider belongs to. Raises `SignInRefused`."""
        state = request.query_params.get("state", "")
        value = request.cookies.get(self._entry_name(state), "")
        try:
            entry = msgspec.json.decode(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)), type=InProgress)
        except (msgspec.DecodeError, ValueError):
            raise SignInRefused("unknown-state") from None
        if not _TOKEN.fullmatch(state) or not secrets.compare_digest(state, entry.state):
            raise SignInRefused("unknown-state")
        return entry

    def finish(self, request: Request, entry: InProgress) -> tuple[str, Identity]:
        """Begin the session of a response of the provider. Returns its token and the identity. Raises `SignInRefused`
        or `ProviderUnavailable`.
        """
        query = request.query_params
        self._check_issuer(query.get("iss"))
        if "error" in query:
            raise SignInRefused("refused", re.sub(r"[^\w .-]", "", query["error"])[:60])
        code = query.get("code", "")
        if not code:
            raise SignInRefused("refused", "no code")
        signed_in = self.provider.redeem(code, verifier=entry.verifier, nonce=entry.nonce)
        session = self._session(signed_in)
        identity = Identity(session.name, grants_of(session.roles, session.subject, self._settings.roles))
        if not identity.grants:
            raise SignInRefused("no-role", session.name)
        token = secrets.token_urlsafe(32)
        if not self._sessions.begin(token, entry.nonce, session):
            raise SignInRefused("used-already", session.name)
        if before := self.token(request):
            self._sessions.end(before, self._now())
        return token, identity

    def sign_out(self, request: Request) -> str | None:
        """End the session of a request. Returns where the browser signs out at the provider, None if nowhere."""
        token = self.token(request)
        session = self._sessions.find(token, self._now()) if token else None
        if session is None:
            return None
        self._sessions.end(token, self._now())
        log.info("signed_out", name=session.name)
        return self.provider.sign_out_address(session.id_token, f"{self.address}/signed-out")

    def _session(self, signed_in: "SignedIn") -> Session:
        claims, settings, now = signed_in.claims, self._settings, self._now()
        return Session(
            subject=str(claims["sub"]),
            name=_name(claims, settings.name_claim),
            roles=values_of(claims, settings.roles_claim),
            id_token=signed_in.id_token,
            began=now,
            seen=now,
            ends=now + settings.session_hours * 60 * MINUTE,
        )

    def _check_issuer(self, named: str | None) -> None:
        """Check which provider a response names (RFC 9207): one of another provider must not be mixed in."""
        issuer = self._settings.issuer
        if named != issuer and (named is not None or self.provider.requires_issuer()):
            raise SignInRefused("wrong-issuer", "in the response")

    # --- cookies ---------------------------------------------------------------------------------------------------

    def set_session(self, response: Response, token: str) -> None:
        """Set the cookie of a session. It ends with the browser; the store knows when the session expires."""
        self._set(response, f"{self._prefix}tieout-session", token, None)

    def delete_session(self, response: Response) -> None:
        """Delete the cookie of a session."""
        self._set(response, f"{self._prefix}tieout-session", "", 0)

    def delete_entry(self, response: Response, state: str) -> None:
        """Delete the cookie of a sign-in in progress."""
        self._set(response, self._entry_name(state), "", 0)

    def _entry_name(self, state: str) -> str:
        return f"{self._prefix}tieout-sign-in-{re.sub(r'[^A-Za-z0-9]', '', state)[:12]}"

    def _set(self, response: Response, name: str, value: str, seconds: int | None) -> None:
        # Browsers accept `Secure` on https and on this machine, and the workspace is served nowhere else.
        response.set_cookie(name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite="lax")


def after_sign_in(text: str) -> str:
    """Return the address to open after a sign-in: one of this workspace that is no page of sign-in; otherwise its home,
    also for one that is too long for a cookie.
    """
    own = own_path(text)
    return own if len(own) <= RETURN_MAX and not own.startswith("/sign") else "/"


def _name(claims: Any, claim: str) -> str:
    """Return the name of a person. Raises `SignInRefused` for none, and for one that is not recognisable as theirs."""
    name = claims.get(claim)
    if not isinstance(name, str) or not name.strip() or len(name) > _NAME_MAX or not name.isprintable():
        raise SignInRefused("no-name", f"the claim {claim}")
    if claim == "email" and claims.get("email_verified") is False:
        raise SignInRefused("no-name", "the email is not verified")
    if name.strip().casefold().endswith(LOCAL.strip()) or name.strip().casefold() in _RESERVED:
        raise SignInRefused("no-name", "a reserved name")
    return name.strip()
