"""The made-up companies by name."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from tieout.simulator import large, small
from tieout.simulator.delivery import disordered, unreliable
from tieout.simulator.large import LargeCompany, in_order
from tieout.simulator.lost_events import Mishaps
from tieout.simulator.payloads import Native, Plain
from tieout.simulator.scenario import Event, Label, Simulation

NAMES = ("small", "large")


@dataclass(frozen=True, slots=True)
class Delivered:
    """A company's events in the order they arrive, to be read once.

    While they are read the outcomes are told, and `repairs` fills with what must be sent again.
    """

    events: Iterable[Event]
    today: date
    companies: tuple[str, ...]
    repairs: list[Event] = field(default_factory=list)


def deliver(
    company: str = "small",
    seed: int = 1,
    *,
    documents: int | None = None,
    on_label: Callable[[Label], None] = lambda label: None,
    mishaps: bool = False,
    silent: bool = False,
    heartbeats: bool = True,
    plain: bool = False,
) -> Delivered:
    """Play a company; its events come late, twice and out of order. The heartbeats of both systems stay last.

    For the large company alone: `documents` is how many, `mishaps` lets some events be lost, cut for size or damaged,
    `silent` lets Dataverse's feed fall silent before the end, without `heartbeats` there are none. Its events have the
    shapes in which the systems send them unless `plain`; those of the small one are always CloudEvents. Raises
    `ValueError` for what the small one cannot do.
    """
    if company == "small" and documents is None and heartbeats and not (mishaps or silent):
        made = simulate("small", seed)
        for label in made.labels:
            on_label(label)
        return Delivered(made.events, made.today, made.companies)
    if company != "large":
        raise ValueError(
            f"there is no made-up company {company!r}; there are: {', '.join(NAMES)}"
            if company not in NAMES
            else "the small company is that of the documented screenshots: number of documents, mishaps, silence and "
            "missing heartbeats are for the large one"
        )
    play = LargeCompany(
        large.DOCUMENTS if documents is None else documents, seed, on_label, silent=silent, heartbeats=heartbeats
    )
    payloads = Plain() if plain else Native()
    fate = Mishaps(seed, large.UNTIL, payloads)
    whole = ((day, payloads.story(story, story)) for day, story in play.stories())
    stories = fate.befall(play.stories()) if mishaps else whole

    def events() -> Iterator[Event]:
        yield from disordered((event for _, _, event in in_order(stories)), seed)
        yield from play.heartbeats()

    return Delivered(events(), play.today, play.companies, fate.repairs)


def simulate(company: str = "small", seed: int = 1, deliver: bool = True) -> Simulation:
    """Play the small company's story; with `deliver` its events come late, twice and out of order, but none is lost.

    The heartbeats of both systems stay last: they say that everything before them has been sent.
    """
    if company != "small":
        raise ValueError(f"there is no made-up company {company!r} that is told at once; there is: small")
    cast = small.play(seed)
    events = cast.world.events()
    reports = cast.world.reports()
    if deliver:
        events, reports = unreliable(events, seed), unreliable(reports, seed)
    return Simulation(
        events=(*events, *reports, *cast.world.complete(small.UNTIL)),
        labels=tuple(cast.labels),
        today=small.TODAY,
        companies=small.COMPANIES,
        summary=cast.summary(),
    )
