// SPDX-License-Identifier: Apache-2.0
// Three readings, centred, of a pump: 'idle' where their sum is below zero, else 'running'.
func.func @main(%readings: tensor<1x3xf32>) -> tensor<1x2xf32> {
  %weights = stablehlo.constant dense<[[-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0]]> : tensor<3x2xf32>
  %scores = stablehlo.dot_general %readings, %weights, contracting_dims = [1] x [0]
    : (tensor<1x3xf32>, tensor<3x2xf32>) -> tensor<1x2xf32>
  return %scores : tensor<1x2xf32>
}
