"""Every reason ebbtide gives, as one snake_case word. Pure.

The same word stands in logs, metrics, the API, the journal and Events: whoever greps for it finds
all of them. Refusals are answers to a client; states say why a replica or revision is as it is;
decisions say why the scale was changed or held.
"""

from enum import Enum

__all__ = ["Reason"]


class Reason(Enum):
    """Why something was refused, is not running, or was decided."""

    # Refusals of a request. The status and the wording stand in gateway/errors.py.
    KEY_MISSING = "key_missing"
    KEY_WRONG = "key_wrong"
    UNKNOWN_MODEL = "unknown_model"
    NOT_ALLOWED = "not_allowed"
    MODEL_CONFLICT = "model_conflict"
    NO_MODEL = "no_model"
    MALFORMED = "malformed"
    REQUEST_LOOP = "request_loop"
    TARGET_TOO_LONG = "target_too_long"
    HEAD_TOO_LARGE = "head_too_large"
    BODY_TOO_LARGE = "body_too_large"
    UNKNOWN_ENCODING = "unknown_encoding"
    HEADER_TIMEOUT = "header_timeout"
    BODY_TIMEOUT = "body_timeout"
    BODY_TOO_SLOW = "body_too_slow"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    ADDRESS_CONNECTIONS_FULL = "address_connections_full"
    QUEUE_FULL = "queue_full"
    QUEUE_BYTES_FULL = "queue_bytes_full"
    GATEWAY_FULL = "gateway_full"
    GATEWAY_BYTES_FULL = "gateway_bytes_full"
    HELD_BODIES_FULL = "held_bodies_full"
    TOO_MANY_WAKES = "too_many_wakes"
    WAIT_TIMEOUT = "wait_timeout"
    REQUEST_TIMEOUT = "request_timeout"
    START_FAILED = "start_failed"
    NO_FREE_GPU = "no_free_gpu"
    ASLEEP = "asleep"
    SECOND_WRITER = "second_writer"
    SHUTTING_DOWN = "shutting_down"
    REPLICA_LOST = "replica_lost"
    SEQUENCE_LOST = "sequence_lost"
    UPSTREAM_INVALID = "upstream_invalid"
    NOT_GRPC = "not_grpc"
    MODEL_REMOVED = "model_removed"
    HANDSHAKE_FAILED = "handshake_failed"
    CLIENT_LEFT = "client_left"

    # Why a replica or revision is in its phase.
    CRASH_LOOP_BACK_OFF = "crash_loop_back_off"
    START_TIMEOUT = "start_timeout"
    EXITED = "exited"
    CANNOT_EXECUTE = "cannot_execute"
    ADDRESS_IN_USE = "address_in_use"
    STARTING = "starting"
    STOPPING = "stopping"
    TEMPLATE_CHANGED = "template_changed"
    REMOVED = "removed"

    # Why the scale was decided.
    DEMAND = "demand"
    MINIMUM = "minimum"
    PINNED = "pinned"
    MAXIMUM = "maximum"
    QUEUE_AND_GPU = "queue_and_gpu"
    QUEUE_ALONE = "queue_alone"
    TRIAL = "trial"
    TRIAL_FAILED = "trial_failed"
    GPU_IDLE_QUEUE_GROWS = "gpu_idle_queue_grows"
    SLOTS_FREE = "slots_free"
    GPU_BUSY = "gpu_busy"
    PANIC = "panic"
    STABLE = "stable"
    SCALE_DOWN = "scale_down"
    SCALE_DOWN_DELAY = "scale_down_delay"
    IDLE = "idle"
    KEEP_ALIVE = "keep_alive"
    EVICTED = "evicted"
    UNKNOWN_READING = "unknown_reading"
    DRAIN_TAKEN_BACK = "drain_taken_back"
    MODE_OFF = "mode_off"
    MODE_ADVISE = "mode_advise"
    HOLD = "hold"
