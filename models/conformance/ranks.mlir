// SPDX-License-Identifier: Apache-2.0
// Covers: ranks 0 to 6; seven inputs and seven outputs
func.func @main(%x0: tensor<f32>, %x1: tensor<2xf32>, %x2: tensor<2x3xf32>, %x3: tensor<2x3x2xf32>, %x4: tensor<2x3x2x2xf32>, %x5: tensor<2x3x2x2x3xf32>, %x6: tensor<2x3x2x2x3x2xf32>) -> (tensor<f32>, tensor<2xf32>, tensor<2x3xf32>, tensor<2x3x2xf32>, tensor<2x3x2x2xf32>, tensor<2x3x2x2x3xf32>, tensor<2x3x2x2x3x2xf32>) {
  %b0 = stablehlo.broadcast_in_dim %x0, dims = [] : (tensor<f32>) -> tensor<f32>
  %y0 = stablehlo.add %x0, %b0 : tensor<f32>
  %b1 = stablehlo.broadcast_in_dim %x0, dims = [] : (tensor<f32>) -> tensor<2xf32>
  %y1 = stablehlo.add %x1, %b1 : tensor<2xf32>
  %b2 = stablehlo.broadcast_in_dim %x0, dims = [] : (tensor<f32>) -> tensor<2x3xf32>
  %y2 = stablehlo.add %x2, %b2 : tensor<2x3xf32>
  %b3 = stablehlo.broadcast_in_dim %x0, dims = [] : (tensor<f32>) -> tensor<2x3x2xf32>
  %y3 = stablehlo.add %x3, %b3 : tensor<2x3x2xf32>
  %b4 = stablehlo.broadcast_in_dim %x0, dims = [] : (tensor<f32>) -> tensor<2x3x2x2xf32>
  %y4 = stablehlo.add %x4, %b4 : tensor<2x3x2x2xf32>
  %b5 = stablehlo.broadcast_in_dim %x0, dims = [] : (tensor<f32>) -> tensor<2x3x2x2x3xf32>
  %y5 = stablehlo.add %x5, %b5 : tensor<2x3x2x2x3xf32>
  %b6 = stablehlo.broadcast_in_dim %x0, dims = [] : (tensor<f32>) -> tensor<2x3x2x2x3x2xf32>
  %y6 = stablehlo.add %x6, %b6 : tensor<2x3x2x2x3x2xf32>
  return %y0, %y1, %y2, %y3, %y4, %y5, %y6 : tensor<f32>, tensor<2xf32>, tensor<2x3xf32>, tensor<2x3x2xf32>, tensor<2x3x2x2xf32>, tensor<2x3x2x2x3xf32>, tensor<2x3x2x2x3x2xf32>
}
