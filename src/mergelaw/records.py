"""Files of checksummed lines that are only appended to: a kill costs the last line at most."""

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def record_line(value: object) -> bytes:
    """Return a value as a line: its CRC-32 in 8 hexadecimal digits, a space, JSON.

    Raises
    ------
    TypeError, ValueError
        If it is not JSON, or holds a number that is not finite.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def parse_line(line: bytes) -> Any:
    """Return the value of a line made by `record_line`."""
    return json.loads(line[9:])


def good_lines(path: Path) -> Iterator[tuple[Any, int]]:
    """Yield each line's value and where it ends; a line that is torn or changed ends it."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            text = line[9:-1]
            if line != b"%08x %b\n" % (zlib.crc32(text), text):
                return
            yield json.loads(text), file.tell()


def append(descriptor: int, data: bytes) -> None:
    """Write all of the data to a file that was opened for appending.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    while data:
        data = data[os.write(descriptor, data) :]
