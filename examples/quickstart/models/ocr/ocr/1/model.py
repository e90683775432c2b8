"""Text in pictures: an image file in, the lines read from it out.

IMAGE  BYTES [1]       one picture as a file: PNG, JPEG, WebP, BMP or TIFF
TEXT   BYTES [lines]   UTF-8, top to bottom; none when there is no text
SCORE  FP32  [lines]   how sure the recogniser is, 0 to 1

The weights are in the package `rapidocr`; their paths are given, so it never looks for others.
"""

import os
from pathlib import Path

# Refuse a small file that unpacks into a huge picture. OpenCV reads this when it is imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(64 * 2**20))

import cv2
import numpy as np
import rapidocr
import triton_python_backend_utils as pb_utils

WEIGHTS = Path(rapidocr.__file__).parent / "models"


def reader():
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "error",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Det.model_path": str(WEIGHTS / "PP-OCRv6_det_small.onnx"),
            "Cls.model_path": str(WEIGHTS / "ch_ppocr_mobile_v2.0_cls_mobile.onnx"),
            "Rec.model_path": str(WEIGHTS / "PP-OCRv6_rec_small.onnx"),
            # Shrink large pictures, rather than enlarge small ones to 736 pixels (30 x the time).
            "Det.limit_type": "max",
            "Det.limit_side_len": 960,
        }
    )


class TritonPythonModel:
    def initialize(self, args):
        cv2.setNumThreads(1)
        self.read = reader()
        # The three networks are loaded when first used: use them now, not in the first request.
        page = np.full((96, 320, 3), 255, dtype=np.uint8)
        cv2.putText(page, "ready", (20, 64), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (0, 0, 0), 3)
        self.read(page)

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        content = pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy().flat[0]
        picture = self._decode(content)
        if picture is None:
            error = pb_utils.TritonError(
                f"IMAGE: these {len(content)} bytes are not a picture that can be read;"
                " send a PNG, JPEG, WebP, BMP or TIFF file of at most 64 megapixels",
                pb_utils.TritonError.INVALID_ARG,
            )
            return pb_utils.InferenceResponse(error=error)
        found = self.read(picture)
        texts = np.array([text.encode() for text in found.txts or ()], dtype=np.object_)
        scores = np.array(found.scores or (), dtype=np.float32)
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor("TEXT", texts), pb_utils.Tensor("SCORE", scores)]
        )

    @staticmethod
    def _decode(content):
        """Height x width x 3, or None."""
        if not content:
            return None
        try:
            return cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            return None
