"""What the tests of CUDA on the CPU share: arrays on the device, and kernels from a few lines of text."""

import numpy as np


def kernel(text, name="k"):
    import cupy

    return cupy.RawModule(code=text).get_function(name)


def device(values, dtype=np.float32):
    import cupy

    return cupy.asarray(np.array(values, dtype))


def run(body, *args, grid=(1,), block=(1,), parameters="", declarations="", shared=0):
    """Run a kernel of this body."""
    text = f'{declarations}\nextern "C" __global__ void k({parameters})\n{{\n{body}\n}}'
    kernel(text)(grid, block, args, shared_mem=shared)
