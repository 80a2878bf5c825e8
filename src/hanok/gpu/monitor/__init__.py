"""What GPUs do now: `hanok gpu top`.

Sources (`watch_nvml`, `watch_pages`) tell readings; `watch` asks each in a thread of its own; `overview` puts together
what they told, marks what passes one of `gpu.thresholds` and reckons what idleness costs (`prices`). Only `client` and
`watch*` touch the world.
"""

from hanok.gpu.monitor.overview import Overview, Row, Totals, overview
from hanok.gpu.monitor.prices import Price, Pricing, accelerator_of
from hanok.gpu.monitor.readings import Load, Pod, Process, Reading, Slice, Told, merged
from hanok.gpu.monitor.watch import Seen, Source, Watch
from hanok.gpu.thresholds import BOARDS, LEVELS, Level, Mark, Thresholds

__all__ = [
    "BOARDS",
    "LEVELS",
    "Level",
    "Load",
    "Mark",
    "Overview",
    "Pod",
    "Price",
    "Pricing",
    "Process",
    "Reading",
    "Row",
    "Seen",
    "Slice",
    "Source",
    "Thresholds",
    "Told",
    "Totals",
    "Watch",
    "accelerator_of",
    "merged",
    "overview",
]
