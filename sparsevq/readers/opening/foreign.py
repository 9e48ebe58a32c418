"""Files that are often found in place of data: what they are by their content, and what to do about each.

References
----------
The signatures are those of each format's own specification; `file(1)` has most of them.
"""

import re
import shlex
import zipfile
from pathlib import Path

_UNPACK = "unpack it first: {}"
_TABLE: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x1f\x8b", "compressed with gzip", _UNPACK.format("gunzip -k {path} (of a .tar.gz: tar xzf {path})")),
    (0, b"BZh", "compressed with bzip2", _UNPACK.format("bunzip2 -k {path}")),
    (0, b"\xfd7zXZ\x00", "compressed with xz", _UNPACK.format("xz -dk {path}")),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK.format("zstd -d {path}")),
    (0, b"\x04\x22\x4d\x18", "compressed with lz4", _UNPACK.format("lz4 -d {path}")),
    (0, b"\x1f\x9d", "compressed with compress", _UNPACK.format("uncompress {path}")),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK.format("7z x {path}")),
    (0, b"Rar!", "a RAR archive", _UNPACK.format("unrar x {path}")),
    (257, b"ustar", "a tar archive", _UNPACK.format("tar xf {path}")),
    (0, b"GRIB", "GRIB", "convert it to NetCDF: cdo -f nc4 copy {path} out.nc, or grib_to_netcdf -o out.nc {path}"),
    (0, b"BUFR", "BUFR", "convert it to NetCDF: bufr_filter, or pdbufr"),
    (0, b"\x0e\x03\x13\x01", "HDF4, another format than HDF5", "convert it: h4toh5 {path} out.h5 (or h4tonccf)"),
    (0, b"\xcd\xf3\x00\x01", "NASA's CDF, another format than NetCDF", "convert it: cdf-to-netCDF, or cdflib"),
    (0, b"\xcd\xf2\x60\x02", "NASA's CDF, another format than NetCDF", "convert it: cdf-to-netCDF, or cdflib"),
    (0, b"II*\x00", "a TIFF image", "convert it: gdal_translate -of netCDF {path} out.nc"),
    (0, b"MM\x00*", "a TIFF image", "convert it: gdal_translate -of netCDF {path} out.nc"),
    (0, b"II+\x00", "a TIFF image", "convert it: gdal_translate -of netCDF {path} out.nc"),
    (0, b"MM\x00+", "a TIFF image", "convert it: gdal_translate -of netCDF {path} out.nc"),
    (0, b"\x89PNG", "a PNG image", "name the data, not a picture of them"),
    (0, b"\xff\xd8\xff", "a JPEG image", "name the data, not a picture of them"),
    (0, b"GIF8", "a GIF image", "name the data, not a picture of them"),
    (0, b"%PDF", "a PDF document", "name the data, not a document about them"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel or Word file", "save the numbers with numpy.save, or as NetCDF"),
    (0, b"PAR1", "Parquet", "convert it: pandas.read_parquet(...).to_xarray().to_netcdf('out.nc')"),
    (0, b"ARROW1", "Arrow", "convert it: pandas.read_feather(...).to_xarray().to_netcdf('out.nc')"),
    (0, b"SQLite format 3", "an SQLite data base", "export the numbers as NetCDF, HDF5 or NumPy"),
    (0, b"SIMPLE  =", "FITS", "convert it: numpy.save('out.npy', astropy.io.fits.getdata('{path}'))"),
    (0, b"# vtk DataFile", "VTK", "convert it: meshio or pyvista, and numpy.save"),
    (0, b"#!TDV", "Tecplot", "export it as HDF5 or NetCDF"),
    (0, b"C Binary", "EnSight", "convert it with ParaView, or export it as HDF5 or NetCDF"),
    (0, b"NRRD000", "NRRD", "convert it: numpy.save('out.npy', nrrd.read('{path}')[0])"),
    (344, b"n+1\x00", "NIfTI", "convert it: numpy.save('out.npy', nibabel.load('{path}').get_fdata())"),
    (0, b"\x00\x05\x16\x07", "a note of macOS beside a file, without data", "name the file without ._ in front"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "fetch the file: git lfs pull"),
    (0, b"/annex/objects/", "a pointer of git-annex, not the file itself", "fetch the file: git annex get {path}"),
)  # fmt: skip
"""(offset, bytes there, what it is, what to do)."""

_ENOUGH = 4096
"""Bytes at the beginning of a file that tell what it is."""
_TEXTS: tuple[tuple[str, str, str], ...] = (
    (r"<!doctype html|<html|<head", "a web page (HTML), not data",
     "the download went wrong, often for want of a login: open it in a browser, and download the file again"),
    (r"<\?xml[^>]*>\s*<vtkfile|<vtkfile", "VTK", "convert it: meshio or pyvista, and numpy.save"),
    (r"<\?xml|<\w+[ >]", "XML, not data", "if it is an error of a server, download the file again"),
    (r'\{\s*"version"\s*:\s*1\s*,\s*"refs"', "references to files elsewhere (kerchunk)", "name the files themselves"),
    (r'[\[{]\s*(["\[{\d-]|$)', "JSON", "convert it: numpy.save('out.npy', ...); if it is an error of a server, "
     "download the file again"),
    (r"netcdf \S+ \{", "a dump of NetCDF as text (CDL)", "make a NetCDF file of it: ncgen -o out.nc {path}"),
    (r"/\*-+\*- c\+\+ -\*|foamfile", "of OpenFOAM", "convert the case: foamToVTK or fluidfoam, and numpy.save"),
)  # fmt: skip
"""(how a text begins, in lower case; what it is; what to do)."""

Said = tuple[str, str]
"""What a file is, and what to do."""


def foreign(path: Path) -> Said | None:
    """What a file is that none of the readers reads, and what to do; None if it does not look like any such.

    Raises
    ------
    OSError
        It cannot be opened.
    """
    size = path.stat().st_size
    if not size:
        return "is empty (0 bytes)", "make or download it again, or wait until whoever writes it is done"
    with open(path, "rb") as file:
        start = file.read(_ENOUGH)
    for at, mark, what, do in _TABLE:
        if start[at : at + len(mark)] == mark:
            return f"is {what}", do.replace("{path}", shlex.quote(str(path)))
    if start.startswith(b"PK\x03\x04"):
        return _archive(path)
    if not any(start):
        return "begins with zeros only: it was not written to its end", "wait until it is, or copy it again"
    return _text(path, start)


def _text(path: Path, start: bytes) -> Said | None:
    if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    text = start.decode(encoding, "replace").lstrip("\ufeff")
    odd = sum(not (letter.isprintable() or letter in "\t\r\n\f\ufffd") for letter in text)
    if odd or text.count("\ufffd") > 0.15 * len(text):  # some Latin letters are allowed
        return None
    begins = text.lstrip()
    for pattern, what, do in _TEXTS:
        if re.match(pattern, begins.lower()):
            return f"is {what}", do.replace("{path}", shlex.quote(str(path)))
    line = begins.splitlines()[0].strip() if begins else ""
    return (
        f"is a text file (it begins with {line[:40]!r})",
        "name a file of arrays; numbers in a text can be converted: numpy.save('out.npy', numpy.loadtxt(...))",
    )


def _archive(path: Path) -> Said | None:
    """Zip archives that hold something else than NumPy's arrays or a Zarr store."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "is a zip archive that is damaged or cut short", "make or download it again"
    if zarr_root(names) is not None or (names and all(name.endswith(".npy") for name in names)):
        return None
    if "[Content_Types].xml" in names:
        return "is an Excel or Word file", "save the numbers with numpy.save, or as NetCDF"
    if any(name.endswith("data.pkl") for name in names):
        return "is a PyTorch file", "store its arrays: numpy.savez('out.npz', u=tensor.numpy())"
    held = f"of {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "") if names else "of nothing"
    return f"is a zip archive ({held})", _UNPACK.format(f"unzip {shlex.quote(str(path))}")


def zarr_root(names: list[str]) -> str | None:
    """The folder of a Zarr store in a zip archive, empty for the archive itself; None: there is no store in it."""
    marks = (".zmetadata", ".zgroup", "zarr.json", ".zarray")
    roots = [name.rpartition("/")[0] for name in names if name.rpartition("/")[2] in marks]
    return min(roots, key=len) if roots else None
