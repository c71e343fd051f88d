"""The process between a program and its Cassandra. Run as a script, by path, with the standard library only.

It reads one line of JSON from its standard input (`Job`), starts Java, and writes one line of JSON to its standard
output: `{"pid": …}`, or `{"error": "busy"}` if another node uses the data folder. Then

* for an owned node it waits as a guard. On SIGTERM, or at the end of its standard input, it asks Java to stop, and
  kills it after a timeout. The kernel closes that input however the program ends. The guard exits after Java.
* for a detached node it exits at once, and Java keeps running.

It runs in its own session, so a Ctrl-C in the program's terminal reaches neither it nor Java. If the guard itself is
killed, the kernel kills Java on Linux; on other systems Java then runs until `LocalNode.stop`. Java inherits the lock
of the data folder, so the lock is held exactly as long as Java lives.
"""

import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import TypedDict

PR_SET_PDEATHSIG = 1


class Job(TypedDict):
    """A command to run. `detach` leaves Java running; otherwise it has `stop_timeout` seconds to end when asked."""

    command: list[str]
    folder: str
    lock: str
    detach: bool
    stop_timeout: float


def main() -> int:
    """Run the job from standard input; return Java's exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the thread that started this process may block some signals
    signals = None
    job: Job = json.loads(_read_line(0))
    if not job["detach"]:
        signals = _signals_as_readable(signal.SIGCHLD, signal.SIGTERM)
    lock = os.open(job["lock"], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _answer({"error": "busy"})
        return 1
    try:
        java = _start(job, lock)
    except OSError as error:
        _answer({"error": str(error)})
        return 1
    os.close(lock)
    _answer({"pid": java.pid})
    if signals is None:
        return 0
    return _guard(java, signals, job["stop_timeout"])


def _read_line(source: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(source, 65536)
        if not part:
            raise SystemExit(1)  # the program ended before it sent a job
        line += part
    return line


def _answer(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # closes the pipe, so that the program reads the end of the answer
    os.close(null)


def _signals_as_readable(*signals: signal.Signals) -> int:
    """Return a descriptor from which each of `signals` can be read as one byte."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for number in signals:
        signal.signal(number, lambda *_: None)
    return readable


def _start(job: Job, lock: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        job["command"],
        stdin=subprocess.DEVNULL,
        stdout=2,
        stderr=2,
        cwd=job["folder"],
        pass_fds=(lock,),
        preexec_fn=None if job["detach"] else _end_with_guard(),
        start_new_session=job["detach"],
    )


def _end_with_guard() -> Callable[[], None] | None:
    """Return a function for Java's process to call before exec, so that Java cannot outlive this process."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # must be looked up before the fork
    guard = os.getpid()

    def die_with_guard() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:  # the guard was killed before the line above
            os._exit(1)

    return die_with_guard


def _guard(java: subprocess.Popen[bytes], signals: int, stop_timeout: float) -> int:
    while java.poll() is None:
        readable, _, _ = select.select([0, signals], [], [])
        program_ended = 0 in readable and not os.read(0, 1)
        stop_requested = signals in readable and signal.SIGTERM in os.read(signals, 64)
        if program_ended or stop_requested:
            _stop(java, stop_timeout)
    status = java.returncode
    return status if status >= 0 else 128 - status


def _stop(java: subprocess.Popen[bytes], stop_timeout: float) -> None:
    java.terminate()
    java.send_signal(signal.SIGCONT)  # a paused process receives SIGTERM only when it continues
    try:
        java.wait(stop_timeout)
    except subprocess.TimeoutExpired:
        java.kill()
        java.wait()


if __name__ == "__main__":
    sys.exit(main())
