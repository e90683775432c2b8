"""What may pass to a model server, and what a failed start says."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fleet.model import AllowRule, RuntimeName
from fleet.names import is_model_name
from fleet.runtimes import CallKind
from fleet.runtimes.profiles import profile

TRITON = profile(RuntimeName.TRITON)
OPENAI = profile(RuntimeName.OPENAI)
PLAIN = profile(RuntimeName.PLAIN)


@pytest.mark.parametrize("name", RuntimeName)
def test_every_runtime_has_its_profile(name: RuntimeName) -> None:
    assert profile(name).name is name


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("ModelInfer", CallKind.INFER),
        ("ModelStreamInfer", CallKind.INFER),
        ("ModelReady", CallKind.READY),
        ("ModelMetadata", CallKind.METADATA),
        ("ModelConfig", CallKind.CONFIG),
        ("ModelStatistics", CallKind.STATS),
        ("ServerLive", CallKind.SERVER),
        ("ServerReady", CallKind.SERVER),
        ("ServerMetadata", CallKind.SERVER),
    ],
)
def test_triton_lets_its_nine_methods_pass(method: str, kind: CallKind) -> None:
    path = f"/inference.GRPCInferenceService/{method}"
    call = TRITON.classify("GRPC", path, ())
    assert call is not None
    assert call.kind is kind
    assert TRITON.classify("POST", path, ()) is None
    assert OPENAI.classify("GRPC", path, ()) is None
    assert PLAIN.classify("GRPC", path, ()) is None


@pytest.mark.parametrize(
    "path",
    [
        f"/inference.GRPCInferenceService/{method}"
        for method in (
            *("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"),
            *("SystemSharedMemoryStatus", "SystemSharedMemoryRegister"),
            *("SystemSharedMemoryUnregister", "CudaSharedMemoryStatus"),
            *("CudaSharedMemoryRegister", "CudaSharedMemoryUnregister"),
            *("TraceSetting", "LogSettings", "modelinfer", "", "ModelInfer/"),
        )
    ]
    + ["/v2/models/ocr/infer", "/grpc.health.v1.Health/Check"],
)
def test_nothing_else_of_triton_passes_over_grpc(path: str) -> None:
    assert TRITON.classify("GRPC", path, ()) is None


def test_a_plain_server_s_methods_pass_by_their_full_names() -> None:
    allow = (
        AllowRule(method="GRPC", path="/a.B/Do"),
        AllowRule(method="GRPC", path="/a.C/*"),
        AllowRule(method="POST", path="/a.D/Do"),
    )
    passing = {
        path
        for path in ("/a.B/Do", "/a.B/Undo", "/a.C/Any", "/a.C/", "/a.D/Do", "/a.Cc/Any")
        if PLAIN.classify("GRPC", path, allow) is not None
    }
    assert passing == {"/a.B/Do", "/a.C/Any"}
    assert PLAIN.classify("GRPC", "/a.B/Do", (AllowRule(method="*", path="*"),)) is not None
    assert PLAIN.classify("POST", "/a.B/Do", allow) is None


@pytest.mark.parametrize(
    ("method", "path", "kind", "model"),
    [
        ("POST", "/v2/models/ocr/infer", CallKind.INFER, "ocr"),
        ("POST", "/v2/models/ocr/versions/3/infer", CallKind.INFER, "ocr"),
        ("POST", "/v2/models/ocr/generate", CallKind.INFER, "ocr"),
        ("POST", "/v2/models/ocr/versions/1/generate_stream", CallKind.INFER, "ocr"),
        ("GET", "/v2/models/ocr", CallKind.METADATA, "ocr"),
        ("GET", "/v2/models/ocr/versions/12", CallKind.METADATA, "ocr"),
        ("GET", "/v2/models/ocr/config", CallKind.CONFIG, "ocr"),
        ("GET", "/v2/models/ocr/versions/1/config", CallKind.CONFIG, "ocr"),
        ("GET", "/v2/models/ocr/stats", CallKind.STATS, "ocr"),
        ("GET", "/v2/models/ocr/versions/1/ready", CallKind.READY, "ocr"),
        ("GET", "/v2", CallKind.SERVER, None),
        ("GET", "/v2/health/live", CallKind.SERVER, None),
        ("GET", "/v2/health/ready", CallKind.SERVER, None),
        # A name may hold slashes: the path is read from its end.
        ("POST", "/v2/models/team/ocr/infer", CallKind.INFER, "team/ocr"),
        ("POST", "/v2/models/team/ocr:v1/versions/2/infer", CallKind.INFER, "team/ocr:v1"),
        ("GET", "/v2/models/team/ocr", CallKind.METADATA, "team/ocr"),
        # A whole name may be one of Triton's words.
        ("POST", "/v2/models/infer/infer", CallKind.INFER, "infer"),
        ("GET", "/v2/models/infer", CallKind.METADATA, "infer"),
        ("GET", "/v2/models/stats/stats", CallKind.STATS, "stats"),
        ("GET", "/v2/models/versions/versions/1", CallKind.METADATA, "versions"),
    ],
)
def test_triton_lets_its_seven_calls_pass(
    method: str, path: str, kind: CallKind, model: str | None
) -> None:
    call = TRITON.classify(method, path, ())
    assert call is not None
    assert (call.kind, call.model) == (kind, model)
    assert path[call.start : call.end] == (model or "")
    for other in {"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "get"} - {method}:
        assert TRITON.classify(other, path, ()) is None


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD"])
@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v2/",
        "/v2/models",
        "/v2/models/",
        "/v2/models/stats",
        "/v2/models/ocr/",
        "/v2/models/ocr//infer",
        "/v2/models/ocr/trace/setting",
        "/v2/models/team/ocr/trace/setting",
        "/v2/models/ocr/infer/infer",
        "/v2/models/ocr/versions/x/infer",
        "/v2/models/ocr/versions/\N{FULLWIDTH DIGIT ONE}/infer",
        "/v2/models/ocr/versions",
        "/v2/models/../repository/index",
        "/v2/models/x/../../repository/index",
        "/v2/models/x/./infer",
        "/v2/repository/index",
        "/v2/repository/models/ocr/load",
        "/v2/systemsharedmemory/status",
        "/v2/cudasharedmemory/region/r/register",
        "/v2/trace/setting",
        "/v2/logging",
        "/v2/health/live/",
        "/V2/models/ocr/infer",
        "/metrics",
        "/v1/models",
    ],
)
def test_triton_lets_nothing_else_pass(method: str, path: str) -> None:
    assert TRITON.classify(method, path, ()) is None


# How Triton 2.51 itself reads a path: these are the ones that must never be reached.
_FORBIDDEN = re.compile(
    r"/v2/(repository|systemsharedmemory|cudasharedmemory|trace|logging)(/.*)?"
    r"|/v2/models/[^/]+(/versions/[0-9]+)?/trace/setting"
    r"|/v2/models/stats"
)
_WORDS = (
    "v2 models repository index load unload systemsharedmemory cudasharedmemory region status "
    "register unregister trace setting logging stats infer ready config generate versions 1 a a:b "
    "%2e%2e %2E . .. a%2Fb repository%2Findex TRACE Repository ;x ? %74race"
)
_SEGMENTS = st.sampled_from(["", *_WORDS.split()])


def _resolved(path: str) -> str:
    """`path` as the most lenient reader would take it: decoded, with dot segments resolved."""
    done: list[str] = []
    for segment in unquote(unquote(path)).split("?")[0].split("/"):
        if segment == "..":
            done[-1:] = []
        elif segment not in ("", "."):
            done.append(segment.lower())
    return "/" + "/".join(done)


@settings(max_examples=400, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST"]),
    start=st.sampled_from(["/v2/", "/v2/models/", "/v2/models/a/", "/"]),
    segments=st.lists(_SEGMENTS, max_size=6),
)
@example(method="GET", start="/v2/models/", segments=["stats"])
@example(method="GET", start="/v2/models/a/", segments=["trace", "setting"])
@example(method="GET", start="/v2/models/a/", segments=["..", "..", "logging"])
def test_no_spelling_reaches_what_is_never_let_through(
    method: str, start: str, segments: list[str]
) -> None:
    path = start + "/".join(segments)
    call = TRITON.classify(method, path, ())
    if call is not None:
        assert not _FORBIDDEN.fullmatch(_resolved(path))
        # And whatever an alias is replaced by: the rest of the path says the same to Triton.
        if call.model is not None:
            served = path[: call.start] + "served" + path[call.end :]
            again = TRITON.classify(method, served, ())
            assert again is not None
            assert (again.kind, again.model) == (call.kind, "served")


@settings(max_examples=200, deadline=None)
@given(
    name=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._@:-]{0,9}(/[A-Za-z0-9_@:-]{1,9}){0,3}\Z"),
    tail=st.sampled_from(["/infer", "/versions/2/infer", "/generate", "/generate_stream"]),
)
def test_the_name_in_a_path_is_found_again(name: str, tail: str) -> None:
    own = {"infer", "generate", "generate_stream", "ready", "config", "stats", "trace", "versions"}
    assert is_model_name(name)
    call = TRITON.classify("POST", f"/v2/models/{name}{tail}", ())
    if own.isdisjoint(name.split("/")[1:]):
        assert call is not None
        assert call.model == name
    else:
        assert call is None


def test_openai_names_its_model_in_the_body_and_lets_nothing_else_pass() -> None:
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings"):
        call = OPENAI.classify("POST", path, ())
        assert call is not None
        assert call.named_in_body
        assert call.kind is CallKind.INFER
        assert OPENAI.classify("GET", path, ()) is None
    models = OPENAI.classify("GET", "/v1/models", ())
    assert models is not None
    assert models.kind is CallKind.SERVER
    for path in ("/v1/models/m", "/v1/files", "/health", "/metrics", "/v1/completions/", "/load"):
        for method in ("GET", "POST", "DELETE"):
            assert OPENAI.classify(method, path, ()) is None


def rules(*pairs: tuple[str, str]) -> tuple[AllowRule, ...]:
    return tuple(AllowRule(method=method, path=path) for method, path in pairs)


@pytest.mark.parametrize(
    ("allow", "method", "path", "passes"),
    [
        (rules(), "POST", "/predict", False),
        (rules(("POST", "/predict")), "POST", "/predict", True),
        (rules(("POST", "/predict")), "GET", "/predict", False),
        (rules(("POST", "/predict")), "POST", "/predict/x", False),
        (rules(("POST", "/predict")), "POST", "/Predict", False),
        (rules(("POST", "/predict"), ("GET", "/info")), "GET", "/info", True),
        (rules(("*", "/predict")), "PUT", "/predict", True),
        (rules(("*", "*")), "DELETE", "/anything/at/all", True),
        (rules(("POST", "/v1/*")), "POST", "/v1/a/b", True),
        (rules(("POST", "/v1/*")), "POST", "/v1", False),
        (rules(("POST", "/v1/*")), "POST", "/v1/", False),
        (rules(("POST", "/v1/*")), "POST", "/v10/a", False),
    ],
)
def test_plain_passes_what_its_rules_name_and_all_of_that_wakes(
    allow: tuple[AllowRule, ...], method: str, path: str, passes: bool
) -> None:
    call = PLAIN.classify(method, path, allow)
    assert (call is not None) is passes
    assert call is None or call.kind is CallKind.INFER


_NOISE = [
    'E1121 13:21:13.940003 8673 server.cc:241] "CudaDriverHelper has not been initialized."',
]
_END = [
    "",
    "Error: Failed to initialize NVML",
    'I1121 13:21:15.579646 8673 server.cc:345] "Timeout 30: Found 0 live models"',
    "error: creating server: Internal - failed to load all models",
    "",
]


def table(*rows: str) -> list[str]:
    return [
        "+---+---+---+",
        "| Model  | Version | Status |",
        "+---+---+---+",
        *rows,
        "+---+---+---+",
    ]


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        (
            table(
                "| bad  | 1       | UNAVAILABLE: Internal: ValueError: a | b |",
                "|      |         | on two lines                             |",
                "|      |         |                                          |",
                "|      |         | At:                                      |",
                "|      |         |   model.py(4): load                      |",
                "|      |         |   model.py(9): initialize                |",
                "| good | 1       | READY                                    |",
            ),
            "bad: Internal: ValueError: a | b on two lines (at model.py(4): load)",
        ),
        (
            table("| a | 1 | UNAVAILABLE: one |", "| | | |", "| b | 2 | READY |"),
            "a: one",
        ),
        (
            table("| a | 1 | UNAVAILABLE: one |", "| b | 2 | UNAVAILABLE: two |"),
            "a: one; b: two",
        ),
        (
            [
                "E1121 13:21:17.642312 8 m.cc:146] \"Poll failed for model directory 'm'\"",
                *table(),
            ],
            "Poll failed for model directory 'm'",
        ),
        (
            [
                "[libprotobuf ERROR text_format.cc:337] Error parsing text-format "
                'inference.ModelConfig: 7:14: no field named "max_batchsize".',
                'E1121 13:21:17.6 8721 m.cc:1460] "failed to read text proto from config.pbtxt"',
            ],
            'failed to read text proto from config.pbtxt: 7:14: no field named "max_batchsize".',
        ),
        (
            ['E1121 13:21:29.2 8894 main.cc:245] "failed to start GRPC service: port in use "'],
            "failed to start GRPC service: port in use",
        ),
        (
            ["error: creating server: Internal - failed to stat file models"],
            "creating server: Internal - failed to stat file models",
        ),
    ],
)
def test_triton_explains_a_failed_start(lines: list[str], cause: str) -> None:
    assert TRITON.explain([*_NOISE, *lines, *_END]) == cause


def test_without_a_cause_the_last_line_is_all_there_is() -> None:
    assert (
        TRITON.explain(["sh: 1: tritonserver: not found", ""]) == "sh: 1: tritonserver: not found"
    )
    assert TRITON.explain([]) == ""
    assert PLAIN.explain(["", "bye", "  "]) == "bye"


def test_python_servers_explain_with_the_last_traceback() -> None:
    lines = [
        "Traceback (most recent call last):",
        '  File "a.py", line 1, in <module>',
        "KeyError: 'first'",
        "During handling of the above exception, another exception occurred:",
        "(core) Traceback (most recent call last):",
        '(core)   File "a.py", line 2, in <module>',
        "(core)     load()",
        "(core) app.errors.LoadError: no such weights",
        "shutting down",
    ]
    for found in (PLAIN, OPENAI):
        assert found.explain(lines) == "app.errors.LoadError: no such weights"
        assert found.explain(lines[:1]) == "Traceback (most recent call last):"
