"""What NetCDF and Zarr have in common: which of their arrays are fields, by the CF and UGRID conventions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsevq.readers.decode import decoded, refusal
from sparsevq.readers.stored import Contents, StoredArray

SAID = ("title", "institution", "source", "references", "Conventions", "history")
"""Global attributes of CF on the origin of the data."""
LONGEST = 500
ABOUT = ("bounds", "climatology", "grid_mapping", "ancillary_variables", "cell_measures", "coordinates")
"""Attributes that name other variables, which are then not fields."""


def self_describing(
    path: Path,
    raw: Mapping[str, StoredArray],
    attributes: Mapping[str, Any],
    marks: Mapping[str, tuple[Any, ...]] | None = None,
) -> Contents:
    """The contents of a file whose arrays have named dimensions.

    Parameters
    ----------
    path
        The file.
    raw
        All its arrays, as they are stored.
    attributes
        Of the file.
    marks
        Stored values that are missing beside those that the attributes of an array declare; None: netCDF's default
        fill values.
    """
    arrays, unreadable = {}, {}
    for name, array in raw.items():
        why = refusal(array)
        if why:
            unreadable[name] = why
        else:
            arrays[name] = decoded(array, marks.get(name, ()) if marks else (), netcdf=marks is None)
    about = _named(raw.values())
    fields = tuple(
        name
        for name, array in arrays.items()
        if array.is_number and array.shape and array.dimensions != (name,) and name not in about
    )
    return Contents(
        path=path,
        arrays=arrays,
        fields=fields,
        describes_itself=True,
        unreadable=unreadable,
        provenance={key: str(attributes[key])[:LONGEST] for key in SAID if key in attributes},
    )


def _named(arrays: Any) -> set[str]:
    """Arrays that others name as their bounds, areas, mesh (UGRID) or the like."""
    named: set[str] = set()
    for array in arrays:
        for key, value in array.attributes.items():
            if isinstance(value, str) and key in ABOUT:
                named.update(value.split())
        if array.attributes.get("cf_role") == "mesh_topology":
            named.add(array.name)
            for key, value in array.attributes.items():
                if key.endswith(("_coordinates", "_connectivity")):
                    named.update(str(value).split())
    return named
