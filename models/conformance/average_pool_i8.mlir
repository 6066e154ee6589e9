// SPDX-License-Identifier: Apache-2.0
// Covers: average pooling in int8: a windowed sum in i32 and a rounded division
func.func @main(%x: tensor<1x8x8x3xi8>) -> tensor<1x4x4x3xi8> {
  %window = tensor.empty() : tensor<2x2xi32>
  %we = tensor.empty() : tensor<1x8x8x3xi32>
  %w = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%x : tensor<1x8x8x3xi8>) outs(%we : tensor<1x8x8x3xi32>) {
  ^bb0(%a: i8, %old: i32):
    %b = arith.extsi %a : i8 to i32
    linalg.yield %b : i32
  } -> tensor<1x8x8x3xi32>
  %z_e = tensor.empty() : tensor<1x4x4x3xi32>
  %z_z = arith.constant 0 : i32
  %z = linalg.fill ins(%z_z : i32) outs(%z_e : tensor<1x4x4x3xi32>) -> tensor<1x4x4x3xi32>
  %s = linalg.pooling_nhwc_sum {dilations = dense<1> : tensor<2xi64>, strides = dense<2> : tensor<2xi64>} ins(%w, %window : tensor<1x8x8x3xi32>, tensor<2x2xi32>) outs(%z : tensor<1x4x4x3xi32>) -> tensor<1x4x4x3xi32>
  %o_empty = tensor.empty() : tensor<1x4x4x3xi8>
  %o = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%s : tensor<1x4x4x3xi32>) outs(%o_empty : tensor<1x4x4x3xi8>) {
  ^bb0(%in: i32, %old: i8):
    %multiplier = arith.constant 1073741824 : i64
    %rounding = arith.constant 2147483648 : i64
    %shift = arith.constant 32 : i64
    %point = arith.constant 0 : i64
    %least = arith.constant -128 : i64
    %most = arith.constant 127 : i64
    %wide = arith.extsi %in : i32 to i64
    %product = arith.muli %wide, %multiplier : i64
    %rounded = arith.addi %product, %rounding : i64
    %scaled = arith.shrsi %rounded, %shift : i64
    %moved = arith.addi %scaled, %point : i64
    %above = arith.maxsi %moved, %least : i64
    %within = arith.minsi %above, %most : i64
    %byte = arith.trunci %within : i64 to i8
    linalg.yield %byte : i8
  } -> tensor<1x4x4x3xi8>
  return %o : tensor<1x4x4x3xi8>
}
