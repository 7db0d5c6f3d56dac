// What the fully connected layer needs beside the products of cuBLAS.

// for (n = 0; n < N; n++) for (o = 0; o < O; o++) y[n][o] += b[o];
// One thread for each number of y (N, O).
extern "C" __global__ void add_bias(const real *b, real *y, int N, int O)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < N * O) y[i] += b[i % O];
}
