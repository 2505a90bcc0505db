#include "tools/inspect/buffer_picture.h"

#include <inttypes.h>
#include <string.h>

#include "ir/kernel_lives.h"
#include "tools/inspect/costs.h"
#include "tools/inspect/layer_tree.h"
#include "tools/report/report_html.h"

static const double picture_width = 1000, picture_height = 400;

typedef struct Picture {
    Text *page;
    const Program *program;
    LayerTree *labels; /* each first label has its number as its only item */
    int label_count;
    double kernels, bytes; /* what width and height stand for */
} Picture;

/* The colour of a name: that of its first label. */
static int color_of(Picture *picture, const char *name) {
    Arena *arena = picture->page->arena;
    const char *label = arena_copy_text(arena, name, strcspn(name, "."));
    LayerTree *layer = layer_tree_find(arena, picture->labels, label);
    if (layer->items.count == 0)
        vector_push(arena, &layer->items, picture->label_count++);
    return layer->items.items[0] % BUFFER_PICTURE_CLASSES;
}

static void append_life(Picture *picture, const BufferLife *life) {
    const Buffer *buffer = &picture->program->buffers.items[life->buffer];
    int64_t size = (int64_t)dtype_size(buffer->dtype), bytes = (life->end - life->begin) * size;
    int64_t offset = buffer->offset + life->begin * size;
    double height = picture_height * (double)bytes / picture->bytes;
    double bottom = picture_height * (1 - (double)offset / picture->bytes);
    text_append(picture->page,
                "<rect class=\"buffer-%d\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" "
                "height=\"%.2f\"><title>",
                color_of(picture, buffer->name),
                picture_width * (double)life->first / picture->kernels, bottom - height,
                picture_width * (double)(life->last - life->first + 1) / picture->kernels, height);
    html_name(picture->page, buffer->name);
    text_append(picture->page, ", ");
    cost_append(picture->page, bytes, "B");
    text_append(picture->page, " at %" PRId64 ", kernels %" PRId64 " to %" PRId64, offset,
                life->first, life->last);
    text_append(picture->page, "</title></rect>\n");
}

void buffer_picture(Text *page, const Program *program) {
    Arena *arena = page->arena;
    BufferLives lives = kernel_lives(program, arena);
    Picture picture = {.page = page,
                       .program = program,
                       .labels = layer_tree_create(arena),
                       .kernels = (double)program->kernels.count,
                       .bytes = (double)kernel_region_bytes(program, REGION_SCRATCH)};
    if (program->kernels.count == 0)
        return;
    text_append(page,
                "<svg class=\"buffers\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
                "preserveAspectRatio=\"none\">\n",
                picture_width, picture_height);
    for (size_t i = 0; i < lives.count; i++) {
        if (program->buffers.items[lives.items[i].buffer].region == REGION_SCRATCH)
            append_life(&picture, &lives.items[i]);
    }
    text_append(page, "</svg>\n");
}
