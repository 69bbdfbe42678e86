"""Folders for the results of commands, which may contain other files too.

A hidden list in such a folder has a line for each file that a command wrote, with its
name and a digest of its content. Commands replace only these files, never one that a
user made or changed, and do not take results for inputs.
"""

import collections
import contextlib
import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence

from wss.errors import UserError, reason
from wss.files import atomic

LIST = ".wss_written.jsonl"
_UNFINISHED = ".unfinished-"
# Files that operating systems create.
_OF_THE_SYSTEM = (".DS_Store", "Thumbs.db", "desktop.ini")
_BLOCK = 2**20


class OutputFolder:
    """A folder of results.

    Names are paths relative to it, with slashes.

    Args:
      path: of the folder; it need not exist.
      overwrite: replace other files too.
    """

    def __init__(self, path: str, overwrite: bool = False):
        self.path = path
        self._overwrite = overwrite
        # A file has several digests if a command was killed before it wrote the last.
        self._written = {n: {*digests} for n, digests in _written_in(path).items()}
        self._cleaned: set[str] = set()

    def check(self, names: Iterable[str], folders: Sequence[str] = ()) -> None:
        """Refuses to replace files that no command wrote, and to mix results with them.

        Args:
          names: of files that will be written.
          folders: names of folders that may contain only results.

        Raises:
          UserError: such a file exists, and `overwrite` is False.
        """
        foreign = [] if self._overwrite else self.foreign(names, folders)
        if foreign:
            count = f"{len(foreign)} file" + ("s" if len(foreign) > 1 else "")
            raise UserError(
                f"{count} in {self.path} would be replaced or mixed with results, but "
                "no command of wss wrote them, or they have changed since; the first "
                f"is {self.place(foreign[0])}. Choose another --output_dir, or add "
                "--overwrite."
            )

    def foreign(self, names: Iterable[str], folders: Sequence[str] = ()) -> list[str]:
        """Names of existing files that differ from what commands wrote.

        Args:
          names: of files, compared by content.
          folders: names of folders, whose files are compared by name.
        """
        found = [
            name
            for folder in folders
            for name in self.below(folder)
            if name not in self._written
        ]
        for name in names:
            path, digests = self.place(name), self._written.get(name, ())
            if os.path.lexists(path) and _digest(path) not in digests:
                found.append(name)
        return list(dict.fromkeys(found))

    def below(self, name: str) -> list[str]:
        """Names of the files in a folder and below, without those of the system.

        For a file it is the file's name; for a missing path there are none.
        """
        if os.path.lexists(self.place(name)) and not os.path.isdir(self.place(name)):
            return [name]
        return [
            _name(os.path.join(folder, file), self.path)
            for folder, _, files in os.walk(self.place(name))
            for file in sorted(files)
            if file not in _OF_THE_SYSTEM and not file.startswith(_UNFINISHED)
        ]

    def has_written(self, path: str) -> bool:
        """Whether a command wrote the file at this path, in any spelling, into it."""
        folder = os.path.realpath(os.path.dirname(path))
        found = os.path.join(folder, os.path.basename(path))
        return _name(found, os.path.realpath(self.path)) in self._written

    def place(self, name: str) -> str:
        """The path of a name."""
        return os.path.join(self.path, *name.split("/"))

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, whole or not at all; creates the folders of its path.

        Raises:
          OSError: the disk is full, the name is too long, ...
        """
        if self._holds(name, content):
            return
        path = self.place(name)
        folder = os.path.dirname(path)
        os.makedirs(folder, exist_ok=True)
        self._clean(folder)
        # A unique name, not a suffix: the name may have the maximum length.
        handle, temporary = tempfile.mkstemp(prefix=_UNFINISHED, dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                atomic.try_lock(handle)
                file.write(content)
                file.flush()
                os.chmod(temporary, 0o666 & ~_umask())
                self._note({name: hashlib.sha256(content).hexdigest()})
                os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.remove(temporary)
            raise

    def write_checked(self, name: str, content: bytes) -> None:
        """Writes a file unless it is unchanged; errors: see `check` and `write`."""
        if not self._holds(name, content):
            self.check([name])
            self.write(name, content)

    @contextlib.contextmanager
    def explained(self, *errors: type[Exception]) -> Iterator[None]:
        """Turns a failure to write, OSError or `errors`, into a `UserError`."""
        try:
            yield
        except (OSError, *errors) as error:
            raise UserError(
                f"Cannot write into {self.path} ({reason(error)}). Make room, or "
                "choose another --output_dir."
            ) from error

    @contextlib.contextmanager
    def workplace(self) -> Iterator[str]:
        """A hidden subfolder for unfinished files; `move` takes them out.

        It is removed at the end or, if this process is killed, by the next one.
        """
        os.makedirs(self.path, exist_ok=True)
        self._clean(self.path)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=self.path) as folder:
            handle = os.open(folder, os.O_RDONLY)
            try:
                atomic.try_lock(handle)
                yield folder
            finally:
                os.close(handle)

    def move(self, path: str, name: str) -> None:
        """Moves a file or folder out of the workplace, replacing one of this name.

        Creates the folders of its path.
        """
        parts = (
            [""]
            if os.path.isfile(path)
            else [
                f"/{_name(os.path.join(folder, file), path)}"
                for folder, _, files in os.walk(path)
                for file in files
            ]
        )
        self._note({f"{name}{part}": _digest(f"{path}{part}") for part in parts})
        final = self.place(name)
        os.makedirs(os.path.dirname(final), exist_ok=True)
        if os.path.isdir(final):  # A folder cannot be renamed to an existing one.
            os.rename(final, os.path.join(os.path.dirname(path), "before"))
        os.replace(path, final)

    def expect(self, name: str, content: bytes) -> None:
        """Adds a file that other code will write to the list; a bucket has no list."""
        if os.path.isdir(self.path):
            self._note({name: hashlib.sha256(content).hexdigest()})

    def _holds(self, name: str, content: bytes) -> bool:
        return _digest(self.place(name)) == hashlib.sha256(content).hexdigest()

    def _note(self, digests: Mapping[str, str]) -> None:
        """Adds files to the list before they get their names, in case of a kill."""
        new = [
            (name, digest)
            for name, digest in digests.items()
            if digest not in self._written.get(name, ())
        ]
        lines = [json.dumps({"name": name, "sha256": digest}) for name, digest in new]
        if lines:
            # Begins a new line: the last one may be incomplete.
            text = "".join(f"\n{line}" for line in lines)
            path = os.path.join(self.path, LIST)
            atomic.refuse_special(path)
            with open(path, "ab") as file:
                file.write(text.encode())
        for name, digest in new:
            self._written.setdefault(name, set()).add(digest)

    def _clean(self, folder: str) -> None:
        """Removes unfinished files that killed commands left in a folder."""
        if folder in self._cleaned:
            return
        self._cleaned.add(folder)
        for entry in os.scandir(folder):
            if entry.name.startswith(_UNFINISHED) and _is_left(entry.path):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.remove(entry.path)


def write_noted(path: str, text: str) -> None:
    """Writes a small file by `atomic.write_text`, and adds it to its folder's list."""
    folder, name = os.path.split(path)
    OutputFolder(folder).expect(name, text.encode())
    atomic.write_text(path, text)


def is_result(path: str, top: str) -> bool:
    """Whether a command wrote this file into `top` or one of its subfolders."""
    path, top = os.path.abspath(path), os.path.abspath(top)
    folder = os.path.dirname(path)
    while folder.startswith(top):
        if _name(path, folder) in _written_in(folder):
            return True
        if folder == top:
            break
        folder = os.path.dirname(folder)
    return False


def _written_in(folder: str) -> Mapping[str, Sequence[str]]:
    """Digests of the files that commands wrote into a folder, by name."""
    path = os.path.abspath(os.path.join(folder, LIST))
    if not os.path.isfile(path):
        return {}
    status = os.stat(path)
    return _read_list(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=64)
def _read_list(path: str, *_version: int) -> Mapping[str, Sequence[str]]:
    found = collections.defaultdict(list)
    with contextlib.suppress(OSError), open(path, "rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, TypeError, KeyError):  # Incomplete.
                one = json.loads(line)
                found[one["name"]].append(one["sha256"])
    return found


def _name(path: str, folder: str) -> str:
    return os.path.relpath(path, folder).replace(os.sep, "/")


def _digest(path: str) -> str:
    """SHA-256 of a file's content; empty if it is not a readable file."""
    if not os.path.isfile(path):
        return ""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def _is_left(path: str) -> bool:
    """Whether the process that made an unfinished file has ended."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return bool(atomic.try_lock(handle))
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
