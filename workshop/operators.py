"""What `make mutants` changes in an example: cosmic-ray's operators that fit, and ours."""

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Any

import parso
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.operators.provider import OperatorProvider
from parso.python.tree import Name, Number
from parso.tree import BaseNode, NodeOrLeaf

Position = tuple[tuple[int, int], tuple[int, int]]

_OF_COSMIC_RAY = (
    "AddNot",
    "ReplaceAndWithOr",
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_Div_Mul",
    "ReplaceBinaryOperator_FloorDiv_Mul",
    "ReplaceBinaryOperator_Mod_Add",
    "ReplaceBinaryOperator_Mul_Div",
    "ReplaceBinaryOperator_Pow_Mul",
    "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBreakWithContinue",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_GtE_Lt",
    "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_Gt_LtE",
    "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_LtE_Gt",
    "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_Lt_GtE",
    "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceContinueWithBreak",
    "ReplaceFalseWithTrue",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceUnaryOperator_USub_UAdd",
    "ZeroIterationForLoop",
)
"""Not those that make ten of one operator, of which nine fail with the same TypeError."""


class Replaced(Operator):  # type: ignore[misc] # cosmic-ray is not typed
    """An operator that puts another text in the place of a node."""

    @staticmethod
    def texts(node: NodeOrLeaf) -> Iterator[str]:
        """What may stand there instead, without the white space before it."""
        raise NotImplementedError

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Position]:
        """One for each text, as cosmic-ray asks."""
        for _ in self.texts(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: NodeOrLeaf, index: int) -> Any:
        """The text of that number, as a node."""
        prefix = node.get_first_leaf().prefix
        return parso.parse(prefix + list(self.texts(node))[index])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """None: `tests/test_mutants.py` has them."""
        return ()


def _bare(node: NodeOrLeaf) -> str:
    return str(node.get_code(include_prefix=False))


def _called(argument: NodeOrLeaf) -> NodeOrLeaf:
    """The name before the bracket before the first argument of a call."""
    bracket = argument.get_previous_leaf() or argument
    return bracket.get_previous_leaf() or bracket


def _children(node: NodeOrLeaf) -> list[NodeOrLeaf]:
    return list(node.children) if isinstance(node, BaseNode) else []


def _without_each(
    node: NodeOrLeaf, items: list[str], dropped: list[int]
) -> Iterator[str]:
    for number in dropped:
        yield ", ".join(items[:number] + items[number + 1 :])


class StatementDropped(Replaced):
    """Of one line: no import, docstring, type, or constant of the module.

    What stands in for a reader's own work is not dropped: there is no work without it.
    """

    @staticmethod
    def texts(node: NodeOrLeaf) -> Iterator[str]:
        if node.type != "simple_stmt":
            return
        statement = _children(node)[0]
        imported = statement.type in ("import_name", "import_from")
        idle = _bare(statement) in ("pass", "...") or statement.type in (
            "string",
            "strings",
        )
        of_module = node.parent is not None and node.parent.type == "file_input"
        defined = of_module and statement.type == "expr_stmt"
        within = node.search_ancestor("classdef")
        typed = within is not None and "(TypedDict)" in within.get_code()
        stands_in = "# stands in for" in node.get_code()
        if not (imported or idle or defined or stands_in or typed):
            yield "pass\n"


class AwaitRemoved(Replaced):
    """What is awaited is only called."""

    @staticmethod
    def texts(node: NodeOrLeaf) -> Iterator[str]:
        first = [_bare(child) for child in _children(node)[:1]]
        if node.type in ("atom_expr", "power") and first == ["await"]:
            yield _bare(node).removeprefix("await").lstrip()


class ArgumentDropped(Replaced):
    """A call without one of the arguments that have a name, or the last that has none."""

    @staticmethod
    def texts(node: NodeOrLeaf) -> Iterator[str]:
        of_call = node.parent is not None and (
            node.parent.type == "trailer" or node.parent.type == "decorator"
        )
        if not of_call:
            return
        arguments = [
            child
            for child in (_children(node) if node.type == "arglist" else [node])
            if child.type != "operator"
        ]
        named = [
            number
            for number, argument in enumerate(arguments)
            if argument.type == "argument" and _bare(_children(argument)[1]) == "="
        ]
        nameless = [n for n, one in enumerate(arguments) if one.type != "argument"]
        last = nameless[-1:] if len(nameless) > 1 else []
        items = [_bare(one) for one in arguments]
        yield from _without_each(node, items, named + last)


class LinkDropped(Replaced):
    """A chain of calls without one of its links, such as ``.order_by(Job.due)``."""

    @staticmethod
    def texts(node: NodeOrLeaf) -> Iterator[str]:
        if node.type not in ("atom_expr", "power"):
            return
        parts = [child.get_code() for child in _children(node)]
        parts[0] = parts[0].lstrip()
        calls = [n for n, part in enumerate(parts) if part.lstrip().startswith("(")]
        for number in calls[1:]:
            if parts[number - 1].lstrip().startswith("."):
                yield "".join(parts[: number - 1] + parts[number + 1 :])


class ItemDropped(Replaced):
    """A dictionary without one of its items, unless it has no other."""

    @staticmethod
    def texts(node: NodeOrLeaf) -> Iterator[str]:
        if node.type != "dictorsetmaker":
            return
        items: list[str] = [""]
        for child in _children(node):
            if _bare(child) == ",":
                items.append("")
            else:
                items[-1] += child.get_code()
        items = [item.strip() for item in items if item.strip()]
        if len(items) > 1 and any(_bare(child) == ":" for child in _children(node)):
            yield from _without_each(node, items, list(range(len(items))))


class StatusChanged(Replaced):
    """An answer with another status of the same kind."""

    @staticmethod
    def texts(node: NodeOrLeaf) -> Iterator[str]:
        if isinstance(node, Name) and re.fullmatch(r"HTTP_\d{3}_\w+", node.value):
            yield "HTTP_418_IM_A_TEAPOT"
        elif isinstance(node, Number) and re.fullmatch(r"[2-5]\d\d", node.value):
            named = node.parent is not None and _bare(node.parent).startswith(
                "status_code"
            )
            if named or _bare(_called(node)) in ("HTTPException", "Response"):
                yield str(int(node.value) + 17)


class NumberChanged(Replaced):
    """By one; not how long something may take, and not where what is sent is bounded.

    Of these no claim says how long and where; whether there is a bound, one does.
    """

    @staticmethod
    def texts(node: NodeOrLeaf) -> Iterator[str]:
        if not isinstance(node, Number) or any(StatusChanged.texts(node)):
            return
        if not any(map(_is_a_choice, _around(node))) and "_" not in node.value:
            yield str(ast.literal_eval(node.value) + 1)


def _around(node: NodeOrLeaf) -> Iterator[NodeOrLeaf]:
    """What the node is in, up to its statement."""
    above = node.parent
    while above is not None and above.type not in ("simple_stmt", "suite"):
        yield above
        above = above.parent


def _is_a_choice(node: NodeOrLeaf) -> bool:
    """Whether it is the call of what waits or bounds, or an argument or item for one."""
    code = _bare(node)
    if node.type == "trailer" and code.startswith("("):
        before = node.get_previous_leaf()
        return before is not None and bool(_CHOOSES.search(_bare(before)))
    return node.type in ("argument", "dictorsetmaker") and bool(
        re.match(r"\W?\w*(timeout|interval)", code)
    )


_CHOOSES = re.compile(
    r"^(sleep|wait|wait_for|join|timeout|busy|Field|Path|Query|Header|Form)$"
)


class FunctionColourExchanged(Replaced):
    """``def`` for ``async def``, and ``async def`` for ``def``.

    Not the latter of a path operation: in a thread it answers the same.
    """

    @staticmethod
    def texts(node: NodeOrLeaf) -> Iterator[str]:
        if node.type == "funcdef":
            above = node.parent
            if above is not None and above.type not in ("async_stmt", "async_funcdef"):
                yield f"async {_bare(node)}"
        elif node.type in ("async_stmt", "async_funcdef"):
            function = _children(node)[1]
            answers = node.parent is not None and re.match(
                r"@(app|router)\.", _bare(node.parent)
            )
            if function.type == "funcdef" and not answers:
                yield _bare(function)


class SignalExchanged(Replaced):
    """One signal for another."""

    @staticmethod
    def texts(node: NodeOrLeaf) -> Iterator[str]:
        others = {"SIGTERM": "SIGINT", "SIGINT": "SIGTERM", "SIGKILL": "SIGTERM"}
        if isinstance(node, Name) and node.value in others:
            yield others[node.value]


class ExceptionExchanged(Replaced):
    """Another exception is raised, caught or suppressed."""

    @staticmethod
    def texts(node: NodeOrLeaf) -> Iterator[str]:
        if not isinstance(node, Name) or not re.match(r"[A-Z]", node.value):
            return
        around = node.parent
        while around is not None and around.type in ("atom", "testlist_comp"):
            around = around.parent
        if around is not None and around.type == "atom_expr":
            around = around.parent if _children(around)[0] is node else None
        if around is not None and around.type == "raise_stmt":
            yield "LookupError"
        elif (around is not None and around.type == "except_clause") or _bare(
            _called(node)
        ) == "suppress":
            yield "FloatingPointError"


class ClauseDropped(Replaced):
    """A query without its order, its lock, or what it does about a conflict."""

    @staticmethod
    def texts(node: NodeOrLeaf) -> Iterator[str]:
        if node.type not in ("string", "fstring_string"):
            return
        text = _bare(node)
        clauses = (
            r"\s+order by [\w.]+(?:, [\w.]+)*(?: desc| asc)?",
            r"\s+for update(?: skip locked)?",
            r"\s+skip locked",
            r"\s+on conflict(?: \([\w, ]+\))? do nothing",
            r"\s+and [\w.]+ (?:[<>=!]+|is) \S+?(?=[\s\"')])",
        )
        for clause in clauses:
            for found in re.finditer(clause, text, re.IGNORECASE):
                yield text[: found.start()] + text[found.end() :]


OURS: tuple[type[Replaced], ...] = (
    StatementDropped,
    AwaitRemoved,
    ArgumentDropped,
    LinkDropped,
    ItemDropped,
    StatusChanged,
    NumberChanged,
    FunctionColourExchanged,
    SignalExchanged,
    ExceptionExchanged,
    ClauseDropped,
)

_core = OperatorProvider()


class RemoveDecorator(_core["RemoveDecorator"]):  # type: ignore[misc, valid-type] # as above
    """Not that of a lifespan: FastAPI does the same to a function without it."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Position]:
        """As cosmic-ray has them, without those."""
        if "asynccontextmanager" not in _bare(node) or "lifespan" not in _bare(
            node.parent or node
        ):
            yield from super().mutation_positions(node)


OPERATORS: dict[str, Operator] = {
    **{name: _core[name]() for name in _OF_COSMIC_RAY},
    "RemoveDecorator": RemoveDecorator(),
    **{operator.__name__: operator() for operator in OURS},
}
"""All that are tried, by name."""
