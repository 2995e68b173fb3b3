"""Why a sign-in or a request is refused. Pages show each reason in words; the messages are for the log."""

from typing import Final, Literal

from engine.errors import TieoutError
from tieout.access.identities import Right

Reason = Literal[
    "expired",
    "not-yet-valid",
    "wrong-audience",
    "wrong-issuer",
    "bad-signature",
    "wrong-nonce",
    "invalid-token",
    "unknown-state",
    "used-already",
    "refused",
    "no-name",
    "no-role",
]
"""A reason to refuse a sign-in."""

RESPONSE_FAULTS: Final[frozenset[Reason]] = frozenset(
    {"expired", "not-yet-valid", "wrong-audience", "wrong-issuer", "bad-signature", "wrong-nonce", "invalid-token"}
)
"""The reasons that concern the ID token of the identity provider."""


class SignInRefused(TieoutError):
    """A sign-in that must not begin a session. The message has no token or code."""

    code = "sign-in-refused"

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"sign-in refused ({reason}){': ' if detail else ''}{detail}")
        self.reason: Reason = reason
        self.detail = detail


class ProviderUnavailable(TieoutError):
    """The identity provider does not respond, or not as OpenID Connect requires."""

    code = "provider-unavailable"


class NotSignedIn(TieoutError):
    """A request without a session, or whose session has ended."""

    code = "not-signed-in"


class AccessDenied(TieoutError):
    """The identity lacks a right in a company, in every company (None) or, for pages of no company, in any ('')."""

    code = "access-denied"

    def __init__(self, right: Right, company: str | None) -> None:
        super().__init__(
            f"access denied: {right} in {'every company' if company is None else company or 'any company'}"
        )
        self.right = right
        self.company = company
