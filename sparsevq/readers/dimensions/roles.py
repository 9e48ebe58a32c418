"""The roles of an array's dimensions, and the array as one whose dimensions all have a role.

A dimension is explained by the user's `dimensions`, by its coordinates or by its name (`.meaning`). One
that nothing explains is asked about; it is never taken for space.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from sparsevq.readers.conventions import CHANNEL, POINT, TIME, TRAJECTORY
from sparsevq.readers.dimensions.likely import likely_dimensions, likely_fields
from sparsevq.readers.dimensions.meaning import (
    EXPVER,
    LEAD,
    REFERENCE,
    base_of,
    coordinate_of,
    first_values,
    meaning,
    plain_roles,
    shown,
    values_of,
)
from sparsevq.readers.dimensions.select import entry_of, selection_of
from sparsevq.readers.opening.stored import Contents, StoredArray, listing
from sparsevq.readers.opening.views import flattened, marked, merged, selected
from sparsevq.readers.points.lookup import Dimension

VERSIONS = {"1", "5"}
"""Entries of `EXPVER` that are halves of one series."""


@dataclass(frozen=True)
class Field:
    """An array with the roles of its dimensions.

    Attributes
    ----------
    array
        As it is read.
    roles
        Of its dimensions: trajectory, time, channel, point, or an axis.
    leads
        The dimensions that make up the trajectories, the last fastest: the file's name (or the user's) and size.
    messages
        What to tell the user, if the array is used.
    """

    array: StoredArray
    roles: tuple[str, ...]
    leads: tuple[tuple[str, int], ...] = ()
    messages: tuple[str, ...] = ()

    def size(self, role: str) -> int:
        """Size along a dimension; 1 where there is none."""
        return self.array.shape[self.roles.index(role)] if role in self.roles else 1

    def stored(self, role: str) -> str:
        """The file's name of a dimension."""
        return self.array.dimensions[self.roles.index(role)] if self.array.dimensions else ""

    @property
    def others(self) -> tuple[str, ...]:
        """The file's names of its dimensions that are no space."""
        lead = [name for name, _ in self.leads]
        along = [self.stored(role) for role in (TRAJECTORY, TIME, CHANNEL) if role in self.roles]
        return tuple(name for name in dict.fromkeys((*lead, *along)) if name)

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """Those along which the points are."""
        return tuple(
            Dimension(name=role, stored=self.stored(role), size=self.size(role))
            for role in self.roles
            if role not in (TRAJECTORY, TIME, CHANNEL)
        )


class Unclear(SparseVQError):
    """Nothing says what a dimension is, or two seem to be the same."""


def field_of(contents: Contents, array: StoredArray, settings: FileConfig, order: Sequence[str] = ()) -> Field:
    """An array with the roles of its dimensions, after the user's selection.

    Parameters
    ----------
    contents
        The file.
    array
        One of its arrays.
    settings
        The user's settings for it.
    order
        The dimensions that make up the trajectories of another array, whose order is then this one's too.

    Raises
    ------
    Unclear
        Nothing says what a dimension is, or two of them have one role.
    SparseVQError
        The settings do not fit the dimensions.
    """
    array, names, told_by_user = _named(contents, array, settings)
    for axis in reversed(range(len(names))):
        key = selection_of(settings.select, names[axis], array.dimensions[axis] if array.dimensions else "")
        if key is not None:
            entry = entry_of(contents, array, axis, names[axis], settings.select[key])
            array, names = selected(array, axis, entry), names[:axis] + names[axis + 1 :]
    if told_by_user:
        return _with_one_trajectory(contents, Field(array, names), order)
    return _with_one_trajectory(contents, _as_forecasts(contents, _explained(contents, array, settings)), order)


def _named(contents: Contents, array: StoredArray, settings: FileConfig) -> tuple[StoredArray, tuple[str, ...], bool]:
    """The names of an array's dimensions, by the user or the file, and whether by the user."""
    given = settings.dimensions
    if not given:
        if not array.dimensions and array.shape:
            found = None if settings.arrays else likely_fields(contents)
            arrays, dimensions = found or ([array.name], likely_dimensions(contents, array))
            raise SparseVQError(
                f"{contents.path}: the dimensions of its arrays have no names; it holds "
                f"{listing(contents.arrays.values())}",
                f"write for instance `arrays: [{', '.join(arrays)}]` and `dimensions: [{', '.join(dimensions)}]`",
            )
        return array, array.dimensions, False
    if CHANNEL in given and len(given) == len(array.shape) + 1:  # beside arrays with components
        given = tuple(name for name in given if name != CHANNEL)
    if len(given) != len(array.shape):
        raise SparseVQError(
            f"{contents.path}: {array.name} has {len(array.shape)} dimensions {array.shape}, but `dimensions` "
            f"names {len(given)}: {', '.join(given)}",
            "name each, in the array's order",
        )
    return array, given, True


def _explained(contents: Contents, array: StoredArray, settings: FileConfig) -> Field:
    """What each dimension is; those of one entry that nothing explains are dropped, versions are merged.

    Raises
    ------
    Unclear
        Nothing explains a dimension of several entries.
    """
    roles: list[str] = []
    messages = []
    for axis in reversed(range(len(array.dimensions))):
        name, size = array.dimensions[axis], array.shape[axis]
        role = meaning(contents, name, settings.coordinates)
        if role in (None, EXPVER) and size == 1:
            at = first_values(contents, name, 1)
            where = "" if coordinate_of(contents, name) is None else f" ({base_of(name)} = {at})"
            messages.append(f"dimension {base_of(name)} has one entry{where}: it is dropped")
            array = selected(array, axis, 0)
            continue
        if role == EXPVER:
            role = None
            if {shown(value).strip().lstrip("0") for value in _entries(contents, name)} == VERSIONS:
                array, message = _one_version(contents, array, axis, settings)
                messages.append(message)
                continue
        roles.append(role or "")
    roles.reverse()
    unknown = [name for name, role in zip(array.dimensions, roles, strict=True) if not role]
    if unknown:
        raise _unexplained(contents, array, unknown[0])
    return Field(array, tuple(roles), messages=tuple(messages))


def _entries(contents: Contents, name: str) -> list[object]:
    values = values_of(contents, name)
    return [] if values is None else list(values)


def _one_version(contents: Contents, array: StoredArray, axis: int, settings: FileConfig) -> tuple[StoredArray, str]:
    """ERA5's final and preliminary data as one series, and a line that says so."""
    name = base_of(array.dimensions[axis])
    entries = first_values(contents, array.dimensions[axis], array.shape[axis])
    message = f"{name} ({entries}): halves of one series, merged: where one has no value, the other is taken"

    def fault() -> SparseVQError:
        return SparseVQError(
            f"{contents.path}: {array.name} has two different values for one point and time, one for each {name} "
            f"({entries})",
            f"choose one, for instance `select: {{{name}: {entries.split(', ')[0]}}}`",
        )

    return merged(marked(array, settings.missing), axis, fault), message


def _unexplained(contents: Contents, array: StoredArray, name: str) -> Unclear:
    size = array.shape[array.dimensions.index(name)]
    values = values_of(contents, name, 1)
    first = shown(values[0]) if values is not None else "0"
    guess = likely_dimensions(contents, array)
    return Unclear(
        f"{contents.path}: nothing says what the dimension {base_of(name)} of {listing([array])} is: it has {size} "
        f"entries ({first_values(contents, name, size)})",
        f"write what each dimension is, for instance `dimensions: [{', '.join(guess)}]`, or choose one entry, for "
        f"instance `select: {{{base_of(name)}: {first}}}`",
    )


def _as_forecasts(contents: Contents, field: Field) -> Field:
    """Forecasts: the times at which they start are trajectories, lead times their time.

    Raises
    ------
    Unclear
        Starts are crossed with dates, not with lead times.
    """
    array, roles = field.array, field.roles
    if LEAD not in roles and REFERENCE not in roles:
        return field
    starts = [axis for axis, role in enumerate(roles) if role == REFERENCE or (role == TIME and LEAD in roles)]
    plain = plain_roles(roles)
    if not starts or TRAJECTORY not in plain or TIME not in plain:
        return replace(field, roles=tuple(plain))
    start, lead = (base_of(array.dimensions[axis]) for axis in (starts[0], plain.index(TIME)))
    coordinate = coordinate_of(contents, array.dimensions[plain.index(TIME)])
    if coordinate is not None and " since " in coordinate.units:
        raise Unclear(
            f"{contents.path}: {listing([array])} has dates along {lead}, and forecasts that start along {start}",
            f"choose one start by `select: {{{start}: ...}}`, or name each dimension by `dimensions`",
        )
    message = f"forecasts: each {start} is a trajectory, {lead} its time"
    return replace(field, roles=tuple(plain), messages=(*field.messages, message))


def _with_one_trajectory(contents: Contents, field: Field, order: Sequence[str]) -> Field:
    """The field with all its dimensions of trajectories as one.

    Raises
    ------
    Unclear
        Two other dimensions have one role.
    """
    array, roles = field.array, field.roles
    twice = [role for role in roles if roles.count(role) > 1 and role != TRAJECTORY]
    if twice:
        names = ", ".join(array.dimensions or roles)
        raise Unclear(
            f"{contents.path}: two dimensions of {array.name} are {twice[0]}: {names}",
            "name each differently by `dimensions`",
        )
    axes = [axis for axis, role in enumerate(roles) if role == TRAJECTORY]
    named = array.dimensions or roles
    if sorted(order) == sorted(named[axis] for axis in axes):
        axes.sort(key=lambda axis: list(order).index(named[axis]))
    leads = tuple((named[axis], array.shape[axis]) for axis in axes)
    if len(axes) < 2:
        return replace(field, leads=leads)
    message = f"trajectories: all of {' x '.join(f'{base_of(name)} {size}' for name, size in leads)}"
    others = tuple(role for role in roles if role != TRAJECTORY)
    return Field(flattened(array, axes), (TRAJECTORY, *others), leads, (*field.messages, message))


def is_field(field: Field, each_file_is_a_frame: bool) -> bool:
    """Whether an array has time (unless each file is a frame) and space."""
    spatial = any(
        role not in (TRAJECTORY, TIME, CHANNEL) and (size > 1 or role == POINT)
        for role, size in zip(field.roles, field.array.shape, strict=True)
    )
    return spatial and (TIME in field.roles or each_file_is_a_frame)
