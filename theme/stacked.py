"""Names the columns in the cells of a stacked table: on a small screen it is a list."""

from typing import Any
from xml.etree.ElementTree import Element

from markdown import Extension, Markdown
from markdown.treeprocessors import Treeprocessor

_AFTER_INLINE = 15
"""Later than the text of the cells is made, which has 20, and earlier than the rest."""


class _Columns(Treeprocessor):  # type: ignore[misc]
    def run(self, root: Element) -> None:
        for table in root.iterfind(".//div[@class='stacked']//table"):
            heads = ["".join(head.itertext()) for head in table.iter("th")][1:]
            for row in table.iter("tr"):
                for head, cell in zip(heads, row.findall("td")[1:], strict=False):
                    cell.set("data-column", head)


class Stacked(Extension):  # type: ignore[misc]
    """For Markdown: the cells of tables in a ``div`` with the class ``stacked``."""

    def extendMarkdown(self, md: Markdown) -> None:
        md.treeprocessors.register(_Columns(md), "stacked", _AFTER_INLINE)


def makeExtension(**options: Any) -> Extension:
    """Called by Markdown, by that name."""
    return Stacked(**options)
