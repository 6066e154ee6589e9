// SPDX-License-Identifier: Apache-2.0
// Covers: a GRU over ten steps: a loop with control flow in the VM, not unrolled
func.func @main(%x: tensor<10x3xf32>) -> tensor<1x8xf32> {
  %wx = stablehlo.constant dense<[[-0.19, -0.99, 0.44, 0.2, 0.27, -0.21, -0.09, 0.38, -0.33, -0.79, 0.36, -0.25, 0.5, -0.2, -0.18, -0.11, -0.95, 0.46, -0.26, -0.08, 0.58, 0.04, 0.35, 0.13], [0.3, 0.1, 0.46, -0.09, 0.18, -0.29, 0.47, -0.88, 0.07, 0.14, 0.13, -0.01, 0.53, 0.84, -0.24, -0.77, -0.44, -0.33, -0.06, -0.03, 0.43, -0.18, -0.02, 0.04], [-0.36, -0.13, 1.1, -0.04, -0.39, -0.88, 0.41, -0.13, -0.26, 0.97, 0.57, -0.69, -0.14, 0.39, 0.33, -0.45, 0.7, 0.73, -0.45, -0.71, -0.56, 0.26, 0.42, 0.07]]> : tensor<3x24xf32>
  %wh = stablehlo.constant dense<[[-0.18, -0.03, 0.16, -0.37, -0.52, -0.03, 0.36, 0.05, 0.05, -0.21, 0.27, -0.52, -0.03, -0.19, -0.05, -0.29, 0.22, -0.03, -0.19, 0.14, -0.02, -0.17, -0.19, 0.22], [-0.29, -0.08, -0.09, 0.08, -0.07, 0.64, -0.53, 0.17, -0.02, 0.32, -0.5, 0.35, -0.43, 0.2, 0.14, -0.0, -0.23, -0.26, 0.02, -0.24, -0.6, -0.55, 0.23, 0.24], [0.14, 0.0, 0.1, 0.14, 0.07, -0.25, -0.23, -0.35, 0.04, -0.31, -0.06, 0.39, -0.12, 0.28, 0.46, -0.55, -0.44, 0.14, -0.22, 0.16, 0.21, -0.16, 0.24, 0.52], [0.28, -0.27, -0.05, -0.16, 0.47, -0.06, -0.21, 0.01, 0.15, -0.11, 0.03, 0.0, 0.22, 0.29, 0.08, -0.14, 0.12, -0.26, 0.33, 0.11, 0.08, -0.72, 0.72, 0.44], [0.39, 0.04, 0.21, 0.86, -0.2, 0.23, 0.19, 0.05, 0.12, -0.28, 0.21, -0.38, 0.56, 0.26, -0.24, -0.61, 0.05, 0.17, -0.28, 0.52, 0.1, -0.12, -0.4, -0.01], [-0.04, 0.22, 0.34, 0.03, 0.16, 0.45, 0.21, -0.05, 0.21, -0.13, 0.16, 0.04, -0.31, 0.2, 0.05, 0.24, -0.37, 0.36, 0.37, -0.08, -0.01, 0.04, 0.02, 0.27], [-0.19, -0.32, -0.05, 0.59, -0.1, -0.28, -0.26, 0.07, 0.37, -0.21, 0.07, 0.08, 0.15, 0.06, 0.33, 0.22, -0.17, 0.74, -0.4, -0.38, 0.32, 0.07, -0.06, 0.07], [0.22, -0.12, -0.18, -0.3, -0.25, -0.23, 0.35, 0.09, 0.17, -0.16, 0.32, -0.46, 0.15, 0.22, -0.17, -0.3, 0.16, -0.21, -0.26, 0.0, -0.33, -0.03, 0.61, -0.12]]> : tensor<8x24xf32>
  %wb = stablehlo.constant dense<[0.19, -0.21, 0.02, -0.05, -0.03, 0.16, 0.43, -0.02, 0.26, 0.07, 0.15, -0.09, -0.14, -0.04, -0.15, 0.0, -0.21, 0.0, 0.04, 0.37, 0.35, 0.11, -0.1, 0.13]> : tensor<24xf32>
  %start = stablehlo.constant dense<0> : tensor<i32>
  %h0 = stablehlo.constant dense<0.0> : tensor<1x8xf32>
  %outs:2 = stablehlo.while(%i = %start, %h = %h0) : tensor<i32>, tensor<1x8xf32>
  cond {
    %end = stablehlo.constant dense<10> : tensor<i32>
    %go = stablehlo.compare LT, %i, %end : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %go : tensor<i1>
  } do {
    %zero = stablehlo.constant dense<0> : tensor<i32>
    %now = stablehlo.dynamic_slice %x, %i, %zero, sizes = [1, 3] : (tensor<10x3xf32>, tensor<i32>, tensor<i32>) -> tensor<1x3xf32>
    %a = stablehlo.dot_general %now, %wx, contracting_dims = [1] x [0] : (tensor<1x3xf32>, tensor<3x24xf32>) -> tensor<1x24xf32>
    %wide = stablehlo.broadcast_in_dim %wb, dims = [1] : (tensor<24xf32>) -> tensor<1x24xf32>
    %ab = stablehlo.add %a, %wide : tensor<1x24xf32>
    %b = stablehlo.dot_general %h, %wh, contracting_dims = [1] x [0] : (tensor<1x8xf32>, tensor<8x24xf32>) -> tensor<1x24xf32>
    %az = stablehlo.slice %ab [0:1, 0:8] : (tensor<1x24xf32>) -> tensor<1x8xf32>
    %ar = stablehlo.slice %ab [0:1, 8:16] : (tensor<1x24xf32>) -> tensor<1x8xf32>
    %an = stablehlo.slice %ab [0:1, 16:24] : (tensor<1x24xf32>) -> tensor<1x8xf32>
    %bz = stablehlo.slice %b [0:1, 0:8] : (tensor<1x24xf32>) -> tensor<1x8xf32>
    %br = stablehlo.slice %b [0:1, 8:16] : (tensor<1x24xf32>) -> tensor<1x8xf32>
    %bn = stablehlo.slice %b [0:1, 16:24] : (tensor<1x24xf32>) -> tensor<1x8xf32>
    %sz = stablehlo.add %az, %bz : tensor<1x8xf32>
    %z = stablehlo.logistic %sz : tensor<1x8xf32>
    %sr = stablehlo.add %ar, %br : tensor<1x8xf32>
    %r = stablehlo.logistic %sr : tensor<1x8xf32>
    %rb = stablehlo.multiply %r, %bn : tensor<1x8xf32>
    %sn = stablehlo.add %an, %rb : tensor<1x8xf32>
    %n = stablehlo.tanh %sn : tensor<1x8xf32>
    %d = stablehlo.subtract %h, %n : tensor<1x8xf32>
    %zd = stablehlo.multiply %z, %d : tensor<1x8xf32>
    %new = stablehlo.add %n, %zd : tensor<1x8xf32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %next = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %next, %new : tensor<i32>, tensor<1x8xf32>
  }
  return %outs#1 : tensor<1x8xf32>
}
