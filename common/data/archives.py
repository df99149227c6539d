"""Files on disk and members of archives, opened alike and guarded against bombs."""

import codecs
import contextlib
import gzip
import io
import os
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

from common.data import foreign
from common.runs import storage
from common.runs.schema import MAX_ROWS  # rows, images or archive members

MAX_UNPACKED_BYTES = MAX_ROWS * 10_000  # what an archive may hold in all
SMALL_UNPACKED_BYTES = 256 * 1024**2  # what any archive may hold, however small it is
MAX_RATIO = 50  # of what is unpacked to the file on disk; tables of faces pack to a third
MAX_BLANK_LINES = MAX_ROWS  # they pack to nothing, and take long to pass over
MAX_SPOOLED_BYTES = 64 * 1024**2  # in memory; what is larger goes to a nameless temporary file
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
    limit: int | None = None  # bytes that may be unpacked from it, where it is packed


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is one that systems hide or add by themselves."""
    return name.startswith(".") or name == "__MACOSX"


def plain(file: File) -> tuple[File, bytes]:
    """Return the file without gzip and in UTF-8 if it is UTF-16 text, and its first bytes."""
    with file.open() as stream:
        head = stream.read(HEAD_BYTES)
    file = _limited(file)
    for starts, layer in (((b"\x1f\x8b",), _open_gzip), (UTF_16, _open_utf_16)):
        if head.startswith(starts):
            file = replace(file, open=partial(layer, file))
            with file.open() as stream:
                head = stream.read(HEAD_BYTES)
    return file, head


def _limited(file):
    """Return the file with its limit, which follows from its size on disk."""
    if file.limit is not None:
        return file
    with file.open() as stream:
        size = stream.seek(0, os.SEEK_END)
    limit = min(MAX_UNPACKED_BYTES, max(SMALL_UNPACKED_BYTES, MAX_RATIO * size))
    return replace(file, limit=limit)


class _Counted(io.RawIOBase):
    """Reads what is being unpacked, and refuses more of it than an honest archive holds."""

    def __init__(self, unpacked, file):
        super().__init__()
        self._unpacked, self._file = unpacked, file
        self._bytes = self._line_breaks = 0

    def readable(self):
        """Return True, as `io` asks."""
        return True

    def seekable(self):
        """Return True: Pillow seeks, within the small files that it reads."""
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        """Go where one asks; what is read again counts again."""
        return self._unpacked.seek(offset, whence)

    def tell(self):
        """Return the place in what is unpacked."""
        return self._unpacked.tell()

    def readinto(self, buffer):
        """Fill the buffer and return how many bytes that were."""
        content = self._unpacked.read(len(buffer))
        buffer[: len(content)] = content
        self._bytes += len(content)
        self._line_breaks += content.count(b"\n")
        most = self._file.limit
        if self._bytes > most or self._line_breaks > MAX_BLANK_LINES + self._bytes // 64:
            raise ValueError(
                f"{self._file.name}: expected at most {most:,} bytes when unpacked, and few blank "
                "lines, found more: unpack it yourself and pass what it holds"
            )
        return len(content)


@contextlib.contextmanager
def _open_gzip(file):
    with file.open() as packed, gzip.GzipFile(fileobj=packed) as stream:
        yield _Counted(stream, file)


@contextlib.contextmanager
def _open_member(open_packed, file):
    with open_packed() as stream:
        yield _Counted(stream, file)


@contextlib.contextmanager
def _open_utf_16(file):
    with file.open() as packed:
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

    Nothing is ever extracted under a name of its own, and what only a hostile archive holds is
    refused. The head must be that of `plain(file)`.
    """
    is_zip, is_tar = head.startswith(b"PK\x03\x04"), head[257:262] == b"ustar"
    if not (is_zip or is_tar):
        return None
    if file.nesting == MAX_NESTING:
        raise ValueError(f"{file.name}: expected at most {MAX_NESTING} archives in each other")
    stream = stack.enter_context(file.open())
    if file.nesting or isinstance(stream, _Counted):  # no cheap way back in these
        stream = _spooled(stream, stack)
    if is_zip:
        try:
            storage.check_directory(stream, MAX_ROWS)
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from error
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
        if count > MAX_ROWS or (is_zip and total > file.limit):
            raise ValueError(
                f"{file.name}: expected at most {MAX_ROWS:,} rows and {file.limit:,} bytes, found "
                "more"
            )
        if path == foreign.WORKBOOK:
            raise ValueError(f"{file.name}: this is an Excel workbook (xlsx): save it as CSV")
        parts = tuple(part for part in path.split("/") if part not in ("", "."))
        if parts and is_file and not any(map(is_hidden, parts)):
            member = File(
                name=f"{file.name}:{shown}",
                parts=file.parts + parts,
                open=opener,
                nesting=file.nesting + 1,
                limit=file.limit,
            )
            members.append(replace(member, open=partial(_open_member, opener, member)))
    return members


def _spooled(stream, stack):
    """Return all of a stream in one that goes back at no cost: a tar.gz is unpacked once."""
    spool = tempfile.SpooledTemporaryFile(max_size=MAX_SPOOLED_BYTES)  # noqa: SIM115
    stack.enter_context(spool)
    shutil.copyfileobj(stream, spool, 1024**2)
    spool.seek(0)
    return spool


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
        reason = foreign.printable(str(error))
        raise ValueError(f"{name}: damaged or cut off ({reason}); download it again") from error
