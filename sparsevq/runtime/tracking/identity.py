"""What a job is called, and what is said of it: its identity, its names in MLflow, descriptions."""

import socket
from dataclasses import dataclass
from pathlib import Path

from sparsevq.version import VERSION


@dataclass(frozen=True)
class Job:
    """What a job is, however often it runs.

    Parameters
    ----------
    part
        Tells apart jobs of one rule, such as shards.
    placement
        Of the sensors, where the experiment has several.
    variant
        Which of the experiment's `variants` the run is.
    """

    experiment: str
    rule: str
    data_set: str | None = None
    num_sensors: int | None = None
    seed: int | None = None
    part: str = ""
    placement: str | None = None
    variant: str | None = None

    @property
    def name(self) -> str:
        """Rule and part, as it is called in logs and on the console."""
        return f"{self.rule} {self.part}".strip()

    @property
    def group(self) -> dict[str, str]:
        """What its parent run stands for; empty for jobs over the whole experiment."""
        fields = ("data_set", "num_sensors", "placement", "variant", "seed")
        return {key: str(getattr(self, key)) for key in fields if getattr(self, key) is not None}

    @property
    def group_name(self) -> str:
        """The group, as it is called in logs and on the console."""
        return " ".join(value if key == "data_set" else f"{key} {value}" for key, value in self.group.items())

    @property
    def run_name(self) -> str:
        """Name of its run in MLflow: rule first, then what tells it from the same rule of other seeds."""
        return f"{self.name} {self._short_group}".strip()

    @property
    def parent_name(self) -> str:
        """Name of its parent run, what differs most often first: MLflow shows the beginning in narrow columns."""
        if self.seed is not None:
            return self._short_group
        return f"data {self.data_set}" if self.data_set is not None else "experiment"

    @property
    def _short_group(self) -> str:
        sensors = "-".join(map(str, filter(None, (self.num_sensors, self.placement)))) or None
        sensors = f"{sensors}+{self.variant}" if self.variant else sensors
        short = {"s": self.seed, "n": sensors, "": self.data_set}
        return " ".join(f"{letter}{value}" for letter, value in short.items() if value is not None)

    def note(self, files: Path | None) -> str:
        """Description of its parent run, in Markdown.

        Parameters
        ----------
        files
            Folder of what the parent stands for.
        """
        where = f" (placement {self.placement})" if self.placement else ""
        where += f", variant **{self.variant}**" if self.variant else ""
        if self.seed is not None:
            text = (
                f"Forecasts of **{self.data_set}** from the readings of **{self.num_sensors} sensors**{where}, "
                f"seed {self.seed}. The child runs are the jobs that made it, the parameters are the settings of all."
            )
        elif self.data_set is None:
            text = "What is made over all runs: tables, report."
        else:
            text = f"The data set **{self.data_set}**: where it comes from, its splits, time mean and modes."
        return text + _where(files)

    def experiment_note(self, results: Path) -> str:
        """Description of its experiment, in Markdown, before there is a result."""
        return (
            f"Forecasts of fields from the readings of few sensors, by sparsevq {VERSION}. `s1 n20 cylinder` is the "
            "run with seed 1 and 20 sensors on the data set cylinder, its child runs are the jobs that made it; "
            "`data cylinder` is the data set's own. To compare seeds, select their runs: metrics under "
            "`by_lead_time` have the lead time, in frames, as their step." + _where(results / self.experiment)
        )


def _where(files: Path | None) -> str:
    return "" if files is None else f"\n\nFiles: `{files.resolve()}` on {socket.gethostname()}"
