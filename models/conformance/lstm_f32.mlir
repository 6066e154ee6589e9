// SPDX-License-Identifier: Apache-2.0
// Covers: an LSTM over ten steps that keeps every state: a loop in the VM; three outputs
func.func @main(%x: tensor<10x3xf32>) -> (tensor<1x8xf32>, tensor<1x8xf32>, tensor<10x8xf32>) {
  %wx = stablehlo.constant dense<[[0.33, -0.07, -0.33, -0.71, -0.01, 0.78, -0.07, 0.16, 0.15, 0.2, 0.32, -0.79, -0.05, 0.16, -0.03, 0.5, -0.14, 0.38, 0.72, -0.09, 0.02, -0.1, 0.32, -0.84, -0.57, -0.1, 0.36, 0.25, -0.31, 0.66, 0.06, -0.23], [0.23, 0.54, -0.01, -0.59, -0.2, 0.06, 0.39, -0.38, 0.12, -0.46, 0.05, -0.51, -0.17, -0.59, -0.37, -0.62, -0.77, 0.51, 0.49, 0.21, -0.12, 0.61, -0.09, 0.19, 0.48, 0.11, 0.61, -0.03, -0.04, 0.08, -0.44, -0.41], [0.34, -0.67, 0.48, 0.14, 0.5, 0.33, 0.27, 0.73, -0.0, -0.01, 0.48, -0.24, 0.48, 0.3, -0.17, -0.48, -0.78, 0.78, -0.57, -0.46, 0.37, 0.22, 0.11, 0.06, -0.15, -0.35, -0.27, 0.26, 0.45, 0.5, 0.01, -0.88]]> : tensor<3x32xf32>
  %wh = stablehlo.constant dense<[[0.17, -0.03, -0.79, 0.43, 0.08, -0.0, 0.07, 0.05, 0.09, 0.05, 0.02, 0.19, 0.12, 0.74, 0.06, -0.13, -0.16, 0.14, 0.06, 0.1, -0.04, -0.03, 0.25, 0.43, 0.13, -0.01, -0.33, -0.33, 0.04, -0.05, -0.01, -0.31], [-0.02, -0.57, -0.34, -0.22, 0.19, -0.17, -0.27, 0.09, -0.02, 0.29, 0.11, 0.07, -0.05, 0.21, -0.21, -0.45, 0.28, -0.14, 0.02, 0.19, 0.31, -0.87, -0.31, 0.37, -0.51, 0.14, -0.11, -0.27, -0.04, -0.51, 0.12, 0.35], [-0.43, -0.2, 0.36, 0.11, -0.1, 0.43, -0.51, -0.08, 0.03, -0.1, 0.24, -0.51, 0.01, -0.24, 0.36, 0.31, -0.23, -0.33, -0.02, -0.26, -0.17, 0.13, -0.14, 0.54, 0.02, -0.16, -0.34, -0.16, 0.33, 0.16, 0.43, 0.39], [0.16, -0.21, -0.05, 0.02, -0.5, 0.1, -0.32, -0.03, -0.16, 0.17, 0.79, -0.36, -0.01, 0.61, -0.28, -0.07, -0.03, 0.09, -0.49, 0.09, 0.18, 0.77, -0.02, -0.17, 0.04, -0.79, 0.1, 0.47, -0.01, -0.01, -0.07, 0.04], [-0.37, 0.47, -0.14, -0.14, 0.5, 0.01, -0.12, 0.5, 0.06, 0.29, -0.17, -0.53, 0.06, 0.44, -0.13, 0.12, 0.23, 0.09, 0.03, 0.24, 0.07, -0.15, 0.33, 0.25, 0.12, 0.23, -0.78, 0.09, 0.02, -0.59, 0.64, 0.12], [-0.12, -0.1, 0.09, 0.01, -0.47, -0.11, 0.15, 0.2, 0.27, -0.31, -0.18, 0.13, -0.17, 0.08, -0.24, 0.19, 0.03, 0.19, 0.03, -0.22, -0.35, 0.03, -0.16, -0.43, -0.15, 0.26, 0.39, 0.25, 0.43, -0.09, -0.02, -0.26], [-0.21, 0.51, 0.16, 0.22, 0.81, 0.61, -0.23, 0.32, -0.2, 0.33, -0.54, -0.26, -0.25, 0.63, -0.51, 0.36, 0.35, 0.06, 0.28, 0.81, 0.1, -0.06, 0.44, 0.26, -0.32, 0.08, 0.11, -0.32, -0.26, -0.17, -0.34, 0.18], [0.12, -0.65, -0.1, 0.07, -0.39, -0.06, 0.11, -0.49, -0.07, -0.7, 0.25, -0.2, -0.42, -0.54, -0.49, 0.4, -0.24, -0.16, -0.11, -0.45, 0.24, -0.75, 0.28, -0.22, 0.02, 0.09, 0.26, -0.37, 0.19, -0.01, -0.04, -0.08]]> : tensor<8x32xf32>
  %wb = stablehlo.constant dense<[0.23, 0.1, 0.26, 0.19, -0.4, -0.02, 0.21, -0.18, -0.34, -0.47, 0.4, -0.19, 0.03, -0.22, 0.09, 0.34, -0.3, -0.01, -0.16, -0.38, -0.18, 0.0, 0.25, 0.26, -0.0, -0.34, 0.13, -0.0, -0.0, -0.23, -0.03, 0.4]> : tensor<32xf32>
  %start = stablehlo.constant dense<0> : tensor<i32>
  %h0 = stablehlo.constant dense<0.0> : tensor<1x8xf32>
  %c0 = stablehlo.constant dense<0.0> : tensor<1x8xf32>
  %k0 = stablehlo.constant dense<0.0> : tensor<10x8xf32>
  %outs:4 = stablehlo.while(%i = %start, %h = %h0, %c = %c0, %all_h = %k0) : tensor<i32>, tensor<1x8xf32>, tensor<1x8xf32>, tensor<10x8xf32>
  cond {
    %end = stablehlo.constant dense<10> : tensor<i32>
    %go = stablehlo.compare LT, %i, %end : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %go : tensor<i1>
  } do {
    %zero = stablehlo.constant dense<0> : tensor<i32>
    %now = stablehlo.dynamic_slice %x, %i, %zero, sizes = [1, 3] : (tensor<10x3xf32>, tensor<i32>, tensor<i32>) -> tensor<1x3xf32>
    %a = stablehlo.dot_general %now, %wx, contracting_dims = [1] x [0] : (tensor<1x3xf32>, tensor<3x32xf32>) -> tensor<1x32xf32>
    %b = stablehlo.dot_general %h, %wh, contracting_dims = [1] x [0] : (tensor<1x8xf32>, tensor<8x32xf32>) -> tensor<1x32xf32>
    %wide = stablehlo.broadcast_in_dim %wb, dims = [1] : (tensor<32xf32>) -> tensor<1x32xf32>
    %ab = stablehlo.add %a, %b : tensor<1x32xf32>
    %all = stablehlo.add %ab, %wide : tensor<1x32xf32>
    %si = stablehlo.slice %all [0:1, 0:8] : (tensor<1x32xf32>) -> tensor<1x8xf32>
    %sf = stablehlo.slice %all [0:1, 8:16] : (tensor<1x32xf32>) -> tensor<1x8xf32>
    %sg = stablehlo.slice %all [0:1, 16:24] : (tensor<1x32xf32>) -> tensor<1x8xf32>
    %so = stablehlo.slice %all [0:1, 24:32] : (tensor<1x32xf32>) -> tensor<1x8xf32>
    %in = stablehlo.logistic %si : tensor<1x8xf32>
    %f = stablehlo.logistic %sf : tensor<1x8xf32>
    %g = stablehlo.tanh %sg : tensor<1x8xf32>
    %o = stablehlo.logistic %so : tensor<1x8xf32>
    %fc = stablehlo.multiply %f, %c : tensor<1x8xf32>
    %ig = stablehlo.multiply %in, %g : tensor<1x8xf32>
    %newc = stablehlo.add %fc, %ig : tensor<1x8xf32>
    %tc = stablehlo.tanh %newc : tensor<1x8xf32>
    %newh = stablehlo.multiply %o, %tc : tensor<1x8xf32>
    %kept = stablehlo.dynamic_update_slice %all_h, %newh, %i, %zero : (tensor<10x8xf32>, tensor<1x8xf32>, tensor<i32>, tensor<i32>) -> tensor<10x8xf32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %next = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %next, %newh, %newc, %kept : tensor<i32>, tensor<1x8xf32>, tensor<1x8xf32>, tensor<10x8xf32>
  }
  return %outs#1, %outs#2, %outs#3 : tensor<1x8xf32>, tensor<1x8xf32>, tensor<10x8xf32>
}
