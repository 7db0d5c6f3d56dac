// Each of these would hang on a GPU, or go on with garbage. The test names the line.

extern "C" __global__ void diverges(float *y)
{
    if (threadIdx.x < 7) __syncthreads();
    else
        __syncthreads();
    y[threadIdx.x] = 1;
}

extern "C" __global__ void returns(float *y, int n)
{
    if (threadIdx.x >= n) return;
    y[threadIdx.x] = 1;
    __syncthreads();
}

extern "C" __global__ void reduces(float *y)
{
    float value = y[threadIdx.x];
    for (int d = 16; d > 0; d /= 2) value += __shfl_down_sync(0xffffffff, value, d);
    y[threadIdx.x] = value;
}

extern "C" __global__ void leaves(float *y, int n)
{
    if (threadIdx.x >= n) return;
    y[threadIdx.x] = __shfl_xor_sync(0xffffffff, y[threadIdx.x], 1);
}

extern "C" __global__ void stands_outside(float *y)
{
    y[threadIdx.x] = __shfl_sync(0x0000ffff, y[threadIdx.x], 0);
}

extern "C" __global__ void reads_outside(float *y)
{
    unsigned half = threadIdx.x < 16 ? 0x0000ffff : 0xffff0000;
    y[threadIdx.x] = __shfl_sync(half, y[threadIdx.x], 3);
}

extern "C" __global__ void waits_for_each_other(float *y)
{
    if (threadIdx.x < 32) __syncthreads();
    else if (threadIdx.x < 40)
        __syncwarp(0x000000ff);
    else
        __shfl_sync(0xffffffff, 1, 0);
    y[threadIdx.x] = 1;
}

extern "C" __global__ void forgets_the_first_barrier(const float *x, float *y)
{
    __shared__ float tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = tile[63 - threadIdx.x];
}

extern "C" __global__ void leaves_more_than_it_has(float *y)
{
    __shared__ float tile[64];
    tile[threadIdx.x + 1] = y[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x];
}

extern "C" __global__ void takes_too_much(float *y)
{
    __shared__ float one[7000], other[7000];
    one[threadIdx.x] = other[threadIdx.x] = 1;
}
