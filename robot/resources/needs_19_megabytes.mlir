// Needs 2200 x 2200 x 4 bytes between its two products: more than the chip's data memory holds.
func.func @main(%x: tensor<2200x1xf32>) -> tensor<2200x1xf32> {
  %square = stablehlo.dot_general %x, %x, contracting_dims = [1] x [1] : (tensor<2200x1xf32>, tensor<2200x1xf32>) -> tensor<2200x2200xf32>
  %result = stablehlo.dot_general %square, %x, contracting_dims = [1] x [0] : (tensor<2200x2200xf32>, tensor<2200x1xf32>) -> tensor<2200x1xf32>
  return %result : tensor<2200x1xf32>
}
