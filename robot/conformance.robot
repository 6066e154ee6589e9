*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     Whatever IREE compiles for this chip, the firmware computes as IREE's own runtime does on the host:
...               the modules of models/conformance, with and without vectors, on seeded inputs with extremes. Integers
...               bit for bit, f32 within 1e-5 of the largest number of the tensor. The modules have vectors by turns;
...               with --variable EVERY:yes each is compiled both ways.

Library           OperatingSystem
Library           ../keywords/ConformanceLibrary.py
Resource          resources/bench.resource

Suite Setup       Start Conformance
Suite Teardown    Stop Chip
Test Template     Module Should Compute What The Host Does


*** Variables ***
# Whether each module is compiled with vectors and without
${EVERY}    no


*** Test Cases ***
Should Compute Convolutional Network    cnn_f32
Should Compute Dense Network    mlp_f32
Should Compute Layers Of One Size    equal_sizes_f32
Should Compute Depthwise And Pointwise Convolutions    depthwise_pointwise_f32
Should Compute Residual Block    residual_f32
Should Compute Max And Average Pooling    pooling_f32
Should Compute Softmax    softmax_f32
Should Compute Dilated Convolution    conv1d_dilated_f32
Should Compute Transposed Convolution    transposed_conv_f32
Should Compute Batch Normalisation    batch_norm_f32
Should Compute Self Attention    attention_f32
Should Compute GRU With A Loop    gru_f32
Should Compute LSTM With A Loop    lstm_f32
Should Compute Convolutional Network In Int8    cnn_i8
Should Compute Dense Network In Int8    mlp_i8
Should Compute Depthwise Convolution In Int8    depthwise_i8
Should Compute Residual Sum In Int8    residual_i8
Should Compute Average Pooling In Int8    average_pool_i8
Should Compute TOSA Operations In Int8    tosa_i8
Should Compute Element-wise Chains    elementwise_f32
Should Compute Reductions    reductions_f32
Should Compute Argmax    argmax
Should Compute Sorting    sort
Should Compute Embedding    embedding
Should Compute Data Movement    layout
Should Compute Every Rank Up To Six    ranks
Should Compute Ranks Seven And Eight    ranks_high
Should Compute Signed Integers    integers_signed
Should Compute Unsigned Integers    integers_unsigned
Should Compute 64-bit Integers    integers_i64
Should Compute Half Precision    half_f16
Should Compute Booleans    booleans
Should Compute Conversions In Kernels    conversions
Should Compute Loop That Depends On Data    collatz
Should Compute Nested Loops    nested_loops
Should Compute Loop Over Tensors    while_tensors
Should Compute Branches    if_else
Should Compute Branch Table    branch_table
Should Compute Internal Calls    internal_calls
Should Compute Globals    globals
Should Compute VM Arithmetic On 32 Bits    vm_arithmetic_i32
Should Compute VM Arithmetic On 64 Bits    vm_arithmetic_i64
Should Compute VM Arithmetic On Floats    vm_arithmetic_f32
Should Compute VM Comparisons    vm_comparisons
Should Compute VM Conversions    vm_conversions
Should Compute VM Selection    vm_select
Should Compute VM Lists    vm_lists
Should Compute VM Buffers    vm_buffers
Should Have A Test For Every Module
    [Template]    NONE
    ${modules}=    Get Conformance Modules
    ${suite}=    Get File    ${SUITE SOURCE}
    FOR    ${module}    IN    @{modules}
        Should Contain    ${suite}    ${SPACE}${SPACE}${module}\n
    END
Should Cover The Instructions Of The VM
    [Template]    NONE
    ${coverage}=    Log Opcode Coverage
    ${count}=    Get Length    ${coverage}[covered]
    Should Be True    ${count} >= 150


*** Keywords ***
Start Conformance
    [Documentation]    Boots the chip and compiles for it what is not in the cache.
    Start Bench
    Prepare Conformance Modules    every=${EVERY}
