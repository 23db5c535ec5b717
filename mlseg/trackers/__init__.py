"""Writers of the records of `metrics.jsonl` for the trackers that a lab may use.

Each is a thin layer over its library, which is an optional extra. A tracker that fails never stops
a run: one line says why, and the run goes on without it.
"""

from mlseg.trackers.open import NAMES, Trackers, missing

__all__ = ["NAMES", "Trackers", "missing"]
