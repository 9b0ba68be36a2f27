"""The YAML of scenario files: YAML 1.1 without its traps.

`1:2` is text (not 62 in base 60), `2e3` is a number, a date is text, and a key given twice
is an error. So is what takes more memory or time than a scenario is worth: it may come from
anywhere.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any, NoReturn

import yaml

MAX_BYTES = 256 * 2**10
"""Of a document."""
MAX_VALUES = 100_000
"""Of a document, keys and what aliases stand for included."""
MAX_DEPTH = 50
"""Of lists and mappings in each other."""

_PLAIN = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp"}
_INT = re.compile(r"[-+]?\d{1,30}\Z", re.ASCII)
_FLOAT = re.compile(
    r"[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)\Z", re.ASCII
)


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs' omission
        if getattr(event, "tag", None) not in (None, "!", "tag:yaml.org,2002:str"):
            raise yaml.composer.ComposerError(
                None, None, f"the tag {event.tag!r:.80} is not for scenarios", event.start_mark
            )
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def get_single_node(self) -> yaml.Node | None:
        root: yaml.Node | None = super().get_single_node()
        if root is not None:
            _measure(root, {}, 0)
        return root

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002  PyYAML's
    ) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, times in keys.items():
            if times > 1:
                _refuse(node, f"the key {key!r:.80} is given twice")
        return super().construct_mapping(node, deep)

    def construct_decimal(self, node: yaml.ScalarNode) -> int:
        return int(node.value)

    def construct_finite(self, node: yaml.ScalarNode) -> float:
        value = float(node.value)
        if not math.isfinite(value):
            _refuse(node, f"the number {node.value[:40]} is too large")
        return value


def _measure(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """Values below a node, every alias counted as what it stands for.

    Args:
        known: sizes by node, 0 while one is being measured.

    Raises:
        ConstructorError: too many, too deep, or endless.
    """
    if depth > MAX_DEPTH:
        _refuse(node, f"nested more than {MAX_DEPTH} deep")
    if known.get(id(node)) == 0:
        _refuse(node, "an alias refers to itself")
    if id(node) not in known:
        known[id(node)] = 0
        below = node.value if isinstance(node, yaml.CollectionNode) else ()
        children = [
            child for entry in below for child in (entry if isinstance(entry, tuple) else (entry,))
        ]
        known[id(node)] = 1 + sum(_measure(child, known, depth + 1) for child in children)
    if known[id(node)] > MAX_VALUES:
        _refuse(node, f"expands to more than {MAX_VALUES} values")
    return known[id(node)]


def _refuse(node: yaml.Node, problem: str) -> NoReturn:
    raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  PyYAML's
        return True


def _use_plain_numbers(dialect: type[_Loader] | type[_Dumper]) -> None:
    dialect.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _PLAIN]
        for first, resolvers in dialect.yaml_implicit_resolvers.items()
    }
    dialect.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
    dialect.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


_use_plain_numbers(_Loader)
_use_plain_numbers(_Dumper)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_decimal)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_finite)


def read(text: str) -> Any:
    """Parse one document.

    Raises:
        ValueError: it is not YAML, or too much of it; the message says where.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES // 2**10} KiB")
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def write(data: Any) -> str:
    """The text of plain data, keys in the order given."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
