"""The base classes of the errors that tieout raises, and the tree of all of them with their codes.

Each class has a `code`: stable, kebab-case, unique. Callers distinguish errors by class or code, and read attributes
for details. No caller inspects a message, so a message can be reworded or translated freely.

    TieoutError                   error                     the root
      InputError                  invalid-input             an input is invalid: published to the rejected topic
        Rejected                  event-rejected            an event that cannot be decoded or ordered
          PartlyRejected          event-partly-rejected     some parts of an event that carries several
        LineRefused               line-refused              a line of a file that cannot be ingested
      SetupError                  invalid-setup             the installation is invalid: a person must correct it
        MapError                  invalid-map               a map file contradicts the schema, or itself
        SettingError              invalid-setting           a setting is missing or cannot be read
        StoreError                store-error               the store is missing, or newer than the code
          StoreUnavailable        store-unavailable         the database does not respond: a retry may succeed
          StoreMismatch           store-mismatch            the store was built with other maps or companies
      QueryError                  invalid-query             a query without an answer: an unknown company or document
        NotFound                  not-found                 an unknown name: of a company, a document, an event
        NoOpenPeriod              no-open-period            the default window of a company cannot be determined
        TooManyCalls              too-many-calls            a sync exceeds the limits of a page
        LogNotOpened              log-not-opened            the worker of this process has not opened the log yet
      LeaseLost                   lease-lost                another writer advanced the offsets: the transaction is
                                                            rolled back, and this writer stops
        StoreReplaced             store-replaced            a replay replaced the store: this writer continues on it
      Exhausted                   attempts-exhausted        the five attempts of an attempt cycle have been made
      ClaimLost                   claim-lost                another holder claimed the subject
      LogError                    log-error                 the event log (`streams.log`)
        LogBusy                   log-busy                  another process has the log open for writing
        LogMissing                log-missing               the log does not exist
        LogDamaged                log-damaged               the log cannot be read
        LogReadOnly               log-read-only             the log was opened for reading
        LogFailed                 log-failed                the file system or the broker failed: a retry may succeed
          LogRefused              log-refused               the broker refused the credentials, or the access
        TopicMissing              topic-missing             a topic or partition does not exist
        TopicMismatch             topic-mismatch            a topic has other properties than required
        RecordTooLarge            record-too-large          a record exceeds the limit of the log
        OffsetOutOfRange          offset-out-of-range       an offset before the first record or after the last
        LogDiffers                log-differs               the log is not the one that the store was filled from
      TargetError                 call-failed               a call to Finance or Dataverse (`handlers.errors`)
        Throttled                 throttled                 the service protection limits: wait, no attempt is used
        Transient                 transient                 the same call may succeed later
          Changed                 row-changed               the row has changed since it was read, or exists already
        Configuration             configuration             a person must set up or change something
          OutgoingOff             outgoing-off              outgoing calls are switched off
          ReferenceMissing        reference-missing         a row that a journal line references is missing
        Permanent                 permanent                 the same call can never succeed
          Missing                 row-missing               the row does not exist
          TokenExpired            token-expired             the change tracking token is too old
      SignInRefused               sign-in-refused           a sign-in that must not begin a session (`tieout.access`)
        UnknownKey                unknown-key               the identity provider has no such key
      ProviderUnavailable         provider-unavailable      the identity provider does not respond as required
      NotSignedIn                 not-signed-in             a request without a session
      AccessDenied                access-denied             the identity lacks the right
"""

from typing import ClassVar, Final

from engine.texts import Translate


class TieoutError(Exception):
    """The root of the errors of tieout. The message names the problem, the place and the remedy."""

    code: ClassVar[str] = "error"
    """The stable code of the class."""


class InputError(TieoutError):
    """An input is invalid."""

    code = "invalid-input"


class Rejected(InputError):
    """An event that cannot be decoded or ordered (R7); the message is published with its bytes as the reason."""

    code = "event-rejected"


class SetupError(TieoutError):
    """The installation is invalid: a person corrects it and restarts."""

    code = "invalid-setup"


class MapError(SetupError):
    """A map file contradicts the schema, or itself."""

    code = "invalid-map"


class SettingError(SetupError):
    """A setting is missing or cannot be read."""

    code = "invalid-setting"


class StoreError(SetupError):
    """The store is missing, or newer than the code."""

    code = "store-error"


class StoreUnavailable(StoreError):
    """The database of the store does not respond: a retry may succeed."""

    code = "store-unavailable"


class StoreMismatch(StoreError):
    """The store was built with other maps or companies than those in force, so its rows have another meaning."""

    code = "store-mismatch"


class QueryError(TieoutError):
    """A query without an answer: an unknown company, no open period, an unknown document.

    `text` is the English message. With `values` it is a template of %-formatting with named placeholders, so that a
    page can show it in another language. A value may be another `QueryError`.
    """

    code = "invalid-query"

    def __init__(self, text: str, /, **values: object) -> None:
        super().__init__(text % values if values else text)
        self._text = text
        self._values = values

    def translated(self, translate: Translate) -> str:
        """Return the message in another language."""
        return self._filled(translate(self.code, self._text), translate)

    def _filled(self, text: str, translate: Translate) -> str:
        values = {
            name: value.translated(translate) if isinstance(value, QueryError) else value
            for name, value in self._values.items()
        }
        return text % values if values else text


BY_OPTIONS: Final = ", or name the dates with --from and --to."
ON_THE_PAGE: Final = ", or select both dates above."


class NotFound(QueryError):
    """No company, document, event or error has the requested name."""

    code = "not-found"


class NoOpenPeriod(QueryError):
    """The default window of a company cannot be determined.

    `problem` is a template as that of `QueryError`: the problem with its first remedy, without the end of the sentence,
    which is the second remedy: `BY_OPTIONS`, or `ON_THE_PAGE`.
    """

    code = "no-open-period"

    def __init__(self, problem: str, /, **values: object) -> None:
        super().__init__(f"{problem}{BY_OPTIONS}", **values)
        self._problem = problem

    def on_the_page(self, translate: Translate) -> str:
        """Return the message for a page with fields for the dates, in another language."""
        return self._filled(translate(self.code, f"{self._problem}{ON_THE_PAGE}"), translate)


class LeaseLost(TieoutError):
    """Another writer advanced the offsets; the transaction is rolled back, and this writer stops."""

    code = "lease-lost"


class StoreReplaced(LeaseLost):
    """A replay replaced the store; this writer continues on the new one."""

    code = "store-replaced"
