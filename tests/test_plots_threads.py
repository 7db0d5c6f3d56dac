"""Pictures of what the threads of a kernel write and read, from records made by hand and from one of a real kernel."""

import shutil

import numpy as np
import pytest

from minicnn import Conv2d, cuda_on_cpu, plots
from minicnn.cuda_on_cpu.accesses import Launch
from minicnn.errors import DataError, ShapeError
from minicnn.plots.style import GREY
from minicnn.plots.threads import COLOURS, PALER

FIELDS = [("block", "i4", 3), ("thread", "i4", 3), ("array", "U8"), ("index", "i8"), ("address", "i8"), ("bytes", "i4"),
          ("write", "?"), ("instruction", "i4")]


def launch(*accesses, grid=(2, 1, 1), block=(64, 1, 1)):
    """Of (block, thread, array, index, write), blocks and threads as numbers or as (x, y, z)."""
    rows = [(three(b), three(t), array, index, 4096 + 4 * index, 4, write, rest[0] if rest else 0)
            for b, t, array, index, write, *rest in accesses]
    return Launch("kernel", grid, block, np.array(rows, FIELDS))


def three(place):
    return place if isinstance(place, tuple) else (place, 0, 0)


def copy(threads, place, size=(64, 1, 1)):
    """Thread t of each of two blocks reads x and writes y at place(block, t)."""
    return launch(*((b, t, array, place(b, t), array == "y") for b in range(2) for t in range(threads) for array in "xy"),
                  block=size)


def pixels(axes):
    return np.asarray(axes.get_images()[0].get_array())


def texts(axes):
    return [text.get_text() for text in axes.texts]


def rgb(colour):
    return np.array([int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)])


def test_writers():
    blocks, threads = plots.writers(copy(3, lambda b, t: 4 * b + t), "y", (2, 4))
    assert blocks.tolist() == [[0, 0, 0, -1], [1, 1, 1, -1]] and threads.tolist() == [[0, 1, 2, -1], [0, 1, 2, -1]]


def test_the_last_writer_counts_and_x_runs_fastest():
    found = launch((0, 0, "y", 0, True), ((1, 2, 1), (3, 1, 1), "y", 0, True), grid=(2, 3, 2), block=(5, 2, 2))
    blocks, threads = plots.writers(found, "y", (1, 1))
    assert blocks.item() == 1 + 2 * 2 + 6 * 1 and threads.item() == 3 + 5 * 1 + 10 * 1


def test_reads_are_counted_and_writes_are_not():
    found = launch((0, 0, "x", 1, False), (0, 1, "x", 1, False), (1, 0, "x", 3, False), (1, 0, "x", 0, True),
                   (1, 0, "b", 0, False))
    assert plots.read_counts(found, "x", (2, 3)).tolist() == [[0, 2, 0], [1, 0, 0]]


def test_threads_have_the_colour_of_their_block_and_every_second_warp_is_paler():
    shown = pixels(plots.threads({"two": (copy(33, lambda b, t: 40 * b + t), "y", (2, 40))}).axes[0])
    for b in range(2):
        colour = rgb(COLOURS[b])
        assert np.allclose(shown[b, :32], colour) and np.allclose(shown[b, 32], colour + PALER * (1 - colour))
    assert np.allclose(shown[:, 33:], rgb(GREY))


def test_threads_are_numbered_where_there_is_room():
    roomy, crowded = copy(3, lambda b, t: 3 * b + t), copy(60, lambda b, t: 60 * b + t)
    figure = plots.threads({"roomy": (roomy, "y", (2, 3))})
    assert texts(figure.axes[0]) == [*"012012", "block 0", "block 1"]
    assert texts(plots.threads({"crowded": (crowded, "y", (2, 60))}).axes[0]) == ["block 0", "block 1"]


def test_many_blocks_have_no_names():
    many = launch(*((b, 0, "y", b, True) for b in range(13)), grid=(13, 1, 1))
    assert texts(plots.threads({"many": (many, "y", (1, 13))}).axes[0]) == ["0"] * 13


def test_one_thread_is_marked():
    axes = plots.threads({"two": (copy(3, lambda b, t: 3 * t + b), "y", (3, 3))}, mark=(1, 2)).axes[0]
    assert axes.collections[0].get_offsets().tolist() == [[1, 2]]  # column, row


def test_the_title_tells_grid_and_block():
    found = launch((0, 0, "y", 0, True), grid=(8, 3, 1), block=(32, 1, 1))
    assert plots.threads({"a": (found, "y", (1, 1))}).axes[0].get_title(loc="left") == "a: kernel, 8×3 blocks of 32"


def test_reads_share_a_scale_and_are_written_where_there_is_room():
    once, wide = copy(3, lambda b, t: t), copy(30, lambda b, t: t // 2)
    figure = plots.reads({"small": (once, "x", (1, 3)), "large": (wide, "x", (2, 30))})
    small, large, bar = figure.axes
    assert pixels(small).tolist() == [[2, 2, 2]] and pixels(large).tolist() == [[4] * 15 + [0] * 15, [0] * 30]
    assert texts(small) == ["2"] * 3 and texts(large) == []
    assert small.get_images()[0].get_clim() == large.get_images()[0].get_clim() == (0, 4)
    assert small.get_title(loc="left") == "small: kernel reads x 6 times" and bar.get_ylabel() == "reads of an element"


@pytest.mark.parametrize("stride, lines, used", [(1, 1, "100%"), (2, 2, "50%"), (32, 32, "3%"), (0, 1, "3%")])
def test_lines_of_a_warp(stride, lines, used):
    figure = plots.warps({"t": (copy(64, lambda b, t: stride * t), "x")})
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == f"t: {lines} line{'s' * (lines > 1)} of 128 bytes, {used} used"
    assert texts(axes) == [str(t) for t in range(32)]
    places = [(text.get_position()[0] - 0.5, int(text.get_position()[1])) for text in axes.texts]
    assert places == [(stride * t % 32, stride * t // 32) for t in range(32)]


def test_a_warp_that_begins_in_the_middle_of_a_line_touches_two():
    assert "2 lines" in plots.warps({"t": (copy(32, lambda b, t: t + 1), "x")}).axes[0].get_title(loc="left")


def test_another_warp_of_another_block_and_writes():
    found = copy(64, lambda b, t: 100 * b + t)
    lanes, addresses, sizes = plots.warp_addresses(found, "y", block=1, warp=1, write=True)
    assert lanes.tolist() == list(range(32)) and set(sizes) == {4}
    assert addresses.tolist() == [4096 + 4 * (100 + 32 + lane) for lane in range(32)]
    written = plots.warps({"t": (launch(*((0, t, "y", t, True) for t in range(32))), "y")}, write=True)
    assert "1 line " in written.axes[0].get_title(loc="left")


def test_of_several_instructions_and_turns_the_first_is_taken():
    turns = [(0, t, "x", 50 * turn + 10 * where + t, False, where) for t in range(3) for turn in range(2)
             for where in range(2)]
    lanes, addresses, _ = plots.warp_addresses(launch(*turns, (0, 5, "x", 90, False, 1)), "x")
    assert lanes.tolist() == [0, 1, 2] and addresses.tolist() == [4096, 4100, 4104]


def test_frames_for_lines_have_one_scale():
    near, far = copy(32, lambda b, t: t), copy(32, lambda b, t: 32 * t)
    heights = [axes.get_ylim() for axes in plots.warps({"near": (near, "x"), "far": (far, "x")}).axes]
    assert heights == [(32, 0), (32, 0)]


def test_refusals():
    found = copy(3, lambda b, t: t)
    with pytest.raises(DataError, match="kernel does not read y, but x"):
        plots.read_counts(found, "y", (3,))
    with pytest.raises(DataError, match="does not write z, but y"):
        plots.threads({"a": (found, "z", (1, 3))})
    with pytest.raises(ShapeError, match="x has more elements than the 2 of shape"):
        plots.reads({"a": (found, "x", (1, 2))})
    for cases in ({}, {"a": (found, "x", (3,))}):
        with pytest.raises(ShapeError, match="wanted \\(rows, columns\\)"):
            plots.reads(cases)
    with pytest.raises(DataError, match="warp 1 of block 0 does not read x"):
        plots.warps({"a": (found, "x")}, warp=1)


def test_a_real_kernel(tmp_path):
    """Every output has one thread; a pixel is read by each window that holds it, as loops over the windows count."""
    if not shutil.which("g++"):
        pytest.skip("no g++, which compiles CUDA kernels for the CPU")
    conv = Conv2d(1, 1, (3, 2), stride=(2, 1), padding=1, algorithm="direct", seed=0)
    with cuda_on_cpu.pretend(), cuda_on_cpu.record() as launches:
        import cupy

        height, width = conv.to("cupy")(cupy.asarray(np.ones((1, 1, 7, 5), np.float32))).shape[2:]
    _, threads = plots.writers(launches[0], "y", (height, width))
    assert np.array_equal(threads, np.arange(height * width).reshape(height, width))
    wanted = np.zeros((7 + 2, 5 + 2), int)
    for p in range(height):
        for q in range(width):
            wanted[2 * p:2 * p + 3, q:q + 2] += 1
    assert np.array_equal(plots.read_counts(launches[0], "x", (7, 5)), wanted[1:-1, 1:-1])
    plots.threads({"y": (launches[0], "y", (height, width))}, path=tmp_path / "threads.png")
    plots.reads({"x": (launches[0], "x", (7, 5))}, path=tmp_path / "reads.png")
    plots.warps({"x": (launches[0], "x")}, path=tmp_path / "warps.png")
    written = [path.read_bytes()[1:4] for path in tmp_path.iterdir()]
    assert written == [b"PNG"] * 3
