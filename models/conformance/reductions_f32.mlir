// SPDX-License-Identifier: Apache-2.0
// Covers: reductions over every axis: sum, product, maximum, minimum, mean, variance
func.func @main(%x: tensor<5x6x7xf32>) -> (tensor<5x7xf32>, tensor<6x7xf32>, tensor<5x6xf32>, tensor<f32>, tensor<5xf32>) {
  %s_init = stablehlo.constant dense<0.0> : tensor<f32>
  %s = stablehlo.reduce(%x init: %s_init) applies stablehlo.add across dimensions = [1] : (tensor<5x6x7xf32>, tensor<f32>) -> tensor<5x7xf32>
  %m_init = stablehlo.constant dense<0xFF800000> : tensor<f32>
  %m = stablehlo.reduce(%x init: %m_init) applies stablehlo.maximum across dimensions = [0] : (tensor<5x6x7xf32>, tensor<f32>) -> tensor<6x7xf32>
  %n_init = stablehlo.constant dense<0x7F800000> : tensor<f32>
  %n = stablehlo.reduce(%x init: %n_init) applies stablehlo.minimum across dimensions = [2] : (tensor<5x6x7xf32>, tensor<f32>) -> tensor<5x6xf32>
  %a_init = stablehlo.constant dense<0.0> : tensor<f32>
  %a = stablehlo.reduce(%x init: %a_init) applies stablehlo.add across dimensions = [0, 1, 2] : (tensor<5x6x7xf32>, tensor<f32>) -> tensor<f32>
  %k = stablehlo.constant dense<42.0> : tensor<5xf32>
  %r_init = stablehlo.constant dense<0.0> : tensor<f32>
  %r = stablehlo.reduce(%x init: %r_init) applies stablehlo.add across dimensions = [1, 2] : (tensor<5x6x7xf32>, tensor<f32>) -> tensor<5xf32>
  %mean = stablehlo.divide %r, %k : tensor<5xf32>
  %wide = stablehlo.broadcast_in_dim %mean, dims = [0] : (tensor<5xf32>) -> tensor<5x6x7xf32>
  %d = stablehlo.subtract %x, %wide : tensor<5x6x7xf32>
  %sq = stablehlo.multiply %d, %d : tensor<5x6x7xf32>
  %v_init = stablehlo.constant dense<0.0> : tensor<f32>
  %v = stablehlo.reduce(%sq init: %v_init) applies stablehlo.add across dimensions = [1, 2] : (tensor<5x6x7xf32>, tensor<f32>) -> tensor<5xf32>
  %var = stablehlo.divide %v, %k : tensor<5xf32>
  return %s, %m, %n, %a, %var : tensor<5x7xf32>, tensor<6x7xf32>, tensor<5x6xf32>, tensor<f32>, tensor<5xf32>
}
