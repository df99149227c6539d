"""What a file is that holds no data set, and what to do about it."""

SIGNATURES = (  # first bytes, what it is, way on
    (
        b"PAR1",
        "a Parquet file",
        "save it as CSV: pandas.read_parquet(...).to_csv(..., index=False)",
    ),
    (b"ARROW1", "an Arrow file", "save it as CSV"),
    (b"FEA1", "a Feather file", "save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (xls)", "save it as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"\xfd7zXZ\x00", "an xz archive", "unpack it first"),
    (b"BZh", "a bzip2 archive", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "unpack it first"),
    (b"\x89HDF", "an HDF5 file", "save its images as PNG files in train/<class>/"),
    (b"\x93NUMPY", "a NumPy array", "save its images as PNG files in train/<class>/"),
    (b"SQLite format 3", "an SQLite database", "save its table as CSV"),
    (b"%PDF", "a PDF document", "download the data itself"),
    (b"\x80\x04", "a Python pickle, which is never opened", "save it as CSV"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "run git lfs pull"),
)
PAGES = (b"<!doctype", b"<html", b"<?xml")
WORKBOOK = "xl/workbook.xml"  # a member of every xlsx


def kind_of(head: bytes) -> str | None:
    """Return what a file is, and the way on, by its first bytes; None where they say nothing."""
    for signature, kind, way_on in SIGNATURES:
        if head.startswith(signature):
            return f"this is {kind}: {way_on}"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(PAGES):
        return "this is a web page, perhaps one that asks to sign in: download the data again"
    if text.startswith((b"{", b"[")):
        return "this is JSON: save it as CSV"
    return None


def printable(text: str, most: int = 200) -> str:
    """Return a text out of a file so that it can stand in a message: in one line, not too long."""
    if not text.isprintable():
        text = ascii(text)[1:-1]
    return text if len(text) <= most else f"{text[:most]}..."
