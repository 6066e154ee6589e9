// SPDX-License-Identifier: Apache-2.0
// Covers: self-attention: batched products, scaled softmax, transposition
func.func @main(%x: tensor<2x6x4xf32>) -> tensor<2x6x4xf32> {
  %q = stablehlo.dot_general %x, %x, batching_dims = [0] x [0], contracting_dims = [2] x [2] : (tensor<2x6x4xf32>, tensor<2x6x4xf32>) -> tensor<2x6x6xf32>
  %k = stablehlo.constant dense<0.05> : tensor<2x6x6xf32>
  %l = stablehlo.multiply %q, %k : tensor<2x6x6xf32>
  %s_max_init = stablehlo.constant dense<0xFF800000> : tensor<f32>
  %s_max = stablehlo.reduce(%l init: %s_max_init) applies stablehlo.maximum across dimensions = [2] : (tensor<2x6x6xf32>, tensor<f32>) -> tensor<2x6xf32>
  %s_m = stablehlo.broadcast_in_dim %s_max, dims = [0, 1] : (tensor<2x6xf32>) -> tensor<2x6x6xf32>
  %s_d = stablehlo.subtract %l, %s_m : tensor<2x6x6xf32>
  %s_e = stablehlo.exponential %s_d : tensor<2x6x6xf32>
  %s_sum_init = stablehlo.constant dense<0.0> : tensor<f32>
  %s_sum = stablehlo.reduce(%s_e init: %s_sum_init) applies stablehlo.add across dimensions = [2] : (tensor<2x6x6xf32>, tensor<f32>) -> tensor<2x6xf32>
  %s_s = stablehlo.broadcast_in_dim %s_sum, dims = [0, 1] : (tensor<2x6xf32>) -> tensor<2x6x6xf32>
  %s = stablehlo.divide %s_e, %s_s : tensor<2x6x6xf32>
  %t = stablehlo.transpose %s, dims = [0, 2, 1] : (tensor<2x6x6xf32>) -> tensor<2x6x6xf32>
  %o = stablehlo.dot_general %t, %x, batching_dims = [0] x [0], contracting_dims = [1] x [1] : (tensor<2x6x6xf32>, tensor<2x6x4xf32>) -> tensor<2x6x4xf32>
  return %o : tensor<2x6x4xf32>
}
