"""What a call to Finance or Dataverse can end in, and what follows (R44, `docs/domain/limits.md`).

* TargetError
  + Throttled        answered 429, or not sent for the sake of the limits: wait, then call again; no attempt used
  + Transient        the system or the way to it: the same call may succeed in a while
    - Changed        the row is not as it was read, or is there already: read it again, then decide again
  + Configuration    a person changes something (rights, an address, a setting, reference data): not retried until then
    - OutgoingOff    outgoing calls are not switched on for this environment (R49)
  + Permanent        this call can never succeed as it is
    - Missing        the row is not there
    - TokenExpired   the change tracking token is too old: read the whole table again

Every text says what happened, to which call, and what to do. None holds a secret: texts are made of what was asked and
what was answered, never of headers; secrets that an answer repeats are hidden (`handlers.api.secrets`).
"""

from datetime import datetime

from engine.errors import TieoutError
from handlers.api.secrets import redact


class TargetError(TieoutError):
    """A call did not do what it should.

    `status` is that of the answer, None when there was none; `code` the code in its body, as the system wrote it.
    `outcome_unknown`: no answer came, so the call may have taken effect; look before you call again (R45).
    """

    def __init__(self, text: str, *, status: int | None = None, code: str = "", outcome_unknown: bool = False) -> None:
        super().__init__(redact(text))
        self.status = status
        self.code = code
        self.outcome_unknown = outcome_unknown


class Throttled(TargetError):
    """The system asks for less (R46). `retry_after`: seconds to wait, None when it did not say."""

    def __init__(self, text: str, *, retry_after: float | None, status: int | None = None, code: str = "") -> None:
        super().__init__(text, status=status, code=code)
        self.retry_after = retry_after


class Transient(TargetError):
    """The system, or the way to it, is at fault for the moment."""


class Changed(Transient):
    """The row is not as it was read, or is there already (412): read it again and decide anew."""


class Configuration(TargetError):
    """Something must be set up, or changed by a person, before this call can succeed."""


class OutgoingOff(Configuration):
    """Calls that change something are switched off for this environment (R49): nothing was sent."""


class Permanent(TargetError):
    """The system refuses this call as it is."""


class Missing(Permanent):
    """The row is not there. `answered`: a moment before the system looked for it, by its own clock."""

    answered: datetime | None = None


class TokenExpired(Permanent):
    """The change tracking token is older than the system keeps changes: read the whole table again."""
