// SPDX-License-Identifier: Apache-2.0
// Covers: a residual sum in int8: both sides rescaled and added; two inputs
func.func @main(%x: tensor<1x5x5x6xi8>, %y: tensor<1x5x5x6xi8>) -> tensor<1x5x5x6xi8> {
  %e = tensor.empty() : tensor<1x5x5x6xi32>
  %s = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%x, %y : tensor<1x5x5x6xi8>, tensor<1x5x5x6xi8>) outs(%e : tensor<1x5x5x6xi32>) {
  ^bb0(%a: i8, %b: i8, %old: i32):
    %za = arith.constant 4 : i32
    %zb = arith.constant -11 : i32
    %ka = arith.constant 23170 : i32
    %kb = arith.constant 18918 : i32
    %aw = arith.extsi %a : i8 to i32
    %bw = arith.extsi %b : i8 to i32
    %as = arith.subi %aw, %za : i32
    %bs = arith.subi %bw, %zb : i32
    %am = arith.muli %as, %ka : i32
    %bm = arith.muli %bs, %kb : i32
    %sum = arith.addi %am, %bm : i32
    linalg.yield %sum : i32
  } -> tensor<1x5x5x6xi32>
  %o_empty = tensor.empty() : tensor<1x5x5x6xi8>
  %o = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%s : tensor<1x5x5x6xi32>) outs(%o_empty : tensor<1x5x5x6xi8>) {
  ^bb0(%in: i32, %old: i8):
    %multiplier = arith.constant 1100000000 : i64
    %rounding = arith.constant 35184372088832 : i64
    %shift = arith.constant 46 : i64
    %point = arith.constant -7 : i64
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
  } -> tensor<1x5x5x6xi8>
  return %o : tensor<1x5x5x6xi8>
}
