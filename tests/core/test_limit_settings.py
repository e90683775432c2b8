"""The settings of limits are read strictly: sizes, counts that may be off, a file's name."""

import pytest

from fleet.errors import SettingError
from fleet.settings import read_settings


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("MAX_WAITING", "5", 5),
        ("MAX_WAITING_BYTES", "2Mi", 2 * 2**20),
        ("HELD_BODIES", "1Gi", 2**30),
        ("NAMING_BODY", "64Mi", 64 * 2**20),
        ("NAMING_BODY", "1024", 1024),
        ("CALLER_WAKES", "0", 0),
        ("CALLER_WAKES", "12", 12),
        ("MAX_CONNECTIONS_PER_ADDRESS", "0", 0),
        ("MAX_CONNECTIONS_PER_ADDRESS", "100", 100),
        ("API_KEYS", "", ""),
        ("API_KEYS", "/etc/keys", "/etc/keys"),
    ],
)
def test_what_is_allowed_is_taken(variable, text, value):
    assert getattr(read_settings({f"EBBTIDE_{variable}": text}), variable.lower()) == value


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("MAX_WAITING", "0", "from 1 to"),
        ("MAX_WAITING_BYTES", "1000", "at least 1Mi"),
        ("HELD_BODIES", "many", "byte"),
        ("NAMING_BODY", "65Mi", "from 1Ki to 64Mi"),
        ("NAMING_BODY", "1023", "from 1Ki to 64Mi"),
        ("CALLER_WAKES", "-1", "from 0 to"),
        ("MAX_CONNECTIONS_PER_ADDRESS", "1.5", "from 0 to"),
    ],
)
def test_what_is_not_is_told(variable, text, allowed):
    with pytest.raises(SettingError, match=f"EBBTIDE_{variable}=.*{allowed}"):
        read_settings({f"EBBTIDE_{variable}": text})
