"""Files on disk and members of archives, opened alike and guarded against bombs."""

import codecs
import contextlib
import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

from common.data import foreign

MAX_ROWS = 500_000  # rows, images or archive members; fourteen times FER-2013
MAX_UNPACKED_BYTES = MAX_ROWS * 10_000  # what an archive may hold in all
MAX_NESTED_ZIP_BYTES = 512 * 1024**2  # read into memory, because a zip is read from its end
MAX_NESTING = 2  # Kaggle's download is a zip that holds a tar.gz
HEAD_BYTES = 4_096  # enough to recognise a file by
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class File:
    """A file on disk or an archive member: how to name it, where it lies, how to open it."""

    name: str
    parts: tuple[str, ...]  # folders and file name, from the source's own name down
    open: Callable[[], AbstractContextManager]
    nesting: int = 0


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is one that systems hide or add by themselves."""
    return name.startswith(".") or name == "__MACOSX"


def plain(file: File) -> tuple[File, bytes]:
    """Return the file without gzip and in UTF-8 if it is UTF-16 text, and its first bytes."""
    with file.open() as stream:
        head = stream.read(HEAD_BYTES)
    for starts, layer in (((b"\x1f\x8b",), _open_gzip), (UTF_16, _open_utf_16)):
        if head.startswith(starts):
            file = replace(file, open=partial(layer, file.open))
            with file.open() as stream:
                head = stream.read(HEAD_BYTES)
    return file, head


@contextlib.contextmanager
def _open_gzip(open_packed):
    with open_packed() as packed, gzip.GzipFile(fileobj=packed) as stream:
        yield stream


@contextlib.contextmanager
def _open_utf_16(open_packed):
    with open_packed() as packed:
        yield _Recoded(packed)


class _Recoded(io.RawIOBase):
    """Reads UTF-16 text, such as spreadsheets save it, as UTF-8."""

    def __init__(self, packed):
        super().__init__()
        self._packed, self._decoder = packed, codecs.getincrementaldecoder("utf-16")()
        self._rest = b""

    def readable(self):
        """Return True, as `io` asks."""
        return True

    def readinto(self, buffer):
        """Fill the buffer and return how many bytes that were."""
        while not self._rest:
            packed = self._packed.read(io.DEFAULT_BUFFER_SIZE)
            if not packed:
                return 0
            self._rest = self._decoder.decode(packed).encode("utf-8")
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def members(file: File, head: bytes, stack: contextlib.ExitStack) -> list[File] | None:
    """Return the files inside an archive, or None for a file that is no archive.

    Nothing is ever extracted to disk, and what only a hostile archive holds is refused.
    """
    is_zip, is_tar = head.startswith(b"PK\x03\x04"), head[257:262] == b"ustar"
    if not (is_zip or is_tar):
        return None
    if file.nesting == MAX_NESTING:
        raise ValueError(f"{file.name}: expected at most {MAX_NESTING} archives in each other")
    stream = stack.enter_context(file.open())
    if is_zip:
        if file.nesting or isinstance(stream, gzip.GzipFile):  # no cheap way back in these
            content = stream.read(MAX_NESTED_ZIP_BYTES + 1)
            if len(content) > MAX_NESTED_ZIP_BYTES:
                raise ValueError(f"{file.name}: too large for a packed zip; unpack the outer one")
            stream = io.BytesIO(content)
        packed = stack.enter_context(zipfile.ZipFile(stream))
        infos: Iterable = (
            (info.filename, info.file_size, not info.is_dir(), partial(packed.open, info))
            for info in packed.infolist()
        )
    else:
        tape = stack.enter_context(tarfile.TarFile(fileobj=stream))
        infos = (
            (info.name, info.size, info.isreg(), partial(tape.extractfile, info)) for info in tape
        )

    members, total = [], 0
    for count, (name, size, is_file, opener) in enumerate(infos, start=1):
        path = name.replace("\\", "/")
        shown = name if name.isprintable() else ascii(name)
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"{file.name}: expected names inside the archive, found {shown[:80]}")
        total += size
        if count > MAX_ROWS or total > MAX_UNPACKED_BYTES:
            raise ValueError(f"{file.name}: expected at most {MAX_ROWS:,} rows, found more")
        if path == foreign.WORKBOOK:
            raise ValueError(f"{file.name}: this is an Excel workbook (xlsx): save it as CSV")
        parts = tuple(part for part in path.split("/") if part not in ("", "."))
        if parts and is_file and not any(map(is_hidden, parts)):
            members.append(
                File(
                    name=f"{file.name}:{shown}",
                    parts=file.parts + parts,
                    open=opener,
                    nesting=file.nesting + 1,
                )
            )
    return members


@contextlib.contextmanager
def damage_named(name: str) -> Iterator[None]:
    """Turn what the unpacking libraries raise on damaged files into one named ValueError."""
    try:
        yield
    except (
        EOFError,
        OSError,  # a bad gzip header, or a seek to nowhere
        UnicodeDecodeError,  # a member's name
        struct.error,
        zlib.error,
        zipfile.BadZipFile,
        tarfile.TarError,
        RuntimeError,  # an encrypted zip
        NotImplementedError,  # a compression that Python does not know
    ) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # the file itself cannot be opened, which the error says already
        raise ValueError(f"{name}: damaged or cut off ({error}); download it again") from error
