"""The settings of processes in a cluster are read strictly, and what may be secret is not shown."""

import logging

import pytest

from ebbtide.reloading import Reloading
from fleet.errors import SettingError
from fleet.settings import Settings, read_settings


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("NAMESPACES", "", ""),
        ("NAMESPACES", " models, team-a ,models", "models,team-a"),
        ("NAMESPACE", "ebbtide", "ebbtide"),
        ("REDIS_URL", "", ""),
        ("REDIS_URL", "redis://box", "redis://box"),
        ("REDIS_URL", "rediss://me:word@box:6380/3", "rediss://me:word@box:6380/3"),
        ("REDIS_URL", "redis://[::1]:6379", "redis://[::1]:6379"),
        ("REDIS_CA", "/etc/redis/ca.pem", "/etc/redis/ca.pem"),
        ("REDIS_PREFIX", "team.a:ebbtide:", "team.a:ebbtide:"),
        ("ADMIN_TOKEN_FILE", "/etc/token", "/etc/token"),
    ],
)
def test_what_is_allowed_is_taken(variable, text, value):
    assert getattr(read_settings({f"EBBTIDE_{variable}": text}), variable.lower()) == value


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("NAMESPACES", "models,Team A", "name of a namespace"),
        ("NAMESPACE", "-a", "name of a namespace"),
        ("NAMESPACE", "a" * 64, "name of a namespace"),
        ("REDIS_URL", "box:6379", "redis://"),
        ("REDIS_URL", "http://box", "redis://"),
        ("REDIS_URL", "redis://", "redis://"),
        ("REDIS_URL", "redis://box:port", "redis://"),
        ("REDIS_URL", "redis://[::1", "redis://"),
        ("REDIS_URL", "redis://box/name", "redis://"),
        ("REDIS_URL", "redis://box:0", "redis://"),
        ("REDIS_URL", "redis://box?db=1", "redis://"),
        ("REDIS_PREFIX", "", "1 to 64"),
        ("REDIS_PREFIX", "a*", "1 to 64"),
    ],
)
def test_what_is_not_allowed_is_told(variable, text, allowed):
    with pytest.raises(SettingError, match=allowed):
        read_settings({f"EBBTIDE_{variable}": text})


def test_a_password_is_in_no_message(tmp_path, caplog, monkeypatch):
    with pytest.raises(SettingError) as caught:
        read_settings({"EBBTIDE_REDIS_URL": "redis://:word@box:port"})
    assert "EBBTIDE_REDIS_URL: expected" in str(caught.value)
    assert "word" not in str(caught.value)
    assert "word" not in repr(Settings(redis_url="redis://:word@box"))
    file = tmp_path / "settings"
    file.write_text("EBBTIDE_REDIS_URL=redis://:word@box\n")
    monkeypatch.setattr(logging.getLogger("ebbtide"), "propagate", True)
    caplog.set_level(logging.INFO, logger="ebbtide")
    Reloading(Settings(), file, {}).reload()
    assert "redis_url" in caplog.text
    assert "word" not in caplog.text
