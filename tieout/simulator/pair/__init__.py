"""Two systems to sync with, over HTTP: the APIs of Finance and Dataverse in front of a made-up company's rows.

They keep the rules of `docs/domain/limits.md`: pages, etags, alternate keys, change tracking, service protection; they
do, in simplified form, what the products do when asked; and they send the events and messages that follow.
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
