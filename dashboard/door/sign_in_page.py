"""The page on which a key is typed: plain HTML that needs no script, and where it leads to."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode, urlsplit

# Without a script and without a frame. `form-action` also covers where the form's answer leads.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)

_LONGEST = 2_000

_HEAD = """<!DOCTYPE html>
<html lang="en" data-mantine-color-scheme="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{more}<title>Sign in · Weakspot</title>
<link rel="icon" type="image/svg+xml" href="/assets/favicon.svg">
<script src="/assets/scheme.js"></script>
<link rel="stylesheet" href="/assets/dashboard.css">
<link rel="stylesheet" href="/assets/door.css">
</head>
"""
_PAGE = """<body class="door">
<main class="door-card">
<h1 class="door-brand"><span class="icon icon-target" aria-hidden="true"></span>Weakspot</h1>
<form method="post" action="/sign-in?{target}" autocomplete="on">
<input type="text" name="username" value="weakspot" autocomplete="username" hidden>
<label for="key">API key</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus
 maxlength="200" spellcheck="false" autocapitalize="none"{described}>
{error}<button class="button button-main" type="submit">Sign in</button>
</form>
<p class="door-hint">One with the scope <code>read</code> shows, <code>label</code> also labels and
answers alerts, <code>admin</code> does everything.
Who runs Weakspot makes one: <code>weakspot keys create NAME --scopes read,label</code></p>
</main>
</body>
</html>
"""
_ERROR = '<p class="door-error" id="wrong" role="alert">{words}</p>\n'
_ONWARDS = """<body><p><a href="{address}">Go on to the dashboard</a></p></body>
</html>
"""


def page(*, target: str, error: str = "") -> str:
    """Return the page.

    Args:
        target: Where it leads once somebody is signed in; an address of ours.
        error: Why the last try failed; empty before the first.
    """
    return _HEAD.format(more="") + _PAGE.format(
        target=escape(leading_to(target)),
        described=' aria-describedby="wrong" aria-invalid="true"' if error else "",
        error=_ERROR.format(words=escape(error)) if error else "",
    )


def onwards(address: str) -> str:
    """Return a page that goes on to an address of ours by itself."""
    at = escape(ours(address))
    more = f'<meta http-equiv="refresh" content="0; url={at}">\n'
    return _HEAD.format(more=more) + _ONWARDS.format(address=at)


def leading_to(target: str) -> str:
    """Return the query of the sign-in page that leads to an address afterwards."""
    return urlencode({"next": ours(target)})


def ours(target: str) -> str:
    r"""Return an address where it is a path of ours, else the overview's.

    Browsers read `//host`, `/\host` and what has tabs or line breaks in it as other hosts.
    """
    usable = (
        target.startswith("/")
        and not target.startswith(("//", "/sign-"))
        and "\\" not in target
        and target.isprintable()
        and len(target) <= _LONGEST
    )
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    return target if usable and not parts.scheme and not parts.netloc else "/"
