"""Which arrays of a file are the channels: those that the user names, or all that lie on one grid."""

from collections.abc import Sequence
from dataclasses import replace

from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from sparsevq.readers.conventions import CHANNEL, ROLES, TIME, is_bounds, kind_of_angle
from sparsevq.readers.dimensions.meaning import LEAD, base_of, is_of_bounds, meaning
from sparsevq.readers.dimensions.roles import Field, Unclear, field_of, is_field
from sparsevq.readers.dimensions.samples import sample_patterns
from sparsevq.readers.opening.stored import Contents, StoredArray, listing, unusable


def fields_of(contents: Contents, settings: FileConfig) -> list[Field]:
    """The arrays that hold channels, with the roles of their dimensions.

    Raises
    ------
    SparseVQError
        There are none, they lie on several grids, or their dimensions are not known.
    """
    _selected_are_there(contents, settings)
    fields = _named(contents, settings) if settings.arrays else _found(contents, settings)
    _one_layout(contents, fields)
    return fields


def _selected_are_there(contents: Contents, settings: FileConfig) -> None:
    """Check that `select` names dimensions of the arrays."""
    arrays = [contents.array(name, "arrays") for name in settings.arrays or contents.fields]
    known = dict.fromkeys([*settings.dimensions, *(base_of(name) for array in arrays for name in array.dimensions)])
    full = {name for array in arrays for name in array.dimensions}
    for key in settings.select:
        if key not in known and key not in full:
            raise SparseVQError(
                f"{contents.path}: select: {key} is no dimension of its arrays",
                f"there are {', '.join(known)}" if known else "name their dimensions by `dimensions`",
            )


def _named(contents: Contents, settings: FileConfig) -> list[Field]:
    arrays = [contents.array(name, "arrays") for name in settings.arrays]
    for array in arrays:
        if not array.is_number:
            what, _, do = unusable(array.dtype).partition(": ")
            raise SparseVQError(f"{contents.path}: arrays: {array.name} is {what}", do)
    return _fields(contents, arrays, settings)


def _fields(contents: Contents, arrays: Sequence[StoredArray], settings: FileConfig) -> list[Field]:
    fields: list[Field] = []
    for array in arrays:
        fields.append(field_of(contents, array, settings, [name for name, _ in fields[0].leads] if fields else ()))
    return fields


def _found(contents: Contents, settings: FileConfig) -> list[Field]:
    """All arrays that are fields, which must lie on one grid."""
    candidates = [
        array
        for array in map(contents.arrays.__getitem__, contents.fields)
        if not kind_of_angle(array.name, array.units, array.attributes)
    ]
    unclear: list[Unclear] = []
    if settings.dimensions:
        count = len(settings.dimensions)
        fields = _fields(contents, [array for array in candidates if len(array.shape) == count], settings)
    elif all(array.dimensions for array in candidates):
        fields, unclear = _explained(contents, candidates, settings)
    else:
        fields = _fields(contents, [array for array in candidates if len(array.shape) > 1] or candidates, settings)
    if not fields and unclear:
        raise unclear[0]
    if not fields:
        unreadable = ", ".join(f"{name} ({why})" for name, why in contents.unreadable.items())
        raise SparseVQError(
            f"{contents.path}: no array has time and space in its dimensions: it holds "
            f"{listing(contents.arrays.values())}{'; not read: ' if unreadable else ''}{unreadable}",
            "name the arrays by `arrays`, and what their dimensions are by `dimensions`",
        )
    _one_group(contents, fields)
    kinds = {(field.array.dimensions, field.roles, field.array.shape) for field in fields}
    if len(kinds) > 1:
        raise SparseVQError(
            f"{contents.path}: its arrays lie on several grids: {listing(field.array for field in fields)}",
            f"name those to use, for instance `arrays: [{fields[0].array.name}]`{_staggered(fields)}",
        )
    return fields


def _explained(
    contents: Contents, candidates: Sequence[StoredArray], settings: FileConfig
) -> tuple[list[Field], list[Unclear]]:
    """The fields among arrays whose dimensions have names; and what is not clear about others."""
    fields: list[Field] = []
    unclear: list[Unclear] = []
    left: list[str] = []
    for array in candidates:
        if is_bounds(array) or any(map(is_of_bounds, array.dimensions)):
            continue
        try:
            field = field_of(contents, array, settings, [name for name, _ in fields[0].leads] if fields else ())
        except Unclear as error:
            if settings.join == "time" or any(meaning(contents, name) in (TIME, LEAD) for name in array.dimensions):
                unclear.append(error)
                left.append(array.name)
            continue
        if is_field(field, settings.join == "time"):
            fields.append(field)
    if fields and left:
        message = f"not used: {', '.join(left)}: nothing says what their dimensions are (name them by `arrays`)"
        fields[0] = replace(fields[0], messages=(*fields[0].messages, message))
    return fields, unclear


def _one_group(contents: Contents, fields: Sequence[Field]) -> None:
    """Check that fields that nobody named are in one group."""
    groups: dict[str, list[str]] = {}
    for field in fields:
        group, _, name = field.array.name.rpartition("/")
        groups.setdefault(group, []).append(name)
    if len(groups) == 1:
        return
    some = [f"{group or '/'} ({', '.join(names[:3])})" for group, names in list(groups.items())[:6]]
    more = f" and {len(groups) - len(some)} more" if len(groups) > len(some) else ""
    first = fields[0].array.name
    pattern = sample_patterns(contents, [field.array for field in fields])
    samples = f"; if each is a trajectory, `arrays: [{', '.join(pattern)}]`" if pattern else ""
    raise SparseVQError(
        f"{contents.path}: {len(groups)} of its groups hold fields: {', '.join(some)}{more}",
        f"name those to use, for instance `arrays: [{first}]`{samples}",
    )


def _staggered(fields: Sequence[Field]) -> str:
    """What to do with components that are at the edges of cells: they have one point more along a dimension."""
    shapes = [(field.array.shape, field.array) for field in fields]
    for one, _ in shapes:
        for shape, array in shapes:
            more = [longer - size for size, longer in zip(one, shape, strict=False)]
            if len(one) == len(shape) and set(more) == {0, 1}:
                along = array.dimensions[more.index(1)] if array.dimensions else f"dimension {more.index(1)}"
                return f"; {array.name} has one point more along {along}, at the edges of cells: average neighbours"
    return ""


def _one_layout(contents: Contents, fields: Sequence[Field]) -> None:
    """Check that arrays have the same trajectories, times and points, and the dimensions that fields need."""
    first = fields[0]
    for field in fields:
        for role in (*first.roles, *field.roles):
            if role != CHANNEL and (
                (role in first.roles) != (role in field.roles) or first.size(role) != field.size(role)
            ):
                raise SparseVQError(
                    f"{contents.path}: the arrays lie on different grids: {listing([first.array, field.array])}",
                    f"name only arrays on one grid by `arrays`{_staggered([first, field])}",
                )
    if not first.dimensions:
        raise SparseVQError(
            f"{contents.path}: {listing([first.array])} has no dimension in space",
            f"name its dimensions by `dimensions`: {', '.join(ROLES)}, or an axis",
        )
    empty = [field.array for field in fields if 0 in field.array.shape]
    if empty:
        raise SparseVQError(f"{contents.path}: {listing(empty)} is empty", "check how it was written")
