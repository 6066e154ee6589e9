*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     Models of every format, fp32 and int8, with vectors and without: each computes on the chip what its
...               own framework does on this machine. fp32 within 1e-5; int8 to the bit, as TensorFlow Lite's reference
...               kernels do, except for two models whose difference is allowed and explained. Large ones, which
...               compile and run for long, have vectors; with --variable LARGE:vector,scalar they do without too.
...
...               TensorFlow Lite rounds once where it scales a sum of products to int8, TOSA twice, as TensorFlow Lite
...               Micro does (whose answers the chip gives to the bit: keywords/tests/test_reference_kernels.py). So a
...               value that lies in the middle may become the next one, and what follows amplifies it: nine dense
...               layers of the autoencoder to 2 steps, the recurrence of the GRU to 4. What a chip has no memory for is
...               skipped, with what lacks.

Resource          resources/bench.resource

Suite Setup       Start Models
Suite Teardown    Stop Chip
Test Template     Model Should Compute What Its Framework Does


*** Variables ***
# The variants of large models
${LARGE}    vector


*** Test Cases ***
Should Run A Keras HDF5 File    gestures.h5    basic_motions    samples=8
Should Run A Keras Archive With A Recurrent Layer    gru.keras    watch    samples=14
Should Run A SavedModel    conv1d    watch    samples=14
Should Run A TensorFlow Lite File    conv1d.tflite    watch    samples=14
Should Run An ONNX File Of PyTorch    digits.onnx    mnist    samples=10
Should Run StableHLO Of JAX    digits_jax.mlirbc    mnist    samples=10
Should Run TOSA    conv1d_int8.mlirbc
Should Run Gestures In Int8    gestures_int8.tflite    basic_motions    samples=8
Should Run Magic Wand    magic_wand.h5
Should Run Magic Wand In Int8    magic_wand_int8.tflite
Should Run GRU In Int8    gru_int8.tflite    watch    samples=14    steps=4    variants=${LARGE}
Should Run Keyword Spotting    ds_cnn.keras    variants=${LARGE}
Should Run Keyword Spotting In Int8    ds_cnn_int8.tflite
Should Run Image Classification    resnet8.keras    mnist_colour    samples=2    variants=${LARGE}
Should Run Image Classification In Int8    resnet8_int8.tflite    mnist_colour    samples=1    variants=${LARGE}
Should Run Anomaly Detection    autoencoder.keras    variants=${LARGE}
Should Run Anomaly Detection In Int8    autoencoder_int8.tflite    steps=2    variants=${LARGE}
Should Run Visual Wake Words    mobilenet_vww.keras    samples=1    variants=${LARGE}
Should Run Visual Wake Words In Int8    mobilenet_vww_int8.tflite    samples=1    variants=${LARGE}


*** Keywords ***
Start Models
    [Documentation]    Boots the chip and loads each data set once.
    Start Bench
    ${known}=    Create Dictionary
    Set Suite Variable    ${DATA SETS}    ${known}

Model Should Compute What Its Framework Does
    [Documentation]    Compiles the model with and without vectors and runs it, on labelled data where there is some:
    ...    then its quality is judged and recorded too.
    [Arguments]    ${file}    ${data}=${NONE}    ${samples}=2    ${steps}=0    ${variants}=vector,scalar
    FOR    ${variant}    IN    @{{$variants.split(",")}}
        ${model}=    Compile Model    ${MODELS}/${file}    variant=${variant}    vlen=${VLEN}    optimize=${OPTIMIZE}
        Skip Unless Model Fits    ${model}
        IF    $data is None
            Outputs Should Be The Frameworks    ${model}    samples=${samples}    steps=${steps}
        ELSE
            Quality Should Be The Hosts    ${model}    ${data}    ${samples}    ${steps}
        END
    END

Quality Should Be The Hosts
    [Documentation]    Every output is the host's; so is the accuracy, unless the outputs may be steps apart.
    [Arguments]    ${model}    ${data}    ${samples}    ${steps}
    ${recordings}=    Data Set    ${data}
    ${evaluation}=    Evaluate Model    ${model}    ${recordings}    samples=${samples}
    Outputs Should Agree With The Host    ${evaluation}    1e-5    steps=${steps}
    IF    ${steps} == 0    Accuracy Should Equal The Hosts    ${evaluation}
    Record Evaluation    ${evaluation}

Data Set
    [Documentation]    Returns the data set, loaded once a suite.
    [Arguments]    ${name}
    ${known}=    Get From Dictionary    ${DATA SETS}    ${name}    default=${NONE}
    IF    $known is not None    RETURN    ${known}
    ${loaded}=    Load Data Set    ${name}
    Set To Dictionary    ${DATA SETS}    ${name}    ${loaded}
    RETURN    ${loaded}
