"""The openai client, blocking and asyncio. Run in the environment of clients.

python openai_calls.py URL CA|- KEY|-
"""

import asyncio
import sys
from collections.abc import Callable

import httpx
import openai

URL, CA, KEY = sys.argv[1:4]
SAID = "high water: The tide goes out."
MESSAGES = [{"role": "user", "content": "high water"}]
TRUST = True if CA == "-" else CA
ASK = {"model": "chat", "messages": MESSAGES}


def blocking() -> None:
    with openai.OpenAI(
        base_url=f"{URL}/v1",
        api_key="none" if KEY == "-" else KEY,
        http_client=openai.DefaultHttpxClient(verify=TRUST) if CA != "-" else None,
    ) as client:
        # The first finds the model asleep.
        said = client.chat.completions.create(**ASK)
        assert said.choices[0].message.content == SAID
        assert said.usage.total_tokens == 8
        pieces = [
            piece.choices[0].delta.content
            for piece in client.chat.completions.create(**ASK, stream=True)
        ]
        assert len(pieces) == 7
        assert "".join(pieces) == SAID
        text = client.completions.create(model="chat", prompt="high water")
        assert text.choices[0].text == "The tide goes out."
        vectors = client.embeddings.create(model="chat", input=["one", "three"])
        assert [one.embedding for one in vectors.data] == [[3.0, 0.5], [5.0, 0.5]]
        floats = client.embeddings.create(model="chat", input="four", encoding_format="float")
        assert floats.data[0].embedding == [4.0, 0.5]
        assert [model.id for model in client.models.list()] == ["chat"]
        expect(openai.NotFoundError, lambda: client.chat.completions.create(**ASK | {"model": "x"}))
        raw = client.chat.completions.with_raw_response.create(**ASK)
        assert "ebbtide-reason" not in raw.headers
        if KEY != "-":
            wrong = client.with_options(api_key="ebb_" + "x" * 43)
            expect(openai.AuthenticationError, lambda: wrong.chat.completions.create(**ASK))
            expect(openai.AuthenticationError, lambda: wrong.models.list())


def expect(kind: type[openai.APIStatusError], call: Callable[[], object]) -> None:
    """The refusal is of this kind, and the client has read its code out of the body."""
    told = None
    try:
        call()
    except kind as error:
        told = error
    assert told is not None, f"no {kind.__name__}"
    assert told.code, told.body
    assert told.code == told.response.headers["ebbtide-reason"]


async def at_once() -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{URL}/v1",
        api_key="none" if KEY == "-" else KEY,
        http_client=openai.DefaultAsyncHttpxClient(verify=TRUST) if CA != "-" else None,
    ) as client:
        answers = await asyncio.gather(*(client.chat.completions.create(**ASK) for _ in range(50)))
        assert {one.choices[0].message.content for one in answers} == {SAID}
        streams = await asyncio.gather(*(read(client) for _ in range(20)))
        assert set(streams) == {SAID}
        # One who leaves in the middle of a stream harms nobody.
        async with await client.chat.completions.create(**ASK, stream=True) as left:
            async for _ in left:
                break
        assert await read(client) == SAID
        assert [model.id async for model in client.models.list()] == ["chat"]


async def read(client: openai.AsyncOpenAI) -> str:
    stream = await client.chat.completions.create(**ASK, stream=True)
    return "".join([piece.choices[0].delta.content async for piece in stream])


print(openai.__version__, httpx.__version__)
blocking()
asyncio.run(at_once())
