"""The garbage collector rests while a large document is read, and no longer."""

import gc

import pytest

from fleet.collector import collecting_later


@pytest.fixture(autouse=True)
def _as_it_was():
    was = gc.isenabled()
    yield
    (gc.enable if was else gc.disable)()


@pytest.mark.parametrize("collects", [True, False])
def test_it_goes_on_as_before_also_after_an_error(collects):
    (gc.enable if collects else gc.disable)()
    with collecting_later():
        assert not gc.isenabled()
        with collecting_later():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() is collects
    with pytest.raises(ValueError, match="bad"), collecting_later():
        raise ValueError("bad")
    assert gc.isenabled() is collects
