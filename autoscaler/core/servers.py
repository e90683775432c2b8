"""What the model servers' own counters say: are they at rest, how busy is the GPU. Pure.

Callers that bypass the gateway show only here, and a counter moves only when a request *ends*.

Rule 1: at rest = nothing pending, and GPU use below 5 % or not measured. Where a completion was
        ever counted while no gateway had anything there, somebody calls the server directly: then
        also no completion for two looks and for 1.5 x the longest request seen (ADR 0009). A
        stable window without one clears that.
Rule 2: GPU use is what the server measures; else its duty cycle, the growth of its compute time
        over a span longer than the longest request; else, while a gateway's request runs there
        and the counter stands still, busy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from autoscaler.core.seen import UNASKED, ReplicaSeen, Seen, ServerSeen
from autoscaler.core.window import UNKNOWN, Unknown, Window
from fleet.names import ReplicaName

__all__ = ["AT_REST", "LOOKS", "ServerTrack", "Tracks", "at_rest", "busy", "follow", "gpu_use"]

AT_REST = 0.05
LOOKS = 2
_LONGEST_FACTOR = 1.5
_COUNTED_LATE = 0.5
"""Seconds by which a server may count what it has answered already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTrack:
    """What is remembered of one replica's server."""

    at: float
    """The last look that counts: looks in quick succession count as one."""
    completions: int | None
    since: float
    """The first look that saw this count of completions."""
    looks: int
    compute: Window
    watched: int = 1
    """Looks in all."""
    bypassed: bool = False
    """Somebody has called it past the gateways."""


Tracks = Mapping[ReplicaName, ServerTrack]


def follow(tracks: Tracks, seen: Seen, *, span: float, tick: float) -> Tracks:
    """With the newest readings of those that are there; the gone are forgotten."""
    kept: dict[ReplicaName, ServerTrack] = {}
    for member in seen.members:
        track, server = tracks.get(member.name), member.server
        if member.warming:
            # What the gateways' own warm-up makes the server count is nobody's bypass: the watch
            # begins after it.
            continue
        if isinstance(server, ServerSeen):
            found = _follow(track, server, span=span, tick=tick)
            bypassed = track is not None and _bypassed(track, server, seen.idle_since)
            lapsed = server.at - found.since >= span
            kept[member.name] = replace(found, bypassed=bypassed and not lapsed)
        elif track is not None:
            kept[member.name] = track
    return MappingProxyType(kept)


def _bypassed(track: ServerTrack, server: ServerSeen, idle_since: float | None) -> bool:
    """Whether it has counted what no gateway sent, now or before."""
    if track.bypassed or track.completions is None or server.completions is None:
        return track.bypassed
    idle = idle_since is not None and idle_since + _COUNTED_LATE <= track.at
    return idle and server.completions > track.completions


def _follow(
    track: ServerTrack | None, server: ServerSeen, *, span: float, tick: float
) -> ServerTrack:
    compute = track.compute if track else Window(span=span)
    if server.compute_s is not None:
        compute = compute.add(server.at, (server.compute_s,))
    late = track is None or server.at - track.at >= tick / 2
    watched = late + (track.watched if track else 0)
    if track is None or track.completions != server.completions:
        return ServerTrack(
            at=server.at,
            completions=server.completions,
            since=server.at,
            looks=1,
            compute=compute,
            watched=watched,
        )
    if not late:
        return replace(track, compute=compute)
    return replace(track, at=server.at, looks=track.looks + 1, compute=compute, watched=watched)


def busy(server: ServerSeen) -> bool:
    """Whether it says that something queues inside it, or that its GPU works."""
    return bool(server.pending) or (server.gpu_use is not None and server.gpu_use >= AT_REST)


def at_rest(member: ReplicaSeen, track: ServerTrack | None, *, longest_s: float) -> bool:
    """Whether nothing happens on `member`'s server as far as can be told; unknown is not rest."""
    server = member.server
    if server is UNASKED:
        return True
    if isinstance(server, Unknown) or track is None:
        return False
    if busy(server):
        return False
    if not track.bypassed:
        # A single look tells nothing about what goes on.
        return server.completions is None or track.watched >= LOOKS
    return track.looks >= LOOKS and server.at - track.since >= _LONGEST_FACTOR * longest_s


def gpu_use(
    member: ReplicaSeen, track: ServerTrack | None, *, longest_s: float, least: float
) -> float | Unknown:
    """The share of its GPU's time that `member` uses, 0..1; the duty cycle over `least` s or more.

    With several instances or batches the compute counter grows faster than time: 1 is the most.
    """
    server = member.server
    if not isinstance(server, ServerSeen) or track is None:
        return UNKNOWN
    if server.gpu_use is not None:
        return server.gpu_use
    if server.compute_s is None:
        return UNKNOWN
    span = max(least, _LONGEST_FACTOR * longest_s)
    rates = track.compute.rates(span)
    moved = not isinstance(rates, Unknown) and rates[0] > 0
    if member.running and not moved:
        return 1.0
    if isinstance(rates, Unknown) or not track.compute.covers(span):
        return UNKNOWN
    return min(1.0, rates[0])
