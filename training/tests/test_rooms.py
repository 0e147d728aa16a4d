"""The house of ask_training: rooms import only rooms before them in ``ROOMS``, and no files import one another in a
circle."""

import ast
from pathlib import Path

import pytest
from support import TRAINING

PACKAGE = TRAINING / "ask_training"
ROOMS = ("experiment", "data", "models", "train", "policy", "export", "report")


def imported(path: Path, package: Path) -> set[Path]:
    """The package's files that a file imports, anywhere in it: imports for types count as well."""
    found = set()
    inside = path.relative_to(package.parent).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            above = inside[: -node.level] if node.level else ()
            base = (*above, *(node.module.split(".") if node.module else ()))
            names = [base, *((*base, alias.name) for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        for name in names:
            for file in (
                package.parent.joinpath(*name).with_suffix(".py"),
                package.parent.joinpath(*name, "__init__.py"),
            ):
                if name[0] == package.name and file.is_file():
                    found.add(file)
    return {file for file in found if file.stat().st_size} - {path}


def violations(package: Path, rooms: tuple[str, ...]) -> list[str]:
    files = sorted(package.rglob("*.py"))
    imports = {path: imported(path, package) for path in files}

    def rank(path: Path) -> int:
        room = path.relative_to(package).parts[0]
        return rooms.index(room) if room in rooms else len(rooms)  # commands, above all rooms

    said = [
        f"{path.relative_to(package)} imports {other.relative_to(package)}, of a later room"
        for path in files for other in sorted(imports[path]) if rank(other) > rank(path)
    ]
    reach = {path: set(others) for path, others in imports.items()}
    for middle in files:
        for path in files:
            if middle in reach[path]:
                reach[path] |= reach[middle]
    said += [
        f"{path.relative_to(package)} and {other.relative_to(package)} import one another"
        for path in files for other in files if path < other and other in reach[path] and path in reach[other]
    ]
    return said


def test_every_folder_is_a_room_and_has_its_place() -> None:
    assert {path.parent.name for path in PACKAGE.glob("*/*.py")} == set(ROOMS)


def test_rooms_import_earlier_rooms_and_nothing_in_circles() -> None:
    assert violations(PACKAGE, ROOMS) == []


HOUSES = {
    "a later room": (
        {"low/a.py": "from ..high.b import B", "high/b.py": "B = 1"},
        "low/a.py imports high/b.py, of a later room",
    ),
    "a later room, whole": (
        {"low/a.py": "from ..high import b", "high/b.py": ""},
        "low/a.py imports high/b.py, of a later room",
    ),
    "a command": (
        {"low/a.py": "from house.main import B", "main.py": "B = 1"},
        "low/a.py imports main.py, of a later room",
    ),
    "types": (
        {"low/a.py": "if TYPE_CHECKING:\n    from house.high.b import B", "high/b.py": "B = 1"},
        "low/a.py imports high/b.py, of a later room",
    ),
    "a circle": (
        {
            "low/a.py": "from .b import B",
            "low/b.py": "from .c import C\nB = 1",
            "low/c.py": "def f():\n    import house.low.a\nC = 1",
        },
        "low/a.py and low/b.py import one another",
    ),
}


@pytest.mark.parametrize(("files", "message"), HOUSES.values(), ids=HOUSES)
def test_a_wrong_import_is_named_with_both_files(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        path = tmp_path / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert message in violations(tmp_path / "house", ("low", "high"))
