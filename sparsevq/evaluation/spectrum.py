"""How energy is divided among scales, on every kind of domain: an isotropic spectrum, a zonal one, or none."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsevq.data.field_data import LATITUDE_UNITS, LONGITUDE_UNITS, FieldData
from sparsevq.evaluation.metrics import energy_spectrum

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The energy spectrum that suits a data set.

    On a regular grid in one unit it is isotropic: shells of the wavenumber vector's length. On a sphere, where the
    spacing of the meridians shrinks towards the poles, it is zonal: along the circles of latitude, averaged over them
    by area; its wavenumber counts the waves around the globe. Elsewhere there is none.

    Attributes
    ----------
    data
        The data set.
    missing
        Why there is none, as the end of a sentence; empty where there is one.
    longitude
        The axis that a zonal spectrum is taken along; None: isotropic.
    """

    data: FieldData
    missing: str
    longitude: str | None

    @property
    def label(self) -> str:
        """The wavenumber and its unit, for people."""
        if self.longitude is not None:
            return "zonal wavenumber (waves around the globe)"
        unit = next(iter(self.data.axis_units.values()), "")
        return f"wavenumber (rad/{unit})" if unit not in ("", "1") else "wavenumber"

    def __call__(self, fields: Array) -> tuple[Array, Array]:
        """Wavenumber ``(K,)`` and energy ``(..., K, C)`` of fields ``(..., N, C)``, as `metrics.energy_spectrum`.

        Points that don't exist must have one value, the same in all fields that are compared.
        """
        data = self.data
        gridded = fields.reshape(*fields.shape[:-2], *data.grid, fields.shape[-1])
        names = list(data.axes)
        if self.longitude is None:
            long = [axis for axis in names if len(data.axes[axis]) > 1]
            gridded = fields.reshape(*fields.shape[:-2], *(len(data.axes[axis]) for axis in long), fields.shape[-1])
            spacing = [float(np.diff(data.axes[axis]).mean()) for axis in long]
            return energy_spectrum(gridded, spacing, [axis in data.periodic for axis in long])
        along = names.index(self.longitude)
        gridded = np.moveaxis(gridded, along - len(names) - 1, -2)  # (..., *other axes, longitude, C)
        spacing = [float(np.deg2rad(np.diff(data.axes[self.longitude]).mean()))]
        wavenumber, energy = energy_spectrum(gridded, spacing, [self.longitude in data.periodic])
        area = data.weights.reshape(data.grid).mean(axis=along).ravel()
        energy = energy.reshape(*fields.shape[:-2], len(area), *energy.shape[-2:])
        return wavenumber, np.tensordot(area / area.sum(), energy, axes=(0, -3))


def spectrum_of(data: FieldData) -> Spectrum:
    """The kind of spectrum that a data set has."""
    if data.scattered:
        return Spectrum(data, "the points are scattered", None)
    long = {axis: at for axis, at in data.axes.items() if len(at) > 1}
    uneven = [axis for axis, at in long.items() if not np.allclose(np.diff(at), np.diff(at).mean(), rtol=1e-3, atol=0)]
    if any(data.axis_units.get(axis) in LATITUDE_UNITS for axis in data.axes):
        longitude = next((axis for axis in long if data.axis_units.get(axis) in LONGITUDE_UNITS), None)
        if longitude is None:
            return Spectrum(data, "there is a latitude but no longitude", None)
        if longitude in uneven:
            return Spectrum(data, f"the axis {longitude} is not evenly spaced", None)
        return Spectrum(data, "", longitude)
    if not long:
        return Spectrum(data, "the grid has one point", None)
    if uneven:
        return Spectrum(data, f"the axis {uneven[0]} is not evenly spaced", None)
    if len({data.axis_units.get(axis, "") for axis in long}) > 1:
        return Spectrum(data, f"the axes {', '.join(long)} have different units", None)
    return Spectrum(data, "", None)
