"""That every replica binds its own address, and the ports ebbtide expects. Pure.

Two replicas on one machine have the same ports: one that binds all addresses takes them from the
other, which then looks ready, answered by the first.

Rule 1: Triton is told: its address and port flags are added where they are absent.
Rule 2: any other server must be told by its manifest; one that is not gets a warning.
"""

from pathlib import PurePosixPath

from fleet.cluster.local.expand import mentions
from fleet.cluster.local.podspec import POD_IP, EnvVar, Field
from fleet.document import Report
from fleet.model import Revision, RuntimeName

__all__ = ["address_words", "check_binding", "is_triton"]

_ADDRESS_FLAGS = ("--http-address", "--grpc-address", "--metrics-address")
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh"})
_OWN = f"$({POD_IP})"


def is_triton(word: str) -> bool:
    """Whether a command's first word starts Triton itself."""
    return PurePosixPath(word).name == "tritonserver"


def address_words(words: tuple[str, ...], revision: Revision) -> tuple[str, ...]:
    """The flags to add to Triton's command `words`; none for another server.

    A shell is no Triton, whatever it starts: it would not hand them on.
    """
    if not words or not _takes_flags(words[0], revision):
        return ()
    flags = dict.fromkeys(_ADDRESS_FLAGS, _OWN)
    flags |= {flag: str(port) for flag, port in _port_flags(revision).items()}
    return tuple(f"{flag}={value}" for flag, value in flags.items() if _given(words, flag) is None)


def check_binding(
    words: tuple[str, ...], env: tuple[EnvVar, ...], revision: Revision, report: Report
) -> None:
    """Report what binds other ports or addresses than the replica's own.

    `words` are the manifest's own, before `address_words` are added.
    """
    if not words:
        return
    if _takes_flags(words[0], revision):
        _check_flags(words, revision, report)
    elif not _knows_address(words, env):
        report.warn(
            "command",
            " ".join(words),
            "cannot be told to bind its own address: two replicas will collide; use "
            f"{_OWN}, as in --host={_OWN}",
        )
    if any(mentions(word, POD_IP) for word in words) and not _declares(env):
        report.warn(
            "env",
            None,
            f"{_OWN} works here, but on Kubernetes only with a variable {POD_IP} from the "
            f"fieldRef {Field.POD_IP.value}",
        )


def _check_flags(words: tuple[str, ...], revision: Revision, report: Report) -> None:
    for flag, port in _port_flags(revision).items():
        given = _given(words, flag)
        if given is not None and given.isdigit() and int(given) != port:
            report.refuse(
                flag,
                given,
                f"{port}, the port that ebbtide calls; or say in the annotations or the names of "
                "the container ports which one it is",
            )
    for flag in _ADDRESS_FLAGS:
        given = _given(words, flag)
        if given is not None and "$(" not in given:
            report.warn(flag, given, f"{_OWN}: on this machine two replicas will collide")


def _takes_flags(word: str, revision: Revision) -> bool:
    if is_triton(word):
        return True
    return revision.runtime is RuntimeName.TRITON and PurePosixPath(word).name not in _SHELLS


def _port_flags(revision: Revision) -> dict[str, int]:
    ports = revision.ports
    flags = {
        "--http-port": ports.http,
        "--grpc-port": ports.grpc,
        "--metrics-port": ports.metrics,
    }
    return {flag: port for flag, port in flags.items() if port is not None}


def _given(words: tuple[str, ...], flag: str) -> str | None:
    for index, word in enumerate(words):
        if word == flag:
            return words[index + 1] if index + 1 < len(words) else ""
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return None


def _knows_address(words: tuple[str, ...], env: tuple[EnvVar, ...]) -> bool:
    texts = (*words, *(each.value for each in env if each.expand))
    return any(mentions(text, POD_IP) for text in texts) or any(
        each.field in (Field.POD_IP, Field.POD_IPS) for each in env
    )


def _declares(env: tuple[EnvVar, ...]) -> bool:
    return any(each.name == POD_IP for each in env)
