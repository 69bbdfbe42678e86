"""Folders that commands write results into, beside whatever lies there.

A hidden list in such a folder has a line for each file that was written: its name and a
digest of its content. So a command replaces what a command wrote, nothing that a user
made or changed since, and takes no result for an input.
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
# What systems put into folders by themselves.
_OF_THE_SYSTEM = (".DS_Store", "Thumbs.db", "desktop.ini")
_BLOCK = 2**20


class OutputFolder:
    """A folder of results.

    Names are paths below it, with slashes.

    Args:
      path: of the folder; it need not be there.
      overwrite: replace whatever is in the way.
    """

    def __init__(self, path: str, overwrite: bool = False):
        self.path = path
        self._overwrite = overwrite
        # More than one for a file where a run was killed before it had the last.
        self._written = {n: {*digests} for n, digests in _written_in(path).items()}
        self._cleaned: set[str] = set()

    def check(self, names: Iterable[str], folders: Sequence[str] = ()) -> None:
        """Refuses to replace what no command wrote, and to mix results with it.

        Args:
          names: of files that will be written.
          folders: names of folders for results alone.

        Raises:
          UserError: such a file is there, and is not to be overwritten.
        """
        foreign = [] if self._overwrite else self.foreign(names, folders)
        if foreign:
            count = f"{len(foreign)} file" + ("s" if len(foreign) > 1 else "")
            raise UserError(
                f"{count} in {self.path} would be replaced or mixed with results, but "
                "no command of wss wrote them, or they were changed since; the first "
                f"is {self.place(foreign[0])}. Choose another --output_dir, or add "
                "--overwrite."
            )

    def foreign(self, names: Iterable[str], folders: Sequence[str] = ()) -> list[str]:
        """Names of files that are there and not as a command wrote them.

        Args:
          names: of files; of these the content counts.
          folders: names of folders; of the files in them the names count.
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

        Of a file its own name, of what is not there nothing.
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
        """Whether a path, given in whatever way, is one that a command wrote here."""
        folder = os.path.realpath(os.path.dirname(path))
        found = os.path.join(folder, os.path.basename(path))
        return _name(found, os.path.realpath(self.path)) in self._written

    def place(self, name: str) -> str:
        """The path of a name."""
        return os.path.join(self.path, *name.split("/"))

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, whole or not at all; folders on the way are made.

        Raises:
          OSError: the disk is full, the name is too long, ...
        """
        if self._holds(name, content):
            return
        path = self.place(name)
        folder = os.path.dirname(path)
        os.makedirs(folder, exist_ok=True)
        self._clean(folder)
        # The name may be as long as a name can be: nothing is put behind it.
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
        """Writes a file unless it is there as it is; errors as of `check`, `write`."""
        if not self._holds(name, content):
            self.check([name])
            self.write(name, content)

    @contextlib.contextmanager
    def explained(self, *errors: type[Exception]) -> Iterator[None]:
        """Turns a failure to write into a `UserError`; `errors`: more than OSError."""
        try:
            yield
        except (OSError, *errors) as error:
            raise UserError(
                f"Can not write into {self.path} ({reason(error)}). Make room, or "
                "choose another --output_dir."
            ) from error

    @contextlib.contextmanager
    def workplace(self) -> Iterator[str]:
        """A hidden folder inside, for what is on its way; `move` takes from it.

        It goes with its content, if this process is killed then when the next one is
        made.
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
        """Gives a file or folder of the workplace its name, whatever had it before."""
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
        if os.path.isdir(final):  # A folder is no place to rename another to.
            os.rename(final, os.path.join(os.path.dirname(path), "before"))
        os.replace(path, final)

    def expect(self, name: str, content: bytes) -> None:
        """Notes what somebody else is about to write; a bucket has no list."""
        if os.path.isdir(self.path):
            self._note({name: hashlib.sha256(content).hexdigest()})

    def _holds(self, name: str, content: bytes) -> bool:
        return _digest(self.place(name)) == hashlib.sha256(content).hexdigest()

    def _note(self, digests: Mapping[str, str]) -> None:
        """Adds files to the list, before they have their names: a run may be killed."""
        new = [
            (name, digest)
            for name, digest in digests.items()
            if digest not in self._written.get(name, ())
        ]
        lines = [json.dumps({"name": name, "sha256": digest}) for name, digest in new]
        if lines:
            # It begins a line: the last one may be torn.
            text = "".join(f"\n{line}" for line in lines)
            path = os.path.join(self.path, LIST)
            atomic.refuse_special(path)
            with open(path, "ab") as file:
                file.write(text.encode())
        for name, digest in new:
            self._written.setdefault(name, set()).add(digest)

    def _clean(self, folder: str) -> None:
        """Removes what killed runs have left in a folder on their way."""
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
    """Writes a small file as of `files.write_text`, and its folder's list has it."""
    folder, name = os.path.split(path)
    OutputFolder(folder).expect(name, text.encode())
    atomic.write_text(path, text)


def is_result(path: str, top: str) -> bool:
    """Whether a command wrote a file into a folder that is `top` or lies below it."""
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
    """Digests of what was written into a folder, by name."""
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
            with contextlib.suppress(ValueError, TypeError, KeyError):  # It is torn.
                one = json.loads(line)
                found[one["name"]].append(one["sha256"])
    return found


def _name(path: str, folder: str) -> str:
    return os.path.relpath(path, folder).replace(os.sep, "/")


def _digest(path: str) -> str:
    """Of a file's content; empty for what is no file, or none that can be read."""
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
    """Whether the process that made something unfinished is gone."""
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
