// What a block of threads, a power of two of them, up to 1,024, finds out together about one value of each thread. All of
// them must call, and each gets the answer. Halves are laid upon each other until one value is left: the order of the
// additions is fixed, so that the same values give the same sum, to the last bit.

template <typename T> __device__ T block_sum(T value)
{
    __shared__ T sums[1024];
    sums[threadIdx.x] = value;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    __syncthreads();
    T sum = sums[0];
    __syncthreads();  // nobody writes before all have read
    return sum;
}

// A NaN may win or lose.
template <typename T> __device__ T block_max(T value)
{
    __shared__ T largest[1024];
    largest[threadIdx.x] = value;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) largest[threadIdx.x] = max(largest[threadIdx.x], largest[threadIdx.x + half]);
    }
    __syncthreads();
    T result = largest[0];
    __syncthreads();
    return result;
}
