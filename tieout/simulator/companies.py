"""The made-up companies by name."""

from tieout.simulator.delivery import unreliable
from tieout.simulator.scenario import Simulation
from tieout.simulator.small import COMPANIES, TODAY, UNTIL, play


def simulate(company: str = "small", seed: int = 1, deliver: bool = True) -> Simulation:
    """Play a company's story; with `deliver` its events come late, twice and out of order, but none is lost.

    The heartbeats of both systems stay last: they say that everything before them has been sent.
    """
    if company != "small":
        raise ValueError(f"there is no made-up company {company!r}; there is: small")
    cast = play(seed)
    events = cast.world.events()
    arrived = unreliable(events, seed) if deliver else events
    return Simulation(
        events=(*arrived, *cast.world.complete(UNTIL)),
        labels=tuple(cast.labels),
        today=TODAY,
        companies=COMPANIES,
        summary=cast.summary(),
    )
