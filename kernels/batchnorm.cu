// Batch normalisation of x (N, C, pixels), channel by channel; a channel has M = N * pixels values. x (N, C) has one pixel.
//
// A sum over a channel goes in two steps, because a block for each channel would leave most of a large GPU idle: a block of
// threads sums up one part of the channel, `part` values long, then one thread adds the parts. How a channel is cut
// depends on the shape alone, so that sums are the same from run to run. Block b does part b / C of channel b % C, and
// leaves its sum at place b: (parts, C). All that follows takes one thread for each number.

#include "reduce.cuh"

// Where value j of channel c lies.
__device__ int place(int j, int c, int channels, int pixels)
{
    return (j / pixels * channels + c) * pixels + j % pixels;
}

// means[part, c] = (sum of x over the part) / its length
// squares[part, c] = sum of (x - means[part, c])^2 over the part
//
// In two passes, the second out of the cache. Sums of x^2 in the first would save it, and lose all digits of the variance
// where it is small beside the mean: it is a difference then.
extern "C" __global__ void batchnorm_parts(const real *x, real *means, real *squares, int channels, int pixels, int values,
                                           int part)
{
    int c = blockIdx.x % channels, start = blockIdx.x / channels * part, count = min(part, values - start);
    real sum = 0, square = 0;
    for (int j = threadIdx.x; j < count; j += blockDim.x) sum += x[place(start + j, c, channels, pixels)];
    real mean = block_sum(sum) / count;
    for (int j = threadIdx.x; j < count; j += blockDim.x) {
        real distance = x[place(start + j, c, channels, pixels)] - mean;
        square += distance * distance;
    }
    square = block_sum(square);
    if (threadIdx.x == 0) {
        means[blockIdx.x] = mean;
        squares[blockIdx.x] = square;
    }
}

// for each c: mean[c] and variance[c] over all of its parts, inverse[c] = 1 / sqrt(variance[c] + eps)
//
// One thread for each channel. Two sets of a and b values, whose means lie d apart, have together the mean
// mean_a + d * b / (a + b) and the sum of squares squares_a + squares_b + d^2 * a * b / (a + b)  (Chan, Golub, LeVeque 1979).
extern "C" __global__ void batchnorm_statistics(const real *means, const real *squares, real *mean, real *variance,
                                                real *inverse, int channels, int values, int part, int parts, real eps)
{
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    real middle = 0, square = 0;
    for (int p = 0; p < parts; p++) {
        int start = p * part, count = min(part, values - start), b = p * channels + c;
        real distance = means[b] - middle, share = (real)count / (start + count);
        middle += distance * share;
        square += squares[b] + distance * distance * start * share;
    }
    mean[c] = middle;
    variance[c] = square / values;
    inverse[c] = 1 / sqrt(variance[c] + eps);
}

// for each c: inverse[c] = 1 / sqrt(variance[c] + eps)
extern "C" __global__ void batchnorm_inverse(const real *variance, real *inverse, int channels, real eps)
{
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c < channels) inverse[c] = 1 / sqrt(variance[c] + eps);
}

// for each number i, of channel c:
//     normal[i] = (x[i] - mean[c]) * inverse[c]
//     y[i] = normal[i] * gamma[c] + beta[c]
extern "C" __global__ void batchnorm_forward(const real *x, const real *mean, const real *inverse, const real *gamma,
                                             const real *beta, real *normal, real *y, int n, int channels, int pixels)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int c = i / pixels % channels;
    normal[i] = (x[i] - mean[c]) * inverse[c];
    y[i] = normal[i] * gamma[c] + beta[c];
}

// products[part, c] = sum of dy * normal over the part, sums[part, c] = sum of dy; sum_rows (sums.cu) adds the parts
extern "C" __global__ void batchnorm_backward_parts(const real *dy, const real *normal, real *products, real *sums,
                                                    int channels, int pixels, int values, int part)
{
    int c = blockIdx.x % channels, start = blockIdx.x / channels * part, count = min(part, values - start);
    real product = 0, sum = 0;
    for (int j = threadIdx.x; j < count; j += blockDim.x) {
        int i = place(start + j, c, channels, pixels);
        product += dy[i] * normal[i];
        sum += dy[i];
    }
    product = block_sum(product);
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        products[blockIdx.x] = product;
        sums[blockIdx.x] = sum;
    }
}

// for each number i, of channel c:
//     dx[i] = gamma[c] * inverse[c] * (dy[i] - dbeta[c] / M - normal[i] * dgamma[c] / M)
//
// The last two terms drop out where the statistics are constants.
extern "C" __global__ void batchnorm_backward(const real *dy, const real *normal, const real *gamma, const real *inverse,
                                              const real *dgamma, const real *dbeta, real *dx, int n, int channels,
                                              int pixels, int values, bool constants)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int c = i / pixels % channels;
    real slope = dy[i];
    if (!constants) slope = slope - dbeta[c] / values - normal[i] * (dgamma[c] / values);
    dx[i] = slope * (gamma[c] * inverse[c]);
}
