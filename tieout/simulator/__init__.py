"""Simulated companies: their change events, an unreliable delivery, and the true outcome of every document.

The simulator imports no judging module of the engine. The story of each document records its outcome together with its
events, so that tests compare two independent derivations.
"""

from tieout.simulator.companies import Delivery, deliver, simulate
from tieout.simulator.scenario import Label, SimulatedEvent, Simulation, Summary, ingest_lines, label_line, label_lines

__all__ = [
    "Delivery",
    "Label",
    "SimulatedEvent",
    "Simulation",
    "Summary",
    "deliver",
    "ingest_lines",
    "label_line",
    "label_lines",
    "simulate",
]
