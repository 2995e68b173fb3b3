"""Accepts or rejects events by the environment that they come from (R85, `docs/operating.md`, "Environments").

An event names its environment by the id and name of an organisation, by the host of an API, or in the source of a
CloudEvent. Without a setting, the first name of each kind and system is pinned (trust on first use). A test environment
that is a copy of production has the same row ids, so its events must be rejected.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, Literal

from engine.errors import Rejected
from engine.events.facts import Source
from streams.codec.common import clean, excerpt, normalize_guid

Kind = Literal["organisation id", "organisation name", "host", "source"]
"""Kind of an environment name. `source` is the name in the source of a CloudEvent, if it is not a host."""

Pin = tuple[str, str]
"""Key of a pinned name: system (`Source`) and kind."""

Name = tuple[Kind, object]
"""Kind and name, as the event gives it."""

_CACHE_SIZE: Final = 1_000
_NAME_LENGTH_MAX: Final = 255


def kind_of_source(name: str) -> Kind:
    """Return the kind of the name in the source of a CloudEvent. Pollers use the host of the API.

    >>> kind_of_source("contoso"), kind_of_source("contoso.operations.dynamics.com")
    ('source', 'host')
    """
    return "host" if "." in name or ":" in name or name == "localhost" else "source"


def host_of(text: str) -> str:
    """Return a host without its port and trailing dot.

    >>> host_of("contoso.example.com.:8443"), host_of("[2001:DB8::1]:443"), host_of("2001:db8::1")
    ('contoso.example.com', '2001:DB8::1', '2001:db8::1')
    """
    text = text.strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return (text.partition(":")[0] if text.count(":") == 1 else text).rstrip(".")


def setting_name(setting: str) -> str:
    """Return the name in an entry of the setting: a name, a URL or the source of an event.

    >>> setting_name("https://contoso.example.com:8443/data"), setting_name("/finance/contoso"), setting_name("contoso")
    ('contoso.example.com', 'contoso', 'contoso')
    """
    text = setting.strip()
    if "://" in text:
        text = text.partition("://")[2].partition("/")[0].rpartition("@")[2]
    else:
        text = text.removeprefix("/finance/").removeprefix("/dataverse/")
    return host_of(text) if kind_of_source(text) == "host" else text


class Environments:
    """The accepted environments: those of the setting, otherwise the pinned ones.

    `hosts` are the hosts of the configured API addresses, which are pinned from the start; `pins` are the stored pins.
    Ports are ignored. The pins of an event take effect when `confirm` is called after it was decoded. Not thread-safe.
    """

    def __init__(
        self, named: Collection[str] | None = None, *, pins: Mapping[Pin, str] = {}, hosts: Mapping[Source, str] = {}
    ) -> None:
        self._named = None if named is None else frozenset(_normalized(setting_name(name)) for name in named)
        self._hosts: dict[Pin, str] = {(system, "host"): host for system, host in hosts.items()}
        self._pins: dict[Pin, str] = {}
        self._tentative: dict[Pin, str] = {}
        self._accepted: set[tuple[object, ...]] = set()
        self._new_pins: dict[Pin, str] = {}
        self.refusals = 0
        """Number of rejected events."""
        self.pin(pins)

    def pin(self, pins: Mapping[Pin, str]) -> None:
        """Replace the current pins."""
        self._pins = dict(pins)
        self._accepted.clear()
        # Stored as well, because a rebuild may run with other settings.
        new = {pin: host for pin, host in self._hosts.items() if self._named is None and pin not in self._pins}
        self._new_pins = new

    def check(self, system: Source, names: Iterable[Name], where: str) -> None:
        """Raise `Rejected` for an event of another environment: at least one of its names is of a pinned kind, and none
        is a pinned name. `where` is the path of the names in the event, for the reason.
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
            if len(self._accepted) >= _CACHE_SIZE:
                self._accepted.clear()
            self._accepted.add(key)

    def confirm(self) -> None:
        """Keep the tentative pins of an event: it was decoded."""
        if self._tentative:
            self._pins |= self._tentative
            self._new_pins |= self._tentative
            self._tentative = {}

    def drop(self) -> None:
        """Drop the tentative pins of an event: it was rejected."""
        self._tentative = {}

    def take_new_pins(self) -> dict[Pin, str]:
        """Return the pins since the last call, to be stored with the batch."""
        found, self._new_pins = self._new_pins, {}
        return found

    def _check_named(self, given: list[tuple[Kind, str]], where: str) -> None:
        assert self._named is not None
        if not any(_normalized(name) in self._named for _, name in given):
            what = " alias ".join(excerpt(name) for _, name in given) or "that the event does not name"
            known = ", ".join(sorted(self._named))
            self.refusals += 1
            raise Rejected(f"the environment {what} at {where} is none of this installation's ({known})")

    def _check_pinned(self, system: Source, given: list[tuple[Kind, str]], where: str) -> None:
        pinned = self._hosts | self._pins | self._tentative
        every = [*pinned.items(), *self._hosts.items()]
        own = {_normalized(name) for (of, _), name in every if of == system}
        kinds = [kind for kind, _ in given if (system, kind) in pinned]
        if kinds and not any(_normalized(name) in own for _, name in given):
            what = " alias ".join(excerpt(name) for _, name in given)
            known = ", ".join(sorted({excerpt(pinned[system, kind]) for kind in kinds}))
            self.refusals += 1
            raise Rejected(
                f"the environment {what} at {where} is not this installation's: events of {system} come from {known}. "
                "If it is one of its own, name all of them in TIEOUT_ENVIRONMENTS; if a wrong one was pinned, `tieout "
                "check` lists them, and `tieout check --unpin NAME` removes one"
            )
        for kind, name in given:
            if (system, kind) not in pinned and len(name) <= _NAME_LENGTH_MAX and name.isprintable():
                self._tentative.setdefault((system, kind), name)


def from_setting(named: Collection[str] | None) -> Environments | None:
    """Return the environments of the setting; None, which accepts any, if it is not set."""
    return None if named is None else Environments(named)


def _normalized(name: str) -> str:
    """Return a name normalised for comparison."""
    return normalize_guid(name.strip()).lower()
