"""What an expression of a definition may hold, and that a column has one spelling."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store.definition import Column, Label
from feature_store.definition.expressions import Unfit, columns_of
from feature_store.definition.functions import AGGREGATES, CONTEXTUAL, FUNCTIONS
from feature_store.errors import DefinitionError
from tests.toy import COLUMNS, toy_definition

NAMES = ("clicked", "price", "item", "planned_at", "user", "end", "date", "day", "left")

READ = [
    ("clicked", {"clicked"}),
    (" ( clicked ) ", {"clicked"}),
    ("`clicked` AND NOT price > 1e3", {"clicked", "price"}),
    ("Least(GREATEST(price, -30), .5)", {"price"}),
    ("item = 'it''s clicked' OR item = 'a\\'clicked'", {"item"}),
    ("CASE WHEN price IS NOT NULL THEN 1L ELSE 2.5D END", {"price"}),
    ("price * 2 % 3 - -1 / 4", {"price"}),
    ("(price) * (price)", {"price"}),
    ("price BETWEEN 1 AND 2 AND item IN ('a', 'b')", {"price", "item"}),
    ("item IS DISTINCT FROM user", {"item", "user"}),
    ("price <=> 1 AND price <> 2 AND price != 3", {"price"}),
    ("cast(item AS int) + try_cast(item as decimal(10, 2))", {"item"}),
    ("split(item, ',')[1] = 'x'", {"item"}),
    ("item LIKE 'a%' AND item RLIKE '^b'", {"item"}),
    ("planned_at > timestamp'2026-01-01 00:00:00'", {"planned_at"}),
    ("date = DATE '2026-01-01'", {"date"}),
    ("`end` > 1 AND `date` > 2", {"end", "date"}),
    ("day + day(planned_at)", {"day", "planned_at"}),
    ("left(item, 1) = `left`", {"item", "left"}),
    ("user = 'a'", {"user"}),
    ("price DIV 2", {"price"}),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "taken"), READ, ids=[text for text, _ in READ])
def test_the_columns_of_an_expression_are_told(expression: str, taken: set[str]) -> None:
    assert columns_of(expression, NAMES) == taken


REFUSED = [
    ("CLICKED", "CLICKED: is not a declared column; did you mean 'clicked'? The case"),
    ("`CLICKED`", "did you mean 'clicked'? The case"),
    ("clickd", "clickd: is not a declared column; did you mean 'clicked'?"),
    ("clıcked", "ı: cannot be read: only ASCII"),
    ("clic\u212aed", "cannot be read: only ASCII"),
    ("price\u00a0> 1", "cannot be read"),
    ("\\u0063licked", "\\: cannot be read"),
    ('"clicked"', 'text or a name, as a setting decides'),
    ("prices.list_price > 1", ".: only columns of the source"),
    ("`a`.`b`", ".: only columns"),
    ("clicked -- AND price", "--: a comment belongs beside"),
    ("price--1", "--: a comment"),
    ("/* x */ clicked", "/*: a comment"),
    ("clicked /*+ HINT */", "/*: a comment"),
    ("item = '${env:HOME}'", "${: a variable"),
    ("exists(split(item, ','), x -> x = 'a')", "->: a lambda"),
    ("filter(array(price), x -> x > 1)", "->: a lambda"),
    ("array(price -> price)", "->: a lambda"),
    ("round(price, d => 1)", "=>: a named argument"),
    ("(SELECT max(price) FROM t)", "SELECT: a subquery"),
    ("hash(*)", "*: names no column"),
    ("price + *", "*: names no column"),
    ("count(*)", "count(): takes many rows"),
    ("sum(price)", "sum(): takes many rows"),
    ("price OVER (w)", "OVER: a window"),
    ("rand() < price", "rand(): differs from run to run"),
    ("RAND(7) < price", "differs from run to run"),
    ("now() > planned_at", "differs from run to run"),
    ("current_timestamp > planned_at", "current_timestamp: differs"),
    ("current_date() > planned_at", "differs"),
    ("unix_timestamp() > price", "unix_timestamp(): needs an argument"),
    ("uuid() = item", "differs"),
    ("input_file_name() = item", "differs"),
    ("monotonically_increasing_id() > price", "differs"),
    ("reflect('java.lang.System', 'exit', 1)", "reflect(): is not a function"),
    ("raise_error(item)", "raise_error(): is not a function"),
    ("flor(price)", "flor(): is not a function that an expression may use; did you mean 'floor'?"),
    ("`floor`(price)", "`floor`: the name of a function is written bare"),
    ("planned_at > timestamp 'now'", "timestamp 'now': must be written out"),
    ("planned_at > date'today'", "date 'today': must be written out"),
    ("planned_at + interval 1 day > planned_at", "interval: is not needed"),
    ("item = r'a\\'", "r': text with a prefix"),
    ("price AS clicked", "AS: belongs to a cast"),
    ("cast(price AS clicked)", "clicked: is not a type to cast to"),
    ("price::int", ":: cannot be judged here"),
    ("price > :limit", ":: cannot be judged here"),
    ("price > ?", "?: cannot be read"),
    ("clicked; clicked", ";: cannot be read"),
    ("price > 1x", "1: cannot be read"),
    ("item = 'open", "': cannot be read"),
    ("end > 1 AND ds = 1", "ds: is not a declared column"),
    (" ", "must name at least one column"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "text"), REFUSED, ids=[text for text, _ in REFUSED])
def test_what_cannot_be_judged_is_refused_with_the_reason(expression: str, text: str) -> None:
    with pytest.raises(Unfit, match=re.escape(text)):
        columns_of(expression, NAMES)


def test_no_function_is_both_allowed_and_refused() -> None:
    assert not FUNCTIONS & CONTEXTUAL
    assert not FUNCTIONS & AGGREGATES
    assert not CONTEXTUAL & AGGREGATES


CASES = st.lists(st.booleans(), min_size=12, max_size=12)


def recased(name: str, flips: list[bool]) -> str:
    """Return the name with the case of some letters changed."""
    pairs = zip(name, (flips * len(name))[: len(name)], strict=True)
    return "".join(c.upper() if flip else c for c, flip in pairs)


@settings(deadline=None)
@given(
    name=st.sampled_from([column.name for column in COLUMNS]),
    flips=CASES,
    quote=st.booleans(),
    form=st.sampled_from(["{}", "({})", "{} IS NULL", "coalesce({}, {})", "nvl({},price)"]),
)
def test_a_column_has_one_spelling(name: str, flips: list[bool], quote: bool, form: str) -> None:
    """In any place and any quoting: it is the declared name, or it is refused with it."""
    spelled = recased(name, flips)
    expression = form.replace("{}", f"`{spelled}`" if quote else spelled)
    columns = {column.name for column in COLUMNS}
    if spelled == name:
        assert name in columns_of(expression, columns)
    else:
        with pytest.raises(Unfit, match=f"did you mean '{name}'"):
            columns_of(expression, columns)


@settings(deadline=None)
@given(flips=CASES, quote=st.booleans(), form=st.sampled_from(["{}", "{} AND price > 0", "!{}"]))
def test_no_spelling_of_an_outcome_is_known_early(
    flips: list[bool], quote: bool, form: str
) -> None:
    """What is known by a later group is refused under an earlier one, however it is written."""
    spelled = recased("clicked", flips)
    expression = form.replace("{}", f"`{spelled}`" if quote else spelled)
    (history,) = toy_definition(()).histories
    early = replace(history, value=expression, known="plan")
    with pytest.raises(DefinitionError, match=r"(?i)clicked.*(later than|did you mean)"):
        toy_definition((), histories=(early,))
    with pytest.raises(DefinitionError, match=r"(?i)clicked.*(later than|did you mean)"):
        toy_definition((), labels=(Label(name="clicked", expression=expression, known="plan"),))


@settings(deadline=None)
@given(text=st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(Unfit):
        assert columns_of(text, NAMES) <= set(NAMES)


@pytest.mark.parametrize(
    ("dtype", "expression", "text"),
    [
        ("string", "extra", "is of type string, and must be boolean or int or bigint or double"),
        ("timestamp", " extra ", "is of type timestamp, and must be boolean"),
    ],
)
def test_a_value_that_is_no_number_is_refused_at_load(
    dtype: str, expression: str, text: str
) -> None:
    extra = Column(name="extra", dtype=dtype, known="click")  # type: ignore[arg-type]
    (history,) = toy_definition(()).histories
    with pytest.raises(DefinitionError, match=text):
        toy_definition(
            (), columns=(*COLUMNS, extra), histories=(replace(history, value=expression),)
        )
    with pytest.raises(DefinitionError, match="and must be boolean"):
        toy_definition((), labels=(Label(name="clicked", expression="price", known="click"),))


def test_an_expression_takes_a_column() -> None:
    with pytest.raises(DefinitionError, match="must take a column"):
        toy_definition((), labels=(Label(name="clicked", expression="1 > 0", known="click"),))
