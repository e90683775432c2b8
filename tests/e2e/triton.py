"""Messages of the V2 protocol for real Triton's models, as bytes for clients in any language."""

import base64
from pathlib import Path

import numpy as np
import tritonclient.grpc as client
from tritonclient.grpc import service_pb2 as messages


def request(model: str, value: int) -> bytes:
    """A ModelInferRequest with one number."""
    asked = messages.ModelInferRequest(model_name=model, id="e2e")
    tensor = asked.inputs.add(name="X", datatype="INT64", shape=[1])
    assert tensor.name == "X"
    asked.raw_input_contents.append(np.array([value], dtype=np.int64).tobytes())
    return asked.SerializeToString()


def files(folder: Path, **requests: bytes) -> list[Path]:
    """The requests as files, in their order."""
    made = []
    for name, content in requests.items():
        file = folder / f"{name}.request"
        file.write_bytes(content)
        made.append(file)
    return made


def doubled(answer: str) -> int:
    """What `double` said, of a ModelInferResponse in base64."""
    said = messages.ModelInferResponse.FromString(base64.b64decode(answer))
    assert said.id == "e2e"
    return int(client.InferResult(said).as_numpy("Y")[0][0])


def counted(answers: list[str]) -> list[int]:
    """What `counting` said, of ModelStreamInferResponses in base64; empty ones left out."""
    numbers = []
    for answer in answers:
        said = messages.ModelStreamInferResponse.FromString(base64.b64decode(answer))
        assert not said.error_message
        if said.infer_response.outputs:
            numbers.append(int(client.InferResult(said.infer_response).as_numpy("Y")[0]))
    return numbers
