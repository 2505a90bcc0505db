/* Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, 2016): of a tile of 4 x 4 results 36
 * products a pair of channels instead of 144. With d the 6 x 6 positions that the tile reads and g
 * the 3 x 3 taps of the weight
 *
 *     y = A^T [G g G^T * B^T d B] A,        dg = G^T [sum over tiles of B^T d B * A dy A^T] G
 *
 * where * multiplies element by element. So the 9 x in terms of a result become 36 sums of `in`
 * terms, in fp32. What is not finite reaches all results of the tiles that read it. */
#ifndef SPARKC_CODEGEN_CPU_WINOGRAD_H
#define SPARKC_CODEGEN_CPU_WINOGRAD_H

#include "codegen/cpu/gemm.h"

enum {
    WINOGRAD_TAPS = 9,
    WINOGRAD_RESULTS = 4, /* of a tile, in a direction, */
    WINOGRAD_SIDE = 6,    /* and positions that it reads */
    WINOGRAD_FREQUENCIES = WINOGRAD_SIDE * WINOGRAD_SIDE
};

/* Whether a contract or contract_weight is computed so: 3x3 taps side by side between dense
 * pictures of one size, without groups, and channels and tiles enough to pay for the transforms.
 * In bf16 operands are rounded before they are transformed, and where there are tiles for bf16 they
 * are used instead. */
bool contraction_takes_winograd(const Program *program, const Kernel *kernel,
                                const CpuTarget *target);

/* The multiply-adds that are executed then. */
int64_t winograd_multiply_adds(const Program *program, const Kernel *kernel);

/* Tiles of all images. */
int64_t winograd_tiles(const Program *program, const Kernel *kernel);

/* The slots of how a picture is cut into tiles, and of what they read. */
typedef struct WinogradSlots {
    PackedSource source;
    int by_place;                   /* table: the tap at each place of 3 x 3 */
    int tiles, per_image, per_line; /* all tiles, those of an image, of a line */
} WinogradSlots;

WinogradSlots slot_winograd(Slots *slots, const Kernel *kernel);

/* The number of the weight of the tap at a place (i64) of 3 x 3. */
LLVMValueRef emit_place_weight(Emitter *emitter, const WinogradSlots *slots, LLVMValueRef place);

/* A tile's image, and its line and place there, in tiles. */
typedef struct WinogradTile {
    LLVMValueRef image, line, place;
} WinogradTile;

/* Tile number `number` of all. */
WinogradTile emit_winograd_tile(Emitter *emitter, const WinogradSlots *slots, LLVMValueRef number);

/* Calls `body` for those results of a tile that are in the picture, result number `result` (i64) at
 * `place`. */
typedef void WinogradResult(Emitter *emitter, void *context, LLVMValueRef result, RowPlace *place);
void emit_winograd_results(Emitter *emitter, const WinogradTile *tile, const SpaceSlots *space,
                           WinogradResult *body, void *context);

/* B^T d B of channels [first, first + count) of some tiles, behind the prologue: frequency f of
 * tile t at target + f * frequency + t * row fp32, whole vectors, of which those channels count.
 * `patch` is workspace: side^2 x count fp32, and a vector that is read behind them. */
typedef struct WinogradInput {
    const WinogradSlots *slots;
    LLVMValueRef first, count, patch, target, frequency, row;
} WinogradInput;

/* Pointers to the rows of `tiles` (i64) tiles: [frequency][tile]. */
void emit_winograd_pointers(Emitter *emitter, const WinogradInput *input, LLVMValueRef tiles,
                            LLVMValueRef pointers);

/* For tiles [begin, begin + tiles). */
void emit_winograd_input(Emitter *emitter, const WinogradInput *input, LLVMValueRef begin,
                         LLVMValueRef tiles);

/* A^T, B^T and G. */
typedef struct WinogradMatrix {
    int rows, columns;
    const double *elements;
} WinogradMatrix;

extern const WinogradMatrix winograd_a, winograd_b, winograd_g;

/* M X M^T, or M^T X M if the matrix M is turned, of a square X of vectors: they are loaded, and
 * those of the result stored, by line and column. */
typedef struct WinogradProduct {
    const WinogradMatrix *matrix;
    bool turned;
    LLVMValueRef (*load)(Emitter *emitter, void *context, int line, int column);
    void (*store)(Emitter *emitter, void *context, int line, int column, LLVMValueRef value);
    void *context;
} WinogradProduct;

void emit_winograd_product(Emitter *emitter, const WinogradProduct *product);

#endif
