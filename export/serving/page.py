"""The page to ask a model: one form, and the answers with their passages."""

import pathlib
import secrets
from collections.abc import Sequence

import jinja2

from export.answers import Answer

# Text of the corpus is text, whatever is in it.
_TEMPLATE = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(
    (pathlib.Path(__file__).parent / 'page.html').read_text()
)


def render_page(
    *,
    question: str = '',
    answers: Sequence[Answer] = (),
    notice: str = '',
    milliseconds: float = 0.0,
    version: int,
) -> tuple[str, dict[str, str]]:
    """The page as HTML, and the headers that let nothing run in it but its own script.

    Args:
      question: what was asked.
      answers: what was answered, best first.
      notice: what is to be said instead.
      milliseconds: how long it took.
      version: of the model.
    """
    nonce = secrets.token_urlsafe(16)
    html = _TEMPLATE.render(
        question=question,
        answers=answers,
        notice=notice,
        milliseconds=milliseconds,
        version=version,
        nonce=nonce,
    )
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return html, {
        'Content-Security-Policy': policy,
        'X-Content-Type-Options': 'nosniff',
        'Referrer-Policy': 'no-referrer',
    }
