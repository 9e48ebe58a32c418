"""A description of data without the values that stand apart from all others, which probably mark missing data."""

from dataclasses import replace

import numpy as np

from sparsevq.cli.guesses import Opened
from sparsevq.cli.opened import open_source
from sparsevq.cli.survey import Survey, survey
from sparsevq.config import FileConfig
from sparsevq.data.marks import Mark, text_of_number


def surveyed(found: Opened, name: str, sample: int | None) -> tuple[Opened, Survey]:
    """The values of files that can be read; of values that must be marks the settings say so, and a note.

    Parameters
    ----------
    found
        The files, as a source.
    name
        Of the data set.
    sample
        How many frames to look at; None: all.
    """
    if found.source is None:
        raise ValueError("the files are no source")
    kept = found.settings.not_missing
    values = survey(found.source, sample, collect=True, not_missing=kept)
    if not values.marks:
        return found, values
    found = replace(found, notes=(*found.notes, *map(_note, values.marks)))
    sure = [mark for mark in values.marks if mark.sure]
    if not sure:
        return found, values
    settings = found.settings.model_copy(update={"missing": _all_missing(sure, found.settings)})
    source = open_source(settings, name)
    return replace(found, settings=settings, source=source), survey(source, sample, collect=True, not_missing=kept)


def _all_missing(sure: list[Mark], settings: FileConfig) -> tuple[float, ...]:
    more = [float(str(np.float32(mark.value))) for mark in sure]
    return tuple(dict.fromkeys((*settings.missing, *more)))


def _note(mark: Mark) -> str:
    what = "taken as missing" if mark.sure else f"if missing, add `missing: [{text_of_number(mark.value)}]`"
    return f"{mark.what}: {what}"
