// SPDX-License-Identifier: Apache-2.0
// Covers: one-dimensional convolution, dilated; leaky ReLU
func.func @main(%x: tensor<1x20x3xf32>) -> tensor<1x16x4xf32> {
  %w = stablehlo.constant dense<[[[-0.03, -0.24, 0.17, 0.08], [0.87, -0.02, 0.1, 0.05], [0.55, -0.52, 0.2, -0.36]], [[-0.67, 0.59, 0.27, 0.7], [0.14, 0.33, 0.08, 0.3], [-0.18, 0.85, -0.41, 0.85]], [[-0.07, 0.45, 0.09, 0.24], [0.75, 0.09, -0.43, 0.14], [0.34, -1.17, 0.5, 0.56]]]> : tensor<3x3x4xf32>
  %c = stablehlo.convolution(%x, %w) dim_numbers = [b, 0, f]x[0, i, o]->[b, 0, f], window = {stride = [1], pad = [[0, 0]], rhs_dilate = [2]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64} : (tensor<1x20x3xf32>, tensor<3x3x4xf32>) -> tensor<1x16x4xf32>
  %z = stablehlo.constant dense<0.0> : tensor<1x16x4xf32>
  %k = stablehlo.constant dense<0.1> : tensor<1x16x4xf32>
  %n = stablehlo.multiply %c, %k : tensor<1x16x4xf32>
  %p = stablehlo.compare GT, %c, %z : (tensor<1x16x4xf32>, tensor<1x16x4xf32>) -> tensor<1x16x4xi1>
  %o = stablehlo.select %p, %c, %n : tensor<1x16x4xi1>, tensor<1x16x4xf32>
  return %o : tensor<1x16x4xf32>
}
