// The softmax cross-entropy of logits z (N, K) with labels (N,): p = softmax(z), losses[n] = -log p[n, label[n]].
//
// A row is shifted by its largest logit first, which changes nothing and lets no exponential overflow; and the loss is
// log(sum of exp) - z[label], without the logarithm of a p that may have become 0.

#include "reduce.cuh"

// for each row n:
//     largest = max of z[n];  total = sum over j of exp(z[n, j] - largest)
//     p[n, j] = exp(z[n, j] - largest) / total
//     losses[n] = log(total) - (z[n, labels[n]] - largest)
//
// One thread for each row. Of 128 images, that is 128 threads, each of which reads 1,000 numbers one after the other, and
// far from those that its neighbours read.
extern "C" __global__ void softmax_cross_entropy_naive(const real *z, const long long *labels, real *p, real *losses, int rows,
                                                       int classes)
{
    int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= rows) return;
    z += n * classes, p += n * classes;
    real largest = z[0], total = 0;
    for (int j = 1; j < classes; j++) largest = max(largest, z[j]);
    for (int j = 0; j < classes; j++) {
        p[j] = exp(z[j] - largest);
        total += p[j];
    }
    for (int j = 0; j < classes; j++) p[j] /= total;
    losses[n] = log(total) - (z[labels[n]] - largest);
}

// The same. One block of threads for each row: they read it side by side, and add up what each has found.
extern "C" __global__ void softmax_cross_entropy(const real *z, const long long *labels, real *p, real *losses, int classes)
{
    int n = blockIdx.x;
    z += n * classes, p += n * classes;
    real largest = z[0], total = 0;
    for (int j = threadIdx.x; j < classes; j += blockDim.x) largest = max(largest, z[j]);
    largest = block_max(largest);
    for (int j = threadIdx.x; j < classes; j += blockDim.x) {
        p[j] = exp(z[j] - largest);
        total += p[j];
    }
    total = block_sum(total);
    for (int j = threadIdx.x; j < classes; j += blockDim.x) p[j] /= total;  // what this thread itself has written
    if (threadIdx.x == 0) losses[n] = log(total) - (z[labels[n]] - largest);
}

// mean[0] = (sum of the n losses) / n, in double precision. One block of threads.
extern "C" __global__ void mean_of_losses(const real *losses, double *mean, int n)
{
    double sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += losses[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) mean[0] = sum / n;
}

// for each n, j: dz[n, j] = (p[n, j] - (j == labels[n])) / N
//
// One thread for each of the `count` numbers.
extern "C" __global__ void softmax_cross_entropy_backward(const real *p, const long long *labels, real *dz, int count,
                                                          int classes, int rows)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) dz[i] = (p[i] - (i % classes == labels[i / classes])) / rows;
}
