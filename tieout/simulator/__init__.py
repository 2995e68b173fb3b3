"""A made-up company: its change events, the way they are delivered, and the true outcome of every document.

Nothing here asks the deciding modules what a document's position is: the story of each document is written
down together with its outcome, so that tests compare two independent accounts of the same thing.
"""

from tieout.simulator.companies import simulate
from tieout.simulator.scenario import Event, Label, Simulation, Summary, ingest_lines, label_lines

__all__ = ["Event", "Label", "Simulation", "Summary", "ingest_lines", "label_lines", "simulate"]
