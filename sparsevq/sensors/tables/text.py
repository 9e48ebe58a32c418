"""The text of a file that a spreadsheet, a logger or an editor wrote, whatever its encoding and ends of lines."""

import codecs
import re
from pathlib import Path

from sparsevq.errors import SparseVQError

SAVE_AS_TEXT = "save it as CSV (comma-separated values, UTF-8)"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHERS = (
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (.xls)", f"open it in Excel and {SAVE_AS_TEXT}"),
    (b"\x89HDF", "an HDF5 or NetCDF-4 file", "write the readings as CSV"),
    (b"CDF", "a NetCDF file", "write the readings as CSV"),
    (b"\x1f\x8b", "compressed by gzip", "unpack it first"),
    (b"BZh", "compressed by bzip2", "unpack it first"),
    (b"\xfd7zXZ", "compressed by xz", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it first"),
    (b"7z\xbc\xaf", "a 7-zip archive", "unpack it first"),
    (b"PAR1", "a Parquet file", SAVE_AS_TEXT),
    (b"ARROW1", "a Feather file", SAVE_AS_TEXT),
    (b"FEA1", "a Feather file", SAVE_AS_TEXT),
    (b"\x93NUMPY", "a NumPy array", SAVE_AS_TEXT),
    (b"MATLAB ", "a MATLAB file", SAVE_AS_TEXT),
    (b"SQLite format 3", "an SQLite database", SAVE_AS_TEXT),
    (b"%PDF", "a PDF", SAVE_AS_TEXT),
    (b"{\\rtf", "a document (.rtf)", SAVE_AS_TEXT),
    (b"\x80\x04", "a Python pickle", SAVE_AS_TEXT),
    (b"\x80\x05", "a Python pickle", SAVE_AS_TEXT),
)
"""How files of other kinds begin, what they are, and what to do."""
_IN_ZIP = (
    (b"xl/", f"an Excel workbook (.xlsx): open it and {SAVE_AS_TEXT}"),
    (b"opendocument.spreadsheet", f"an OpenDocument spreadsheet (.ods): open it and {SAVE_AS_TEXT}"),
    (b".npy", f"a NumPy archive (.npz): {SAVE_AS_TEXT}"),
)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, without their ends, numbered as an editor numbers them.

    UTF-8, UTF-16 and UTF-32, else Windows' Western encoding; lines that end as on Unix, Windows or an old Macintosh.

    Raises
    ------
    SparseVQError
        The file can't be read, is of another kind, damaged or empty.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SparseVQError(f"cannot read {path} ({error.strerror})", "check the path") from None
    if not content.strip():
        raise SparseVQError(f"{path} is empty", "write a header and one line for each sensor")
    _refuse_other_kinds(path, content)
    lines = re.split(r"\r\n|\r|\n", _decoded(path, content))
    for line, text in enumerate(lines, 1):
        if "\0" in text:
            raise SparseVQError(
                f"{path}, line {line}: holds a NUL byte, which no text has: the file is damaged", "write it again"
            )
    first = next((text.strip() for text in lines if text.strip()), "")
    if first.startswith("<"):
        raise SparseVQError(f"{path} is a web page or XML, not CSV", SAVE_AS_TEXT)
    if first.startswith("{") or re.match(r"\[\s*([{\[]|$)", first):
        raise SparseVQError(f"{path} is JSON, not CSV", SAVE_AS_TEXT)
    return lines


def _refuse_other_kinds(path: Path, content: bytes) -> None:
    if content.startswith(b"PK\x03\x04"):
        what = f"a spreadsheet (.xlsx or .ods) or another zip archive: open it and {SAVE_AS_TEXT}"
        what = next((named for mark, named in _IN_ZIP if mark in content), what)
        raise SparseVQError(f"{path} is no text but {what}")
    for mark, what, do in _OTHERS:
        if content.startswith(mark):
            raise SparseVQError(f"{path} is no CSV text but {what}", do)


def _decoded(path: Path, content: bytes) -> str:
    encodings = [encoding for mark, encoding in _MARKS if content.startswith(mark)][:1]
    if not encodings:
        # Of Latin text in UTF-16 every other byte is 0: which of them tells the order.
        even, odd = (content[side : side + 4000 : 2].count(0) / max(len(content[side:4000:2]), 1) for side in (0, 1))
        if max(even, odd) > 0.6 and min(even, odd) < 0.1:
            encodings = ["utf-16-be" if even > odd else "utf-16-le"]
    for encoding in encodings or ["utf-8", "cp1252", "latin-1"]:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise SparseVQError(f"{path} is not a CSV file: it begins as {encodings[0]} text, but is not", SAVE_AS_TEXT)
