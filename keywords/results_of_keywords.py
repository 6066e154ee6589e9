# SPDX-License-Identifier: Apache-2.0
"""Arguments of these libraries' keywords that only another keyword makes: what is given instead is refused in words."""

from collections.abc import Callable

from springbok.compiler.compiled import CompiledModel
from springbok.data.dataset import Dataset
from springbok.measuring.evaluation import Evaluation


def _made_by(kind: type, what: str) -> Callable[[object], object]:
    def convert(value: object) -> object:
        given = f"{value!r:.80}" if isinstance(value, str) else f"what is of the type {type(value).__name__}"
        raise ValueError(f"this takes {what}, not {given}.")

    convert.__doc__ = f"Takes {what}."
    convert.__name__ = kind.__name__
    return convert


#: For ``@library(converters=CONVERTERS)``: Robot asks it for every argument that is not of its type already.
CONVERTERS = {
    CompiledModel: _made_by(CompiledModel, "what 'Compile Model' returns"),
    Dataset: _made_by(Dataset, "what 'Load Data Set' returns"),
    Evaluation: _made_by(Evaluation, "what 'Evaluate Model' returns"),
}
