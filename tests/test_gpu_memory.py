"""A full GPU: what the message says, that the advice holds, and that nothing is half done."""

import gc
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import fetch, normal, send
from test_optim_state import make

from minicnn import (
    LRN,
    SGD,
    Adam,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
    backends,
)
from minicnn.data import Augmentation, Batches, PixelStatistics, Shapes
from minicnn.errors import BackendError, MinicnnError, OutOfMemory
from minicnn.out_of_memory import Advice
from minicnn.training import Trainer
from minicnn.training.command import run
from minicnn.training.evaluation import predictions
from minicnn.windows import Window

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
@pytest.mark.parametrize("mebibytes", [0.7, 1.0])
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
    leave(8 * 2**20)
    assert advice(net, x) <= 8 * 2**20 // (64 * 24 * 20 * 4)


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


@pytest.mark.parametrize("algorithm", ["direct", "im2col", "implicit"])
@pytest.mark.parametrize("shape, out, kernel, stride", [((16, 8, 15, 15), 9, 3, 1), ((9, 5, 30, 25), 20, 5, 2)], ids=str)
def test_workspace_of_a_convolution_is_what_backward_takes(algorithm, shape, out, kernel, stride, monkeypatch):
    import cupy

    from minicnn.backends.cupy import conv, conv_im2col

    monkeypatch.setattr(conv_im2col, "PIECE_BYTES", 300_000)
    window = Window.make(kernel, stride, 1)
    x, w = (send(normal(*size, dtype=np.float32)) for size in (shape, (out, shape[1], kernel, kernel)))
    dy = send(normal(shape[0], out, *window.output_size(shape[2:]), dtype=np.float32))
    pool, said = cupy.get_default_memory_pool(), conv.conv2d_workspace(shape, out, window, 4, algorithm=algorithm)
    for share, enough in ((1, True), (0.85, False)) if said else ((1, True),):
        gc.collect()
        pool.set_limit(pool.used_bytes() + x.nbytes + w.nbytes + int(share * said) + 3000)  # dx and dw are as x and w
        try:
            conv.conv2d_backward(dy, x, w, window, has_bias=False, algorithm=algorithm)
            assert enough
        except MemoryError:
            assert not enough
        finally:
            pool.set_limit(0)


# --- every place where memory may run out ---


class Squared(Layer):
    """Arithmetic of its own, as somebody who adds a layer writes it."""

    def _forward(self, ops, x, training):
        return x * x, x

    def _backward(self, ops, dy, x, need_dx):
        return 2 * x * dy, {}


def every_kind():
    """A network of every layer that takes memory of its own."""
    net = Sequential(im2col=Conv2d(3, 4, 3, padding=1, seed=0), bn=BatchNorm2d(4), relu=ReLU(), lrn=LRN(3), square=Squared(),
                     pool=MaxPool2d(2), mean=AvgPool2d(2), tanh=Tanh(), direct=Conv2d(4, 4, 3, padding=1, seed=1),
                     implicit=Conv2d(4, 4, 3, padding=1, seed=2), flat=Flatten(), drop=Dropout(0.5, seed=0),
                     sigmoid=Sigmoid(), fc=Linear(4 * 4 * 4, 12, seed=3))
    for name in ("im2col", "direct", "implicit"):
        net[name].algorithm = name
    return net


@pytest.fixture
def fail(monkeypatch):
    """`fail(n)`: of the next calls for memory, the n-th finds none; `fail.asked` counts them."""
    from minicnn.cuda_on_cpu.stand_in import memory

    def take(self, size):
        fail.asked += 1
        if fail.asked == fail.at:
            raise memory.OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: 0 bytes).")
        plain(self, size)

    def fail(n):
        fail.asked, fail.at = 0, n

    plain = memory.MemoryPool._take
    fail(0)
    monkeypatch.setattr(memory.MemoryPool, "_take", take)
    return fail


def failures(fail, work, make):
    """[the error where the n-th call for memory finds none, n = 1, 2, …] of `work(make())`."""
    made = make()
    fail(0)
    work(made)
    found = []
    for n in range(1, fail.asked + 1):
        made = make()
        fail(n)
        with pytest.raises(OutOfMemory) as caught:
            work(made)
        found.append(str(caught.value))
    fail(0)
    return found


def test_a_step_of_the_trainer_says_wherever_it_fails_which_batch_would_fit(fail):
    def trainer():
        images = Shapes(10, size=18)
        batches = Batches(images, 5, 16, PixelStatistics.fit(images), augment=Augmentation(), workers=1, backend="cupy")
        net = every_kind()
        made = Trainer(net, SGD(net.parameters(), 0.01, 0.9), batches, batches)
        made._made = batches.epoch()
        return made

    def epoch(made):
        made.batches.epoch = lambda *args: made._made  # the mean image was sent before
        made._train_epoch(SimpleNamespace(signal=None))

    found = failures(fail, epoch, trainer)
    assert len(found) > 100
    for said in found:
        assert re.search(r"instead of 5 images at a time, about \d would fit|not even one image would fit", said)


def test_predictions_say_wherever_they_fail_which_batch_would_fit(fail):
    def batches():
        images = Shapes(10, size=18)
        made = Batches(images, 5, 16, PixelStatistics.fit(images), workers=1, backend="cupy")
        epoch = made.epoch()
        made.epoch = lambda: epoch
        return made

    net = every_kind()
    found = failures(fail, lambda made: list(predictions(net, made)), batches)
    assert len(found) > 30
    assert all(re.search(r"instead of 5 images at a time|not even one image", said) for said in found)


def test_whoever_writes_the_loop_gets_one_sentence_too(fail):
    """Of the passes with advice; loss, optimiser and copies do not know the network."""
    def made():
        net = every_kind()
        return net, Adam(net.parameters()), normal(5, 16, 16, 3, dtype=np.float32).transpose(0, 3, 1, 2)

    def work(made):
        net, optimiser, x = made
        loss = SoftmaxCrossEntropy()
        x = backends.get("cupy").asarray(x)
        float(loss(net(x), np.arange(5)))
        dx = net.backward(loss.backward())
        backends.get("cupy").to_numpy(dx[:, ::2])
        optimiser.step()
        net.state_dict(), optimiser.state_dict()
        net.astype("float64").initialize()

    for said in failures(fail, work, made):
        assert said.startswith("the GPU is out of memory: another ") and "\n" not in said


def test_a_library_without_memory_is_a_full_gpu_too(monkeypatch):
    """CUDA loads a kernel when it is first launched, cuBLAS takes a workspace: their errors are not CuPy's own."""
    from minicnn.backends.cupy import kernels

    for text in ("CUDA_ERROR_OUT_OF_MEMORY: out of memory", "cudaErrorMemoryAllocation: out of memory",
                 "CUBLAS_STATUS_ALLOC_FAILED"):
        def fails(*args, text=text):
            raise RuntimeError(text)

        monkeypatch.setattr(kernels, "_function", fails)
        with pytest.raises(OutOfMemory, match=r"more is wanted, \d"):
            ReLU()(images(1))
    monkeypatch.setattr(kernels, "_function", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ReLU()(images(1))


def test_without_page_locked_memory_the_message_says_so(monkeypatch):
    import cupy

    def refuses(size):
        raise cupy.cuda.runtime.CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")

    monkeypatch.setattr(cupy.cuda, "alloc_pinned_memory", refuses)
    with pytest.raises(BackendError, match=r"no 2\.0 MiB of page-locked memory.*smaller batch"):
        backends.get("cupy").pinned((2**21,), "uint8")


@pytest.mark.parametrize("kind, slots", [(SGD, 1), (Adam, 2)])
def test_state_that_an_optimiser_still_has_to_make_or_to_move_is_counted(kind, slots):
    net = network()
    optimiser, size = make(kind, net), sum(p.data.nbytes for p in net.parameters())
    assert optimiser.bytes_to_make() == slots * size
    state = optimiser.state_dict()
    assert optimiser.bytes_to_make() == 0
    optimiser.load_state_dict(state)  # which stays on the host until it is needed
    assert optimiser.bytes_to_make() == slots * size


@pytest.mark.parametrize("in_use", [0, 10**6])
def test_advice_counts_gradients_that_are_made_in_between(in_use):
    """When memory runs out in the middle of backward, some gradients are there and the batch needs them all the same."""
    net = Sequential(flat=Flatten(), wide=Linear(10, 1000, bias=False, seed=0), fc=Linear(1000, 10, bias=False, seed=1))
    said = []
    for gradients in (0, 80_000):
        for p in net.parameters():
            p.grad = None
        with pytest.raises(OutOfMemory) as caught, Advice(net, (100, 10), in_use):
            for p in net.parameters():
                p.grad = p.data if gradients else None
            raise OutOfMemory(1, 400_000 - gradients, in_use + gradients)
        said.append(re.search(r"about (\d+) would", str(caught.value))[1])
    assert said[0] == said[1]
