"""The small program between ebbtide and one replica: the whole process tree dies with either.

It is exec'd with ``python -I -S`` and imports nothing of ebbtide. Standard input is a pipe whose
other end only ebbtide holds: first the `order`, then nothing until EOF. Standard output takes the
report, one line per event: ``pid N``, ``cannot_execute TEXT``, ``exit CODE``, ``signal NUMBER``.
Standard error, a log file, becomes the command's output.

Rule 1: the command leads a session of its own, reads /dev/null, and inherits nothing else.
Rule 2: at EOF (ebbtide died, by SIGKILL too) everything is killed at once. SIGTERM is passed to the
        command; what is left after the grace period is killed.
Rule 3: when the command ends, whatever it left behind is killed before the launcher exits: orphans
        are adopted (subreaper), so also those with a session of their own.
Rule 4: should the launcher itself be killed, the kernel kills the command (parent death signal),
        and ebbtide looks for the rest (`processes.kill_marked`).
"""

import ctypes
import os
import select
import signal

__all__ = ["Launcher", "descendants", "main", "order"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_HEAD = 16
_LIFELINE = 0
_AGAIN_MS = 50


def order(argv: list[str], env: dict[str, str], *, cwd: str | None, grace: float) -> bytes:
    """What the launcher reads first: its length in 16 digits, then fields ended by NUL."""
    pairs = [f"{key}={value}" for key, value in env.items()]
    fields = [f"{grace:.3f}", cwd or "", str(len(argv)), *argv, *pairs]
    body = b"".join(os.fsencode(field) + b"\0" for field in fields)
    return b"%0*d" % (_HEAD, len(body)) + body


def descendants(root: int) -> list[int]:
    """The processes below `root` in the process tree, from one look at /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError):
                continue  # ended meanwhile
            children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


class Launcher:
    """One command and its process tree."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._command = 0
        self._status: int | None = None
        self._wake, wake_end = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_end, False)
        signal.set_wakeup_fd(wake_end)
        for number in (*_STOP_SIGNALS, signal.SIGCHLD, signal.SIGALRM):
            signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def run(self, argv: list[str], env: dict[str, str], cwd: str) -> None:
        """Start the command, wait for its end, end its tree, and report."""
        told, tell = os.pipe()
        parent = os.getpid()
        self._command = os.fork()
        if self._command == 0:
            _become(argv, env, cwd=cwd, tell=tell, parent=parent)
        os.close(tell)
        error = os.read(told, 4096)
        _report(b"cannot_execute " + error if error else b"pid %d" % self._command)
        if not error:
            self._tend()
        self._end_tree()
        if self._status is not None and not error:
            code = os.waitstatus_to_exitcode(self._status)
            _report(b"exit %d" % code if code >= 0 else b"signal %d" % -code)

    def _tend(self) -> None:
        """Return when the command has ended or its tree is to be killed."""
        stopping = False
        while self._reap() and self._status is None:
            ready = self._wait((_LIFELINE, self._wake), None)
            if _LIFELINE in ready:
                return
            numbers = os.read(self._wake, 256)
            if signal.SIGALRM in numbers:
                return
            if not stopping and any(number in numbers for number in _STOP_SIGNALS):
                stopping = True
                if self._grace <= 0 or not self._reap() or self._status is not None:
                    return
                os.kill(self._command, signal.SIGTERM)
                signal.setitimer(signal.ITIMER_REAL, self._grace)

    def _end_tree(self) -> None:
        while self._reap():
            for pid in descendants(os.getpid()):
                try:
                    os.kill(pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    continue
            if self._wake in self._wait((self._wake,), _AGAIN_MS):
                os.read(self._wake, 256)

    def _reap(self) -> bool:
        """Collect the children that ended; whether any child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == self._command:
                self._status = status
            if pid == 0:
                return True

    def _wait(self, files: tuple[int, ...], milliseconds: int | None) -> set[int]:
        poll = select.poll()
        for file in files:
            poll.register(file, select.POLLIN)
        return {file for file, _ in poll.poll(milliseconds)}


def _become(argv: list[str], env: dict[str, str], *, cwd: str, tell: int, parent: int) -> None:
    """Turn this forked child into the command; never returns."""
    what = os.devnull
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        for number in (*_STOP_SIGNALS, signal.SIGCHLD, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these two
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        what = cwd
        if cwd:
            os.chdir(cwd)
        what = argv[0]
        os.execvpe(what, argv, env)  # noqa: S606  # running an operator's command is the point
    except OSError as error:
        os.write(tell, os.fsencode(f"{what}: {error.strerror}"))
    finally:
        os._exit(127)


def _prctl(option: int, value: int) -> None:
    unused = ctypes.c_ulong(0)
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), unused, unused, unused)


def _report(line: bytes) -> None:
    try:
        os.write(1, line + b"\n")
    except OSError:
        return  # ebbtide is gone: nobody reads it


def _read_order() -> list[str] | None:
    """The fields of the order; None when ebbtide went away before it was complete."""
    data = b""
    wanted = _HEAD
    while len(data) < wanted:
        piece = os.read(_LIFELINE, 65536)
        if not piece:
            return None
        data += piece
        if wanted == _HEAD and len(data) >= _HEAD:
            wanted = _HEAD + int(data[:_HEAD])
    return [os.fsdecode(field) for field in data[_HEAD:].split(b"\0")[:-1]]


def main() -> None:
    """Read the order and carry it out."""
    # uvloop leaves copies of these pipes in its children: held by a stray, they would never end.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    fields = _read_order()
    if fields is None:
        return
    grace, cwd, count = float(fields[0]), fields[1], int(fields[2])
    argv, pairs = fields[3 : 3 + count], fields[3 + count :]
    env = dict(pair.split("=", 1) for pair in pairs)
    Launcher(grace).run(argv, env, cwd)


if __name__ == "__main__":
    main()
