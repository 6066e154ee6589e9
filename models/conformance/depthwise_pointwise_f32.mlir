// SPDX-License-Identifier: Apache-2.0
// Covers: depthwise convolution with stride 2, then pointwise convolution, ReLU6
func.func @main(%x: tensor<1x9x7x8xf32>) -> tensor<1x5x4x6xf32> {
  %w = stablehlo.constant dense<[[[[-0.19, 0.01, -0.51, 0.12, 0.17, -0.17, 0.39, 1.53]], [[-0.52, 0.47, 0.53, 0.59, -0.34, 0.66, 0.39, 0.0]], [[-0.11, 0.19, 0.54, 0.51, 1.22, -0.1, 0.38, -0.14]]], [[[0.47, 0.14, -0.22, -0.59, -0.31, 0.2, 0.81, 0.47]], [[-0.52, -0.17, 0.09, 0.01, 0.1, 0.45, 0.16, -0.3]], [[-0.92, -0.13, -0.81, -0.05, 0.18, -0.65, -0.06, -0.16]]], [[[0.95, 0.22, -0.95, 0.21, 0.19, -0.12, -0.21, 0.28]], [[0.31, 0.19, -0.53, -0.16, -0.81, -0.78, -0.32, -0.57]], [[-0.25, 1.2, 0.2, -0.49, -1.13, -0.47, -0.77, -1.16]]]]> : tensor<3x3x1x8xf32>
  %c = stablehlo.convolution(%x, %w) dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f], window = {stride = [2, 2], pad = [[1, 1], [1, 1]]} {batch_group_count = 1 : i64, feature_group_count = 8 : i64} : (tensor<1x9x7x8xf32>, tensor<3x3x1x8xf32>) -> tensor<1x5x4x8xf32>
  %b_bias = stablehlo.constant dense<[0.3, -0.3, 0.16, 1.48, 0.07, -0.0, 0.11, -0.2]> : tensor<8xf32>
  %b_wide = stablehlo.broadcast_in_dim %b_bias, dims = [3] : (tensor<8xf32>) -> tensor<1x5x4x8xf32>
  %b = stablehlo.add %c, %b_wide : tensor<1x5x4x8xf32>
  %lo = stablehlo.constant dense<0.0> : tensor<f32>
  %hi = stablehlo.constant dense<6.0> : tensor<f32>
  %r = stablehlo.clamp %lo, %b, %hi : (tensor<f32>, tensor<1x5x4x8xf32>, tensor<f32>) -> tensor<1x5x4x8xf32>
  %v = stablehlo.constant dense<[[[[-0.48, -0.17, 0.51, -0.2, -0.75, -0.68], [-0.57, -0.05, 0.18, 0.18, 0.54, -0.15], [0.37, 0.12, 0.31, -0.96, 0.59, -0.8], [-0.59, 0.36, -0.22, 0.86, 0.06, -0.53], [0.06, -0.21, 0.77, 0.8, 0.36, -0.21], [0.03, 0.52, -0.41, -0.4, 0.42, 0.36], [-0.12, -0.14, -0.98, 0.59, -0.06, -0.72], [-0.57, -0.45, 0.85, 0.34, -0.67, 0.93]]]]> : tensor<1x1x8x6xf32>
  %p = stablehlo.convolution(%r, %v) dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f], window = {stride = [1, 1], pad = [[0, 0], [0, 0]]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64} : (tensor<1x5x4x8xf32>, tensor<1x1x8x6xf32>) -> tensor<1x5x4x6xf32>
  %o_bias = stablehlo.constant dense<[0.67, -0.53, -1.33, 0.48, -0.3, -0.07]> : tensor<6xf32>
  %o_wide = stablehlo.broadcast_in_dim %o_bias, dims = [3] : (tensor<6xf32>) -> tensor<1x5x4x6xf32>
  %o = stablehlo.add %p, %o_wide : tensor<1x5x4x6xf32>
  return %o : tensor<1x5x4x6xf32>
}
