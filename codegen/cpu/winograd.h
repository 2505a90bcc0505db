/* Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray, 2016): of a tile of 2 x 2 results 16
 * products a pair of channels instead of 36. With d the 4 x 4 positions that the tile reads and g
 * the 3 x 3 taps of the weight
 *
 *     y = A^T [G g G^T * B^T d B] A,        dg = G^T [sum over tiles of B^T d B * A dy A^T] G
 *
 * where * multiplies element by element, and A, B and G have the elements 0, 1, -1 and 1/2. So the
 * 9 x in terms of a result become 16 sums of `in` terms, and errors are no larger than those of one
 * long sum. What is not finite reaches all results of the tiles that read it. */
#ifndef SPARKC_CODEGEN_CPU_WINOGRAD_H
#define SPARKC_CODEGEN_CPU_WINOGRAD_H

#include "codegen/cpu/gemm.h"

enum {
    WINOGRAD_TAPS = 9,
    WINOGRAD_SIDE = 4, /* positions that a tile reads, in a direction; it has 2 results */
    WINOGRAD_FREQUENCIES = WINOGRAD_SIDE * WINOGRAD_SIDE
};

/* Whether a contract or contract_weight is computed so: in fp32, 3x3 taps side by side between
 * dense pictures of one size, without groups, and enough channels to pay for the transforms. */
bool contraction_takes_winograd(const Kernel *kernel);

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

/* Calls `body` for the four results of a tile that are in the picture, result number `result` (i64,
 * 0 .. 3) at `place`. */
typedef void WinogradResult(Emitter *emitter, void *context, LLVMValueRef result, RowPlace *place);
void emit_winograd_results(Emitter *emitter, const WinogradTile *tile, const SpaceSlots *space,
                           WinogradResult *body, void *context);

/* B^T d B of channels [first, first + count), whole vectors, of some tiles, behind the prologue:
 * frequency f of tile t at target + f * frequency + t * row fp32. `patch` is workspace, 16 x count
 * fp32. */
typedef struct WinogradInput {
    const WinogradSlots *slots;
    LLVMValueRef first, count, patch, target, frequency, row;
} WinogradInput;

/* For tiles [begin, begin + tiles). */
void emit_winograd_input(Emitter *emitter, const WinogradInput *input, LLVMValueRef begin,
                         LLVMValueRef tiles);

/* The products G, A and their transposes with a column, from the left. */
void emit_winograd_g(Emitter *emitter, LLVMValueRef const from[3], LLVMValueRef to[4]);
void emit_winograd_g_turned(Emitter *emitter, LLVMValueRef const from[4], LLVMValueRef to[3]);
void emit_winograd_a(Emitter *emitter, LLVMValueRef const from[2], LLVMValueRef to[4]);
void emit_winograd_a_turned(Emitter *emitter, LLVMValueRef const from[4], LLVMValueRef to[2]);

#endif
