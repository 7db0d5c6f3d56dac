// Sums for the gradients of biases, in a fixed order: the same bits in every run.

#include "reduce.cuh"

// Stage one, for a bias of maps: dy (N, O, P), P = OH·OW  →  partial (parts, O)
// for each part, o:  partial[part][o] = Σ over the images n = part, part + parts, … and all p of dy[n][o][p]
// One block of threads for each o (blockIdx.x) and part (blockIdx.y): of 256, thread t adds up the pixels t, t + 256, … of
// the images of the part, and then they add up their sums.
extern "C" __global__ void sum_maps(const real *dy, real *partial, int N, int O, int P)
{
    int o = blockIdx.x, part = blockIdx.y, parts = gridDim.y;
    real sum = 0;
    for (int n = part; n < N; n += parts)
        for (int p = threadIdx.x; p < P; p += blockDim.x)
            sum += dy[(n * O + o) * P + p];
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[part * O + o] = sum;
}

// Stage two, and all there is to do for a bias of features: rows (R, n)  →  sum (n)
// for (i = 0; i < n; i++) { sum[i] = 0; for (r = 0; r < R; r++) sum[i] += rows[r][i]; }
// One thread for each i; neighbouring threads read neighbouring numbers.
extern "C" __global__ void sum_rows(const real *rows, real *sum, int R, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    real total = 0;
    for (int r = 0; r < R; r++) total += rows[r * n + i];
    sum[i] = total;
}
