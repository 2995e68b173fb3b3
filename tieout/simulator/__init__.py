"""Made-up companies: their change events, the way they are delivered, and the true outcome of every document.

Nothing here asks the deciding modules what a document's position is: the story of each document is written
down together with its outcome, so that tests compare two independent accounts of the same thing.
"""

from tieout.simulator.companies import Delivered, deliver, simulate
from tieout.simulator.scenario import Event, Label, Simulation, Summary, ingest_lines, label_line, label_lines

__all__ = [
    "Delivered",
    "Event",
    "Label",
    "Simulation",
    "Summary",
    "deliver",
    "ingest_lines",
    "label_line",
    "label_lines",
    "simulate",
]
