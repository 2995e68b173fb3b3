"""From which environment events come, and which of them are refused (R85, `docs/operating.md`, "Environments").

An event names its environment by an organisation's id and name, by the host of an API, or in a CloudEvent's source.
Without a setting, the first name of each kind and system is pinned; a test environment made of a copy of production has
the same rows, and its events must not be taken for production's.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, Literal

from engine.errors import Rejected
from engine.events.facts import Source
from streams.codec.common import clean, normal, shown

Kind = Literal["organisation id", "organisation name", "host", "source"]
"""What a name is: `source` is the name in a CloudEvent's source that is no host."""

Pin = tuple[str, str]
"""What is pinned: a kind of name of one system, the system (`Source`) first."""

Name = tuple[Kind, object]
"""A kind of name, and the name as the event has it."""

_REMEMBERED: Final = 1_000
_LONGEST: Final = 255


def kind_of_source(name: str) -> Kind:
    """The kind of the name in a CloudEvent's source: pollers write the host there.

    >>> kind_of_source("contoso"), kind_of_source("contoso.operations.dynamics.com")
    ('source', 'host')
    """
    return "host" if "." in name or ":" in name or name == "localhost" else "source"


def host_of(text: str) -> str:
    """A host without its port and the dot of its root.

    >>> host_of("contoso.example.com.:8443"), host_of("[2001:DB8::1]:443"), host_of("2001:db8::1")
    ('contoso.example.com', '2001:DB8::1', '2001:db8::1')
    """
    text = text.strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return (text.partition(":")[0] if text.count(":") == 1 else text).rstrip(".")


def named_in(setting: str) -> str:
    """The name in an entry of the setting, which may be an address or the source of an event as well.

    >>> named_in("https://contoso.example.com:8443/data"), named_in("/finance/contoso"), named_in("contoso")
    ('contoso.example.com', 'contoso', 'contoso')
    """
    text = setting.strip()
    if "://" in text:
        text = text.partition("://")[2].partition("/")[0].rpartition("@")[2]
    else:
        text = text.removeprefix("/finance/").removeprefix("/dataverse/")
    return host_of(text) if kind_of_source(text) == "host" else text


class Environments:
    """The environments that events may come from: those that the setting names, else those that are pinned.

    `hosts` are those of the systems' addresses in the settings, which are pinned from the start; `pins` those that are
    known. Ports are no part of a host. What an event pins counts once `confirm` says that the event was understood.
    Not for several threads.
    """

    def __init__(
        self, named: Collection[str] | None = None, *, pins: Mapping[Pin, str] = {}, hosts: Mapping[Source, str] = {}
    ) -> None:
        self._named = None if named is None else frozenset(_spelled(named_in(name)) for name in named)
        self._hosts: dict[Pin, str] = {(system, "host"): host for system, host in hosts.items()}
        self._pins: dict[Pin, str] = {}
        self._tentative: dict[Pin, str] = {}
        self._accepted: set[tuple[object, ...]] = set()
        self.found: dict[Pin, str] = {}
        """What was pinned since it was last asked for (`news`)."""
        self.refusals = 0
        """How many events were refused."""
        self.pin(pins)

    def pin(self, pins: Mapping[Pin, str]) -> None:
        """Replace the current pins."""
        self._pins = dict(pins)
        self._accepted.clear()
        # Kept as well: a rebuild may have other settings.
        new = {pin: host for pin, host in self._hosts.items() if self._named is None and pin not in self._pins}
        self.found = new

    def check(self, system: Source, names: Iterable[Name], where: str) -> None:
        """Raise `Rejected` for an event from elsewhere: one of its names is of a kind that is pinned, and none is a
        pinned name. `where` says where the names stand.
        """
        key = (system, *names)
        if key in self._accepted:
            return
        given = [(kind, text) for kind, name in names if (text := clean(name))]
        given = [(kind, host_of(text) if kind == "host" else text) for kind, text in given]
        if self._named is not None:
            self._check_named(given, where)
        else:
            self._check_pinned(system, given, where)
        if not self._tentative:
            if len(self._accepted) >= _REMEMBERED:
                self._accepted.clear()
            self._accepted.add(key)

    def confirm(self) -> None:
        """The event was understood: what it pinned stays."""
        if self._tentative:
            self._pins |= self._tentative
            self.found |= self._tentative
            self._tentative = {}

    def drop(self) -> None:
        """The event was not understood: it pins nothing."""
        self._tentative = {}

    def news(self) -> dict[Pin, str]:
        """What was pinned since the last call."""
        found, self.found = self.found, {}
        return found

    def _check_named(self, given: list[tuple[Kind, str]], where: str) -> None:
        assert self._named is not None
        if not any(_spelled(name) in self._named for _, name in given):
            what = " alias ".join(shown(name) for _, name in given) or "that the event does not name"
            known = ", ".join(sorted(self._named))
            self.refusals += 1
            raise Rejected(f"the environment {what} at {where} is none of this installation's ({known})")

    def _check_pinned(self, system: Source, given: list[tuple[Kind, str]], where: str) -> None:
        pinned = self._hosts | self._pins | self._tentative
        every = [*pinned.items(), *self._hosts.items()]
        own = {_spelled(name) for (of, _), name in every if of == system}
        kinds = [kind for kind, _ in given if (system, kind) in pinned]
        if kinds and not any(_spelled(name) in own for _, name in given):
            what = " alias ".join(shown(name) for _, name in given)
            known = ", ".join(sorted({shown(pinned[system, kind]) for kind in kinds}))
            self.refusals += 1
            raise Rejected(
                f"the environment {what} at {where} is not this installation's: events of {system} come from {known}. "
                "If it is one of its own, name all of them in TIEOUT_ENVIRONMENTS; if a wrong one was pinned, `tieout "
                "check` lists them, and `tieout check --unpin NAME` removes one"
            )
        for kind, name in given:
            if (system, kind) not in pinned and len(name) <= _LONGEST and name.isprintable():
                self._tentative.setdefault((system, kind), name)


def only(named: Collection[str] | None) -> Environments | None:
    """Those that a setting names; None, which is any, when it names none."""
    return None if named is None else Environments(named)


def _spelled(name: str) -> str:
    """A name in one spelling."""
    return normal(name.strip()).lower()
