/* Shape rules of the mask, and of the target, which is cut into the same cells. */
#include <inttypes.h>

#include "ir/rules_window.h"

/* `type`, a dense one, with its mask at `stride`. */
static bool give_masked(Rule *rule, const Type *type, int64_t stride) {
    if (!rules_masked_fits(rule->graph, type, stride))
        return rules_fail_operand(
            rule, 0, "%s at stride %" PRId64 " does not line up with the cells of the image",
            type_text(rule->graph->arena, type), stride);
    return rules_give(rule, type_masked(*type, stride));
}

static bool want_form(Rule *rule, int index, Form form) {
    if (rules_type(rule, index)->form == form)
        return true;
    return rules_fail_operand(rule, index, "%s needs a %s map, this is %s", rule->info->name,
                              form == FORM_MASKED ? "masked" : "dense",
                              type_text(rule->graph->arena, rules_type(rule, index)));
}

bool rules_shape_mask(Rule *rule) {
    return rules_want_map(rule, 0) && want_form(rule, 0, FORM_DENSE) && rules_want_cells(rule, 1) &&
           give_masked(rule, rules_type(rule, 0), 1);
}

bool rules_shape_densify(Rule *rule) {
    if (!rules_want_map(rule, 0) || !want_form(rule, 0, FORM_MASKED))
        return false;
    Type x = *rules_type(rule, 0);
    return rules_want_channel_vector(rule, 1, x.channels) &&
           rules_give(rule, type_dense(x.dtype, x.batch, x.rank, x.extent, x.channels));
}

bool rules_shape_gather(Rule *rule) {
    return rules_want_map(rule, 0) && want_form(rule, 0, FORM_DENSE) &&
           give_masked(rule, rules_type(rule, 0), node_int(rule->node, "stride"));
}

bool rules_shape_hidden(Rule *rule) {
    const Geometry *geometry = &rule->graph->geometry;
    int64_t size[TYPE_MAX_SPACE];
    if (!rules_want_cells(rule, 0) || !rules_window_ints(rule, "size", geometry->space, size))
        return false;
    Type y = type_dense(DTYPE_F32, geometry->batch, geometry->space, size, 1);
    if (!rules_masked_fits(rule->graph, &y, geometry->image[0] / size[0]))
        return rules_fail_attribute(rule, "size", "%s does not line up with the cells of the image",
                                    rules_extents_text(rule, size, geometry->space));
    return rules_give(rule, y);
}

bool rules_shape_patch_normalise(Rule *rule) {
    const Type *x = rules_type(rule, 0);
    int64_t patch = node_int(rule->node, "patch");
    if (!rules_want_map(rule, 0) || !want_form(rule, 0, FORM_DENSE))
        return false;
    bool single = x->channels == 1;
    for (int d = 0; d < x->rank; d++) {
        single = single && patch == 1;
        if (x->extent[d] % patch != 0)
            return rules_fail_attribute(rule, "patch", "patch = %" PRId64 " does not divide %s",
                                        patch, rules_extents_text(rule, x->extent, x->rank));
    }
    if (single)
        return rules_fail_attribute(rule, "patch", "a patch of one number has no variance");
    return rules_give(rule, *x);
}
