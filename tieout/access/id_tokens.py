"""Verification of ID tokens (OpenID Connect Core 1.0, 3.1.3.7)."""

import time
from collections.abc import Mapping
from typing import Any, Final

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import (
    BadSignatureError,
    ClaimError,
    ExpiredTokenError,
    InvalidKeyIdError,
    JoseError,
    UnsupportedAlgorithmError,
)
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from tieout.access.errors import Reason, SignInRefused

ALGORITHMS: Final = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""Signatures by a key pair: with `none` or a shared secret, others could sign."""

SKEW_SECONDS: Final = 60
"""By how much the clocks of provider and workspace may differ."""

_REASONS: Final[Mapping[str, Reason]] = {
    "aud": "wrong-audience",
    "azp": "wrong-audience",
    "iss": "wrong-issuer",
    "nonce": "wrong-nonce",
    "exp": "expired",
    "nbf": "not-yet-valid",
    "iat": "not-yet-valid",
}


class UnknownKey(SignInRefused):
    """The key set has no such key: the provider may have changed its keys."""

    code = "unknown-key"


def verify(
    token: str, keys: Mapping[str, Any], *, issuer: str, client_id: str, nonce: str, access_token: str | None
) -> dict[str, Any]:
    """Return the claims of an ID token after all checks. Raises `SignInRefused`, `UnknownKey` for an unknown key."""
    try:
        key_set = KeySet.import_key_set(dict(keys))  # type: ignore[arg-type]
        # Unknown header parameters are ignored, as RFC 7515 requires, except critical ones.
        registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        decoded = jwt.decode(token, key_set, registry=registry)
    except InvalidKeyIdError:
        raise UnknownKey("bad-signature", "the key set has no key with this id") from None
    except (BadSignatureError, UnsupportedAlgorithmError) as error:
        raise SignInRefused("bad-signature", error.error) from None
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise SignInRefused("invalid-token", type(error).__name__) from None
    return _checked(decoded, issuer=issuer, client_id=client_id, nonce=nonce, access_token=access_token)


def _checked(
    decoded: jwt.Token, *, issuer: str, client_id: str, nonce: str, access_token: str | None
) -> dict[str, Any]:
    options = {
        "iss": {"essential": True, "value": issuer},
        "aud": {"essential": True, "value": client_id},
        "nonce": {"essential": True, "value": nonce},
        "sub": {"essential": True},
    }
    parameters = {"nonce": nonce, "client_id": client_id, "access_token": access_token}
    claims = CodeIDToken(decoded.claims, decoded.header, options, parameters)
    try:
        claims.validate(now=int(time.time()), leeway=SKEW_SECONDS)
    except ExpiredTokenError:
        raise SignInRefused("expired") from None
    except ClaimError as error:
        named = error.claim.partition(",")[0]
        raise SignInRefused(_REASONS.get(named, "invalid-token"), f"{error.error} {error.claim}"[:100]) from None
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise SignInRefused("invalid-token", type(error).__name__) from None
    return dict(claims)
