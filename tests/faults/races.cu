// Faults that ThreadSanitizer finds, on the line that says so; run one after another, threads hide them.

extern "C" __global__ void scatters(float *y)
{
    y[threadIdx.x % 4] += 1;  // here
}

extern "C" __global__ void scatters_between_blocks(float *y)
{
    if (threadIdx.x == 0) y[0] += 1;  // here
}

extern "C" __global__ void reads_too_early(const float *x, float *y)
{
    __shared__ float tile[32];
    tile[31 - threadIdx.x] = x[threadIdx.x];  // here
    y[threadIdx.x] = tile[threadIdx.x];
}

extern "C" __global__ void writes_too_early(const float *x, float *y)
{
    __shared__ float tile[32];
    for (int round = 0; round < 2; round++) {
        tile[threadIdx.x] = x[threadIdx.x];  // here
        __syncthreads();
        y[threadIdx.x] += tile[31 - threadIdx.x];
    }
}

extern "C" __global__ void lacks_a_barrier_of_its_warp(const float *x, float *y)
{
    __shared__ float tile[32];
    tile[threadIdx.x] = __shfl_xor_sync(0xffffffff, x[threadIdx.x], 1);  // here
    __shfl_sync(0xffffffff, 0, 0);
    y[threadIdx.x] = tile[31 - threadIdx.x];
}

extern "C" __global__ void is_right(const float *x, float *y, int *count)
{
    __shared__ float tile[32], other[32];
    for (int round = 0; round < 3; round++) {
        tile[threadIdx.x] = x[threadIdx.x];
        other[threadIdx.x] = 1;
        __syncwarp();
        y[blockIdx.x * blockDim.x + threadIdx.x] = other[31 - threadIdx.x];
        __syncthreads();
        y[blockIdx.x * blockDim.x + threadIdx.x] += tile[31 - threadIdx.x];
        __syncthreads();
    }
    atomicAdd(count, 1);
}
