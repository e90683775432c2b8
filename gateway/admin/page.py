"""The live page: one file, nothing from elsewhere, and a policy that lets nothing else run."""

import base64
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

__all__ = ["Page", "read_page"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The page and the headers it is sent with."""

    html: str
    policy: str
    """Content-Security-Policy: only this style, this script, and questions to this server."""


def read_page() -> Page:
    """The page as it is installed."""
    html = files("gateway.admin").joinpath("page.html").read_text(encoding="utf-8")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src {_digest(html, 'style')}",
            f"script-src {_digest(html, 'script')}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return Page(html=html, policy=policy)


def _digest(html: str, element: str) -> str:
    (content,) = re.findall(rf"<{element}>(.*?)</{element}>", html, flags=re.DOTALL)
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
