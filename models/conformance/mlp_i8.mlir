// SPDX-License-Identifier: Apache-2.0
// Covers: an MLP in int8 with odd sizes: quantised matrix products and requantisation
func.func @main(%x: tensor<3x19xi8>) -> tensor<3x7xi8> {
  %zx = arith.constant -3 : i32
  %zw = arith.constant 0 : i32
  %w = arith.constant dense<[[92, 117, -48, -103, -68, 117, -38, -67, -122, 31, -40, -117, -99], [69, -96, -121, 105, 62, 66, -101, -86, 36, 18, -24, 38, 124], [84, -92, 29, -83, -80, 72, 47, 102, -31, -122, -2, -30, -19], [-113, 95, -28, -45, -97, 96, 106, -16, 66, -25, 106, 40, 35], [125, -102, 97, -106, -56, -27, -101, -125, 44, -116, -35, 22, -99], [45, 84, 13, -31, 21, -89, -36, -5, -31, 26, 30, 43, 24], [-22, -46, 95, 50, -114, -88, 71, 69, 68, -83, -107, 106, -107], [-6, -60, -34, -73, 10, 108, 112, 64, 127, 70, -112, 58, 80], [-54, 53, 31, 36, -44, -101, 64, -38, 45, -79, -118, 31, -38], [-90, -89, -68, 59, 107, 127, -50, 9, -121, -52, 96, 78, 16], [-27, -95, 58, 43, -29, 88, 91, -123, -1, 44, -18, -61, 94], [-78, -22, -110, -47, 70, -33, -46, 76, 1, -117, -99, 72, 36], [57, 108, -120, 31, 5, -47, 112, 73, -105, 29, -52, 17, -98], [-72, 116, -37, -101, -98, 107, 65, 113, 3, 2, 76, 123, 29], [-75, -99, 126, -85, -93, -67, -97, 116, 59, -97, 43, -47, -125], [-21, -78, 19, 35, -115, -109, -4, 14, -75, -64, 124, 29, -40], [96, -85, -23, -12, 95, -49, 65, 61, 14, 36, 48, 23, 22], [51, 104, 45, 96, 17, 23, -105, -1, -116, 87, 104, 85, -63], [60, 117, -116, -37, 126, -107, 115, 17, -96, -45, -77, -43, -89]]> : tensor<19x13xi8>
  %a_e = tensor.empty() : tensor<3x13xi32>
  %a_z = arith.constant 0 : i32
  %a = linalg.fill ins(%a_z : i32) outs(%a_e : tensor<3x13xi32>) -> tensor<3x13xi32>
  %c = linalg.quantized_matmul ins(%x, %w, %zx, %zw : tensor<3x19xi8>, tensor<19x13xi8>, i32, i32) outs(%a : tensor<3x13xi32>) -> tensor<3x13xi32>
  %r_empty = tensor.empty() : tensor<3x13xi8>
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%c : tensor<3x13xi32>) outs(%r_empty : tensor<3x13xi8>) {
  ^bb0(%in: i32, %old: i8):
    %multiplier = arith.constant 1200000000 : i64
    %rounding = arith.constant 137438953472 : i64
    %shift = arith.constant 38 : i64
    %point = arith.constant -128 : i64
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
  } -> tensor<3x13xi8>
  %zp = arith.constant -128 : i32
  %v = arith.constant dense<[[51, 51, 74, -79, -103, -105, 127], [4, 117, 60, -98, -33, -36, 39], [20, -33, -69, 80, 87, 11, -34], [-57, -36, 47, -44, 60, -44, 22], [-62, 24, -76, -62, 127, -95, -106], [-66, -68, -27, -28, -35, -13, -59], [37, 119, -100, 42, 60, 22, 23], [40, 41, -20, -82, 94, -83, 35], [83, -74, -35, 59, 48, 25, 102], [16, 24, 127, -61, 111, 92, -77], [-107, 22, -54, 69, 91, -28, 105], [14, -95, 69, -101, -100, -106, -62], [43, -4, -73, 125, -6, -105, 38]]> : tensor<13x7xi8>
  %b_e = tensor.empty() : tensor<3x7xi32>
  %b_z = arith.constant 0 : i32
  %b = linalg.fill ins(%b_z : i32) outs(%b_e : tensor<3x7xi32>) -> tensor<3x7xi32>
  %d = linalg.quantized_matmul ins(%r, %v, %zp, %zw : tensor<3x13xi8>, tensor<13x7xi8>, i32, i32) outs(%b : tensor<3x7xi32>) -> tensor<3x7xi32>
  %o_empty = tensor.empty() : tensor<3x7xi8>
  %o = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%d : tensor<3x7xi32>) outs(%o_empty : tensor<3x7xi8>) {
  ^bb0(%in: i32, %old: i8):
    %multiplier = arith.constant 1400000000 : i64
    %rounding = arith.constant 274877906944 : i64
    %shift = arith.constant 39 : i64
    %point = arith.constant 2 : i64
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
  } -> tensor<3x7xi8>
  return %o : tensor<3x7xi8>
}
