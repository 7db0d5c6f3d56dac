// The logistic function, any shape, n numbers. One thread for each number.

// for (i = 0; i < n; i++) y[i] = x[i] >= 0 ? 1 / (1 + exp(-x[i])) : exp(x[i]) / (1 + exp(x[i]));
//
// Both are the same function. exp is only taken of what is not positive, so that nothing overflows and small y keep
// their digits.
extern "C" __global__ void sigmoid_forward(const real *x, real *y, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    real e = exp(-fabs(x[i]));
    y[i] = (x[i] >= 0 ? 1 : e) / (1 + e);
}

// for (i = 0; i < n; i++) dx[i] = dy[i] * y[i] * (1 - y[i]);
extern "C" __global__ void sigmoid_backward(const real *dy, const real *y, real *dx, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) dx[i] = (1 - y[i]) * y[i] * dy[i];
}
