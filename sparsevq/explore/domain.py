"""The points that a page shows: all, or as many as keep it small; and along which axes they can be looked at."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS, Description
from sparsevq.explore.coastlines import coastlines
from sparsevq.explore.packing import rounded
from sparsevq.plotting.style import WRITTEN, with_unit
from sparsevq.plotting.viewer import FieldViewer

Array = NDArray[Any]

MOST_ALONG, MOST = 720, 2**16
"""Points along an axis, and of all: more cannot be seen side by side, and would be slow to draw."""
FEWEST = 8
"""Points along an axis that are always left."""
FEWEST_FRAMES = 12
"""Lead times that are always left."""


@dataclass(frozen=True, eq=False)
class Domain:
    """The points of a data set, some of which are shown.

    Attributes
    ----------
    about
        Axes, units and kind of the points.
    on_earth
        Whether coastlines are drawn at first; on a map without, a reader may ask for them.
    every
        Of a grid, every how many-th point along each axis is shown; of scattered points, of all.
    frames, every_frame
        Lead times, 0 among them, and every how many-th is shown.
    """

    about: Description
    on_earth: bool
    every: tuple[int, ...]
    frames: int
    every_frame: int = 1

    @classmethod
    def of(cls, about: Description, frames: int) -> Self:
        """As many points as can be seen; simulated planets have no coasts."""
        on_earth = "simulator" not in about.provenance
        found = cls(about, on_earth, (1,) * len(about.grid), frames)
        while len(found.points) > MOST or (not about.scattered and max(found.grid) > MOST_ALONG):
            found = found._halved()
        return found

    def coarser(self) -> Self | None:
        """Half as many lead times, else points along the longest axis; None where that would leave too few."""
        if self.frames // self.every_frame >= 2 * FEWEST_FRAMES:
            return replace(self, every_frame=2 * self.every_frame)
        return self._halved() if max(self.grid) >= 2 * FEWEST else None

    def _halved(self) -> Self:
        """Half as many points along the longest axis."""
        longest = int(np.argmax(self.grid))
        return replace(self, every=tuple(e * (1 + (i == longest)) for i, e in enumerate(self.every)))

    @property
    def grid(self) -> tuple[int, ...]:
        """Points that are shown along each axis; of scattered points, all of these."""
        return tuple(-(-size // every) for size, every in zip(self.about.grid, self.every, strict=True))

    @property
    def leads(self) -> NDArray[np.int64]:
        """Lead times that are shown, in frames."""
        return np.arange(0, self.frames, self.every_frame)

    @property
    def points(self) -> NDArray[np.int64]:
        """``(n,)``: flat indices of the points that are shown, C order."""
        chosen = np.ix_(*(np.arange(0, size, every) for size, every in zip(self.about.grid, self.every, strict=True)))
        return np.ravel_multi_index(chosen, self.about.grid).ravel().astype(np.int64)

    @property
    def axes(self) -> dict[str, Array]:
        """Axis -> coordinates of the points that are shown."""
        every = dict(
            zip(self.about.axes, self.every * (len(self.about.axes) if self.about.scattered else 1), strict=True)
        )
        return {axis: at[:: every[axis]] for axis, at in self.about.axes.items()}

    @property
    def left_out(self) -> str:
        """What is not shown, for people; empty: nothing."""
        told = [f"one lead time of {self.every_frame} is shown"] if self.every_frame > 1 else []
        if max(self.every) > 1:
            told.append(f"coarsened: of the points {self._points_left_out()}")
        return " · ".join(told)

    def _points_left_out(self) -> str:
        if self.about.scattered:
            return f"one of {self.every[0]} is shown"
        along = [
            f"1 of {every} along {axis}" for axis, every in zip(self.about.axes, self.every, strict=True) if every > 1
        ]
        return ", ".join(along)

    def described(self) -> dict[str, Any]:
        """For the page's script (`template/domain.js`)."""
        axes, units = self.axes, self.about.axis_units
        kinds = {**dict.fromkeys(LATITUDE_UNITS, "latitude"), **dict.fromkeys(LONGITUDE_UNITS, "longitude")}
        listed = [
            {
                "name": axis,
                "unit": WRITTEN.get(units.get(axis, ""), units.get(axis, "")),
                "label": with_unit(axis, "" if units.get(axis) in kinds else units.get(axis, "")),
                "kind": kinds.get(units.get(axis, ""), ""),
                "periodic": axis in self.about.periodic,
                "at": rounded(at, 8),
            }
            for axis, at in axes.items()
        ]
        found = {"axes": listed, "scattered": self.about.scattered, "views": self._views()}
        return {**found, "leftOut": self.left_out, "coast": self._coast()}

    def _views(self) -> list[dict[str, Any]]:
        """Ways to look at the field: ``across`` an axis (or none), which axes are shown, and height over width."""
        whole = FieldViewer(self.axes, self.about.axis_units, self.about.scattered)
        long = whole.long_axes
        if len(long) < 3:
            views = [whole]
        else:
            degrees = (*LATITUDE_UNITS, *LONGITUDE_UNITS)
            order = sorted(long, key=lambda axis: (self.about.axis_units.get(axis) in degrees, _side(axis)))
            views = [replace(whole, across=axis, layer=whole.num_layers(axis) // 2) for axis in order]
        return [
            {
                "across": view.across,
                "layers": view.num_layers(view.across) if view.across else 1,
                "shown": list(view.shown_axes),
                "ratio": view.proportions,
            }
            for view in views
        ]

    def _coast(self) -> dict[str, Any] | None:
        """Coastlines, where both axes of a map are shown."""
        by_kind = {}
        for axis, unit in self.about.axis_units.items():
            by_kind[unit in LATITUDE_UNITS, unit in LONGITUDE_UNITS] = self.about.axes.get(axis)
        lat, lon = by_kind.get((True, False)), by_kind.get((False, True))
        if lat is None or lon is None:
            return None
        lines = coastlines((float(lon.min()), float(lon.max())), (float(lat.min()), float(lat.max())))
        return {"shown": self.on_earth, "longitude": rounded(lines[:, 0], 5), "latitude": rounded(lines[:, 1], 5)}


def _side(axis: str) -> int:
    """A field in space is first seen from the side, then from the end, then from above."""
    return {"y": 0, "x": 1, "z": 2}.get(axis, 0)
