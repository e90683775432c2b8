"""Speech detection: sound in, the probability that somebody speaks out.

AUDIO             FP32 [batch, samples]   mono, 16,000 samples a second, -1 to 1
PROBABILITY_MAX   FP32 [batch, 1]         of the likeliest frame (32 ms each)
PROBABILITY_MEAN  FP32 [batch, 1]         over all frames

The weights are in the package `silero-vad`. That package imports torch, so it is never imported:
its ONNX file is found by path and run by onnxruntime.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

FRAME = 512
"""Samples per frame: 32 ms."""
CONTEXT = 64
"""Samples of the frame before, which the network sees as well."""
BLOCK = 512
"""Frames per call of the network: 16 s."""


def weights():
    (folder,) = find_spec("silero_vad").submodule_search_locations
    return Path(folder) / "data" / "silero_vad_16k_sequence.onnx"


def frames(samples):
    """The samples as rows of CONTEXT + FRAME, the last one filled up with silence."""
    count = -(-samples.size // FRAME)
    padded = np.zeros(CONTEXT + count * FRAME, dtype=np.float32)
    padded[CONTEXT : CONTEXT + samples.size] = samples
    return np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + FRAME)[::FRAME]


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(weights()), sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._probabilities(np.zeros(FRAME, dtype=np.float32))

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        audio = pb_utils.get_input_tensor_by_name(request, "AUDIO").as_numpy()
        problem = self._problem(audio)
        if problem:
            error = pb_utils.TritonError(f"AUDIO: {problem}", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=error)
        rows = [self._probabilities(samples) for samples in audio]
        highest = np.array([[row.max()] for row in rows], dtype=np.float32)
        mean = np.array([[row.mean()] for row in rows], dtype=np.float32)
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("PROBABILITY_MAX", highest),
                pb_utils.Tensor("PROBABILITY_MEAN", mean),
            ]
        )

    @staticmethod
    def _problem(audio):
        if audio.shape[1] == 0:
            return "no samples; send mono sound, 16,000 samples a second"
        if not np.isfinite(audio).all():
            return "holds NaN or infinity; samples lie between -1 and 1"
        if np.abs(audio).max() > 2:
            return "samples lie between -1 and 1; divide 16-bit values by 32768"
        return None

    def _probabilities(self, samples):
        """One probability per frame. The network's memory (h, c) goes from block to block."""
        rows = frames(samples)
        h = c = np.zeros((1, 1, 128), dtype=np.float32)
        found = []
        for first in range(0, len(rows), BLOCK):
            block = np.ascontiguousarray(rows[first : first + BLOCK])
            probabilities, h, c = self.session.run(None, {"input": block, "h": h, "c": c})
            found.append(probabilities)
        return np.concatenate(found)
