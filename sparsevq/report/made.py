"""How a result was made: which settings, and how long each job took."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml


@dataclass(frozen=True)
class Cost:
    """Jobs of a rule: how many, how long they took together (seconds), and the most memory of one (MB)."""

    rule: str
    jobs: int
    seconds: float
    memory: float

    @staticmethod
    def told(seconds: float) -> str:
        """A time as people tell it."""
        if seconds < 120:
            return f"{seconds:.0f} s"
        return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

    @property
    def time(self) -> str:
        """The time, as people tell it."""
        return self.told(self.seconds)


def costs(folder: Path) -> list[Cost]:
    """Of every rule whose jobs left a benchmark below a folder, the longest first."""
    jobs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for path in sorted(folder.rglob("benchmarks/*.tsv")):
        try:
            measured = pd.read_csv(path, sep="\t").iloc[-1]
            jobs[path.stem.rstrip("0123456789").rstrip("_")].append((float(measured["s"]), float(measured["max_rss"])))
        except (OSError, IndexError, KeyError, ValueError):
            continue  # of a job that is writing it
    found = [
        Cost(rule, len(each), sum(seconds for seconds, _ in each), max(memory for _, memory in each))
        for rule, each in jobs.items()
    ]
    return sorted(found, key=lambda cost: -cost.seconds)


def settings_text(config: Mapping[str, Any]) -> str:
    """The configuration as YAML."""
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
