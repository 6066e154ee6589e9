# SPDX-License-Identifier: Apache-2.0
"""What is taken of a model file: which of its signatures, and which shapes where the file leaves them open."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from springbok.support.errors import ModelError

#: A shape as somebody gives it: of the only input, or by the inputs' names; as text ``1x32x32x3`` or ``a=1x8,b=1x4``.
Shape = Mapping[str, Sequence[int]] | Sequence[int] | str


class SelectionError(Exception):
    """A selection that does not suit the model; the text says why."""


@dataclass(frozen=True)
class Selection:
    """``shapes`` holds a pair of name and shape an input, with an empty name for the only input of a model.

    >>> Selection.of("image=1x32x32x3,mask=1x32")
    Selection(shapes=(('image', (1, 32, 32, 3)), ('mask', (1, 32))), signature=None)
    """

    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    signature: str | None = None

    @classmethod
    def of(cls, shape: Shape | None = None, signature: str | None = None) -> Selection:
        """Understands what `Shape` describes. Raises :class:`ModelError` when ``shape`` is no such thing."""
        if shape is None or (isinstance(shape, str) and not shape.strip()):
            named = {}
        elif isinstance(shape, str):
            named = _parsed(shape)
        elif isinstance(shape, Mapping):
            named = dict(shape)
        else:
            named = {"": shape}
        return cls(tuple((str(name), _lengths(shape, dims)) for name, dims in named.items()), signature or None)

    def names(self, name: str) -> bool:
        """Whether a shape was given of this input."""
        return any(each in ("", name) for each, _ in self.shapes)

    def fixed_shape(self, name: str, shape: Sequence[int | None] | None) -> tuple[int, ...]:
        """The input's shape without anything open: ``shape`` is the file's, None where it is open (all of it: None).

        A batch (the first length) that is open is 1 unless it is given; with nothing else open, it may be left out.

        Raises :class:`SelectionError` when anything else is open and not given, or when what is given contradicts the
        file.
        """
        given = next((dims for each, dims in self.shapes if each in ("", name)), None)
        known = _shown(shape)
        if given is None:
            if shape is None or None in shape[1:]:
                example = "x".join("224" if dim is None else str(dim) for dim in [1, *(shape or [None, None])[1:]])
                raise SelectionError(
                    f"its input '{name}' has the shape {known}: only the batch may be open, for the chip needs fixed "
                    f"shapes. Give one when you compile it, such as shape={name}={example}"
                )
            return tuple(1 if dim is None else dim for dim in shape)
        if shape is None:
            return given
        if len(given) == len(shape) - 1 and shape[0] is None:
            if None in shape[1:]:
                whole = "x".join(map(str, (1, *given)))
                raise SelectionError(
                    f"its input '{name}' has the shape {known}, of {len(shape)} lengths, and the shape {list(given)} "
                    f"that was given has {len(given)}: which is left out is not clear. Give all of them, such as "
                    f"shape={name}={whole}"
                )
            given = (1, *given)  # without the batch
        if len(given) != len(shape) or any(dim not in (None, one) for dim, one in zip(shape, given, strict=True)):
            raise SelectionError(
                f"its input '{name}' has the shape {known}, which the shape {list(given)} that was given does not "
                "suit: only what is open (None) can be chosen"
            )
        return given

    def check_names(self, inputs: Sequence[str]) -> None:
        """Raises :class:`SelectionError` when a shape is given of what is no input, or of nothing among several."""
        for name, _ in self.shapes:
            if (name and name not in inputs) or (not name and len(inputs) != 1):
                what = f"an input '{name}'" if name else "its input without a name"
                example = ",".join(f"{each}=1x…" for each in inputs)
                raise SelectionError(
                    f"a shape was given of {what}, but its inputs are {', '.join(inputs) or 'none'}: "
                    f"give it as shape={example}"
                )

    def choose(self, signatures: Sequence[str], default: str | None = None, kind: str = "signatures") -> str | None:
        """Which of a file's ``signatures`` is meant: the one that was named, ``default`` if there is one of that name,
        or the only one. None if there are none, and none was named. ``kind`` is what errors call them.

        Raises :class:`SelectionError` when that is none or not clear.
        """
        if self.signature is not None:
            if self.signature not in signatures:
                raise SelectionError(f"it has no signature '{self.signature}': {_listed(signatures, kind)}")
            return self.signature
        if default in signatures:
            return default
        if len(signatures) > 1:
            raise SelectionError(
                f"{_listed(signatures, kind)}. Say which one to compile, such as signature={signatures[0]}"
            )
        return next(iter(signatures), None)


#: Nothing was said: the only signature, with the shapes that the file has.
WHOLE_FILE = Selection()


def _listed(signatures: Sequence[str], kind: str) -> str:
    if not signatures:
        return f"it has no {kind} at all"
    return f"it has {len(signatures)} {kind} ({', '.join(signatures)})"


def _shown(shape: Sequence[int | None] | None) -> str:
    return "None (not even its rank is known)" if shape is None else str(list(shape))


def _parsed(text: str) -> dict[str, str]:
    """``name=1x2,other=3`` as a table; names may hold anything but a comma followed by another name."""
    if "=" not in text:
        return {"": text}
    found = {}
    for part in re.split(r",(?=[^,=]+=)", text):
        name, _, dims = part.rpartition("=")
        found[name.strip()] = dims
    return found


def _dimensions(text: str) -> list[str]:
    inner = text.strip(" \t[]()")
    return [] if text.strip() in ("()", "[]") else re.split(r"\s*[x×,]\s*", inner)


def _whole(dim: object) -> int:
    return int(dim) if isinstance(dim, str) else operator.index(dim)


def _lengths(given: object, dims: object) -> tuple[int, ...]:
    try:
        lengths = tuple(map(int, _dimensions(dims)) if isinstance(dims, str) else map(_whole, dims))
    except (TypeError, ValueError):
        lengths = (0,)
    if not all(0 < length < 1 << 31 for length in lengths):
        raise ModelError(
            f"The shape '{given}' can't be understood: give whole numbers above 0, such as 1x32x32x3, and several "
            "inputs by their names, such as image=1x32x32x3,mask=1x32."
        )
    return lengths
