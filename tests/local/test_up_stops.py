"""`ebbtide up` told to stop: it ends promptly, whatever it is in the middle of."""

import asyncio
import json
import signal

import pytest

from tests.fakes.local import manifest
from tests.local.upped import up

NEVER_READY = 12
ASLEEP = 500
WITHIN_S = 10.0


def never_ready(number):
    made = manifest(
        f"waking-{number}", "unready", annotations={"runtime": "openai", "pinned": "true"}
    )
    del made["metadata"]["annotations"]["ebbtide.dev/allow"]
    return made


@pytest.mark.anyio
async def test_probes_of_models_that_never_get_ready_do_not_keep_it(tmp_path):
    asleep = (manifest(f"asleep-{number}") for number in range(ASLEEP))
    deployments = [*map(never_ready, range(NEVER_READY)), *asleep]
    text = "\n---\n".join(json.dumps(one) for one in deployments)
    (tmp_path / "models.yaml").write_text(text)
    async with up(tmp_path, gpus=NEVER_READY) as ebbtide:
        for number in range(NEVER_READY):
            # It has an address, so it is asked.
            await ebbtide.until(
                f"waking-{number}",
                lambda state: [one for one in state["replicas"]["list"] if one["address"]],
            )
        ebbtide.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(ebbtide.process.wait(), WITHIN_S) == 0
