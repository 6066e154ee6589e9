// SPDX-License-Identifier: Apache-2.0
// Covers: depthwise convolution in int8 with zero points and stride 2
func.func @main(%x: tensor<1x9x9x5xi8>) -> tensor<1x4x4x5xi8> {
  %zx = arith.constant -3 : i32
  %zw = arith.constant 0 : i32
  %w = arith.constant dense<[[[83, 97, 100, 15, 27], [-90, -6, 114, 2, 104], [-40, -41, -57, -82, -44]], [[-12, 76, -8, -107, -45], [27, -52, 108, 14, -15], [118, -37, 30, -65, 17]], [[-13, 108, 107, 102, 117], [4, 55, 79, -44, -55], [-41, 79, -46, 81, -107]]]> : tensor<3x3x5xi8>
  %a_e = tensor.empty() : tensor<1x4x4x5xi32>
  %a_z = arith.constant 0 : i32
  %a = linalg.fill ins(%a_z : i32) outs(%a_e : tensor<1x4x4x5xi32>) -> tensor<1x4x4x5xi32>
  %c = linalg.depthwise_conv_2d_nhwc_hwc_q {dilations = dense<1> : tensor<2xi64>, strides = dense<2> : tensor<2xi64>} ins(%x, %w, %zx, %zw : tensor<1x9x9x5xi8>, tensor<3x3x5xi8>, i32, i32) outs(%a : tensor<1x4x4x5xi32>) -> tensor<1x4x4x5xi32>
  %o_empty = tensor.empty() : tensor<1x4x4x5xi8>
  %o = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%c : tensor<1x4x4x5xi32>) outs(%o_empty : tensor<1x4x4x5xi8>) {
  ^bb0(%in: i32, %old: i8):
    %multiplier = arith.constant 1600000000 : i64
    %rounding = arith.constant 274877906944 : i64
    %shift = arith.constant 39 : i64
    %point = arith.constant 1 : i64
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
  } -> tensor<1x4x4x5xi8>
  return %o : tensor<1x4x4x5xi8>
}
