// SPDX-License-Identifier: Apache-2.0
// Covers: batch normalisation for inference, after a convolution without bias
func.func @main(%x: tensor<1x6x6x2xf32>) -> tensor<1x6x6x4xf32> {
  %w = stablehlo.constant dense<[[[[0.11, -0.92, -0.81, -0.42], [0.14, -0.71, -0.2, 0.13]], [[0.99, 0.14, -0.25, 0.55], [0.11, -0.14, 0.56, -0.45]], [[0.1, 0.05, 0.45, -0.56], [-0.64, -0.19, -0.13, 0.02]]], [[[-0.18, 0.21, 0.34, 0.11], [-0.52, 0.57, -0.76, -0.1]], [[0.44, -0.31, 0.64, 0.95], [0.78, 0.21, 0.48, -0.26]], [[0.19, 0.22, 0.04, 0.07], [-0.11, -0.98, 0.19, 0.15]]], [[[1.01, 0.35, 0.03, 0.43], [0.3, -0.01, -0.19, -0.73]], [[0.06, 0.8, -0.93, -0.48], [0.37, 0.09, 0.2, -0.93]], [[-0.3, 0.25, 0.29, 0.14], [-0.44, 0.26, -0.6, -0.47]]]]> : tensor<3x3x2x4xf32>
  %c = stablehlo.convolution(%x, %w) dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f], window = {stride = [1, 1], pad = [[1, 1], [1, 1]]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64} : (tensor<1x6x6x2xf32>, tensor<3x3x2x4xf32>) -> tensor<1x6x6x4xf32>
  %g = stablehlo.constant dense<[-0.58, 0.71, -0.21, 0.02]> : tensor<4xf32>
  %h = stablehlo.constant dense<[-1.1, 0.54, 0.23, -0.83]> : tensor<4xf32>
  %m = stablehlo.constant dense<[-0.8, 0.82, -0.48, 0.91]> : tensor<4xf32>
  %v = stablehlo.constant dense<[0.5, 1.0, 1.5, 0.25]> : tensor<4xf32>
  %o = "stablehlo.batch_norm_inference"(%c, %g, %h, %m, %v) {epsilon = 0.001 : f32, feature_index = 3 : i64} : (tensor<1x6x6x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x6x6x4xf32>
  return %o : tensor<1x6x6x4xf32>
}
