// Kernels for launches that go wrong; the text is right.

extern "C" __global__ void scale(const float *x, float *y, float a, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i];
}

extern "C" __global__ void __launch_bounds__(64) few(float *y)
{
    y[threadIdx.x] = 1;
}

extern "C" __global__ void rows(float *y)
{
    extern __shared__ float row[];
    row[threadIdx.x] = 1;
    y[threadIdx.x] = row[threadIdx.x];
}

extern "C" __global__ void mixed(const long long *labels, const float4 *vectors, double *wide, bool flag, unsigned char small)
{
    wide[0] = labels[0] + vectors[0].w + flag + small;
}
