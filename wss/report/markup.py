"""HTML elements that escape what is put into them."""

import base64
import html
from typing import Any, Optional

# Elements without content.
_VOID = ("img", "meta")


class Html(str):
    """Text that is HTML already."""


def element(tag: str, *content: Any, **attributes: Any) -> Html:
    """An element.

    Args:
      tag: its name.
      content: what is in it: `Html` as it is, anything else escaped; None is left out.
      attributes: by name, escaped; "class_" stands for "class". None is left out.
    """
    texts = [
        f' {name.rstrip("_")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    ]
    start = f"<{tag}{''.join(texts)}>"
    if tag in _VOID:
        return Html(start)
    inner = join(*content)
    return Html(f"{start}{inner}</{tag}>")


def join(*content: Any) -> Html:
    """Elements and texts one behind the other, as in `element`."""
    return Html(
        "".join(
            part if isinstance(part, Html) else html.escape(str(part))
            for part in content
            if part is not None
        )
    )


def picture(file: bytes, kind: str, alt: str, class_: Optional[str] = None) -> Html:
    """An image that is part of the page.

    Args:
      file: its content.
      kind: of the content: "png", "jpeg" or "svg+xml".
      alt: what it shows, in words.
      class_: its style.
    """
    encoded = base64.b64encode(file).decode()
    return element(
        "img", src=f"data:image/{kind};base64,{encoded}", alt=alt, class_=class_
    )


def table(head: list, rows: list, class_: Optional[str] = None) -> Html:
    """A table that scrolls where it is wider than the page.

    Args:
      head: texts of the first row.
      rows: elements "tr", or lists of the texts of a row.
      class_: its style.
    """
    cells = [
        row if isinstance(row, Html) else element("tr", *map(_cell, row))
        for row in rows
    ]
    return element(
        "div",
        element(
            "table",
            element("thead", element("tr", *(element("th", text) for text in head))),
            element("tbody", *cells),
            class_=class_,
        ),
        class_="scroll",
    )


def _cell(content: Any) -> Html:
    is_cell = isinstance(content, Html) and content.startswith(("<td", "<th"))
    return content if is_cell else element("td", content)
