// SPDX-License-Identifier: Apache-2.0
// Covers: softmax over the last and over the first axis; two outputs
func.func @main(%x: tensor<6x10xf32>) -> (tensor<6x10xf32>, tensor<6x10xf32>) {
  %a_max_init = stablehlo.constant dense<0xFF800000> : tensor<f32>
  %a_max = stablehlo.reduce(%x init: %a_max_init) applies stablehlo.maximum across dimensions = [1] : (tensor<6x10xf32>, tensor<f32>) -> tensor<6xf32>
  %a_m = stablehlo.broadcast_in_dim %a_max, dims = [0] : (tensor<6xf32>) -> tensor<6x10xf32>
  %a_d = stablehlo.subtract %x, %a_m : tensor<6x10xf32>
  %a_e = stablehlo.exponential %a_d : tensor<6x10xf32>
  %a_sum_init = stablehlo.constant dense<0.0> : tensor<f32>
  %a_sum = stablehlo.reduce(%a_e init: %a_sum_init) applies stablehlo.add across dimensions = [1] : (tensor<6x10xf32>, tensor<f32>) -> tensor<6xf32>
  %a_s = stablehlo.broadcast_in_dim %a_sum, dims = [0] : (tensor<6xf32>) -> tensor<6x10xf32>
  %a = stablehlo.divide %a_e, %a_s : tensor<6x10xf32>
  %b_max_init = stablehlo.constant dense<0xFF800000> : tensor<f32>
  %b_max = stablehlo.reduce(%x init: %b_max_init) applies stablehlo.maximum across dimensions = [0] : (tensor<6x10xf32>, tensor<f32>) -> tensor<10xf32>
  %b_m = stablehlo.broadcast_in_dim %b_max, dims = [1] : (tensor<10xf32>) -> tensor<6x10xf32>
  %b_d = stablehlo.subtract %x, %b_m : tensor<6x10xf32>
  %b_e = stablehlo.exponential %b_d : tensor<6x10xf32>
  %b_sum_init = stablehlo.constant dense<0.0> : tensor<f32>
  %b_sum = stablehlo.reduce(%b_e init: %b_sum_init) applies stablehlo.add across dimensions = [0] : (tensor<6x10xf32>, tensor<f32>) -> tensor<10xf32>
  %b_s = stablehlo.broadcast_in_dim %b_sum, dims = [1] : (tensor<10xf32>) -> tensor<6x10xf32>
  %b = stablehlo.divide %b_e, %b_s : tensor<6x10xf32>
  return %a, %b : tensor<6x10xf32>, tensor<6x10xf32>
}
