"""Layers and optimisers against published numbers: cs231n's notebooks, Caffe's tests, ONNX's node tests."""

import numpy as np
import pytest
from helpers import assert_close, fetch, normal, send

from minicnn import SGD, Adam, AvgPool2d, Conv2d, Linear, MaxPool2d

pytestmark = pytest.mark.every_backend

# Stanford cs231n, assignment 2, ConvolutionalNetworks.ipynb: "Convolution: Naive forward pass".
CS231N = [
    [
        [[-0.08759809, -0.10987781], [-0.18387192, -0.2109216]],
        [[0.21027089, 0.21661097], [0.22847626, 0.23004637]],
        [[0.50813986, 0.54309974], [0.64082444, 0.67101435]],
    ],
    [
        [[-0.98053589, -1.03143541], [-1.19128892, -1.24695841]],
        [[0.69108355, 0.66880383], [0.59480972, 0.56776003]],
        [[2.36270298, 2.36904306], [2.38090835, 2.38247847]],
    ],
]


def test_convolution_of_cs231n():
    layer = Conv2d(3, 3, 4, stride=2, padding=1).astype("float64")
    layer.weight.data[...] = send(np.linspace(-0.2, 0.3, 144).reshape(3, 3, 4, 4))
    layer.bias.data[...] = send(np.linspace(-0.1, 0.2, 3))
    y = layer(send(np.linspace(-0.1, 0.5, 96).reshape(2, 3, 4, 4)))
    np.testing.assert_allclose(fetch(y), CS231N, rtol=0, atol=5e-9)


# ONNX node tests (onnx/backend/test/case/node/conv.py): a 3x3 kernel of ones over 0..24 or 0..34.
@pytest.mark.parametrize(
    "rows, stride, padding, wanted",
    [
        (5, 1, 0, [[54, 63, 72], [99, 108, 117], [144, 153, 162]]),
        (
            5,
            1,
            1,
            [
                [12, 21, 27, 33, 24],
                [33, 54, 63, 72, 51],
                [63, 99, 108, 117, 81],
                [93, 144, 153, 162, 111],
                [72, 111, 117, 123, 84],
            ],
        ),
        (7, 2, 0, [[54, 72], [144, 162], [234, 252]]),
        (7, 2, 1, [[12, 27, 24], [63, 108, 81], [123, 198, 141], [112, 177, 124]]),
        (7, 2, ((1, 1), (0, 0)), [[21, 33], [99, 117], [189, 207], [171, 183]]),
    ],
    ids=["no padding", "padding", "stride", "stride and padding", "asymmetric padding"],
)
def test_convolutions_of_onnx(rows, stride, padding, wanted):
    layer = Conv2d(1, 1, 3, stride=stride, padding=padding, bias=False)
    layer.weight.data[...] = send(np.ones((1, 1, 3, 3), np.float32))
    y = fetch(layer(send(np.arange(rows * 5, dtype=np.float32).reshape(1, 1, rows, 5))))
    np.testing.assert_array_equal(y[0, 0], wanted)


def test_sobel_is_separable():
    """Caffe, test_convolution_layer.cpp, TestSobelConvolution: 3x3 equals 3x1 and then 1x3."""
    x = normal(2, 1, 6, 7)

    def filtered(x, kernel):
        layer = Conv2d(1, 1, kernel.shape, bias=False).astype("float64")
        layer.weight.data[...] = send(kernel[None, None].astype(np.float64))
        return fetch(layer(send(x)))

    smooth, difference = np.array([[1], [2], [1]]), np.array([[-1, 0, 1]])
    assert_close(filtered(filtered(x, smooth), difference), filtered(x, smooth * difference), 1e-13)


def pooled(layer, rows):
    return fetch(layer(send(np.array(rows, np.float32)[None, None])))[0, 0]


def test_max_values_of_caffe_square():
    """Caffe, test_pooling_layer.cpp, TestForwardSquare, with its mask."""
    rows = [[1, 2, 5, 2, 3], [9, 4, 1, 4, 8], [1, 2, 5, 2, 3]]
    layer = MaxPool2d(2, 1)
    np.testing.assert_array_equal(pooled(layer, rows), [[9, 5, 5, 8], [9, 5, 5, 8]])
    dx = fetch(layer.backward(send(np.ones((1, 1, 2, 4), np.float32))))
    wanted = np.zeros(15)
    np.add.at(wanted, [5, 2, 2, 9, 5, 12, 12, 9], 1)
    np.testing.assert_array_equal(dx.reshape(-1), wanted)


def test_max_values_of_caffe_high():
    """Caffe, test_pooling_layer.cpp, TestForwardHigh: windows of 3x2 over magic(6)."""
    magic = [
        [35, 1, 6, 26, 19, 24],
        [3, 32, 7, 21, 23, 25],
        [31, 9, 2, 22, 27, 20],
        [8, 28, 33, 17, 10, 15],
        [30, 5, 34, 12, 14, 16],
        [4, 36, 29, 13, 18, 11],
    ]
    wanted = [[35, 32, 26, 27, 27], [32, 33, 33, 27, 27], [31, 34, 34, 27, 27], [36, 36, 34, 18, 18]]
    np.testing.assert_array_equal(pooled(MaxPool2d((3, 2), 1), magic), wanted)


def test_max_values_of_caffe_padded():
    """Caffe, test_pooling_layer.cpp, TestForwardMaxPadded."""
    layer = MaxPool2d(3, 2, padding=2, ceil_mode=True)
    np.testing.assert_array_equal(pooled(layer, [[1, 2, 4], [2, 3, 2], [4, 2, 1]]), [[1, 4, 4], [4, 4, 4], [4, 4, 1]])


def test_average_values_of_caffe():
    """Caffe, test_pooling_layer.cpp, TestForwardAve: 3x3 windows, padding 1, an image of twos."""
    corner, edge = 8 / 9, 4 / 3
    wanted = [[corner, edge, corner], [edge, 2, edge], [corner, edge, corner]]
    np.testing.assert_allclose(pooled(AvgPool2d(3, 1, padding=1), np.full((3, 3), 2)), wanted, rtol=1e-6)


def test_max_values_of_onnx_ceil():
    """ONNX, node test maxpool_2d_ceil."""
    np.testing.assert_array_equal(
        pooled(MaxPool2d(3, 2, ceil_mode=True), np.arange(1, 17).reshape(4, 4)), [[11, 12], [15, 16]]
    )


def test_average_values_of_onnx_ceil():
    """ONNX, node test averagepool_2d_ceil."""
    layer = AvgPool2d(3, 2, ceil_mode=True)
    np.testing.assert_array_equal(pooled(layer, np.arange(1, 17).reshape(4, 4)), [[6, 7.5], [12, 13.5]])


def test_max_values_of_onnx_dilations():
    """ONNX, node test maxpool_2d_dilations."""
    layer = MaxPool2d(2, 1, dilation=2)
    np.testing.assert_array_equal(pooled(layer, np.arange(1, 17).reshape(4, 4)), [[11, 12], [15, 16]])


def test_max_values_of_cs231n():
    """Stanford cs231n, assignment 2, ConvolutionalNetworks.ipynb: "Max-Pooling: Naive Forward"."""
    x = np.linspace(-0.3, 0.4, 96).reshape(2, 3, 4, 4)
    y = fetch(MaxPool2d(2).astype("float64")(send(x)))
    np.testing.assert_allclose(y[0, 0], [[-0.26315789, -0.24842105], [-0.20421053, -0.18947368]], rtol=0, atol=5e-9)
    np.testing.assert_allclose(y[1, 2], [[0.32631579, 0.34105263], [0.38526316, 0.4]], rtol=0, atol=5e-9)


def test_momentum_of_cs231n():
    """Stanford cs231n, assignment 2, FullyConnectedNets.ipynb: "SGD+Momentum"."""
    layer = Linear(5, 4, bias=False).astype("float64")
    layer.weight.data[...] = send(np.linspace(-0.4, 0.6, 20).reshape(4, 5))
    optimiser = SGD(layer.parameters(), lr=1e-3, momentum=0.9)
    (key,) = optimiser.state_dict() or ["velocity.weight"]
    optimiser.load_state_dict({key: np.linspace(0.6, 0.9, 20).reshape(4, 5)})
    layer.weight.grad = send(np.linspace(-0.6, 0.4, 20).reshape(4, 5))
    optimiser.step()
    wanted = [
        [0.1406, 0.20738947, 0.27417895, 0.34096842, 0.40775789],
        [0.47454737, 0.54133684, 0.60812632, 0.67491579, 0.74170526],
        [0.80849474, 0.87528421, 0.94207368, 1.00886316, 1.07565263],
        [1.14244211, 1.20923158, 1.27602105, 1.34281053, 1.4096],
    ]
    np.testing.assert_allclose(fetch(layer.weight.data), wanted, rtol=0, atol=5e-9)
    velocity = optimiser.state_dict()[key]
    np.testing.assert_allclose(velocity[0], [0.5406, 0.55475789, 0.56891579, 0.58307368, 0.59723158], rtol=0, atol=5e-9)


def test_adam_of_cs231n():
    """Stanford cs231n, assignment 2, FullyConnectedNets.ipynb: the sixth step of Adam."""
    layer = Linear(5, 4, bias=False).astype("float64")
    layer.weight.data[...] = send(np.linspace(-0.4, 0.6, 20).reshape(4, 5))
    optimiser = Adam(layer.parameters(), lr=1e-2)
    state = {"step": np.int64(5), "m.weight": np.linspace(0.6, 0.9, 20), "v.weight": np.linspace(0.7, 0.5, 20)}
    optimiser.load_state_dict({key: np.asarray(a).reshape((4, 5) if key != "step" else ()) for key, a in state.items()})
    layer.weight.grad = send(np.linspace(-0.6, 0.4, 20).reshape(4, 5))
    optimiser.step()
    wanted = [
        [-0.40094747, -0.34836187, -0.29577703, -0.24319299, -0.19060977],
        [-0.1380274, -0.08544591, -0.03286534, 0.01971428, 0.0722929],
        [0.1248705, 0.17744702, 0.23002243, 0.28259667, 0.33516969],
        [0.38774145, 0.44031188, 0.49288093, 0.54544852, 0.59801459],
    ]
    np.testing.assert_allclose(fetch(layer.weight.data), wanted, rtol=0, atol=5e-9)
