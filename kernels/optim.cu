// Optimiser updates, in place. One thread for each of the n numbers: it reads and writes each array once, where an array
// expression would for every operation.

// for (i = 0; i < n; i++) {
//     velocity[i] = momentum * velocity[i] - decay * w[i] - lr * gradient[i];            decay holds the learning rate
//     w[i] += velocity[i];
// }
extern "C" __global__ void sgd_update(real *w, const real *gradient, real *velocity, int n, real lr, real momentum, real decay)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    real v = momentum * velocity[i] - lr * gradient[i];
    if (decay != 0) v -= decay * w[i];
    velocity[i] = v;
    w[i] += v;
}

// for (i = 0; i < n; i++) {
//     g = gradient[i] + decay * w[i];
//     m[i] = first * m[i] + (1 - first) * g;
//     v[i] = second * v[i] + (1 - second) * g * g;
//     w[i] -= rate * m[i] / (sqrt(v[i] * correction) + eps);
// }
//
// with rate = lr / (1 - first^step) and correction = 1 / (1 - second^step); first_rest is 1 - first, taken in double
// precision, and second_rest 1 - second.
extern "C" __global__ void adam_update(real *w, const real *gradient, real *m, real *v, int n, real rate, real correction,
                                       real first, real first_rest, real second, real second_rest, real eps, real decay)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    real g = w[i] * decay + gradient[i];
    m[i] = first * m[i] + first_rest * g;
    v[i] = second * v[i] + second_rest * (g * g);
    w[i] -= m[i] / (sqrt(v[i] * correction) + eps) * rate;
}
