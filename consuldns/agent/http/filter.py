"""`?filter=`: Consul's filter expressions, such as `Status != "passing" and web in ServiceTags`.

An expression is compiled for the fields of an endpoint, so that a wrong one is an error also where
there is nothing to filter. Source: Consul's documentation ("Filtering"), and what it leaves open
measured on Consul 1.8.7.
"""

import ast
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, NoReturn

import msgspec

from consuldns.agent.http.fields import Fields, Kind, ListOf, MapOf
from consuldns.agent.http.shapes import JSON

MAX_NESTING = 50

Select = Callable[[Iterable[JSON]], list[JSON]]
"""Gives the entries that an expression holds of."""
Test = Callable[[Any], bool]

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


class BadFilter(ValueError):
    """An expression that cannot be read, or not for these fields, in Consul's words."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"Failed to create boolean expression evaluator: {problem}")


def compile_filter(expression: str, fields: Fields) -> Select:
    """What selects among entries with these fields; "" selects all. Raises BadFilter."""
    if not expression:
        return list
    holds = _Parser(expression, fields).parse()
    return lambda entries: [each for each in entries if holds(msgspec.to_builtins(each))]


def _pattern(words: str) -> re.Pattern[str]:
    """A blank stands for white space that must be there, `~` for some that may."""
    white = r"[\x20\t\r\n]"
    return re.compile(words.replace(" ", white + "+").replace("~", white + "*"))


class _Operator(NamedTuple):
    """`test` gets the entry's value and the expression's; `missing` is for a key that is not."""

    name: str
    pattern: re.Pattern[str]
    test: Callable[[Any, Any], bool]
    missing: bool = False


def _not_in(value: Any, wanted: Any) -> bool:
    return wanted not in value


def _matches(value: str, wanted: re.Pattern[str]) -> bool:
    return wanted.search(value) is not None


def _not_matches(value: str, wanted: re.Pattern[str]) -> bool:
    return wanted.search(value) is None


_SELECTOR_AND_VALUE = (
    _Operator("Equal", _pattern("~==~"), operator.eq),
    _Operator("Not Equal", _pattern("~!=~"), operator.ne, missing=True),
    _Operator("In", _pattern(" contains "), operator.contains),
    _Operator("Not In", _pattern(" not contains "), _not_in, missing=True),
    # Strange, but so it is: a missing key both matches and does not.
    _Operator("Matches", _pattern(" matches "), _matches, missing=True),
    _Operator("Not Matches", _pattern(" not matches "), _not_matches, missing=True),
)
_SELECTOR_ONLY = (
    _Operator("Is Empty", _pattern(" is empty"), lambda value, _: not value),
    _Operator("Is Not Empty", _pattern(" is not empty"), lambda value, _: bool(value)),
)
_VALUE_AND_SELECTOR = (
    _Operator("In", _pattern(" in "), operator.contains),
    _Operator("Not In", _pattern(" not in "), _not_in, missing=True),
)

_ESCAPE = r"\\(?:[abfnrtv\\]|[0-3][0-7]{2}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})"
_STRING = rf'`[^`]*`|"(?:[^"\\\n]|{_ESCAPE})*"'
_NAME = "[a-zA-Z][a-zA-Z0-9_]*"
_STEP = _pattern(rf"\.({_NAME})|\[~({_STRING})~\]")
_SELECTOR = _pattern(rf"({_NAME})((?:\.{_NAME}|\[~(?:{_STRING})~\])*)")
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?=[\s)]|$)"
_VALUE = _pattern(rf"{_STRING}|{_SELECTOR.pattern}|{_NUMBER}")
_OR, _AND, _NOT = _pattern(" or "), _pattern(" and "), _pattern("not ")
_OPEN, _CLOSE, _BLANKS = _pattern(r"\(~"), _pattern(r"~\)"), _pattern("~")


class _Parser:
    """Reads an expression from left to right, with a method for each level of the grammar."""

    def __init__(self, text: str, fields: Fields) -> None:
        self._text, self._fields, self._at, self._depth = text, fields, 0, 0

    def parse(self) -> Test:
        self._take(_BLANKS)
        test = self._alternatives()
        self._take(_BLANKS)
        return test if self._at == len(self._text) else self._fail()

    def _alternatives(self) -> Test:
        tests = [self._conjunction()]
        while self._take(_OR):
            tests.append(self._conjunction())
        return lambda entry: any(test(entry) for test in tests)

    def _conjunction(self) -> Test:
        tests = [self._term()]
        while self._take(_AND):
            tests.append(self._term())
        return lambda entry: all(test(entry) for test in tests)

    def _term(self) -> Test:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise BadFilter(f"1:{self._at + 1} ({self._at}): nested deeper than {MAX_NESTING}")
        test = self._nested_term()
        self._depth -= 1
        return test

    def _nested_term(self) -> Test:
        if self._take(_NOT):
            negated = self._term()
            return lambda entry: not negated(entry)
        if self._take(_OPEN):
            test = self._alternatives()
            return test if self._take(_CLOSE) else self._fail()
        return self._comparison()

    def _comparison(self) -> Test:
        start = self._at
        if selector := self._take(_SELECTOR):
            if how := self._operator(_SELECTOR_ONLY):
                return self._test(selector, how, "")
            if how := self._operator(_SELECTOR_AND_VALUE):
                return self._test(selector, how, self._value())
        self._at = start
        value = self._value()
        how = self._operator(_VALUE_AND_SELECTOR) or self._fail()
        return self._test(self._take(_SELECTOR) or self._fail(), how, value)

    def _operator(self, among: Sequence[_Operator]) -> _Operator | None:
        return next((each for each in among if self._take(each.pattern)), None)

    def _value(self) -> str:
        return _unquoted((self._take(_VALUE) or self._fail())[0])

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found

    def _fail(self) -> NoReturn:
        raise BadFilter(f"1:{self._at + 1} ({self._at}): no match found")

    def _test(self, selector: re.Match[str], how: _Operator, text: str) -> Test:
        steps = _STEP.finditer(selector[2])
        path = [selector[1], *(step[1] or _unquoted(step[2]) for step in steps)]
        name, kind = ".".join(path), _kind_at(self._fields, path)
        if how.name not in _operators(kind):
            raise BadFilter(f'Invalid match operator "{how.name}" for selector "{name}"')
        wanted = _regex(text) if how.name.endswith("Matches") else _coerced(text, kind, name)
        return lambda entry: _holds(entry, self._fields, path, how, wanted)


def _unquoted(text: str) -> str:
    if text.startswith('"'):
        return re.sub(_ESCAPE, lambda escape: ast.literal_eval(f'"{escape[0]}"'), text[1:-1])
    return text.strip("`")


def _kind_at(fields: Fields, path: Sequence[str]) -> Kind:
    kind: Kind | None = fields
    for length, name in enumerate(path, 1):
        if isinstance(kind, ListOf):
            kind = kind.each
        if isinstance(kind, MapOf):
            kind = kind.each
        else:
            kind = kind.get(name) if isinstance(kind, dict) else None
        if kind is None:
            raise BadFilter(f'Selector "{".".join(path[:length])}" is not valid')
    assert kind is not None
    return kind


def _operators(kind: Kind) -> tuple[str, ...]:
    equal, inside, empty = ("Equal", "Not Equal"), ("In", "Not In"), ("Is Empty", "Is Not Empty")
    if kind is str:
        return (*equal, *inside, "Matches", "Not Matches")
    if kind in (int, bool):
        return equal
    if isinstance(kind, MapOf) or kind == ListOf(str):
        return inside + empty
    return empty if isinstance(kind, ListOf) else ()


def _coerced(text: str, kind: Kind, name: str) -> str | int | bool:
    for type_, parser, read in ((int, "ParseInt", _integer), (bool, "ParseBool", _boolean)):
        if kind is type_:
            try:
                return read(text)
            except ValueError as error:
                problem = f'strconv.{parser}: parsing "{text}": {error}'
                raise BadFilter(
                    f'Failed to coerce value "{text}" for selector "{name}": {problem}'
                ) from None
    return text


def _integer(text: str) -> int:
    try:
        number = int(text, 0)
    except ValueError:
        raise ValueError("invalid syntax") from None
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError("value out of range")
    return number


def _boolean(text: str) -> bool:
    if text not in _TRUE + _FALSE:
        raise ValueError("invalid syntax")
    return text in _TRUE


def _regex(text: str) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():
            # Python warns of what other dialects read differently, such as [[:alpha:]].
            warnings.simplefilter("error", FutureWarning)
            return re.compile(text)
    except (re.error, FutureWarning, OverflowError, RecursionError) as error:
        raise BadFilter(f'Failed to compile regular expression "{text}": {error}') from None


def _holds(value: Any, kind: Kind, path: Sequence[str], how: _Operator, wanted: Any) -> bool:
    """Whether it holds of what is at the path; of any that is, if there are lists on the way."""
    if value is None:  # left out of the JSON, or null
        value = kind() if isinstance(kind, type) else {}
    if not path:
        return how.test(value, wanted)
    if isinstance(kind, ListOf):
        return any(_holds(each, kind.each, path, how, wanted) for each in value)
    name, *rest = path
    if isinstance(kind, MapOf):
        return _holds(value[name], kind.each, rest, how, wanted) if name in value else how.missing
    assert isinstance(kind, dict)
    return _holds(value.get(name), kind[name], rest, how, wanted)
