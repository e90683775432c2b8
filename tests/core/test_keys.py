"""API keys: the file is read strictly, a key is found by its hash, and nothing repeats one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.keys import EVERY_MODEL, Key, Keys, key_line, key_of, read_keys

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,20}", fullmatch=True)
MODELS = st.lists(
    st.from_regex(r"[a-z*?/.-]{1,10}", fullmatch=True), min_size=1, max_size=3, unique=True
)
KEYS = st.builds(
    lambda name, models, trusted: Key(name=name, models=tuple(sorted(models)), trusted=trusted),
    NAMES,
    MODELS,
    st.booleans(),
)
HASH = "sha256:" + "ab" * 32


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), KEYS), min_size=1, max_size=5))
def test_what_is_written_for_a_key_is_read_back(pairs):
    secrets = {key_of(entropy): key for entropy, key in pairs}
    text = "\n".join(["# keys", "", *(key_line(secret, key) for secret, key in secrets.items())])
    keys, faults = read_keys(text, source="keys")
    assert not faults
    assert len(keys) == len(secrets)
    for secret, key in secrets.items():
        assert keys.find(secret.encode()) == key
        assert secret not in text
        assert keys.find(secret[:-1].encode()) is None


def test_a_key_without_models_may_call_every_one():
    keys, _ = read_keys(key_line("secret", Key(name="ci")), source="keys")
    assert keys.find(b"secret") == Key(name="ci", models=EVERY_MODEL, trusted=False)


def test_a_long_secret_is_not_even_hashed():
    keys, _ = read_keys(key_line("x" * 513, Key(name="ci")), source="keys")
    assert keys.find(b"x" * 513) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ci", "expected NAME, then sha256:"),
        ("ci my-own-secret", "expected NAME, then sha256:"),
        (f"ci {HASH.upper()}", "expected NAME, then sha256:"),
        (f"-ci {HASH}", "a name is"),
        (f"c%i {HASH}", "a name is"),
        (f"ci {HASH} trust", "only models="),
        (f"ci {HASH} models=", "models= takes"),
        (f"ci {HASH} models=a,,b", "models= takes"),
        (f"ci {HASH} models=a;b", "models= takes"),
    ],
)
def test_a_wrong_line_is_told_by_its_number_and_never_repeated(line, said):
    keys, faults = read_keys(f"good {'sha256:' + 'cd' * 32}\n{line}\n", source="the file")
    assert len(keys) == 1
    assert [fault.startswith("the file:2: ") for fault in faults] == [True]
    assert said in faults[0]
    assert "my-own-secret" not in faults[0]


def test_everything_wrong_is_told_at_once():
    _, faults = read_keys(f"a {HASH}\nb {HASH}\nc\n", source="f")
    assert [fault.split(":")[1] for fault in faults] == ["2", "3"]


@pytest.mark.parametrize("text", ["", "# nobody\n\n"])
def test_a_file_without_a_key_is_a_fault(text):
    assert read_keys(text, source="f")[1] == ["f: expected a line for each key; nobody could call"]


@pytest.mark.parametrize(
    "wrong", [{"name": "two words"}, {"name": ""}, {"models": ("a b",)}, {"models": ("a,b",)}]
)
def test_no_line_is_made_that_would_not_be_read(wrong):
    with pytest.raises(ValueError, match="name"):
        key_line("secret", replace(Key(name="ci"), **wrong))


def test_no_keys_know_nobody():
    assert Keys({}).find(b"") is None
