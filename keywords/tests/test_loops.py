# SPDX-License-Identifier: Apache-2.0
"""Loops that run a known number of times are written out; others stay."""

import pytest

from springbok.compiler.importers.loops import written_out

LOOP = """
func.func @main(%x: tensor<4xf32>, %n: tensor<i32>) -> tensor<4xf32> {{
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %step = stablehlo.constant dense<{step}> : tensor<i32>
  %five = stablehlo.constant dense<5> : tensor<i32>
  %r:2 = stablehlo.while(%i = %zero, %y = %x) : tensor<i32>, tensor<4xf32>
    cond {{
      %more = stablehlo.compare LT, %i, {bound} : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %more : tensor<i1>
    }} do {{
      %next = stablehlo.add %i, %step : tensor<i32>
      %z = stablehlo.tanh %y : tensor<4xf32>
      stablehlo.return %next, %z : tensor<i32>, tensor<4xf32>
    }}
  return %r#1 : tensor<4xf32>
}}
"""


@pytest.mark.parametrize(
    ("step", "bound", "turns"),
    [(1, "%five", 5), (2, "%five", 3), (7, "%five", 1), (1, "%zero", 0), (1, "%n", None), (0, "%five", None)],
)
def test_as_many_turns_as_the_counter_says(step, bound, turns):
    text = LOOP.format(step=step, bound=bound)
    made = written_out(text)
    if turns is None:
        assert made == text
    else:
        assert ("stablehlo.while" in made, made.count("stablehlo.tanh")) == (False, turns)
