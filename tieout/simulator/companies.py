"""The simulated companies by name."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from tieout.simulator import large, small
from tieout.simulator.delivery import disordered, unreliable
from tieout.simulator.large import LargeCompany, in_order
from tieout.simulator.lost_events import DeliveryFailures
from tieout.simulator.payloads import NativePayloads, PlainPayloads
from tieout.simulator.scenario import Label, SimulatedEvent, Simulation

NAMES = ("small", "large")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A company's events in the order of arrival; `events` can be read once.

    Reading them reports the outcomes to `on_label` and fills `repairs` with the events that must be sent again.
    """

    events: Iterable[SimulatedEvent]
    today: date
    companies: tuple[str, ...]
    repairs: list[SimulatedEvent] = field(default_factory=list)


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
    ledger: bool = False,
) -> Delivery:
    """Simulate a company; its events arrive late, duplicated and out of order, the heartbeats of both systems last.

    `ledger` adds the ledger of the small company's integration accounts.

    The other options apply to the large company only: `documents` is their number, `mishaps` loses, truncates or
    damages some events, `silent` ends Dataverse's feed before the end, `heartbeats=False` sends none. The large
    company's events have the formats of the two systems unless `plain`; those of the small company are always
    CloudEvents. Raises `ValueError` for options that the small company does not support.
    """
    if company == "small" and documents is None and heartbeats and not (mishaps or silent):
        simulation = simulate("small", seed, ledger=ledger)
        for label in simulation.labels:
            on_label(label)
        return Delivery(simulation.events, simulation.today, simulation.companies)
    if ledger and company == "large":
        raise ValueError("only the small company has a ledger")
    if company != "large":
        raise ValueError(
            f"there is no simulated company {company!r}; there are: {', '.join(NAMES)}"
            if company not in NAMES
            else "the small company is that of the documented screenshots: number of documents, mishaps, silence and "
            "missing heartbeats are for the large one"
        )
    simulated = LargeCompany(
        large.DOCUMENTS if documents is None else documents, seed, on_label, silent=silent, heartbeats=heartbeats
    )
    payloads = PlainPayloads() if plain else NativePayloads()
    failures = DeliveryFailures(seed, large.UNTIL, payloads)
    whole = ((day, payloads.story(story, story)) for day, story in simulated.stories())
    stories = failures.apply(simulated.stories()) if mishaps else whole

    def events() -> Iterator[SimulatedEvent]:
        yield from disordered((event for _, _, event in in_order(stories)), seed)
        yield from simulated.heartbeats()

    return Delivery(events(), simulated.today, simulated.companies, failures.repairs)


def simulate(company: str = "small", seed: int = 1, deliver: bool = True, *, ledger: bool = False) -> Simulation:
    """Simulate the small company; with `deliver` its events arrive late, duplicated and unordered, but none is lost.
    With `ledger` Finance also sends the entries of its integration accounts.

    The heartbeats of both systems stay last: they declare that everything before them has been sent.
    """
    if company != "small":
        raise ValueError(f"there is no simulated company {company!r} that is generated at once; there is: small")
    scenario = small.play(seed)
    events = scenario.recorder.events()
    reports = scenario.recorder.process_events()
    if ledger:
        # Imported here, because the pair is a simulator of its own around the stories.
        from tieout.simulator.pair.ledger import ledger_events

        events = [*events, *ledger_events(scenario)]
    if deliver:
        events, reports = unreliable(events, seed), unreliable(reports, seed)
    return Simulation(
        events=(*events, *reports, *scenario.recorder.heartbeats(small.UNTIL)),
        labels=tuple(scenario.labels),
        today=small.TODAY,
        companies=small.COMPANIES,
        summary=scenario.summary(),
    )
