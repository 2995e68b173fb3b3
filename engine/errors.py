"""Every error this project raises.

* TieoutError
  + InputError            what came in is at fault: kept on the rejected topic, never retried by itself
    - Rejected            an event that cannot be understood or ordered
  + SetupError            the installation is at fault: a person changes something and starts again
    - MapError            a map file that contradicts the schema, or itself
    - SettingError        a setting that is missing or cannot be read
    - StoreError          a store that is not there, is newer than the code, or belongs to other maps
      . StoreUnavailable         its database does not answer: waiting may help
      . StoreMismatch    it was built under other maps or companies than those in force here
  + QueryError         a question that has no answer: an unknown company, no open period, an unknown document
  + LeaseLost             another writer moved the offsets: this one stops, its transaction is rolled back
    - Rebuilt             a replay put a rebuilt store in place: this writer begins again on it
  + handlers.errors.TargetError  a call to Finance or Dataverse failed; a tree of its own says what follows
"""


class TieoutError(Exception):
    """The root of every error of this project; its text names what, where and what to do."""


class InputError(TieoutError):
    """What came in is at fault."""


class Rejected(InputError):
    """An event that cannot be understood or ordered (R7); the text is the reason kept with its bytes."""


class SetupError(TieoutError):
    """The installation is at fault: a person changes something and starts again."""


class MapError(SetupError):
    """A map file contradicts the schema, or itself."""


class SettingError(SetupError):
    """A setting is missing or cannot be read."""


class StoreError(SetupError):
    """The store is not there, is newer than the code, or was made under other maps."""


class StoreUnavailable(StoreError):
    """The database of the store does not answer: waiting may help."""


class StoreMismatch(StoreError):
    """The store was built under other maps or companies than those in force here: its rows mean something else."""


class QueryError(TieoutError):
    """A question that has no answer: an unknown company, no open period, an unknown document."""


class LeaseLost(TieoutError):
    """Another writer moved the offsets; the transaction of this one is rolled back, and it stops."""


class StoreReplaced(LeaseLost):
    """A replay put a rebuilt store in place; the writer begins again on that one."""
