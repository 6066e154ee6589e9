// SPDX-License-Identifier: Apache-2.0
// The flow through a pump, of its pressures before and after, and its valve's position as an integer; then what the
// pressures alone give.
func.func @main(%pressure: tensor<1x2xf32>, %valve: tensor<1x1xi32>) -> (tensor<1x1xf32>, tensor<1x1xf32>) {
  %weights = stablehlo.constant dense<[[-2.0], [2.0]]> : tensor<2x1xf32>
  %drop = stablehlo.dot_general %pressure, %weights, contracting_dims = [1] x [0]
    : (tensor<1x2xf32>, tensor<2x1xf32>) -> tensor<1x1xf32>
  %opening = stablehlo.convert %valve : (tensor<1x1xi32>) -> tensor<1x1xf32>
  %flow = stablehlo.add %drop, %opening : tensor<1x1xf32>
  return %flow, %drop : tensor<1x1xf32>, tensor<1x1xf32>
}
