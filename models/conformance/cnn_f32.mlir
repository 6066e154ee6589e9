// SPDX-License-Identifier: Apache-2.0
// Covers: a CNN in f32: convolution, bias, ReLU, max pooling, dense layer, softmax
func.func @main(%x: tensor<1x8x8x1xf32>) -> tensor<1x4xf32> {
  %w = stablehlo.constant dense<[[[[-0.4, -0.66, -0.12, 0.21]], [[0.57, 0.05, -0.28, -0.39]], [[0.37, 0.82, 0.14, -0.62]]], [[[-0.48, 0.8, 0.1, -0.87]], [[-0.04, -0.58, -0.31, -0.24]], [[-0.36, 0.28, -0.03, -0.29]]], [[[0.2, 0.41, -0.82, -0.13]], [[-0.49, -0.09, -0.64, 0.01]], [[-0.02, -0.15, -0.52, -0.2]]]]> : tensor<3x3x1x4xf32>
  %c = stablehlo.convolution(%x, %w) dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f], window = {stride = [1, 1], pad = [[1, 1], [1, 1]]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64} : (tensor<1x8x8x1xf32>, tensor<3x3x1x4xf32>) -> tensor<1x8x8x4xf32>
  %b_bias = stablehlo.constant dense<[-0.55, -0.68, 0.11, -0.55]> : tensor<4xf32>
  %b_wide = stablehlo.broadcast_in_dim %b_bias, dims = [3] : (tensor<4xf32>) -> tensor<1x8x8x4xf32>
  %b = stablehlo.add %c, %b_wide : tensor<1x8x8x4xf32>
  %r_zero = stablehlo.constant dense<0.0> : tensor<1x8x8x4xf32>
  %r = stablehlo.maximum %b, %r_zero : tensor<1x8x8x4xf32>
  %p_init = stablehlo.constant dense<0xFF800000> : tensor<f32>
  %p = "stablehlo.reduce_window"(%r, %p_init) ({
  ^bb0(%left: tensor<f32>, %right: tensor<f32>):
    %joined = stablehlo.maximum %left, %right : tensor<f32>
    stablehlo.return %joined : tensor<f32>
  }) {window_dimensions = array<i64: 1, 2, 2, 1>, window_strides = array<i64: 1, 2, 2, 1>, padding = dense<0> : tensor<4x2xi64>} : (tensor<1x8x8x4xf32>, tensor<f32>) -> tensor<1x4x4x4xf32>
  %f = stablehlo.reshape %p : (tensor<1x4x4x4xf32>) -> tensor<1x64xf32>
  %v = stablehlo.constant dense<[[0.23, 0.14, -0.4, 0.05], [-0.22, 0.01, 0.01, -0.4], [-0.05, -0.05, 0.19, -0.24], [0.15, -0.22, -0.07, -0.17], [0.29, 0.11, 0.49, 0.13], [0.17, 0.17, -0.12, -0.01], [0.27, -0.08, 0.04, -0.0], [0.12, -0.07, -0.03, 0.05], [0.02, -0.17, 0.18, -0.26], [-0.24, -0.26, 0.19, -0.07], [-0.19, -0.23, 0.08, -0.21], [-0.25, 0.12, -0.24, -0.06], [-0.0, -0.09, -0.01, 0.27], [-0.1, -0.25, -0.37, -0.04], [-0.07, 0.05, -0.09, -0.1], [-0.14, -0.1, 0.03, -0.08], [0.02, 0.38, 0.1, -0.32], [0.35, 0.07, -0.19, 0.18], [0.0, -0.12, -0.13, -0.2], [0.01, 0.21, -0.07, 0.08], [0.38, -0.24, 0.05, -0.06], [-0.21, -0.21, -0.0, 0.09], [-0.11, 0.01, 0.14, 0.06], [0.17, 0.09, 0.1, 0.37], [0.12, 0.03, 0.14, -0.18], [-0.07, 0.16, 0.13, 0.31], [0.0, -0.29, 0.39, 0.22], [-0.21, 0.28, 0.01, -0.36], [-0.08, -0.1, 0.32, -0.16], [-0.05, -0.06, -0.08, -0.18], [0.04, 0.22, 0.12, -0.19], [-0.23, 0.02, -0.14, -0.13], [-0.34, 0.39, 0.18, -0.19], [0.18, 0.27, -0.48, -0.11], [-0.08, 0.13, -0.02, -0.05], [-0.01, 0.37, 0.43, -0.1], [-0.19, 0.54, -0.2, -0.11], [0.01, 0.1, 0.21, 0.08], [-0.17, 0.1, 0.05, 0.38], [-0.0, -0.27, -0.21, 0.29], [-0.11, -0.42, -0.12, 0.0], [0.24, -0.2, 0.13, 0.16], [-0.14, -0.04, 0.35, 0.34], [0.17, 0.07, 0.23, -0.03], [-0.02, -0.17, 0.0, -0.02], [0.55, -0.04, 0.25, 0.26], [-0.04, 0.23, -0.44, 0.02], [0.17, -0.48, -0.23, 0.21], [-0.05, -0.22, -0.07, -0.11], [0.14, 0.09, -0.06, -0.13], [-0.01, 0.27, 0.07, 0.13], [-0.03, -0.26, -0.14, 0.13], [0.02, -0.18, -0.32, 0.02], [-0.07, -0.07, -0.07, 0.06], [0.06, 0.19, 0.19, 0.27], [0.16, -0.07, -0.01, 0.1], [-0.06, 0.11, 0.23, -0.16], [-0.35, 0.24, 0.0, 0.14], [-0.27, 0.35, 0.15, -0.03], [-0.07, 0.02, -0.03, -0.06], [-0.22, 0.25, -0.01, 0.01], [0.02, -0.47, 0.11, -0.07], [-0.06, 0.01, -0.19, 0.17], [-0.14, -0.18, -0.17, 0.03]]> : tensor<64x4xf32>
  %d = stablehlo.dot_general %f, %v, contracting_dims = [1] x [0] : (tensor<1x64xf32>, tensor<64x4xf32>) -> tensor<1x4xf32>
  %e_bias = stablehlo.constant dense<[0.37, -0.3, -0.76, 0.53]> : tensor<4xf32>
  %e_wide = stablehlo.broadcast_in_dim %e_bias, dims = [1] : (tensor<4xf32>) -> tensor<1x4xf32>
  %e = stablehlo.add %d, %e_wide : tensor<1x4xf32>
  %s_max_init = stablehlo.constant dense<0xFF800000> : tensor<f32>
  %s_max = stablehlo.reduce(%e init: %s_max_init) applies stablehlo.maximum across dimensions = [1] : (tensor<1x4xf32>, tensor<f32>) -> tensor<1xf32>
  %s_m = stablehlo.broadcast_in_dim %s_max, dims = [0] : (tensor<1xf32>) -> tensor<1x4xf32>
  %s_d = stablehlo.subtract %e, %s_m : tensor<1x4xf32>
  %s_e = stablehlo.exponential %s_d : tensor<1x4xf32>
  %s_sum_init = stablehlo.constant dense<0.0> : tensor<f32>
  %s_sum = stablehlo.reduce(%s_e init: %s_sum_init) applies stablehlo.add across dimensions = [1] : (tensor<1x4xf32>, tensor<f32>) -> tensor<1xf32>
  %s_s = stablehlo.broadcast_in_dim %s_sum, dims = [0] : (tensor<1xf32>) -> tensor<1x4xf32>
  %s = stablehlo.divide %s_e, %s_s : tensor<1x4xf32>
  return %s : tensor<1x4xf32>
}
