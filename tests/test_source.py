"""How code on a page is coloured."""

import pytest
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from runner.process import ROOT
from theme.source import ByColour, coloured

FILES = [f for d in ("examples", "tests") for f in sorted((ROOT / d).rglob("*.py"))]


@pytest.mark.slow
def test_python_is_coloured_as_pygments_does_it():
    plain = PythonLexer(stripnl=False)
    plain.add_filter(ByColour())
    formatter = HtmlFormatter(nowrap=True)
    for file in FILES:
        code = file.read_text()
        assert coloured(code, "python") == highlight(code, plain, formatter), file
