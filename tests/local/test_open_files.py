"""Files that `ebbtide up` may open: more than the soft limit that it was started with."""

import resource

import pytest

from tests.fakes import local
from tests.fakes.local import manifest
from tests.local.upped import up

pytestmark = pytest.mark.anyio


async def test_a_low_soft_limit_is_raised(tmp_path):
    local.write(tmp_path, manifest("a", gpus=0, grace=1))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard > 512
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        async with up(tmp_path, gpus=0) as ebbtide:
            found, _ = resource.prlimit(ebbtide.process.pid, resource.RLIMIT_NOFILE)
            assert found > 512
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
