"""The examples for clusters that bring their model along answer as they say, from real servers.

On this machine a ConfigMap's volume is a folder, laid out as kubelet lays it out.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.local.upped import up

pytestmark = [pytest.mark.anyio, pytest.mark.triton]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "kubernetes"


def write_example(folder: Path, name: str) -> None:
    """The Deployment of an example, with its ConfigMap's volume from a folder beside it."""
    config, deployment = yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text())
    for volume in deployment["spec"]["template"]["spec"]["volumes"]:
        if "configMap" in volume:
            place = folder / "volumes" / volume["name"]
            lay_out(place, volume["configMap"].get("items"), config["data"])
            note = f"ebbtide.dev/local.volume.{volume['name']}"
            deployment["metadata"]["annotations"][note] = str(place)
    (folder / "model.yaml").write_text(yaml.safe_dump(deployment))


def lay_out(place: Path, items: list[dict[str, str]] | None, data: dict[str, Any]) -> None:
    """The files in a hidden folder, and links to it: so kubelet swaps all of them at once."""
    real = place / "..2026_01_01"
    for item in items or [{"key": key, "path": key} for key in data]:
        file = real / item["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(data[item["key"]])
    (place / "..data").symlink_to(real.name)
    for top in real.iterdir():
        (place / top.name).symlink_to(f"..data/{top.name}")


async def test_the_smallest_model_says_hello(tmp_path: Path) -> None:
    write_example(tmp_path, "hello")
    async with up(tmp_path, gpus=0) as ebbtide:
        url = f"http://127.0.0.1:{ebbtide.port}/models/hello/predict"
        answer = await ebbtide.client.post(url, content="tide")
        assert (answer.status_code, answer.text) == (200, "Hello, tide!\n")
        assert (await ebbtide.client.post(f"{url}/more", content="tide")).status_code == 404


async def test_triton_serves_a_model_out_of_a_config_map(tmp_path: Path, models_env: Path) -> None:
    write_example(tmp_path, "cpu-model")
    async with up(tmp_path, gpus=0, tritonserver=models_env) as ebbtide:
        tensor = {"name": "TEXT", "datatype": "BYTES", "shape": [1], "data": ["the tide"]}
        answer = await ebbtide.client.post(
            f"http://127.0.0.1:{ebbtide.port}/v2/models/shout/infer", json={"inputs": [tensor]}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["outputs"][0]["data"] == ["THE TIDE"]
