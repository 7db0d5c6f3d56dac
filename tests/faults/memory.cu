// Faults that AddressSanitizer or UndefinedBehaviorSanitizer finds, one a kernel, on the line that says so.

extern "C" __global__ void writes_behind(float *y)
{
    y[threadIdx.x + 1] = 1;  // here
}

extern "C" __global__ void reads_before(const float *x, float *y)
{
    y[threadIdx.x] = x[(int)threadIdx.x - 1];  // here
}

extern "C" __global__ void overruns_static(float *y)
{
    __shared__ float tile[32];
    tile[threadIdx.x + 1] = 1;  // here
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x];
}

extern "C" __global__ void overruns_dynamic(float *y)
{
    extern __shared__ float row[];
    row[threadIdx.x + 1] = 1;  // here
    __syncthreads();
    y[threadIdx.x] = row[threadIdx.x];
}

extern "C" __global__ void overflows(float *y, int n)
{
    y[threadIdx.x] = n * n;  // here
}

extern "C" __global__ void reads_misaligned(const float *x, float *y)
{
    const float4 *vectors = (const float4 *)(x + 1);
    y[threadIdx.x] = vectors[0].x;  // here
}

extern "C" __global__ void is_right(const float *x, float *y)
{
    __shared__ float tile[32];
    extern __shared__ float row[];
    tile[threadIdx.x] = x[threadIdx.x];
    row[threadIdx.x] = 1;
    __syncthreads();
    y[threadIdx.x] = tile[31 - threadIdx.x] + row[31 - threadIdx.x] + ((const float4 *)x)[threadIdx.x / 4].w;
}
