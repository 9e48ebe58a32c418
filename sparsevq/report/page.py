"""The report of an experiment: one HTML file that begins with the result and needs no network."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from sparsevq.errors import SparseVQError
from sparsevq.evaluation.labels import sensors_title
from sparsevq.report.captions import CONTACT_SHEET, FIGURES, OUTSIDE, ROBUSTNESS, SEEDS, TABLES, TITLES
from sparsevq.report.headline import Headline, headline
from sparsevq.report.leads import leads_in_time
from sparsevq.report.made import Cost, costs, settings_text
from sparsevq.report.texts import Table, read_tables
from sparsevq.runtime.files import written_whole
from sparsevq.version import VERSION

_TYPES = {".png": "image/png", ".gif": "image/gif"}


@dataclass(frozen=True)
class Figure:
    """A picture as a data URI, what it is, and what stands under it."""

    name: str
    source: str
    caption: str
    alt: str


@dataclass(frozen=True)
class EvaluatedRun:
    """One run on one split: its folder, what `scores.csv` calls it, its mean error, and the address of its page."""

    folder: Path
    keys: Mapping[str, Any]
    error: float
    page: str

    @property
    def name(self) -> str:
        """The run as people name it."""
        return f"{sensors_title(self.keys)}, {self.seed}"

    @property
    def seed(self) -> str:
        """Which seed."""
        return f"seed {self.keys['seed']}"

    def figures(self, names: Iterable[str] = FIGURES) -> list[Figure]:
        """Those of its figures that there are."""
        paths = {name: next(iter(sorted((self.folder / "figures").glob(f"{name}.*"))), None) for name in names}
        return [_figure(path, FIGURES[name], self.name) for name, path in paths.items() if path is not None]


FIRST = ("strip", "lead_time")
"""Figures of a run that are seen at once."""


@dataclass(frozen=True)
class Result:
    """One setting, over all its seeds: headline, table and what its leads are, the run with the median error."""

    title: str
    anchor: str
    headline: Headline
    leads: str
    table: Table
    run: EvaluatedRun | None
    seeds: int
    figures: Mapping[str, Figure]


@dataclass(frozen=True)
class DataSet:
    """A data set: its contact sheet and its statistics."""

    name: str
    figure: Figure
    tables: list[Table]


def write_report(
    out: Path,
    name: str,
    runs: Sequence[Path],
    data_sets: Sequence[Path],
    config: Mapping[str, Any],
    pages: Sequence[Path] = (),
) -> Path:
    """Write the report.

    Parameters
    ----------
    out
        The HTML file, in the experiment's folder: there are ``tables/`` and ``figures/`` beside it.
    name
        The experiment's.
    runs, data_sets
        Folders of the runs that were evaluated (of each split one), and of the data sets.
    config
        The configuration, as the user gave it.
    pages
        Pages that show a run, in its folder: the report links to them.

    Raises
    ------
    SparseVQError
        No run is finished, or a table is missing.
    """
    folder = out.parent
    evaluated = _evaluated(folder, runs, pages)
    results = _results(folder, evaluated)
    page = _environment().get_template("page.html").render(
        name=name,
        version=VERSION,
        results=results,
        runs=[(run, run.figures(_not_yet(run, results))) for run in evaluated],
        tables=[(TITLES[key], key, TABLES[key], _tables(folder, key)) for key in TITLES if _tables(folder, key)],
        captions=TABLES,
        curves={"robustness_forecast": _of_all(folder, "robustness", ROBUSTNESS, name)},
        over_seeds=_of_all(folder, "lead_time", SEEDS, name) if len(evaluated) > 1 else None,
        data_sets=[_data_set(path) for path in data_sets],
        costs=costs(folder),
        total=Cost.told(sum(cost.seconds for cost in costs(folder))),
        config=settings_text(config),
    )  # fmt: skip
    with written_whole(out) as part:
        part.write_text(page, encoding="utf-8", newline="\n")
    return out


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("sparsevq.report", "template"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _evaluated(folder: Path, runs: Sequence[Path], pages: Sequence[Path]) -> list[EvaluatedRun]:
    """The runs, in the order of their names."""
    found = []
    for run in runs:
        try:
            scores = pd.read_csv(run / "scores.csv")
        except (OSError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
            raise SparseVQError(f"{run / 'scores.csv'} can't be read ({error})", "evaluate that run first") from None
        ours = scores.query("method == 'sparsevq' and channel == 'all' and metric == 'relative_l2' and lead_time > 0")
        columns = list(scores.columns[: list(scores.columns).index("method")])
        keys = {column: scores[column].iloc[0] for column in columns if column != "observed_frames"}
        page = next((path for path in pages if path.parent == run), None)
        address = "" if page is None else page.relative_to(folder).as_posix()
        found.append(EvaluatedRun(run, keys, float(ours["value"].mean()), address))
    if not found:
        raise SparseVQError(f"{folder} has no run that is evaluated", "run the workflow to its end first")
    return sorted(found, key=lambda run: tuple(map(str, run.keys.values())))


def _results(folder: Path, runs: list[EvaluatedRun]) -> list[Result]:
    path = folder / "tables/summary.csv"
    try:
        summary = pd.read_csv(path)
    except (OSError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise SparseVQError(f"{path} can't be read as a table ({error})", "run the workflow to its end first") from None
    columns = list(summary.columns[: list(summary.columns).index("method")])
    results: list[Result] = []
    pictured: set[Path] = set()
    tables = read_tables(folder / "tables/summary.md")
    for number, ((setting, methods), table) in enumerate(
        zip(summary.groupby(columns, sort=False), tables, strict=True), 1
    ):
        wanted = dict(zip(columns, setting, strict=True))
        of_it = [run for run in runs if all(wanted.get(key, value) == value for key, value in run.keys.items())]
        by_error = sorted(of_it, key=lambda run: run.error)
        run = by_error[(len(by_error) - 1) // 2] if by_error else None
        fresh = run is not None and run.folder not in pictured
        figures = {figure.name: figure for figure in run.figures(FIRST)} if run and fresh else {}
        pictured |= {run.folder} if run else set()
        leads = leads_in_time(run.folder / "forecast.h5") if run else ""
        leads = f"{OUTSIDE} {leads}" if str(wanted["data_set"]).endswith("-ood") else leads
        said = headline(methods)
        results.append(Result(table.title, f"result-{number}", said, leads, table, run, len(of_it), figures))
    return results


def _not_yet(run: EvaluatedRun, results: list[Result]) -> list[str]:
    """The figures of a run that do not stand with a result."""
    shown = {name for result in results if result.run is run for name in result.figures}
    return [name for name in FIGURES if name not in shown]


def _tables(folder: Path, name: str) -> list[Table]:
    path = folder / f"tables/{name}.md"
    return read_tables(path) if path.exists() else []


def _of_all(folder: Path, file: str, caption: str, name: str) -> Figure | None:
    """A figure of all runs, where there is one."""
    path = folder / f"figures/{file}.png"
    return _figure(path, caption, name) if path.exists() else None


def _data_set(folder: Path) -> DataSet:
    figure = _figure(folder / "figures/contact_sheet.png", CONTACT_SHEET, folder.name)
    return DataSet(folder.name, figure, read_tables(folder / "split_statistics.md"))


def _figure(path: Path, caption: str, of: str) -> Figure:
    """A picture that stands in the file itself."""
    try:
        content = base64.encodebytes(path.read_bytes()).decode("ascii")  # Snakemake's report takes no long lines
    except OSError as error:
        raise SparseVQError(f"{path} can't be read ({error.strerror})", "make the figures first") from None
    alt = f"{path.stem.replace('_', ' ')}: {of}"
    return Figure(path.stem, f"data:{_TYPES[path.suffix]};base64,{content}", caption, alt)
