"""Which retired words are left, where; and what else can be counted about how the code reads.

    python -m tests.words
    python -m tests.words ../older-checkout

The project uses the words of the field, one for one thing. `RETIRED` lists words that it once used instead, with the
word to use now. Some are ordinary English in sentences, and retired as parts of names only.
"""

import ast
import io
import re
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

# retired everywhere: in names, messages, docstrings, comments and documents; word: say instead
RETIRED = {
    "picture pictures pictured": "spectrogram; image for PNG files and image-like augmentation; plot",
    "answer answers answered answering": "predict, prediction",
    "net nets": "network, model",
    "taught untaught lesson lessons": "with or without teachers; targets of teachers; distillation",
    "vary varied variation variations": "augment, augmentation, transform",
    "stranger strangers": "untrusted, unrelated",
    "yardstick yardsticks": "baseline",
    "mend mends mended": "fix",
    "sheet sheets": "layout",
}
# retired as parts of names
RETIRED_IN_NAMES = {
    "hear hears heard hearing unheard": "decode, read, predict",
    "listen listens listened listener listeners listening": "decode, read, extract; group of members",
    "number": "index (a quantity is called count or n_...)",
    "side sides": "split",
    "own": "primary, or whose it is",
    "figures": "metrics (a figure is a plot)",
    "called": "detected, detections",
    "say says said": "report, print",
    "begin begins beginning": "start",
    "trouble": "UserError",
    "judge judged judges": "evaluate, evaluated",
}
# retired phrases in sentences; pattern: say instead
RETIRED_PHRASES = {
    r"\b(?:go|goes|went|going|gone) on\b": "resume, continue",
    r"\b(?:is|are|was) no (?:number|answer|bird)\b": "is NaN or infinite; is not a ...",
    r"\bno number\b": "NaN or infinite, not finite",
    r"\b(?:its|the|their|a|from|of) begin\b": "start",
    r"\brecordings? (?:that )?watch": "validation recordings",
    r"\b(?:nets?|networks?|models?|members?|teachers?|students?) (?:hears?|heard|listens?)\b": "gets, was trained on",
}
# what contains a retired word for a good reason; pattern: reason
EXCEPTIONS = {
    r"contact[ _-]sheet|style ?sheet|rel=.stylesheet": "terms of photography and the web",
    r"(?i)\b(?:res|efficient|image|bird|mobile|dense|perch)-?net(?:(?:lite|b|v)\d\w*)?\b": "architectures, data sets",
    r"https?://\S+": "addresses",
    r"(?:add|remove)EventListener": "functions of browsers",
}
# files in which some words are allowed; (path, word): reason
ALLOWED = {
    ("docs/results.md", "*"): "a dated log: what was measured under the old names",
    ("docs/from-the-2018-baseline.md", "*"): "quotes the baseline's settings",
    ("docs/file-formats.md", "net"): "name of a folder of snapshots",
    ("docs/trust.md", "net"): "name of a folder of snapshots",
    ("utils/settings.py", "*"): "reads settings under their old names",
    ("utils/models/snapshots.py", "net"): "name of a folder of snapshots",
    ("utils/models/published.py", "net"): "name of a folder of snapshots",
    ("utils/models/saved_networks.py", "net"): "name of a folder of snapshots",
    ("utils/learning/runs.py", "net"): "name of a folder of snapshots",
    ("utils/scoring/inference/fingerprints.py", "net"): "hashed as when thresholds were found",
    ("utils/scoring/reports/distillation_table.py", "net"): "name of a folder of snapshots",
    ("utils/scoring/reports/distillation_table.py", "nets"): "key of files of earlier versions",
    ("utils/learning/cached_predictions.py", "answers"): "names of files of earlier versions",
    ("utils/learning/distillation.py", "untaught"): "name of runs of earlier versions",
    ("utils/cleaning/unused.py", "answers"): "names of files of earlier versions",
    ("utils/cleaning/stale.py", "pictures"): "name of a file of earlier versions",
    ("utils/spectra/shard_arrays.py", "pictures"): "name of a file of earlier versions",
    ("utils/spectra/store_writer.py", "pictures"): "name of files of earlier versions",
    ("utils/spectra/store_writer.py", "answers"): "names of files of earlier versions",
    ("utils/spectra/image_files.py", "pictures"): "name of a folder of earlier versions",
}
KEYWORDS_OF_OTHERS = {"side"}  # numpy.searchsorted
CODE = ("*.py", "utils/**/*.py", "birdclef/*.py", "install/*.py", "benchmarks/*.py", "docs/**/*.py")
PAGES = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "docs/**/*.ipynb", "experiments/*.toml", "utils/**/*.j2")


class Use(NamedTuple):
    """A word, or phrase, where it stands."""

    kind: str  # "name", "string", "comment" (or docstring), "page"
    path: str
    line: int
    word: str
    text: str  # the name or line that holds it


def words_of(text: str) -> list[str]:
    """Return the words of a name or sentence in lower case: they end at _, at other signs, and where CamelCase does."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", text)]


def without_exceptions(text: str) -> str:
    """Return a text without what holds retired words for a good reason."""
    for pattern in EXCEPTIONS:
        text = re.sub(pattern, " ", text)
    return text


def instead_of(word: str) -> str:
    """Return what to say instead of a retired word or phrase."""
    for table in (RETIRED, RETIRED_IN_NAMES):
        for words, instead in table.items():
            if word in words.split():
                return instead
    return RETIRED_PHRASES[word]


EVERYWHERE = {word for words in RETIRED for word in words.split()}
IN_NAMES = EVERYWHERE | {word for words in RETIRED_IN_NAMES for word in words.split()}


def uses(root: Path) -> Iterator[Use]:
    """Yield every use of a retired word or phrase below a repository's root."""
    for path in files(root, CODE):
        name = path.relative_to(root).as_posix()
        yield from _in_names(name, 1, path.stem)
        text = path.read_text(encoding="utf-8")
        for line, identifier in identifiers(text):
            yield from _in_names(name, line, identifier)
        yield from (Use("name", name, line, "number", "number") for line in numbers_as_indices(text))
        for kind, line, sentence in sentences(text):
            yield from _in_text(kind, name, line, sentence)
    for path in files(root, PAGES):
        for line, sentence in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield from _in_text("page", path.relative_to(root).as_posix(), line, sentence)


def _in_names(path: str, line: int, name: str) -> Iterator[Use]:
    for word in words_of(without_exceptions(name)):
        if word in IN_NAMES and word != "number":
            yield Use("name", path, line, word, name)


def _in_text(kind: str, path: str, line: int, text: str) -> Iterator[Use]:
    for below, row in enumerate(without_exceptions(text).splitlines()):
        for word in words_of(row):
            if word in EVERYWHERE:
                yield Use(kind, path, line + below, word, row.strip())
        for pattern in RETIRED_PHRASES:
            for _ in re.finditer(pattern, row):
                yield Use(kind, path, line + below, pattern, row.strip())


def is_allowed(use: Use) -> bool:
    """Tell whether a file may hold this word."""
    return (use.path, "*") in ALLOWED or (use.path, use.word) in ALLOWED


def files(root: Path, patterns: Sequence[str]) -> list[Path]:
    """Return the files of some patterns, each once."""
    return sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})


def identifiers(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of what a module defines or uses."""
    for node in ast.walk(ast.parse(text)):
        names = {
            ast.Name: "id",
            ast.Attribute: "attr",
            ast.arg: "arg",
            ast.keyword: "arg",
            ast.FunctionDef: "name",
            ast.AsyncFunctionDef: "name",
            ast.ClassDef: "name",
            ast.alias: "name",
        }
        name = getattr(node, names.get(type(node), ""), None)
        if name and not (isinstance(node, ast.keyword) and name in KEYWORDS_OF_OTHERS):
            yield node.lineno, name


def numbers_as_indices(text: str) -> Iterator[int]:
    """Yield the lines in which a variable called number counts through a loop, or is the index of an array."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.For | ast.comprehension) and isinstance(node.iter, ast.Call):
            counts = ast.unparse(node.iter.func) in ("enumerate", "range")
            targets = {inner.id for inner in ast.walk(node.target) if isinstance(inner, ast.Name)}
            if counts and "number" in targets:
                yield node.target.lineno
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name) and node.slice.id == "number":
            yield node.lineno


def sentences(text: str) -> Iterator[tuple[str, int, str]]:
    """Yield the strings, docstrings and comments of a module, with their kinds and first lines."""
    tree = ast.parse(text)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield "comment" if id(node) in docstrings else "string", node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield "comment", token.start[0], token.string


def shared_names(root: Path) -> dict[str, list[str]]:
    """Return the top-level names that stand in more than one module of the root and of utils/, and the modules."""
    found = defaultdict(list)
    for path in files(root, CODE[:2]):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[node.name].append(path.relative_to(root).as_posix())
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for target in targets:
                if isinstance(target, ast.Name):
                    found[target.id].append(path.relative_to(root).as_posix())
    return {name: paths for name, paths in found.items() if len(set(paths)) > 1 and name not in ("main", "__all__")}


def long_lines(root: Path, *, limit: int = 120) -> list[str]:
    """Return where lines of Python are longer than allowed."""
    return [
        f"{path.relative_to(root)}:{index}"
        for path in files(root, (*CODE, "tests/**/*.py"))
        for index, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > limit
    ]


def longest_functions(root: Path) -> list[tuple[int, str]]:
    """Return how many statements each function of the root and of utils/ has, longest first, and its name."""
    found = []
    for path in files(root, CODE[:2]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                statements = sum(isinstance(inner, ast.stmt) for inner in ast.walk(node)) - 1
                found.append((statements, f"{path.relative_to(root)}: {node.name}"))
    return sorted(found, reverse=True)


def main(root: Path) -> None:
    """Print the counts."""
    found = [use for use in uses(root) if not is_allowed(use)]
    print(f"{'retired word or phrase':76} names strings comments pages files")
    for word in sorted({use.word for use in found}, key=lambda word: -sum(use.word == word for use in found)):
        some = [use for use in found if use.word == word]
        kinds = Counter(use.kind for use in some)
        row = [kinds[kind] for kind in ("name", "string", "comment", "page")]
        print(f"{word:76} {row[0]:5} {row[1]:7} {row[2]:8} {row[3]:5} {len({use.path for use in some}):5}")
    kinds = Counter(use.kind for use in found)
    row = [kinds[kind] for kind in ("name", "string", "comment", "page")]
    print(f"{'all':76} {row[0]:5} {row[1]:7} {row[2]:8} {row[3]:5} {len({use.path for use in found}):5}")
    folders = Counter("/".join(use.path.split("/")[:-1]) or "." for use in found)
    print("\nby folder:", ", ".join(f"{folder} {count}" for folder, count in folders.most_common()))
    shared = shared_names(root)
    print(f"names in more than one module: {len(shared)}")
    print(f"lines over 120 characters: {len(long_lines(root))}")
    functions = longest_functions(root)
    lengths = sorted(length for length, _ in functions)
    print(f"functions: {len(functions)}, median {lengths[len(lengths) // 2]} statements, over 15: ", end="")
    print(
        f"{sum(length > 15 for length in lengths)}; longest: " + ", ".join(f"{n} {name}" for n, name in functions[:5])
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1])
