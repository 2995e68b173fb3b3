"""The exceptions of the project.

* TieoutError
  + InputError            the input is invalid: it goes to the rejected topic and is never retried automatically
    - Rejected            an event that cannot be decoded or ordered
  + SetupError            the installation is invalid: an operator corrects it and starts again
    - MapError            a map file that contradicts the schema, or itself
    - SettingError        a setting that is missing or invalid
    - StoreError          a store that does not exist, is newer than the code, or was built under other maps
      . StoreUnavailable  the database does not respond: retry later
      . StoreMismatch     it was built under other maps or companies than the current ones
  + QueryError            a query that cannot be answered: an unknown company, no open period, an unknown document
  + LeaseLost             another writer advanced the offsets: this one rolls back and stops
    - StoreReplaced       a replay swapped in a rebuilt store: the writer starts again on it
  + handlers.errors.TargetError  a call to Finance or Dataverse failed; its subclasses determine the retry
"""


class TieoutError(Exception):
    """Base class of the exceptions of the project. The message states the problem, its location and the remedy."""


class InputError(TieoutError):
    """The input is invalid."""


class Rejected(InputError):
    """An event cannot be decoded or ordered (R7). The message is stored as the reason with the bytes of the event."""


class SetupError(TieoutError):
    """The installation is invalid: an operator corrects it and starts again."""


class MapError(SetupError):
    """A map file contradicts the schema, or itself."""


class SettingError(SetupError):
    """A setting is missing or invalid."""


class StoreError(SetupError):
    """The store does not exist, is newer than the code, or was built under other maps."""


class StoreUnavailable(StoreError):
    """The database of the store does not respond: retry later."""


class StoreMismatch(StoreError):
    """The store was built under other maps or companies than the current ones, so its rows have another meaning."""


class QueryError(TieoutError):
    """A query cannot be answered: an unknown company, no open period, an unknown document."""


class LeaseLost(TieoutError):
    """Another writer advanced the offsets. The transaction is rolled back, and this writer stops."""


class StoreReplaced(LeaseLost):
    """A replay swapped in a rebuilt store. The writer starts again on it."""
