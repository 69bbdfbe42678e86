"""Reads text files that users write: lists, colormaps, gin files.

They come from all systems and editors: with a byte order mark, in UTF-16, with the line
ends of Windows or old Macs.
"""

import codecs
import os
import re
import stat
import unicodedata

from wss.errors import UserError

# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# In a line, strings in quotes and everything before a "#" count.
_COMMENT = re.compile(r"""('[^'\n]*'|"[^"\n]*"|[^#\n])|#.*""")
_PIPES_OF_SHELLS = ("/dev/fd/", "/dev/stdin", "/proc/")
_UNKNOWN = "\ufffd"
# Control characters that do not occur in text.
_BINARY = re.compile("[\x00-\x08\x0e-\x1f]")
_ADVICE = "Check its name and your permissions."


def read_text(path: str) -> str:
    r"""Reads a text file of any system; its lines then end with "\n".

    Comments, which begin with #, may have another encoding than the rest.

    Args:
      path: of a file, or of one in a bucket (`gs://...`).

    Raises:
      UserError: the file is missing or not text.
    """
    content = _read(path)
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "")
    try:
        text = content.decode(encoding or "utf-8-sig")
    except UnicodeDecodeError:
        text = _decode_all_but_comments(path, content, encoding)
    if _BINARY.search(text):
        raise UserError(f"{path} is not text. Save it as UTF-8.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: str) -> list[tuple[int, str]]:
    """Reads a list: its numbered lines in Unicode form NFC, without blank ones.

    Raises:
      UserError: see `read_text`, or the file is empty.
    """
    text = unicodedata.normalize("NFC", read_text(path))
    lines = [(i, line.strip()) for i, line in enumerate(text.split("\n"), 1)]
    lines = [(number, line) for number, line in lines if line]
    if not lines:
        raise UserError(f"The list {path} is empty. Write one entry per line.")
    return lines


def is_comment(line: str) -> bool:
    """Whether a line of a list is a comment."""
    return line.startswith("#")


def _read(path: str) -> bytes:
    if "://" in path:
        import tensorflow as tf  # Late: processes that only read images run without.

        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                return file.read()
        except tf.errors.OpError as error:
            raise UserError(
                f"{path} cannot be read ({error.message}). {_ADVICE}"
            ) from None
    try:
        mode = os.stat(path).st_mode
        # A pipe without a writer never ends; those of shells have one.
        is_pipe = stat.S_ISFIFO(mode)
        if is_pipe and not os.path.abspath(path).startswith(_PIPES_OF_SHELLS):
            raise UserError(f"{path} is a pipe. Give a text file.")
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):  # It may never end either.
            raise UserError(f"{path} is a device. Give a text file.")
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}). {_ADVICE}"
        ) from None


def _decode_all_but_comments(path: str, content: bytes, encoding: str) -> str:
    """Decodes a text of which only comments are not in UTF-8."""
    text = content.decode("utf-8-sig", errors="replace")
    if encoding or _BINARY.search(text):
        raise UserError(f"{path} is not text. Save it as UTF-8.")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(text.split("\n"), 1):
        if _UNKNOWN in _COMMENT.sub(r"\1", line):
            raise UserError(
                f"{path}, line {number}: '{line.strip()[:80]}' is not in UTF-8. Save "
                "the file as UTF-8."
            )
    return text
