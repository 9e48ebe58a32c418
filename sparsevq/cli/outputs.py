"""Files that `sparsevq forecast` writes, by their suffixes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsevq.cli.progress import Tell
from sparsevq.errors import SparseVQError

if TYPE_CHECKING:
    import xarray as xr

PICTURES, FILMS = (".png",), (".gif", ".mp4")


def check_names(out: Path | None, pictures: list[Path], as_json: bool) -> None:
    """Check what is to be written before minutes of work, not after them.

    Raises
    ------
    SparseVQError
        Nothing would be written, a suffix says nothing, or a file would be written twice.
    """
    if out is None and not pictures and not as_json:
        raise SparseVQError("nothing would be written", "give --out forecast.nc, --picture forecast.png or --json")
    if out is not None:
        from sparsevq.forecasting.dataset.writing import writer_of

        writer_of(out)
    for picture in pictures:
        if picture.suffix.lower() not in (*PICTURES, *FILMS):
            raise SparseVQError(
                f"{picture} is called like no picture", f"give it one of the suffixes {', '.join((*PICTURES, *FILMS))}"
            )
    names = [path.resolve() for path in (*pictures, *([] if out is None else [out]))]
    if twice := next((path for path in names if names.count(path) > 1), None):
        raise SparseVQError(f"{twice} would be written twice", "give each file a name of its own")


def as_written(forecast: "xr.Dataset", path: Path) -> "xr.Dataset":
    """What is computed when it is used is not computed again for pictures and numbers."""
    if not forecast.chunks:
        return forecast
    import xarray as xr

    engine: Any = "zarr" if path.suffix.lower() == ".zarr" else "netcdf4"
    return xr.open_dataset(path, engine=engine, chunks={}, decode_timedelta=False)


def draw(path: Path, forecast: "xr.Dataset", tell: Tell) -> None:
    """Draw a picture or a film."""
    if path.suffix.lower() in FILMS:
        from sparsevq.forecasting.pictures.animation import animate_forecast

        animate_forecast(path, forecast, tell)
    else:
        from sparsevq.forecasting.pictures.picture import draw_forecast

        draw_forecast(path, forecast)
