"""How the tests are laid out: a file has one subject, and a length that can be read."""

from pathlib import Path

TESTS = Path(__file__).parent
LONGEST = 600


def too_long(folder: Path) -> dict[str, int]:
    """Files of Python below the folder with more lines than a reader takes in."""
    lines = {path: path.read_bytes().count(b"\n") for path in sorted(folder.rglob("*.py"))}
    return {path.name: count for path, count in lines.items() if count > LONGEST}


def test_no_file_of_tests_is_longer_than_600_lines() -> None:
    assert too_long(TESTS) == {}, "look for the second subject in it"


def test_a_file_that_is_too_long_is_found(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "test_long.py").write_text("\n" * 601)
    (tmp_path / "test_just.py").write_text("\n" * 600)
    assert too_long(tmp_path) == {"test_long.py": 601}
