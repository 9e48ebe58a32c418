"""pandas' tables of readings."""

import pandas as pd

from sparsevq.errors import SparseVQError
from sparsevq.sensors.tables.memory import FRAME, NAME, Expected, cell_text
from sparsevq.sensors.tables.numbers import Marks
from sparsevq.sensors.tables.source import Source
from sparsevq.sensors.tables.table import Row, Table


def table_of_frame(given: pd.DataFrame, expected: Expected) -> Table:
    """The table of pandas' table; levels of its index that have a name that columns may have are columns, too.

    Raises
    ------
    SparseVQError
        It is empty, has a column twice, or columns of several levels.
    """
    if given.columns.nlevels > 1:
        raise SparseVQError(f"{NAME}: the columns have {given.columns.nlevels} levels", "stack them into one")
    levels = [name for name in given.index.names if name is not None and expected.meaning(str(name))]
    told = {expected.meaning(str(title)) for title in given.columns}
    if not levels and isinstance(given.index, pd.DatetimeIndex) and not told & {"time", FRAME}:
        given, levels = given.rename_axis("time"), ["time"]
    labels = given.index.tolist()
    unique = given.index.is_unique
    given = given.reset_index(levels) if levels else given
    titles = tuple(str(title) for title in given.columns)
    for title in titles:
        if titles.count(title) > 1:
            raise SparseVQError(f"{NAME}: column {title!r} is there twice", "name each column once")
    if given.empty:
        raise SparseVQError(f"{NAME} are an empty table", "give one row for each sensor")
    source = Source(NAME, word="row" if unique else "iloc", words="rows", on="in" if unique else "at")
    cells = [
        ["" if missing else cell_text(value) for value, missing in zip(column, column.isna(), strict=True)]
        for column in (given.iloc[:, place] for place in range(len(titles)))
    ]
    texts = [given.dtypes.iloc[place].kind == "O" for place in range(len(titles))]
    marks = Marks.found_in(
        (cell, f"in row {label!r}")
        for column, is_text in zip(cells, texts, strict=True)
        if is_text
        for cell, label in zip(column, labels, strict=True)
    )
    rows = tuple(
        Row(source, repr(label) if unique else index, dict(zip(titles, row, strict=True)), marks)
        for index, (label, row) in enumerate(zip(labels, zip(*cells, strict=True), strict=True))
    )
    return Table(source, None, titles, rows)
