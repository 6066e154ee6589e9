// SPDX-License-Identifier: Apache-2.0
// Covers: transposed convolution (the decoder of an autoencoder)
func.func @main(%x: tensor<1x4x4x3xf32>) -> tensor<1x8x8x2xf32> {
  %w = stablehlo.constant dense<[[[[-0.84, -0.05], [0.43, -0.54], [-0.18, -0.14]], [[0.3, 0.57], [0.01, 0.06], [0.48, 0.29]], [[-0.03, 0.68], [-0.67, 0.1], [-0.18, -0.22]]], [[[0.12, 0.04], [1.23, 0.34], [0.2, 0.84]], [[0.52, -0.89], [0.09, 0.39], [-0.27, 0.17]], [[-0.2, 0.21], [-0.78, -0.94], [-0.25, 0.13]]], [[[0.68, -0.12], [-0.35, 0.47], [0.04, 0.91]], [[-0.03, -0.94], [-0.38, -0.45], [-0.67, -0.37]], [[-0.32, -0.13], [-0.26, 0.22], [0.22, 0.1]]]]> : tensor<3x3x3x2xf32>
  %c = stablehlo.convolution(%x, %w) dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f], window = {stride = [1, 1], pad = [[1, 2], [1, 2]], lhs_dilate = [2, 2]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64} : (tensor<1x4x4x3xf32>, tensor<3x3x3x2xf32>) -> tensor<1x8x8x2xf32>
  return %c : tensor<1x8x8x2xf32>
}
