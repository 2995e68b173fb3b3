"""Errors of calls to Finance and Dataverse, and how each class is handled (R44, `docs/domain/limits.md`).

* TargetError
  + Throttled        response 429, or not sent to stay within the limits: wait, then retry; no attempt is used
  + Transient        a fault of the system or the network: the same call may succeed later
    - Changed        the row has changed since it was read, or already exists: read it again, then re-evaluate
  + Configuration    a person must change rights, an address, a setting or reference data: no retry before that
    - OutgoingOff    outgoing calls are switched off for this environment (R49)
  + Permanent        the same call can never succeed
    - Missing        the row does not exist
    - TokenExpired   the change tracking token is too old: read the whole table again

Each message names the failure, the call and the remedy. No message contains a secret: messages are built from requests
and response bodies, never from headers, and secrets that a response repeats are redacted (`handlers.api.secrets`).
"""

from datetime import datetime

from engine.errors import TieoutError
from handlers.api.secrets import redact


class TargetError(TieoutError):
    """A failed call.

    `status` is the HTTP status of the response, None without a response; `code` is the error code in its body,
    verbatim. `outcome_unknown` means that no response arrived: the call may have taken effect, so check before a retry
    (R45).
    """

    code = "call-failed"

    def __init__(
        self, text: str, *, status: int | None = None, system_code: str = "", outcome_unknown: bool = False
    ) -> None:
        super().__init__(redact(text))
        self.status = status
        self.system_code = system_code
        self.outcome_unknown = outcome_unknown


class Throttled(TargetError):
    """The service protection limits were exceeded (R46). `retry_after` is the delay in seconds, None if not given."""

    code = "throttled"

    def __init__(
        self, text: str, *, retry_after: float | None, status: int | None = None, system_code: str = ""
    ) -> None:
        super().__init__(text, status=status, system_code=system_code)
        self.retry_after = retry_after


class Transient(TargetError):
    """A temporary fault of the system or of the network."""

    code = "transient"


class Changed(Transient):
    """The row has changed since it was read, or already exists (412): read it again and re-evaluate."""

    code = "row-changed"


class Configuration(TargetError):
    """A person must set up or change something before this call can succeed."""

    code = "configuration"


class OutgoingOff(Configuration):
    """Outgoing calls that change data are switched off for this environment (R49); nothing was sent."""

    code = "outgoing-off"


class Permanent(TargetError):
    """The system refuses this call, and would refuse it again."""

    code = "permanent"


class Missing(Permanent):
    """The row does not exist. `answered` is a time before the system looked it up, by the clock of the system."""

    code = "row-missing"

    answered: datetime | None = None


class TokenExpired(Permanent):
    """The change tracking token is older than the retention of changes: read the whole table again."""

    code = "token-expired"
