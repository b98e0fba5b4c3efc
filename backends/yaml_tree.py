"""YAML as a plain tree that knows its lines, built from the parser's events and never from its objects.

An objective is written by hand, so only what hands write is taken: no tags, anchors or aliases (no object is
ever constructed and nothing can multiply), no key twice, a bounded depth and size. PyYAML's own
`compose` recurses as deep as the file nests; this does not recurse at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 16
MAX_NODES: Final = 50_000
MAX_DOCUMENTS: Final = 500
MAX_SCALAR: Final = 4_000
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Final[Any] = yaml.resolver.Resolver()
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_/-]{0,31}|<<")
_YAML: Final = "tag:yaml.org,2002:"


class BadYaml(ValueError):
    """Not YAML, or more than is taken; `line` counts from 1, `path` is the field, "" where none is known."""

    def __init__(self, line: int, path: str, why: str) -> None:
        super().__init__(why)
        self.line, self.path, self.why = line, path, why


def word(key: str) -> str:
    """A key as a fault may show it. The file may be a link to anything, a file of secrets too: only what
    looks like a field's name is said again."""
    return key if _WORD.fullmatch(key) else "(no field's name)"


@dataclass(frozen=True, slots=True)
class Scalar:
    """`tag` is what YAML makes of it: `str`, `int`, `float`, `bool`, `null`, `timestamp`."""

    line: int
    text: str
    tag: str


@dataclass(slots=True)
class Table:
    """`lines` holds the line of each key."""

    line: int
    values: dict[str, Node] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Items:
    line: int
    values: list[Node] = field(default_factory=list)


Node = Scalar | Table | Items


def read_documents(data: bytes) -> tuple[Node, ...]:
    """The documents of one file; those that hold nothing are left out.

    Raises:
        BadYaml: with the line and what would be right.
    """
    if len(data) > MAX_BYTES:
        raise BadYaml(1, "", f"the file has {len(data):,} bytes; at most {MAX_BYTES:,} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadYaml(line, "", "not UTF-8; save the file as UTF-8") from None
    builder = _Builder()
    try:
        for event in _events(text):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        said = error.problem or error.context or "unreadable"
        raise BadYaml(line, builder.path, f"not YAML: {said}; mend it, or was it saved half-way?") from None
    except yaml.reader.ReaderError as error:
        raise BadYaml(_line_of(error, text), "", "holds a control character; write plain text") from None
    return tuple(builder.documents)


def _events(text: str) -> Iterator[Any]:
    loader = _LOADER(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


def _line_of(error: yaml.reader.ReaderError, text: str) -> int:
    """The C parser counts bytes and the other one characters; either way nobody else marks the line."""
    counted: bytes | str = text.encode() if hasattr(yaml, "CSafeLoader") else text
    before = counted[: error.position]
    return (before.count(b"\n") if isinstance(before, bytes) else before.count("\n")) + 1


@dataclass(slots=True)
class _Open:
    """A collection that is not finished, and the key whose value comes next."""

    node: Table | Items
    path: str
    key: str | None = None


class _Builder:
    def __init__(self) -> None:
        self.documents: list[Node] = []
        self._open: list[_Open] = []
        self._nodes = 0

    @property
    def path(self) -> str:
        """The field that is being read."""
        if not self._open:
            return ""
        top = self._open[-1]
        if isinstance(top.node, Items):
            return f"{top.path}[{len(top.node.values)}]"
        return f"{top.path}.{word(top.key)}".lstrip(".") if top.key is not None else top.path

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise BadYaml(line, self.path, "an alias (*) is not taken; write the value out")
        if isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
        elif isinstance(event, yaml.NodeEvent):
            self._check(event, line)
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event, line)
            else:
                self._collection(event, line)

    def _check(self, event: Any, line: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise BadYaml(line, "", f"over {MAX_NODES:,} values in one file; divide it")
        if event.anchor is not None:
            raise BadYaml(line, self.path, "an anchor (&) is not taken; write the value out where it is used")
        if event.tag is not None:
            raise BadYaml(line, self.path, "a tag (!) is not taken; write the plain value")

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        if len(event.value) > MAX_SCALAR:
            raise BadYaml(line, self.path, f"a text of over {MAX_SCALAR:,} characters; shorten it")
        top = self._open[-1] if self._open else None
        if top is not None and isinstance(top.node, Table) and top.key is None:
            self._key(top, top.node, event.value, line)
            return
        tag = _RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)
        self._place(Scalar(line, event.value, tag.removeprefix(_YAML)))

    def _key(self, top: _Open, table: Table, key: str, line: int) -> None:
        if key in table.lines:
            raise BadYaml(
                line,
                f"{top.path}.{word(key)}".lstrip("."),
                f"stands here twice (first on line {table.lines[key]}); keep one",
            )
        table.lines[key] = line
        top.key = key

    def _collection(self, event: yaml.NodeEvent, line: int) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise BadYaml(line, "", f"nested over {MAX_DEPTH} deep; an objective is not")
        top = self._open[-1] if self._open else None
        if top is not None and isinstance(top.node, Table) and top.key is None:
            raise BadYaml(line, top.path, "a key is no plain text; write `name: value`")
        node: Table | Items = Table(line) if isinstance(event, yaml.MappingStartEvent) else Items(line)
        path = self.path
        self._place(node)
        self._open.append(_Open(node, path))

    def _place(self, node: Node) -> None:
        if not self._open:
            if len(self.documents) >= MAX_DOCUMENTS:
                raise BadYaml(node.line, "", f"over {MAX_DOCUMENTS} documents in one file; divide it")
            if not (isinstance(node, Scalar) and node.tag == "null"):
                self.documents.append(node)
            return
        top = self._open[-1]
        if isinstance(top.node, Items):
            top.node.values.append(node)
        elif top.key is not None:
            top.node.values[top.key] = node
            top.key = None
