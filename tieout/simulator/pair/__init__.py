"""Simulated Finance and Dataverse over HTTP: their APIs in front of a simulated company's rows.

They follow the rules of `docs/domain/limits.md`: pagination, etags, alternate keys, change tracking, service
protection. They run the processes of the products in simplified form, and send the events and messages that follow.
"""

from tieout.simulator.pair.injected_faults import InjectedFault, InjectedFaults
from tieout.simulator.pair.serving import Transport, app, listen, serve_in_background
from tieout.simulator.pair.systems import Pair, settings_at, small_pair

__all__ = [
    "InjectedFault",
    "InjectedFaults",
    "Pair",
    "Transport",
    "app",
    "listen",
    "serve_in_background",
    "settings_at",
    "small_pair",
]
