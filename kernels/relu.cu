// ReLU, any shape, n numbers. One thread for each number.

// for (i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;                  and a NaN stays one
extern "C" __global__ void relu_forward(const real *x, real *y, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] <= 0 ? 0 : x[i];
}

// for (i = 0; i < n; i++) dx[i] = y[i] > 0 ? dy[i] : 0;
extern "C" __global__ void relu_backward(const real *dy, const real *y, real *dx, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) dx[i] = y[i] > 0 ? dy[i] : 0;
}
