"""A full GPU: what the message says, that the advice holds, and that nothing is half done."""

import gc
import math
import re

import numpy as np
import pytest
from helpers import fetch, normal, send
from test_optim_state import make

from minicnn import SGD, Adam, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, SoftmaxCrossEntropy
from minicnn.errors import BackendError, MinicnnError, OutOfMemory
from minicnn.training.command import run

pytestmark = pytest.mark.parametrize("backend", ["cuda_on_cpu"], indirect=True)

SHAPE = (3, 24, 20)


@pytest.fixture
def leave():
    """`leave(n)`: from now on the GPU has n bytes for further arrays."""
    import cupy

    pool = cupy.get_default_memory_pool()

    def limit(count):
        gc.collect()
        pool.set_limit(pool.used_bytes() + count)

    yield limit
    pool.set_limit(0)


def network():
    return Sequential(conv1=Conv2d(3, 8, 3, padding=1, seed=0), relu1=ReLU(), pool1=MaxPool2d(2),
                      conv2=Conv2d(8, 8, 3, seed=1), flat=Flatten(), fc=Linear(640, 4, seed=2))


def images(count):
    return send(normal(count, *SHAPE, dtype=np.float32))


def step(net, x, labels):
    loss = SoftmaxCrossEntropy()
    loss(net(x), labels)
    net.backward(loss.backward(), need_dx=False)


def train(net, count):
    net.zero_grad()
    step(net, images(count), np.arange(count) % 4)


def predict(net, count):
    net.predict(images(count), batch_size=count)


def advice(work, *args):
    """The batch that is said to fit when `work(*args)` runs out of memory; its traceback, which holds arrays, is gone."""
    with pytest.raises(OutOfMemory) as caught:
        work(*args)
    return int(re.search(r"instead of 60 images at a time, about (\d+) would fit", str(caught.value))[1])


@pytest.mark.parametrize("work", [train, predict])
@pytest.mark.parametrize("mebibytes", [0.7, 1.5])
def test_the_batch_that_is_said_to_fit_does_and_twice_as_many_do_not(work, mebibytes, leave):
    net = network()
    leave(mebibytes * 2**20 + 60 * math.prod(SHAPE) * 4)
    fits = advice(work, net, 60)
    gc.collect()
    work(net, fits)
    with pytest.raises(OutOfMemory):
        work(net, 2 * fits + 2)


def test_out_of_memory_in_the_backward_pass_gives_advice_too(leave):
    net = network()
    loss, x = SoftmaxCrossEntropy(), images(60)
    loss(net(x), np.arange(60) % 4)
    leave(60 * 480 * 4)
    assert 0 < advice(lambda: net.backward(loss.backward(), need_dx=False)) < 60


def test_message_says_in_one_sentence_what_was_wanted_and_what_is_free(leave):
    net = network()
    x = images(60)
    leave(2**19)
    sentence = r"another 0\.9 MiB are wanted, 0\.5 MiB are free and \d+\.\d MiB in use"
    with pytest.raises(OutOfMemory, match=sentence) as caught:
        net(x)  # conv1's output is 60·8·24·20·4 bytes = 0.88 MiB
    error = caught.value
    assert isinstance(error, MinicnnError) and isinstance(error, BackendError) and isinstance(error, MemoryError)
    assert error.wanted >= 60 * 8 * 24 * 20 * 4 and error.free <= 2**19
    assert "\n" not in str(error) and len(str(error)) < 250


def test_where_no_batch_fits_the_message_says_so(leave):
    net, x = network(), images(1)
    leave(0)
    with pytest.raises(OutOfMemory, match="not even one image"):
        net(x)


def test_advice_of_a_network_within_a_network_is_that_of_the_whole(leave):
    inner = network()
    net = Sequential(wide=Conv2d(3, 64, 1, seed=0), thin=Conv2d(64, 3, 1, seed=1), inner=inner)
    x = images(60)
    leave(9 * 2**20)
    assert advice(net, x) <= 9 * 2**20 // (64 * 24 * 20 * 4)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_parameters_and_optimiser_are_unharmed(kind, leave):
    """Without memory for its state an optimiser takes no step at all, and later goes on as if it had not been asked."""
    nets = network(), network()
    optimisers = [make(kind, net) for net in nets]
    for net in nets:
        step(net, images(4), np.arange(4))
    before = nets[0].state_dict()
    leave(3000)  # for the state of the first convolution
    with pytest.raises(OutOfMemory):
        optimisers[0].step()
    leave(10**9)
    for name, array in nets[0].state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    for optimiser in optimisers:
        optimiser.step()
    for name, array in nets[0].state_dict().items():
        np.testing.assert_array_equal(array, nets[1].state_dict()[name])


def test_a_network_that_does_not_fit_stays_where_it_is(leave):
    net = network().to("numpy")
    before = net.state_dict()
    leave(4000)
    with pytest.raises(OutOfMemory):
        net.to("cupy")
    leave(10**9)
    assert net.backend == "numpy" and {layer.backend for layer in net.leaves()} == {"numpy"}
    assert all(type(p.data) is np.ndarray for p in net.parameters())
    for name, array in net.to("cupy").state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_conversion_that_does_not_fit_changes_nothing(leave):
    layer = Linear(400, 300, seed=0)
    leave(400 * 300 * 4)
    with pytest.raises(OutOfMemory):
        layer.astype("float64")
    leave(10**9)
    assert layer.dtype == np.float32
    assert fetch(layer(send(np.ones((1, 400), np.float32)))).dtype == np.float32


def test_the_command_ends_with_one_line(leave, capsys):
    net, x = network(), images(60)
    leave(2**19)
    assert run(lambda: net(x)) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "out of memory" in said and "--batch-size" in said
