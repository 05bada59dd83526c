"""Damaged XML, CSV, JSON and TOML, made from undamaged files with a seed."""

from collections.abc import Callable

import numpy as np

Generator = np.random.Generator
MARKS = b"<>&\"'\x00\xff\xfe\xc3[]{}=,;:\n\r\t\\/%\xe2\x80\xa8-+eE#!?"


def flip(content: bytes, rng: Generator) -> bytes:
    array = np.frombuffer(content, np.uint8).copy()
    for position in rng.integers(0, len(array), int(rng.integers(1, 40))):
        array[position] ^= 1 << int(rng.integers(0, 8))
    return array.tobytes()


def cut_off(content: bytes, rng: Generator) -> bytes:
    return content[: int(rng.integers(0, len(content)))]


def cut_out(content: bytes, rng: Generator) -> bytes:
    start, end = sorted(rng.integers(0, len(content), 2))
    return content[:start] + content[end:]


def put_marks(content: bytes, rng: Generator) -> bytes:
    """Insert characters with a meaning for parsers at random positions."""
    for position in sorted(rng.integers(0, len(content), int(rng.integers(1, 10))), reverse=True):
        content = content[:position] + MARKS[(start := int(rng.integers(len(MARKS)))) : start + 1] + content[position:]
    return content


def put_noise(content: bytes, rng: Generator) -> bytes:
    position = int(rng.integers(0, len(content)))
    return content[:position] + rng.bytes(int(rng.integers(1, 3000))) + content[position:]


def other_encoding(content: bytes, rng: Generator) -> bytes:
    return content.decode().encode(str(rng.choice(["utf-16", "utf-32", "utf-16-le", "cp500", "utf-7"])))


def very_long(content: bytes, rng: Generator) -> bytes:
    """Repeat one byte a million times."""
    position = int(rng.integers(0, len(content)))
    return content[:position] + content[position : position + 1] * 1_000_000 + content[position:]


def very_deep(content: bytes, rng: Generator) -> bytes:
    """Open a hundred thousand brackets or elements."""
    position = int(rng.integers(0, len(content)))
    return content[:position] + (b"<a>", b"[", b"{", b'{"a":')[int(rng.integers(4))] * 100_000 + content[position:]


def twice(content: bytes, rng: Generator) -> bytes:
    position = int(rng.integers(0, len(content)))
    return content[:position] + content + content[position:]


def endless_number(content: bytes, rng: Generator) -> bytes:
    """Insert a number of ten thousand digits, NaN, infinity or an invalid one where a number may stand."""
    places = [position for position, byte in enumerate(content) if byte in b"=,>:\t"]
    position = places[int(rng.integers(len(places)))] + 1
    return (
        content[:position]
        + (b"9" * 10_000, b"1e999999", b"nan", b"-inf", b"0x", b"-0", b"1_0")[int(rng.integers(7))]
        + content[position:]
    )


DAMAGES: tuple[Callable[[bytes, Generator], bytes], ...] = (
    *(flip, cut_off, cut_out, put_marks, put_noise, other_encoding, very_long, very_deep, twice, endless_number),
)


def damaged(content: bytes, *, count: int, seed: int) -> list[bytes]:
    """Return `count` damaged versions of a text, with each kind of damage in turn."""
    return [DAMAGES[index % len(DAMAGES)](content, np.random.default_rng((seed, index))) for index in range(count)]


def bombs(canary: str) -> list[bytes]:
    """Return XML that expands without end, that makes its reader open the file `canary`, or with unusable encodings."""
    bomb = "".join(f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, 10))
    return [
        f'<!DOCTYPE Audio [<!ENTITY a0 "ha">{bomb}]><Audio><FileName>&a9;</FileName></Audio>'.encode(),
        f'<!DOCTYPE Audio [<!ENTITY x SYSTEM "file://{canary}">]><Audio><FileName>&x;</FileName></Audio>'.encode(),
        f'<!DOCTYPE Audio SYSTEM "file://{canary}"><Audio/>'.encode(),
        f'<!DOCTYPE Audio [<!ENTITY % x SYSTEM "file://{canary}"> %x;]><Audio/>'.encode(),
        b'<?xml version="1.0" encoding="nobodys-12521"?><Audio><FileName>a.wav</FileName></Audio>',
        b'<?xml version="1.0" encoding="base64"?><Audio><FileName>a.wav</FileName></Audio>',
        '<Audio xmlns:xi="http://www.w3.org/2001/XInclude">'
        f'<xi:include href="{canary}" parse="text"/></Audio>'.encode(),
    ]
