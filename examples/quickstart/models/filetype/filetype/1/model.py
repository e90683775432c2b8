"""File-type detection: bytes in, a label such as `python` and how sure Magika is of it out.

CONTENT  BYTES [batch, 1]   the file, any length
LABEL    BYTES [batch, 1]   Magika's name of the type
SCORE    FP32  [batch, 1]   0 to 1

The weights are in the package `magika`; nothing is downloaded.
"""

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from magika import Magika


class OneThreadMagika(Magika):
    """Magika gives its session a thread per core; models that share a machine should not."""

    def _init_onnx_session(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(
            self._model_path, sess_options=options, providers=["CPUExecutionProvider"]
        )


class TritonPythonModel:
    def initialize(self, args):
        self.magika = OneThreadMagika()
        self.magika.identify_bytes(b"a first look, so that the first request finds all in place\n")

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        contents = pb_utils.get_input_tensor_by_name(request, "CONTENT").as_numpy()
        found = [self.magika.identify_bytes(content) for content in contents.flat]
        labels = np.array([str(one.output.label).encode() for one in found], dtype=np.object_)
        scores = np.array([one.score for one in found], dtype=np.float32)
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("LABEL", labels.reshape(contents.shape)),
                pb_utils.Tensor("SCORE", scores.reshape(contents.shape)),
            ]
        )
