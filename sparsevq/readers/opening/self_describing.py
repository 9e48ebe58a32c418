"""What NetCDF and Zarr have in common: which of their arrays are fields, by the CF and UGRID conventions."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsevq.readers.conventions import said
from sparsevq.readers.opening.decode import decoded, of_the_file, refusal
from sparsevq.readers.opening.stored import Contents, StoredArray

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
    groups: Mapping[str, Mapping[str, Any]] | None = None,
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
    groups
        Attributes of the groups within it.
    """
    arrays, unreadable = {}, {}
    for name, array in raw.items():
        why = refusal(array)
        if why:
            unreadable[name] = why
        else:
            more = (*(marks or {}).get(name, ()), *of_the_file(array, attributes))
            arrays[name] = decoded(array, more, netcdf=marks is None)
    about = _named(raw)
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
        groups={"": attributes, **(groups or {})},
    )


def in_groups(
    raw: Mapping[str, StoredArray], defined: Mapping[str, Collection[str]] | None = None
) -> dict[str, StoredArray]:
    """Arrays by their paths, with dimensions by theirs: ``group/x`` where the group, and not one around it, has x.

    Parameters
    ----------
    raw
        Arrays by their paths, with the names of dimensions that they use.
    defined
        Names of the dimensions that each group defines; None: a group defines those that it has coordinates of.
    """

    def has(group: str, name: str, size: int) -> bool:
        if defined is not None:
            return name in defined.get(group, ())
        array = raw.get(f"{group}/{name}".lstrip("/"))
        return array is not None and array.dimensions == (name,) and array.shape == (size,)

    def full(array: StoredArray, name: str, size: int) -> str:
        around = _around(array.name)
        group = next((group for group in around if has(group, name, size)), around[0])
        return f"{group}/{name}".lstrip("/")

    return {
        path: replace(
            array,
            dimensions=tuple(full(array, name, size) for name, size in zip(array.dimensions, array.shape, strict=True))
            if array.dimensions
            else (),
        )
        for path, array in raw.items()
    }


def _around(name: str) -> list[str]:
    """The group of an array, and those around it, from within; the file itself is the empty one."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[:depth]) for depth in range(len(parts), -1, -1)]


def _named(raw: Mapping[str, StoredArray]) -> set[str]:
    """Arrays that others name as their bounds, areas, mesh (UGRID) or the like."""
    named: set[str] = set()
    for array in raw.values():
        words: list[str] = []
        for key, value in array.attributes.items():
            if isinstance(value, str) and key in ABOUT:
                words += value.split()
        if said(array.attributes, "cf_role") == "mesh_topology":
            named.add(array.name)
            for key, value in array.attributes.items():
                if key.endswith(("_coordinates", "_connectivity")):
                    words += str(value).split()
        for word in words:
            paths = [f"{group}/{word.strip('/')}".lstrip("/") for group in _around(array.name)]
            named.update([path for path in paths if path in raw][:1])
    return named
