"""What a test says to the API server as its administrator: plain JSON, one call at a time."""

import base64
import json
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import yaml

__all__ = ["Admin", "RefusedError", "write_kubeconfig"]

_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"


class RefusedError(Exception):
    """The API server's answer is not 2xx."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status}: {said}")
        self.status = status


class Admin:
    """A blocking client with all rights; paths are the API's own, bodies are dicts."""

    def __init__(self, url: str, *, token: str | None, context: ssl.SSLContext) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(
            base_url=url, headers=headers, verify=context, timeout=30.0, trust_env=False
        )

    @classmethod
    def of_token(cls, url: str, *, token: str, ca: Path) -> "Admin":
        """Whoever `token` belongs to, at a server whose certificate `ca` signed."""
        return cls(url, token=token, context=ssl.create_default_context(cafile=str(ca)))

    @classmethod
    def of_kubeconfig(cls, path: Path) -> "Admin":
        """Whoever the file's current context says, by token or client certificate."""
        told = yaml.safe_load(path.read_text())
        context = _named(told["contexts"], told["current-context"])["context"]
        cluster = _named(told["clusters"], context["cluster"])["cluster"]
        user = _named(told["users"], context["user"])["user"]
        return cls(cluster["server"], token=user.get("token"), context=_tls(cluster, user))

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        return self._call("GET", path, query=query)

    def text(self, path: str, **query: str | int) -> str:
        """An answer that is no JSON, such as a pod's log."""
        answer = self._client.get(path, params=query)
        if not answer.is_success:
            raise RefusedError(answer.status_code, answer.text)
        return answer.text

    def watch(self, path: str, version: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Kind and object of each change since `version`; ends after a second without any.

        Raises `httpx.TransportError` when the connection breaks.
        """
        query: dict[str, str | int] = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": 1,
        }
        with self._client.stream("GET", path, params=query) as answer:
            if not answer.is_success:
                raise RefusedError(answer.status_code, answer.read().decode())
            for line in answer.iter_lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise RefusedError(event["object"].get("code", 0), line)
                yield event["type"], event["object"]

    def post(self, path: str, body: Mapping[str, Any], *, dry: bool = False) -> dict[str, Any]:
        """`dry`: everything is checked, and nothing made."""
        return self._call("POST", path, body=body, query={"dryRun": "All"} if dry else None)

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call("PUT", path, body=body)

    def patch(
        self, path: str, body: Mapping[str, Any], *, content_type: str = _MERGE
    ) -> dict[str, Any]:
        """A merge patch, unless another type is named."""
        return self._call("PATCH", path, body=body, content_type=content_type)

    def apply(self, path: str, body: Mapping[str, Any], *, dry: bool = False) -> dict[str, Any]:
        """Server-side apply, as `kubectl apply --server-side --force-conflicts`."""
        query = {"fieldManager": "tests", "force": "true"} | ({"dryRun": "All"} if dry else {})
        return self._call("PATCH", path, body=body, query=query, content_type=_APPLY)

    def delete(self, path: str, *, grace_s: int | None = None) -> dict[str, Any]:
        """Absent already is as good."""
        query = {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        try:
            return self._call("DELETE", path, query=query)
        except RefusedError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
            return {}

    def ready(self) -> bool:
        """Whether the API server says that it is."""
        try:
            return self._client.get("/readyz", timeout=2.0).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def until(self, path: str, condition: Any, *, timeout: float = 30.0) -> dict[str, Any]:
        """The object at `path` as soon as it is there and `condition(object)` holds."""
        end = time.monotonic() + timeout
        last: object = None
        while time.monotonic() < end:
            try:
                last = self.get(path)
            except RefusedError as error:
                last = error
            else:
                if condition(last):
                    return last
            time.sleep(0.02)
        raise TimeoutError(f"{path}: not within {timeout} s; last: {last}")

    def close(self) -> None:
        self._client.close()

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str | int] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        headers = {"content-type": content_type}
        answer = self._client.request(method, path, params=query, json=body, headers=headers)
        if not answer.is_success:
            raise RefusedError(answer.status_code, answer.text)
        found: dict[str, Any] = answer.json()
        return found


def _named(entries: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next(each for each in entries if each["name"] == name)


def _tls(cluster: Mapping[str, str], user: Mapping[str, str]) -> ssl.SSLContext:
    """What a kubeconfig says of certificates: files, or their content."""
    context = ssl.create_default_context(
        cafile=cluster.get("certificate-authority"),
        cadata=_decoded(cluster, "certificate-authority-data"),
    )
    if user.keys() & {"client-certificate", "client-certificate-data"}:
        with TemporaryDirectory() as folder:
            files = {}
            for part in ("client-certificate", "client-key"):
                files[part] = user.get(part) or f"{folder}/{part}"
                if part not in user:
                    Path(files[part]).write_text(_decoded(user, f"{part}-data") or "")
            context.load_cert_chain(files["client-certificate"], files["client-key"])
    return context


def _decoded(told: Mapping[str, str], key: str) -> str | None:
    return base64.b64decode(told[key]).decode() if key in told else None


def write_kubeconfig(path: Path, *, url: str, ca: Path, token: str) -> Path:
    """A kubeconfig as kubectl writes it (JSON is YAML), for the user known by `token`."""
    cluster = f'{{"server": "{url}", "certificate-authority": "{ca}"}}'
    path.write_text(
        '{"apiVersion": "v1", "kind": "Config", "current-context": "test",'
        f' "clusters": [{{"name": "test", "cluster": {cluster}}}],'
        f' "users": [{{"name": "test", "user": {{"token": "{token}"}}}}],'
        ' "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]}\n'
    )
    path.chmod(0o600)
    return path
