// SPDX-License-Identifier: Apache-2.0
// Covers: look-up in a table by i32 indices, which are brought into range first
func.func @main(%i: tensor<6xi32>) -> tensor<6x4xf32> {
  %t = stablehlo.constant dense<[[0.76, 0.65, 0.34, -0.2], [0.0, 0.08, 0.2, -0.18], [-0.44, 0.57, -0.19, 0.43], [-0.09, 0.35, 0.26, 0.38], [0.35, -0.48, -0.69, -0.02], [0.85, -0.42, -0.47, 1.17], [-0.79, -0.29, -0.21, -0.35], [-0.33, 0.55, 0.11, 0.09], [-0.84, 0.41, 0.09, 0.08], [0.42, 0.16, -0.01, 0.21]]> : tensor<10x4xf32>
  %lo = stablehlo.constant dense<0> : tensor<i32>
  %hi = stablehlo.constant dense<9> : tensor<i32>
  %c = stablehlo.clamp %lo, %i, %hi : (tensor<i32>, tensor<6xi32>, tensor<i32>) -> tensor<6xi32>
  %g = "stablehlo.gather"(%t, %c) {dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 4>} : (tensor<10x4xf32>, tensor<6xi32>) -> tensor<6x4xf32>
  return %g : tensor<6x4xf32>
}
