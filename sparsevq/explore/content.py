"""What a page is made of, and how it is kept small."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsevq.data.field_data import Description
from sparsevq.data.lead_units import lead_unit
from sparsevq.errors import SparseVQError
from sparsevq.explore.domain import Domain
from sparsevq.explore.fields import palettes
from sparsevq.explore.headline import Number
from sparsevq.explore.packing import rounded, size
from sparsevq.plotting.style import WRITTEN, channel_label

BYTES = 9_500_000
"""Of packed fields in a page; plotly's script is 5 MB more."""


class Content(NamedTuple):
    """A page.

    Attributes
    ----------
    title, about
        Its heading, and lines below.
    numbers
        Number of observed frames -> the headline; empty: there is none.
    script
        What the page's script gets (`template/page.js`), as JSON.
    """

    title: str
    about: list[str]
    numbers: dict[int, list[Number]]
    script: dict[str, Any]


def fitted(domain: Domain, described: Callable[[Domain], list[dict[str, Any]]]) -> tuple[Domain, list[dict[str, Any]]]:
    """Cases in `BYTES`: with fewer members, and of large fields with fewer lead times and points.

    Parameters
    ----------
    domain
        All points that can be seen.
    described
        Points -> cases, each with ``fields`` as `packed_fields` makes them.

    Returns
    -------
    The points and lead times that are shown, and the cases there.

    Raises
    ------
    SparseVQError
        Even the fewest points are too many.
    """
    while True:
        cases = described(domain)
        members = [case["fields"].pop("members") for case in cases]
        left = BYTES - size([case["fields"] for case in cases])
        if left > 0:
            break
        coarser = domain.coarser()
        if coarser is None:
            raise SparseVQError(
                f"a page of {len(cases)} forecasts would be larger than {BYTES // 10**6} MB",
                "forecast fewer frames or channels",
            )
        domain = coarser
    kept = max(map(len, members))
    while kept and size([of[:kept] for of in members]) > left:
        kept -= 1
    for case, of in zip(cases, members, strict=True):
        case["fields"]["members"] = of[:kept]
    return domain, cases


def shown(domain: Domain, times: NDArray[Any], unit: str, cases: list[dict[str, Any]]) -> dict[str, Any]:
    """What every page's script gets: where, when, how coloured, and the cases.

    Parameters
    ----------
    times
        All lead times, in `unit`.
    """
    told = lead_unit(times.tolist(), unit)
    first = int(times[0] > 0)  # forecasts of earlier versions begin at lead 1
    names = [f"lead {lead} ({told.text(time)})".replace(" ()", "") for lead, time in enumerate(times.tolist(), first)]
    names = names if first else ["observed frame", *names[1:]]
    return {
        "domain": domain.described(),
        "leads": {
            "frames": (domain.leads + first).tolist(),
            "times": rounded(np.array([told.value(times[lead]) for lead in domain.leads])),
            "allTimes": rounded(np.array([told.value(time) for time in times])),
            "factor": told.factor,
            "unit": told.plural,
            "names": [names[lead] for lead in domain.leads],
        },
        "palettes": palettes(),
        "cases": cases,
    }


def channels_described(data: Description) -> list[dict[str, str]]:
    """Name, label and unit of each channel."""
    labels = [channel_label(channel, data.channel_about.get(channel, {})) for channel in data.channels]
    return [
        {"name": channel, "label": label, "unit": WRITTEN.get(unit, unit)}
        for channel, label, unit in zip(data.channels, labels, data.units, strict=True)
    ]
