// Convolution as a matrix product whose columns are never laid out: the third rung of the ladder.
//
//   x (N, C, H, W), w (O, CG, KH, KW), b (O), y (N, O, OH, OW); in groups of CG = C/groups and OG = O/groups maps
//
// With K = CG·KH·KW taps and P = N·OH·OW windows, a group of maps is Y (OG, P) = W (OG, K) · X (K, P), where X[k][p] is
// the pixel under tap k of window p: im2col writes X to memory and reads it again, KH·KW times the size of x. Here a block
// of 256 threads computes a tile of Y, ROWS × COLUMNS numbers. It walks along K in steps of DEPTH, and for each one fetches
//
//   a[DEPTH][ROWS]      the weights of its rows, and
//   b[DEPTH][COLUMNS]   the pixels under these taps of its windows, found where they lie in x,
//
// into shared memory, once for all threads. A thread keeps 4 × 8 numbers of the tile in registers: from 12 numbers that it
// reads for a tap come 32 products. So a number from memory serves ROWS or COLUMNS products, where conv_direct.cu has one.
//
// The gradients are such products, too, and differ in what is fetched:
//
//   dX (CG, pixels) = Wᵀ (CG, OG·taps) · dY      the windows that see a pixel; with a stride, each phase of pixels by itself
//   dW (OG, K)      = dY (OG, P) · Xᵀ (P, K)     P is long and dW small: blocks share P out, and then their parts are added
//
// Every number is the work of one thread, in one order: the same bits in every run.

constexpr int ROWS = 64, COLUMNS = 128, DEPTH = 16;
constexpr int OWN_ROWS = ROWS / 16, OWN_COLUMNS = COLUMNS / 16;  // those of a thread: row(0), row(1), … and column(0), …
constexpr int A_PITCH = ROWS + 4, B_PITCH = COLUMNS + 1;  // a little more than a row, so that columns lie in different banks

__device__ int row(int r) { return threadIdx.x / 16 * OWN_ROWS + r; }
__device__ int column(int c) { return threadIdx.x % 16 + 16 * c; }

// for each k, row and column of the tile:  sum[row][column] += a[k][row] · b[k][column]
// Thread t has the rows and columns above. Around it stand the barriers: what is fetched is there, and was used.
__device__ void multiply(const real (*a)[A_PITCH], const real (*b)[B_PITCH], real (*sum)[OWN_COLUMNS])
{
    __syncthreads();
    #pragma unroll
    for (int k = 0; k < DEPTH; k++)
        #pragma unroll
        for (int r = 0; r < OWN_ROWS; r++)
            #pragma unroll
            for (int c = 0; c < OWN_COLUMNS; c++)
                sum[r][c] += a[k][row(r)] * b[k][column(c)];
    __syncthreads();
}

// for each o, n, p, q:  y[n][o][p][q] = b[o];  for each c, i, j:  y[n][o][p][q] += w[o][c][i][j] · x[n][c][…][…]
// Blocks: blockIdx.x tiles of windows (n, p, q), blockIdx.y tiles of maps, blockIdx.z the group.
// Fetching, thread t has row t/16 of DEPTH in b and the same columns as in the product, in a column t%16.
extern "C" __global__ void implicit_forward(const real *x, const real *w, const real *bias, real *y, int N, int C, int O,
                                            int H, int W, int OH, int OW, int KH, int KW,
                                            int SH, int SW, int PH, int PW, int DH, int DW)
{
    __shared__ real a[DEPTH][A_PITCH];
    __shared__ real b[DEPTH][B_PITCH];
    int groups = gridDim.z, group = blockIdx.z, CG = C / groups, OG = O / groups, K = CG * KH * KW;
    int firstMap = blockIdx.y * ROWS, firstWindow = blockIdx.x * COLUMNS;
    int along = threadIdx.x % 16, across = threadIdx.x / 16;

    int image[OWN_COLUMNS], top[OWN_COLUMNS], left[OWN_COLUMNS];  // where the images and windows of this thread begin
    for (int c = 0; c < OWN_COLUMNS; c++) {
        int window = firstWindow + column(c), n = window / (OH * OW);
        image[c] = (n * C + group * CG) * H * W;
        top[c] = n < N ? window / OW % OH * SH - PH : -(1 << 30);  // beyond the last window: above every image
        left[c] = window % OW * SW - PW;
    }

    real sum[OWN_ROWS][OWN_COLUMNS] = {};
    for (int first = 0; first < K; first += DEPTH) {
        for (int r = 0; r < OWN_ROWS; r++) {
            int o = firstMap + across + 16 * r, k = first + along;
            a[along][across + 16 * r] = o < OG && k < K ? w[(group * OG + o) * K + k] : 0;
        }
        int k = first + across, plane = k / (KH * KW) * H * W, down = k / KW % KH * DH, right = k % KW * DW;
        for (int c = 0; c < OWN_COLUMNS; c++) {
            int h = top[c] + down, v = left[c] + right;
            bool seen = k < K && h >= 0 && h < H && v >= 0 && v < W;
            b[across][column(c)] = seen ? x[image[c] + plane + h * W + v] : 0;
        }
        multiply(a, b, sum);
    }

    for (int c = 0; c < OWN_COLUMNS; c++) {
        int window = firstWindow + column(c), n = window / (OH * OW);
        for (int r = 0; r < OWN_ROWS; r++) {
            int o = firstMap + row(r);
            if (n < N && o < OG)
                y[(n * O + group * OG + o) * OH * OW + window % (OH * OW)] = sum[r][c] + bias[group * OG + o];
        }
    }
}

// for each n, c, h, v:  dx[n][c][h][v] = Σ over o, i, j of w[o][c][i][j] · dy[n][o][p][q], where p·SH + i·DH - PH = h
//
// A pixel at h = u·SH + phase is seen by the taps i with (phase + PH - i·DH) a multiple of SH: firstI, firstI + stepH, …
// Pixels of one phase have the same ones, and are a product of their own, none of whose terms is lost to the stride.
// Blocks: blockIdx.x tiles of pixels (n, u, t) of a phase, blockIdx.y tiles of maps c, blockIdx.z group and phases.
extern "C" __global__ void implicit_dx(const real *dy, const real *w, real *dx, int N, int C, int O, int groups,
                                       int stepH, int stepW, int H, int W, int OH, int OW, int KH, int KW,
                                       int SH, int SW, int PH, int PW, int DH, int DW)
{
    __shared__ real a[DEPTH][A_PITCH];
    __shared__ real b[DEPTH][B_PITCH];
    int CG = C / groups, OG = O / groups, along = threadIdx.x % 16, across = threadIdx.x / 16;
    int phaseW = blockIdx.z % SW, phaseH = blockIdx.z / SW % SH, group = blockIdx.z / (SW * SH);
    int U = (H - phaseH + SH - 1) / SH, T = (W - phaseW + SW - 1) / SW;  // the pixels of these phases
    int firstMap = blockIdx.y * ROWS, firstPixel = blockIdx.x * COLUMNS;
    if (firstPixel >= N * U * T) return;  // fewer than those of the first phase: the block has nothing to do

    int firstI = 0, firstJ = 0;
    while (firstI < KH && (phaseH + PH - firstI * DH) % SH) firstI++;
    while (firstJ < KW && (phaseW + PW - firstJ * DW) % SW) firstJ++;
    int I = (KH - firstI + stepH - 1) / stepH, J = (KW - firstJ + stepW - 1) / stepW, K = OG * I * J;  // taps of the phase

    int image[OWN_COLUMNS], u[OWN_COLUMNS], t[OWN_COLUMNS];
    for (int c = 0; c < OWN_COLUMNS; c++) {
        int pixel = firstPixel + column(c), n = pixel / (U * T);
        image[c] = (n * O + group * OG) * OH * OW;
        u[c] = n < N ? pixel / T % U : -(1 << 30);
        t[c] = pixel % T;
    }

    real sum[OWN_ROWS][OWN_COLUMNS] = {};
    for (int first = 0; first < K; first += DEPTH) {
        int k = first + along, tap = (firstI + k / J % I * stepH) * KW + firstJ + k % J * stepW;
        for (int r = 0; r < OWN_ROWS; r++) {
            int c = firstMap + across + 16 * r;
            a[along][across + 16 * r] = c < CG && k < K ? w[((group * OG + k / (I * J)) * CG + c) * KH * KW + tap] : 0;
        }
        k = first + across;
        int plane = k / (I * J) * OH * OW;
        int down = (phaseH + PH - (firstI + k / J % I * stepH) * DH) / SH;  // both divisions leave no rest
        int right = (phaseW + PW - (firstJ + k % J * stepW) * DW) / SW;
        for (int c = 0; c < OWN_COLUMNS; c++) {
            int p = u[c] + down, q = t[c] + right;
            bool seen = k < K && p >= 0 && p < OH && q >= 0 && q < OW;
            b[across][column(c)] = seen ? dy[image[c] + plane + p * OW + q] : 0;
        }
        multiply(a, b, sum);
    }

    for (int c = 0; c < OWN_COLUMNS; c++) {
        int pixel = firstPixel + column(c), n = pixel / (U * T);
        int h = pixel / T % U * SH + phaseH, v = t[c] * SW + phaseW;
        for (int r = 0; r < OWN_ROWS; r++) {
            int map = firstMap + row(r);
            if (n < N && map < CG) dx[((n * C + group * CG + map) * H + h) * W + v] = sum[r][c];
        }
    }
}

// for each part, o, k:  partial[part][o][k] = Σ over windows (n, p, q) of the part of dy[n][o][p][q] · the pixel under tap k
// Blocks: blockIdx.x tiles of taps k = (c, i, j), blockIdx.y tiles of maps o, blockIdx.z group and part of `length` windows.
// Fetching, thread t has window t%16 of DEPTH in both.
extern "C" __global__ void implicit_dw(const real *x, const real *dy, real *partial, int N, int C, int O, int groups,
                                       int length, int H, int W, int OH, int OW, int KH, int KW,
                                       int SH, int SW, int PH, int PW, int DH, int DW)
{
    __shared__ real a[DEPTH][A_PITCH];
    __shared__ real b[DEPTH][B_PITCH];
    int CG = C / groups, OG = O / groups, K = CG * KH * KW, windows = N * OH * OW;
    int group = blockIdx.z % groups, part = blockIdx.z / groups, along = threadIdx.x % 16, across = threadIdx.x / 16;
    int firstMap = blockIdx.y * ROWS, firstTap = blockIdx.x * COLUMNS, last = min((part + 1) * length, windows);

    int plane[OWN_COLUMNS], down[OWN_COLUMNS], right[OWN_COLUMNS];  // the taps that this thread fetches
    for (int c = 0; c < OWN_COLUMNS; c++) {
        int k = firstTap + across + 16 * c;
        plane[c] = k < K ? (group * CG + k / (KH * KW)) * H * W : -1;
        down[c] = k / KW % KH * DH - PH;
        right[c] = k % KW * DW - PW;
    }

    real sum[OWN_ROWS][OWN_COLUMNS] = {};
    for (int first = part * length; first < last; first += DEPTH) {
        int window = first + along, n = window / (OH * OW), p = window / OW % OH, q = window % OW;
        for (int r = 0; r < OWN_ROWS; r++) {
            int o = firstMap + across + 16 * r;
            a[along][across + 16 * r] =
                o < OG && window < last ? dy[((n * O + group * OG + o) * OH + p) * OW + q] : 0;
        }
        for (int c = 0; c < OWN_COLUMNS; c++) {
            int h = p * SH + down[c], v = q * SW + right[c];
            bool seen = plane[c] >= 0 && window < last && h >= 0 && h < H && v >= 0 && v < W;
            b[along][across + 16 * c] = seen ? x[n * C * H * W + plane[c] + h * W + v] : 0;
        }
        multiply(a, b, sum);
    }

    for (int r = 0; r < OWN_ROWS; r++)
        for (int c = 0; c < OWN_COLUMNS; c++) {
            int o = firstMap + row(r), k = firstTap + column(c);
            if (o < OG && k < K) partial[(part * O + group * OG + o) * K + k] = sum[r][c];
        }
}
