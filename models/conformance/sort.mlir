// SPDX-License-Identifier: Apache-2.0
// Covers: sorting rows, ascending
func.func @main(%x: tensor<3x8xf32>) -> tensor<3x8xf32> {
  %s = "stablehlo.sort"(%x) ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %l = stablehlo.compare LT, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>
    stablehlo.return %l : tensor<i1>
  }) {dimension = 1 : i64, is_stable = true} : (tensor<3x8xf32>) -> tensor<3x8xf32>
  return %s : tensor<3x8xf32>
}
