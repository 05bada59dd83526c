"""What metrics and reports tell of the bird models that a result depends on: title, licence, file and hash."""

from collections.abc import Iterable

from config import External

SHOWN_DIGITS = 16  # of a hash, on pages


def described(models: Iterable[External]) -> list[dict[str, str]]:
    """Return the title, licence, file and SHA-256 of each bird model, each once; settings without one are left out."""
    files = {model.sha256: model for model in models if model.sha256 and model.file}
    return [
        {"title": model.title, "licence": model.licence, "file": model.file.name if model.file else "", "sha256": hash_}
        for hash_, model in files.items()
    ]


def described_in_text(models: Iterable[External]) -> dict[str, str]:
    """Return the same as a text by its heading, for a page; empty if there is none."""
    texts = [
        f"{one['title']}, {one['licence'] or 'licence not known'}, {one['file']} "
        f"(SHA-256 {one['sha256'][:SHOWN_DIGITS]}…)"
        for one in described(models)
    ]
    return {"bird model" if len(texts) == 1 else "bird models": "; ".join(texts)} if texts else {}
