// SPDX-License-Identifier: Apache-2.0
// Covers: a CNN in int8: convolution with zero points, requantisation, max pooling, dense layer
func.func @main(%x: tensor<1x10x10x2xi8>) -> tensor<1x4xi8> {
  %zx = arith.constant -3 : i32
  %zw = arith.constant 0 : i32
  %w = arith.constant dense<[[[[72, 104, 60, -51, 35, 15], [8, 29, -60, -106, 69, -89]], [[2, -17, -36, 0, -111, -102], [44, -20, -97, -117, 77, -94]], [[63, 61, -18, 44, -18, 91], [31, 66, -33, 58, 20, 22]]], [[[-37, -99, -106, 54, 57, -90], [-31, 50, 28, 121, -1, 90]], [[-60, 105, 83, -41, -34, 8], [76, 3, -92, 32, 58, 126]], [[101, -105, -96, -29, 108, -1], [-98, 19, -5, -72, 41, 1]]], [[[90, 108, 106, -64, -69, -108], [22, 2, 10, 28, -23, 114]], [[105, 78, -113, 1, 77, 60], [-23, -67, -21, 108, 109, 125]], [[15, -46, -79, 82, -45, -76], [-19, -101, 51, 40, 85, 127]]]]> : tensor<3x3x2x6xi8>
  %a_e = tensor.empty() : tensor<1x8x8x6xi32>
  %a_z = arith.constant 0 : i32
  %a = linalg.fill ins(%a_z : i32) outs(%a_e : tensor<1x8x8x6xi32>) -> tensor<1x8x8x6xi32>
  %c = linalg.conv_2d_nhwc_hwcf_q {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>} ins(%x, %w, %zx, %zw : tensor<1x10x10x2xi8>, tensor<3x3x2x6xi8>, i32, i32) outs(%a : tensor<1x8x8x6xi32>) -> tensor<1x8x8x6xi32>
  %r_empty = tensor.empty() : tensor<1x8x8x6xi8>
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%c : tensor<1x8x8x6xi32>) outs(%r_empty : tensor<1x8x8x6xi8>) {
  ^bb0(%in: i32, %old: i8):
    %multiplier = arith.constant 1518500250 : i64
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
  } -> tensor<1x8x8x6xi8>
  %start = arith.constant -128 : i8
  %window = tensor.empty() : tensor<2x2xi8>
  %pe = tensor.empty() : tensor<1x4x4x6xi8>
  %pf = linalg.fill ins(%start : i8) outs(%pe : tensor<1x4x4x6xi8>) -> tensor<1x4x4x6xi8>
  %p = linalg.pooling_nhwc_max {dilations = dense<1> : tensor<2xi64>, strides = dense<2> : tensor<2xi64>} ins(%r, %window : tensor<1x8x8x6xi8>, tensor<2x2xi8>) outs(%pf : tensor<1x4x4x6xi8>) -> tensor<1x4x4x6xi8>
  %f = tensor.collapse_shape %p [[0], [1, 2, 3]] : tensor<1x4x4x6xi8> into tensor<1x96xi8>
  %zp = arith.constant -128 : i32
  %v = arith.constant dense<[[-107, 19, -107, 56], [72, -47, -83, 112], [118, -99, -13, -65], [45, 73, 73, 110], [-90, 95, 2, 61], [84, -72, -99, -39], [-76, 18, -121, 30], [-87, 9, 67, 62], [60, -69, -42, -47], [43, -122, 66, -120], [-69, 56, 104, -7], [-57, -80, -109, -108], [-71, 8, -42, 124], [-25, 103, 43, 61], [96, 80, 37, -45], [-113, -100, -96, -21], [98, 124, 71, -37], [37, 108, -86, 42], [-61, 75, 27, -59], [64, -37, 87, -82], [11, -2, 80, -99], [-21, 101, 19, -61], [60, -62, -102, -115], [50, 89, -121, -71], [94, -68, 22, 66], [66, -1, -38, -56], [104, 88, -109, -122], [-100, 86, 125, 54], [-64, 59, 19, -69], [37, 0, -43, 27], [-53, -110, -73, 112], [-11, 25, 107, -101], [83, 0, -42, 114], [-9, 108, 33, 24], [-68, -71, -8, 35], [69, -26, -74, 11], [-96, 78, -30, 59], [-97, -7, -103, 114], [20, 67, 44, -57], [-125, 102, -39, -115], [-69, -109, 126, 57], [-1, -13, -52, 55], [-52, -117, 123, -114], [22, -1, -41, -63], [-114, 14, -84, -4], [33, -2, 61, 111], [-66, -89, 77, 57], [104, 34, -66, 33], [102, -66, 59, 78], [86, 108, 58, 90], [11, 25, -2, 117], [74, 91, 89, -7], [0, 32, 96, 127], [-2, -118, 45, 103], [-106, -38, 15, 63], [127, 3, -10, -91], [-3, -103, 68, 79], [42, 120, 53, 93], [13, 48, -103, -56], [-112, 70, 7, 127], [-102, 76, 122, 82], [-82, -84, 92, 43], [111, 77, -6, 98], [74, 90, 32, 4], [36, -97, 89, -85], [77, 124, 125, -36], [-114, -93, -32, 25], [19, 105, -49, -115], [-62, -120, 11, -81], [-62, 14, -127, -27], [29, -110, -47, -11], [29, 59, -103, -83], [106, -8, 57, -111], [79, 96, -84, 4], [-97, 23, -17, 37], [91, 59, -104, -79], [-70, 62, 78, 8], [-99, -47, -125, 34], [102, -41, 9, -56], [63, 19, -56, -57], [37, 124, 10, 15], [-110, -19, 78, -37], [-48, -117, 94, -39], [-69, 76, -88, -75], [94, -16, 28, 31], [45, -13, 2, -3], [-55, -23, -106, 35], [-84, 29, -55, -3], [50, 91, 121, -34], [53, 64, -47, -42], [124, -99, 104, -10], [115, -93, -85, 111], [-100, 109, -15, -94], [0, 82, 91, -106], [10, -28, 102, -62], [45, -106, 0, -99]]> : tensor<96x4xi8>
  %b_e = tensor.empty() : tensor<1x4xi32>
  %b_z = arith.constant 0 : i32
  %b = linalg.fill ins(%b_z : i32) outs(%b_e : tensor<1x4xi32>) -> tensor<1x4xi32>
  %d = linalg.quantized_matmul ins(%f, %v, %zp, %zw : tensor<1x96xi8>, tensor<96x4xi8>, i32, i32) outs(%b : tensor<1x4xi32>) -> tensor<1x4xi32>
  %o_empty = tensor.empty() : tensor<1x4xi8>
  %o = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%d : tensor<1x4xi32>) outs(%o_empty : tensor<1x4xi8>) {
  ^bb0(%in: i32, %old: i8):
    %multiplier = arith.constant 1310000000 : i64
    %rounding = arith.constant 549755813888 : i64
    %shift = arith.constant 40 : i64
    %point = arith.constant 5 : i64
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
  } -> tensor<1x4xi8>
  return %o : tensor<1x4xi8>
}
