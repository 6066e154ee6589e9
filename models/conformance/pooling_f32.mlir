// SPDX-License-Identifier: Apache-2.0
// Covers: max and average pooling, overlapping windows, padding; global average; three outputs
func.func @main(%x: tensor<1x9x9x3xf32>) -> (tensor<1x5x5x3xf32>, tensor<1x3x3x3xf32>, tensor<1x3xf32>) {
  %m_init = stablehlo.constant dense<0xFF800000> : tensor<f32>
  %m = "stablehlo.reduce_window"(%x, %m_init) ({
  ^bb0(%left: tensor<f32>, %right: tensor<f32>):
    %joined = stablehlo.maximum %left, %right : tensor<f32>
    stablehlo.return %joined : tensor<f32>
  }) {window_dimensions = array<i64: 1, 3, 3, 1>, window_strides = array<i64: 1, 2, 2, 1>, padding = dense<[[0, 0], [1, 1], [1, 1], [0, 0]]> : tensor<4x2xi64>} : (tensor<1x9x9x3xf32>, tensor<f32>) -> tensor<1x5x5x3xf32>
  %a_init = stablehlo.constant dense<0.0> : tensor<f32>
  %a = "stablehlo.reduce_window"(%x, %a_init) ({
  ^bb0(%left: tensor<f32>, %right: tensor<f32>):
    %joined = stablehlo.add %left, %right : tensor<f32>
    stablehlo.return %joined : tensor<f32>
  }) {window_dimensions = array<i64: 1, 3, 3, 1>, window_strides = array<i64: 1, 3, 3, 1>, padding = dense<0> : tensor<4x2xi64>} : (tensor<1x9x9x3xf32>, tensor<f32>) -> tensor<1x3x3x3xf32>
  %n = stablehlo.constant dense<9.0> : tensor<1x3x3x3xf32>
  %v = stablehlo.divide %a, %n : tensor<1x3x3x3xf32>
  %g_init = stablehlo.constant dense<0.0> : tensor<f32>
  %g = stablehlo.reduce(%x init: %g_init) applies stablehlo.add across dimensions = [1, 2] : (tensor<1x9x9x3xf32>, tensor<f32>) -> tensor<1x3xf32>
  %k = stablehlo.constant dense<81.0> : tensor<1x3xf32>
  %h = stablehlo.divide %g, %k : tensor<1x3xf32>
  return %m, %v, %h : tensor<1x5x5x3xf32>, tensor<1x3x3x3xf32>, tensor<1x3xf32>
}
