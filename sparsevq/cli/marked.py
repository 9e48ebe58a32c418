"""A description of data without the values that stand apart from all others, which probably mark missing data."""

import numpy as np

from sparsevq.cli.opened import open_source
from sparsevq.cli.survey import Survey, survey
from sparsevq.config import FileConfig
from sparsevq.data.marks import Mark, text_of_number
from sparsevq.data.source import Source


def surveyed(
    source: Source, settings: FileConfig, name: str, sample: int | None
) -> tuple[Source, FileConfig, Survey, tuple[str, ...]]:
    """What values files hold, without those that must be marks: the source and settings that leave them out, and notes.

    Parameters
    ----------
    source, settings
        The files.
    name
        Of the data set.
    sample
        How many frames to look at; None: all.
    """
    kept = settings.not_missing
    values = survey(source, sample, collect=True, not_missing=kept)
    notes = tuple(map(_note, values.marks))
    sure = [mark for mark in values.marks if mark.sure]
    if sure:
        settings = settings.model_copy(update={"missing": _all_missing(sure, settings)})
        source = open_source(settings, name)
        values = survey(source, sample, collect=True, not_missing=kept)
    return source, settings, values, notes


def _all_missing(sure: list[Mark], settings: FileConfig) -> tuple[float, ...]:
    more = [float(str(np.float32(mark.value))) for mark in sure]
    return tuple(dict.fromkeys((*settings.missing, *more)))


def _note(mark: Mark) -> str:
    what = "taken as missing" if mark.sure else f"if missing, add `missing: [{text_of_number(mark.value)}]`"
    return f"{mark.what}: {what}"
