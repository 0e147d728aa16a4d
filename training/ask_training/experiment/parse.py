"""TOML files to dataclasses; unknown, missing or mistyped fields are an error that names them."""

import tomllib
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

EXPECTED = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def read_file(kind: type, path: Path) -> Any:
    """Raises ValueError naming the file and the field that is wrong."""
    return _parse(kind, _read(path, ()), str(path))


def _read(path: Path, extending: tuple[Path, ...]) -> dict[str, Any]:
    """The file's tables over those of the file it extends, if it does; lists are replaced as a whole."""
    if path.resolve() in extending:
        raise ValueError(f"{path} extends itself")
    try:
        own = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    extended = own.pop("extends", None)
    if extended is None:
        return own
    base = path.parent / _parse(str, extended, f"{path}: extends")
    return _over(_read(base, (*extending, path.resolve())), own)


def _over(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    tables = {key for key in base.keys() & own.keys() if isinstance(base[key], dict) and isinstance(own[key], dict)}
    return base | own | {key: _over(base[key], own[key]) for key in tables}


def _parse(kind: Any, value: Any, where: str) -> Any:
    if isinstance(kind, UnionType):  # an optional setting: TOML has no None, it is left out
        kind = _choose([member for member in get_args(kind) if member is not NoneType], value, where)
    container = get_origin(kind)
    if container is list and isinstance(value, list):
        return [_parse(get_args(kind)[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if container is dict and isinstance(value, dict):
        return {key: _parse(get_args(kind)[1], item, f"{where}: {key}") for key, item in value.items()}
    if not _fits(kind, value):
        table = f"a table such as {kind.example}" if hasattr(kind, "example") else "a table"
        expected = EXPECTED.get(kind, "a list" if container is list else table)
        raise ValueError(f"{where}: expected {expected}, got {value!r}")
    if not is_dataclass(kind):
        return float(value) if kind is float else value
    known = {item.name: item for item in fields(kind)}
    needed = {name for name, item in known.items() if item.default is MISSING and item.default_factory is MISSING}
    for name, instead in getattr(kind, "renamed", {}).items():
        if name in value and name not in known:
            raise ValueError(f"{where}: {name} is no longer known, write {instead}")
    if "kind" in known and value.get("kind", kind.kind) != kind.kind:
        raise ValueError(f"{where}: kind must be {kind.kind!r}, got {value['kind']!r}")
    wrong = [f"{name} is missing" for name in sorted(needed - value.keys())]
    wrong += [f"{name} is unknown" for name in sorted(value.keys() - known.keys())]
    if wrong:
        raise ValueError(f"{where}: {', '.join(wrong)}")
    hints = get_type_hints(kind)
    return kind(**{name: _parse(hints[name], item, f"{where}: {name}") for name, item in value.items()})


def _choose(members: list[Any], value: Any, where: str) -> Any:
    """The one that a table's ``kind`` names; without one the first."""
    if len(members) == 1 or not isinstance(value, dict) or "kind" not in value:
        return members[0]
    named = {member.kind: member for member in members}
    if value["kind"] not in named:
        *others, last = map(repr, named)
        raise ValueError(f"{where}: kind must be {', '.join(others)} or {last}, got {value['kind']!r}")
    return named[value["kind"]]


def _fits(kind: Any, value: Any) -> bool:
    if kind is float:
        return type(value) in (int, float)
    return type(value) is (dict if is_dataclass(kind) else kind)
