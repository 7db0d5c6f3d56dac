// The hyperbolic tangent, any shape, n numbers. One thread for each number.

// for (i = 0; i < n; i++) y[i] = tanh(x[i]);
extern "C" __global__ void tanh_forward(const real *x, real *y, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = tanh(x[i]);
}

// for (i = 0; i < n; i++) dx[i] = dy[i] * (1 - y[i] * y[i]);
extern "C" __global__ void tanh_backward(const real *dy, const real *y, real *dx, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) dx[i] = (1 - y[i] * y[i]) * dy[i];
}
