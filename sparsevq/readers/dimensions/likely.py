"""Which arrays are probably the fields, and what their dimensions are, where the file does not say."""

import re

from sparsevq.readers.conventions import CHANNEL, TIME, TRAJECTORY
from sparsevq.readers.dimensions.meaning import EXPVER, base_of, meaning, plain_roles
from sparsevq.readers.dimensions.samples import sample_patterns
from sparsevq.readers.opening.stored import Contents, StoredArray

FEW = 4
"""A last dimension up to this size looks like one of channels."""
MOST_AXES = 3
_COORDINATE = re.compile(
    r"(t|time|x|y|z|lat|latitude|lon|longitude|lev|level|depth|height)(?:[ _-]?(?:coordinates?|coord|crd|grid))?$",
    re.IGNORECASE,
)


def likely_fields(contents: Contents) -> tuple[list[str], list[str]] | None:
    """A suggestion for `arrays` and `dimensions`: the largest array and those on its grid; None: there is none."""
    arrays = [contents.arrays[name] for name in contents.fields]
    arrays = [array for array in arrays if array.is_number and len(array.shape) > 1 and not _is_coordinate(array)]
    if not arrays:
        return None
    largest = max(arrays, key=lambda array: array.nbytes)
    patterns = sample_patterns(contents, arrays)
    dimensions = likely_dimensions(contents, largest, a_sample=bool(patterns))
    if patterns:
        return patterns, dimensions
    grid = largest.shape[:-1] if dimensions[-1] == CHANNEL else largest.shape
    chosen = [
        array
        for array in arrays
        if array.dimensions == largest.dimensions or not array.dimensions
        if array.shape == grid or (array.shape[:-1] == grid and array.shape[-1] <= FEW and dimensions[-1] == CHANNEL)
    ]
    return [array.name for array in chosen], dimensions


def likely_dimensions(contents: Contents, array: StoredArray, a_sample: bool = False) -> list[str]:
    """A suggestion for `dimensions`: by the sizes of arrays called t, x, y, z; else time first, channels last.

    Where they have names, what is explained is kept, and the first that is not is taken for channels.

    Parameters
    ----------
    contents
        The file.
    array
        One of its arrays.
    a_sample
        It is one trajectory.
    """
    shape = array.shape
    if array.dimensions:
        return _by_meaning(contents, array)
    last = [CHANNEL] if len(shape) > 3 and shape[-1] <= FEW else []
    sizes = shape[: len(shape) - len(last)]
    found = _by_size(contents, sizes)
    left = [axis for axis in range(len(sizes)) if axis not in found]
    if len(sizes) == 2 and not found:
        return ["?"] * len(shape)  # a row may be a frame, a point or a trajectory
    if TIME not in found.values() and len(found) < 2:
        found, left = {}, list(range(len(sizes)))  # coordinates of square grids tell nothing without the time
    axes = [axis for axis in ("z", "y", "x") if axis not in found.values()]
    lead = [] if TIME in found.values() else [TIME]
    if not a_sample and len(left) > len(lead) and (len(left) + len(found) > 3 or len(found) > 1):
        lead = [TRAJECTORY, *lead]
    space = len(left) - len(lead)
    if space < 0 or space + len(found) - (TIME in found.values()) > MOST_AXES or space > len(axes):
        return ["?"] * len(shape)
    named = dict(zip(left, [*lead, *axes[len(axes) - space :]], strict=True)) | found
    return [*(named[axis] for axis in range(len(sizes))), *last]


def _by_meaning(contents: Contents, array: StoredArray) -> list[str]:
    roles = [meaning(contents, name) or "" for name in array.dimensions]
    named: list[str] = []
    for role, name in zip(plain_roles(roles), array.dimensions, strict=True):
        own = base_of(name)
        if role in ("", EXPVER):
            role = own if CHANNEL in roles or CHANNEL in named else CHANNEL
        named.append(own if role in named and role != TRAJECTORY else role)
    return named


def _is_coordinate(array: StoredArray) -> bool:
    """Whether it is called as a coordinate, and may be a matrix of `meshgrid`; t with more dimensions is a field."""
    return len(array.shape) < 3 and _COORDINATE.match(array.name.rsplit("/", 1)[-1]) is not None


def _by_size(contents: Contents, sizes: tuple[int, ...]) -> dict[int, str]:
    """Dimensions whose size is that of the one coordinate array that it can be: dimension -> time or axis."""
    known: dict[str, int] = {}
    for array in contents.arrays.values():
        match = _COORDINATE.match(array.name.rsplit("/", 1)[-1])
        long = [size for size in array.shape if size > 1]
        if match and len(long) == 1 and array.is_number:
            name = match[1].lower()
            known.setdefault(TIME if name in ("t", "time") else name, long[0])
    found = {}
    for name, size in known.items():
        axes = [axis for axis, here in enumerate(sizes) if here == size]
        if not axes and name == TIME:
            axes = [axis for axis, here in enumerate(sizes) if here == size - 1]  # edges of time steps
        rivals = [other for other, here in known.items() if here == size and other != name]
        if len(axes) == 1 and not rivals:
            found[axes[0]] = name
    return found
