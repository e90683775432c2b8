"""The code and configuration of small models for Triton's python backend."""

ADD_SUB = """
import numpy
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            a = pb.get_input_tensor_by_name(request, "A").as_numpy()
            b = pb.get_input_tensor_by_name(request, "B").as_numpy()
            out = [pb.Tensor("SUM", a + b), pb.Tensor("DIFFERENCE", a - b)]
            answers.append(pb.InferenceResponse(out))
        return answers
"""
ADD_SUB_CONFIG = """max_batch_size: 8
input [{ name: "A" data_type: TYPE_FP16 dims: [-1] }, { name: "B" data_type: TYPE_FP16 dims: [-1] }]
output [{ name: "SUM" data_type: TYPE_FP16 dims: [-1] },
        { name: "DIFFERENCE" data_type: TYPE_FP16 dims: [-1] }]
instance_group [{ kind: KIND_CPU count: 2 }]
"""
# Says what it was sent through a refusal, so that the test sees the made-up request.
ECHO = """
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        (request,) = requests
        words = pb.get_input_tensor_by_name(request, "WORDS").as_numpy()
        flags = pb.get_input_tensor_by_name(request, "FLAGS").as_numpy()
        error = pb.TritonError(f"{words.tolist()} {flags.tolist()}")
        return [pb.InferenceResponse([], error)]
"""
ECHO_CONFIG = """max_batch_size: 0
input [{ name: "WORDS" data_type: TYPE_STRING dims: [-1, 2] },
       { name: "FLAGS" data_type: TYPE_BOOL dims: [3] }]
output [{ name: "OUT" data_type: TYPE_BOOL dims: [1] }]
instance_group [{ kind: KIND_CPU count: 3 }]
"""
# Adds up what a sequence has brought so far; Triton keeps its steps on one instance.
SUMS = """
import numpy
import triton_python_backend_utils as pb
class TritonPythonModel:
    def initialize(self, args):
        self.sums = {}
    def execute(self, requests):
        answers = []
        for request in requests:
            name = request.correlation_id()
            value = pb.get_input_tensor_by_name(request, "X").as_numpy()
            start = pb.get_input_tensor_by_name(request, "START").as_numpy().item()
            self.sums[name] = value + (0 if start else self.sums[name])
            answers.append(pb.InferenceResponse([pb.Tensor("Y", self.sums[name])]))
        return answers
"""
SUMS_CONFIG = """max_batch_size: 1
input [{ name: "X" data_type: TYPE_INT32 dims: [1] }]
output [{ name: "Y" data_type: TYPE_INT32 dims: [1] }]
instance_group [{ kind: KIND_CPU count: 2 }]
sequence_batching { %s control_input [
  { name: "START" control [{ kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1] }] }
] }
"""
